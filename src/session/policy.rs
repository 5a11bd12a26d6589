//! When a session may ask the server: the numbers and the arithmetic. All times are in milliseconds.
//!
//! docs/sessions.md states these numbers. Change them there too.

use std::time::Duration;

use crate::random::fraction;

/// Tokens are refreshed at a random point between these two fractions of their lifetime.
const REFRESH_FROM: f64 = 0.75;
const REFRESH_TO: f64 = 0.95;

/// A caller that has unexpired tokens to fall back on waits at most this long for newer ones.
pub(crate) const MAX_WAIT_WITH_TOKENS: i64 = 1_000;

/// Back-off after a failure, for tokens that are needed now.
const INITIAL_BACK_OFF: i64 = 1_000;
const MAX_BACK_OFF: i64 = 60_000;

/// Back-off after a failure, if the current tokens have not expired. It starts at a twentieth of a short lifetime.
const INITIAL_EARLY_BACK_OFF: i64 = 30_000;
const MAX_EARLY_BACK_OFF: i64 = 600_000;

/// Lower limit of every back-off.
const MIN_BACK_OFF: i64 = 100;

/// Upper limit for a `Retry-After` of the server, so that one absurd value does not stop a session for ever.
const MAX_RETRY_AFTER: i64 = 3_600_000;

/// Two refreshes of expired tokens are at least this far apart, because a server may issue tokens that have expired already.
pub(crate) const MIN_REFRESH_INTERVAL: i64 = 1_000;

/// While the server fails or another process has the lock, a session reads the store this often to look for newer tokens.
pub(crate) const STORE_READ_INTERVAL: i64 = 1_000;

/// If tokens reach this age before they are rejected, the count of rejections starts again.
const REJECTION_RESET_AGE: i64 = 600_000;

/// Rejected tokens younger than this are not refreshed. It doubles with each rejection of young tokens in a row.
const INITIAL_MIN_AGE: i64 = 15_000;
const MAX_MIN_AGE: i64 = REJECTION_RESET_AGE;

/// The longest validity for which tokens are refreshed: nine tenths of their lifetime. So a program that asks for it in a loop
/// causes a refresh once in a tenth of the lifetime at most.
pub(crate) fn max_min_validity(lifetime: i64) -> i64 {
    lifetime.max(0) / 10 * 9
}

/// The age at which tokens are refreshed.
pub(crate) fn refresh_after(lifetime: i64, random: u64) -> i64 {
    let part = REFRESH_FROM + (REFRESH_TO - REFRESH_FROM) * fraction(random);
    (lifetime.max(0) as f64 * part) as i64
}

/// The back-off after the `failures`th failure in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackOffDelays {
    /// For tokens that are needed now.
    pub(crate) needed: i64,
    /// If the current tokens have not expired.
    pub(crate) early: i64,
}

/// See [`BackOffDelays`]. `lifetime` is the lifetime of the tokens, and `left` the part of it that is left.
pub(crate) fn back_off_after(
    failures: u32,
    lifetime: i64,
    left: i64,
    retry_after: Option<Duration>,
    random: u64,
) -> BackOffDelays {
    let jitter = |pause: i64| (pause / 2 + (pause as f64 / 2.0 * fraction(random)) as i64).max(MIN_BACK_OFF);
    let doubled = |first: i64, max: i64| first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(max);
    let asked = retry_after.map_or(0, |wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).min(MAX_RETRY_AFTER));
    let needed = jitter(doubled(INITIAL_BACK_OFF, MAX_BACK_OFF)).max(asked);
    let first_early = INITIAL_EARLY_BACK_OFF.min(lifetime / 20);
    let early = jitter(doubled(first_early, MAX_EARLY_BACK_OFF)).min(left);
    BackOffDelays { needed, early: early.max(needed) }
}

/// The time before a store that failed is tried again for work that can wait.
pub(crate) fn store_back_off(failures: u32, random: u64) -> i64 {
    back_off_after(failures, i64::MAX, i64::MAX, None, random).needed
}

/// The age at which rejected tokens may be refreshed, after `rejections` rejections of young tokens in a row. At most their
/// lifetime, because expired tokens are refreshed anyway.
pub(crate) fn min_age(rejections: u32, lifetime: i64) -> i64 {
    match rejections {
        // The first rejection may only mean that these tokens have ended at the server.
        0 => 0,
        again => INITIAL_MIN_AGE.saturating_mul(1 << (again - 1).min(20)).min(MAX_MIN_AGE).min(lifetime),
    }
}

/// The number of rejections for the tokens of a refresh. `before` and `age` are those of the tokens that it replaced.
pub(crate) fn rejections_after(before: u32, age: i64, because_rejected: bool) -> u32 {
    let before = if age >= REJECTION_RESET_AGE { 0 } else { before };
    if because_rejected { before.saturating_add(1) } else { before }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refresh_is_drawn_from_the_last_part_of_the_lifetime() {
        for lifetime in [0, 1_000, 43_200_000] {
            assert_eq!(refresh_after(lifetime, 0), lifetime * 3 / 4);
            let last = refresh_after(lifetime, u64::MAX);
            assert!((last - lifetime * 95 / 100).abs() <= 1, "{last}");
        }
        assert_eq!(refresh_after(-5, 7), 0);
    }

    #[test]
    fn back_off_grows_to_its_limits_and_respects_retry_after() {
        let hours = 43_200_000;
        let longest = |failures| back_off_after(failures, hours, hours, None, u64::MAX);
        let needed: Vec<_> = (1..9).map(|failures| longest(failures).needed / 1000).collect();
        assert_eq!(needed, [1, 2, 4, 8, 16, 32, 60, 60]);
        let early: Vec<_> = (1..8).map(|failures| longest(failures).early / 1000).collect();
        assert_eq!(early, [30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(back_off_after(1, hours, hours, None, 0), BackOffDelays { needed: 500, early: 15_000 });
        // It does not pass the expiry of the tokens, is shorter for a short lifetime, and is never zero.
        assert_eq!(back_off_after(1, hours, 7_000, None, u64::MAX).early, 7_000);
        assert_eq!(back_off_after(1, 60_000, 60_000, None, u64::MAX).early, 3_000);
        assert_eq!(back_off_after(1, 0, 0, None, 0), BackOffDelays { needed: 500, early: 500 });
        assert!(back_off_after(u32::MAX, hours, hours, None, 0).needed >= 30_000);
        let asked = |seconds| back_off_after(1, hours, 0, Some(Duration::from_secs(seconds)), 0);
        assert_eq!(asked(120), BackOffDelays { needed: 120_000, early: 120_000 });
        assert_eq!(asked(u64::MAX).needed, MAX_RETRY_AFTER);
    }

    #[test]
    fn the_first_rejection_allows_a_refresh_at_once_and_each_further_one_later() {
        let ages: Vec<_> = (0..9).map(|rejections| min_age(rejections, i64::MAX) / 1000).collect();
        assert_eq!(ages, [0, 15, 30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(min_age(u32::MAX, i64::MAX), MAX_MIN_AGE);
        assert_eq!(min_age(3, 6_000), 6_000);
        assert_eq!(rejections_after(0, 10, true), 1);
        assert_eq!(rejections_after(3, 10, true), 4);
        assert_eq!(rejections_after(3, 10, false), 3);
        assert_eq!(rejections_after(3, REJECTION_RESET_AGE, true), 1);
        assert_eq!(rejections_after(3, REJECTION_RESET_AGE, false), 0);
    }
}
