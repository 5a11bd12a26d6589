//! Random numbers of the operating system, for waits that differ between callers and for the ids of logins.

use std::time::Duration;

/// The time less a random part of up to half of it.
pub(crate) fn jitter(max: Duration) -> Duration {
    max / 2 + max.mul_f64(random() / 2.0)
}

/// A random number from 0 to 1.
pub(crate) fn random() -> f64 {
    fraction(random_bits())
}

pub(crate) fn random_bits() -> u64 {
    let mut random = [0; 8];
    // If the system gives none, waits still have the right length. They only do not differ.
    let _ = getrandom::getrandom(&mut random);
    u64::from_ne_bytes(random)
}

/// Random bits as a number from 0 to 1.
pub(crate) fn fraction(bits: u64) -> f64 {
    // As many bits as an f64 keeps.
    (bits >> 11) as f64 / ((1_u64 << 53) - 1) as f64
}
