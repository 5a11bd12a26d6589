//! Random text for codes, tokens and session ids.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

const DIGITS_AND_LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Six characters of `[0-9A-Za-z]`, like Spring's authorization codes.
pub(crate) fn code() -> String {
    let mut code = String::with_capacity(6);
    while code.len() < 6 {
        let [byte] = bytes();
        // 248 is the largest multiple of 62 in a byte. Larger values would make some characters more likely.
        if byte < 248 {
            code.push(char::from(DIGITS_AND_LETTERS[usize::from(byte) % 62]));
        }
    }
    code
}

/// Six characters of base64url, like the codes of version 2.5.
pub(crate) fn base64url_code() -> String {
    base64url()[..6].to_owned()
}

/// A version 4 UUID in lower case.
pub(crate) fn uuid() -> String {
    let mut uuid: [u8; 16] = bytes();
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    let hex = hex(&uuid);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// 20 random bytes.
pub(crate) fn base64url() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes::<20>())
}

/// 128 random bits, for sessions and hidden fields.
pub(crate) fn id() -> String {
    hex(&bytes::<16>())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::getrandom(&mut bytes).expect("the operating system has random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn codes_are_six_digits_or_letters() {
        for _ in 0..200 {
            let code = super::code();
            assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{code}");
        }
    }

    #[test]
    fn uuids_have_the_shape_of_version_4() {
        let uuid = super::uuid();
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
        assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
    }
}
