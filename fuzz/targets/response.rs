//! Any response becomes tokens or an error without a secret: the status in the first two bytes, the body after them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some((status, body)) = data.split_first_chunk::<2>() {
        cmauth::fuzz::response(u16::from_le_bytes(*status), body);
    }
});
