//! When a session asks the server: the numbers, and what follows from them. Pure arithmetic, in milliseconds.
//!
//! docs/sessions.md states these numbers; a change here is a change there.

use std::time::Duration;

use crate::client::fraction;

/// Tokens are refreshed in this part of their lifetime, at a random point.
const REFRESH_FROM: f64 = 0.75;
const REFRESH_TO: f64 = 0.95;

/// A caller that can have tokens which have not ended waits no longer for newer ones.
pub(crate) const MAX_WAIT_WITH_TOKENS: i64 = 1_000;

/// The pause after a failure before the server is asked again for tokens that are needed now.
const INITIAL_BACK_OFF: i64 = 1_000;
const MAX_BACK_OFF: i64 = 60_000;

/// The same before it is asked again for tokens that have not ended. Of a short lifetime, a twentieth is the first pause.
const INITIAL_EARLY_BACK_OFF: i64 = 30_000;
const MAX_EARLY_BACK_OFF: i64 = 600_000;

/// The shortest pause of all.
const MIN_BACK_OFF: i64 = 100;

/// A `Retry-After` longer than this is cut, so that one absurd answer does not end a session.
const MAX_RETRY_AFTER: i64 = 3_600_000;

/// Two refreshes of ended tokens are at least this far apart, for a server that gives tokens which have ended already.
pub(crate) const MIN_REFRESH_INTERVAL: i64 = 1_000;

/// While others fail or are busy, a holder of a store looks this often whether it has newer tokens.
pub(crate) const STORE_READ_INTERVAL: i64 = 1_000;

/// Tokens that the API accepted for this long are no sign that it rejects all tokens.
const REJECTION_RESET_AGE: i64 = 600_000;

/// The age below which rejected tokens are not refreshed, doubled with each rejection of young tokens in a row.
const INITIAL_MIN_AGE: i64 = 15_000;
const MAX_MIN_AGE: i64 = REJECTION_RESET_AGE;

/// How long after they came tokens are refreshed.
pub(crate) fn refresh_after(lifetime: i64, random: u64) -> i64 {
    let part = REFRESH_FROM + (REFRESH_TO - REFRESH_FROM) * fraction(random);
    (lifetime.max(0) as f64 * part) as i64
}

/// The pauses after the `failures`th failure in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackOffDelays {
    /// Before anybody asks the server again.
    pub(crate) needed: i64,
    /// Before it is asked for tokens that have not ended.
    pub(crate) early: i64,
}

/// See [`BackOffDelays`]. `lifetime` is that of the tokens, `left` what is left of it.
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

/// The pause before a store that failed is tried again for something that can wait.
pub(crate) fn store_back_off(failures: u32, random: u64) -> i64 {
    back_off_after(failures, i64::MAX, i64::MAX, None, random).needed
}

/// The age that rejected tokens must have to be refreshed, after `rejections` in a row of young ones. Tokens that live
/// shorter than that would be refreshed then anyway.
pub(crate) fn min_age(rejections: u32, lifetime: i64) -> i64 {
    match rejections {
        // The first rejection says nothing yet but that these tokens have ended.
        0 => 0,
        again => INITIAL_MIN_AGE.saturating_mul(1 << (again - 1).min(20)).min(MAX_MIN_AGE).min(lifetime),
    }
}

/// The count for the tokens of a refresh, from that of the tokens before, which were `age` old.
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
    fn pauses_grow_up_to_their_limits_and_the_servers_wish_counts() {
        let hours = 43_200_000;
        let longest = |failures| back_off_after(failures, hours, hours, None, u64::MAX);
        let needed: Vec<_> = (1..9).map(|failures| longest(failures).needed / 1000).collect();
        assert_eq!(needed, [1, 2, 4, 8, 16, 32, 60, 60]);
        let early: Vec<_> = (1..8).map(|failures| longest(failures).early / 1000).collect();
        assert_eq!(early, [30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(back_off_after(1, hours, hours, None, 0), BackOffDelays { needed: 500, early: 15_000 });
        // Not past the end of the tokens, of a short lifetime sooner, and never at once.
        assert_eq!(back_off_after(1, hours, 7_000, None, u64::MAX).early, 7_000);
        assert_eq!(back_off_after(1, 60_000, 60_000, None, u64::MAX).early, 3_000);
        assert_eq!(back_off_after(1, 0, 0, None, 0), BackOffDelays { needed: 500, early: 500 });
        assert!(back_off_after(u32::MAX, hours, hours, None, 0).needed >= 30_000);
        let asked = |seconds| back_off_after(1, hours, 0, Some(Duration::from_secs(seconds)), 0);
        assert_eq!(asked(120), BackOffDelays { needed: 120_000, early: 120_000 });
        assert_eq!(asked(u64::MAX).needed, MAX_RETRY_AFTER);
    }

    #[test]
    fn the_first_rejection_is_believed_and_each_further_one_later() {
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
