//! Tests `redact` with random secrets in random layers of escapes, and checks the result with an independent decoder.

use std::collections::HashSet;

use super::*;

/// A random number generator that gives the same numbers in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % limit
    }

    fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    fn text(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    /// Adds one layer of escapes, to all characters or to some of them.
    fn escape(&mut self, text: &str) -> String {
        let (form, share) = (self.below(6), self.pick(&[&1, &2, &5]));
        let mut escaped = String::new();
        for c in text.chars() {
            let code = c as u32;
            if self.below(*share) > 0 {
                escaped.push(c);
                continue;
            }
            match (form, c) {
                (0, ' ') => escaped.push('+'),
                (0, c) => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escaped += &format!("%{byte:02X}")),
                (1, c) => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}")),
                (2, '"' | '\\' | '/' | '\'') => escaped.extend(['\\', c]),
                (2, _) if code < 256 => escaped += &format!("\\x{code:02x}"),
                (3, '&') => escaped += "&amp;",
                (3, '<') => escaped += "&lt;",
                (3, '"') => escaped += "&quot;",
                (3 | 4, _) => escaped += &format!("&#{code};"),
                (5, _) => escaped += &format!("&#x{code:X};"),
                (_, c) => escaped.push(c),
            }
        }
        escaped
    }
}

/// Removes one layer of escapes in the usual way: from left to right, each byte once.
fn unescape(text: &[u8]) -> Vec<u8> {
    let number = |digits: &[u8], radix| {
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
        u32::from_str_radix(digits, radix).ok()
    };
    let utf8 = |code: u32| char::from_u32(code).unwrap_or('?').to_string().into_bytes();
    let escape = |at: &[u8]| -> Option<(Vec<u8>, usize)> {
        match at {
            [b'%', ..] => Some((vec![number(at.get(1..3)?, 16)? as u8], 3)),
            [b'\\', b'u', ..] => match (number(at.get(2..6)?, 16)?, at.get(8..12).and_then(|low| number(low, 16))) {
                (high @ 0xd800..0xdc00, Some(low)) => {
                    Some((utf8(0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff)), 12))
                }
                (code, _) => Some((utf8(code), 6)),
            },
            [b'\\', b'x', ..] => Some((utf8(number(at.get(2..4)?, 16)?), 4)),
            [b'\\', symbol, ..] if symbol.is_ascii_punctuation() => Some((vec![*symbol], 2)),
            [b'&', ..] => {
                let name = &at[1..at.iter().position(|byte| *byte == b';')?];
                let text = match name {
                    b"amp" => vec![b'&'],
                    b"lt" => vec![b'<'],
                    b"quot" => vec![b'"'],
                    [b'#', b'x', digits @ ..] => utf8(number(digits, 16)?),
                    [b'#', digits @ ..] => utf8(number(digits, 10)?),
                    _ => return None,
                };
                Some((text, name.len() + 2))
            }
            _ => None,
        }
    };
    let (mut plain, mut position) = (Vec::new(), 0);
    while position < text.len() {
        let (bytes, length) = escape(&text[position..]).unwrap_or((vec![text[position]], 1));
        plain.extend(bytes);
        position += length;
    }
    plain
}

#[test]
fn no_secret_is_left_in_any_number_of_layers_of_escapes() {
    let symbols = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \u{e9}\u{1f600}";
    let escapes = "%&;\\#xu0123456789abcdefABCDEF+";
    let folded = |text: &[u8]| -> Vec<u8> { text.iter().map(|byte| fold(*byte)).collect() };
    for seed in 0..3000 {
        let random = &mut Random(seed);
        let length = 12 + random.below(53);
        let alphabet = random.pick(&[symbols, symbols, escapes]);
        let secret = random.text(alphabet, length);
        let mut escaped = secret.clone();
        for _ in 0..1 + random.below(3) {
            escaped = random.escape(&escaped);
        }
        let (before, after) =
            (random.pick(&["code: ", "100% & \\", "{\"error\":\""]), random.pick(&[" is bad", "&", "%"]));
        let shown = redact(&format!("{before}{escaped}{after}"), &[&secret]);

        assert!(shown.starts_with(&before[..5]) && shown.contains(REDACTED), "{seed}: {secret} {escaped} {shown}");
        // A symbol after the secret can become part of the last escape.
        assert!(
            escaped.len() > 4000 || after.len() == 1 || shown.ends_with(after),
            "{seed}: {secret} {escaped} {shown}"
        );
        let secret = folded(secret.as_bytes());
        let pieces: HashSet<&[u8]> = secret.windows(PIECE_LEN).collect();
        let mut plain = shown.clone().into_bytes();
        for _ in 0..8 {
            let left = folded(&plain);
            let found = left.windows(PIECE_LEN).find(|piece| pieces.contains(piece));
            assert!(found.is_none(), "{seed}: {found:?} of {escaped} is left in {shown}");
            plain = unescape(&plain);
        }
    }
}
