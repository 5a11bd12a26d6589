//! No text of a server shows a secret of this length or more: the secret is the beginning of the data, the text the rest.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some((secret, text)) = data.split_at_checked(12) {
        cmauth::fuzz::redact(&String::from_utf8_lossy(text), &String::from_utf8_lossy(secret));
    }
});
