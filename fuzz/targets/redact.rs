//! A redacted text does not contain the secret. The data begins with the secret; the rest is the text.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some((secret, text)) = data.split_at_checked(12) {
        cmauth::fuzz::redact(&String::from_utf8_lossy(text), &String::from_utf8_lossy(secret));
    }
});
