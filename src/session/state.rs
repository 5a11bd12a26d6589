//! What a session knows of its user at one moment, and what follows from it for those who ask.

use std::time::Duration;

use super::clock::{Moment, Now};
use crate::client;
use crate::error::Error;
use crate::secret::Secret;
use crate::store::record::Record;
use crate::tokens::Tokens;

/// The part of a lifetime at which tokens are refreshed: from here to there, at random.
const REFRESH_FROM: f64 = 0.75;
const REFRESH_TO: f64 = 0.95;

/// The pause after an early refresh that failed, at first and at last; of a short lifetime a twentieth.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LAST_PAUSE: Duration = Duration::from_secs(600);

/// What is known of the user now. Immutable.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) generation: u64,
    pub(super) held: Option<Held>,
    /// Until then the tokens are handed out without a thought.
    pub(super) gate: Option<Moment>,
    /// The store refused the tokens.
    pub(super) unsaved: bool,
    pub(super) failures: u32,
    pub(super) last_error: Option<Error>,
}

#[derive(Clone)]
pub(super) struct Held {
    pub(super) tokens: Tokens,
    pub(super) refresh_at: Option<Moment>,
    pub(super) ends_at: Option<Moment>,
    pub(super) lifetime: Duration,
}

/// What a caller needs.
#[derive(Clone, Copy)]
pub(super) enum Want<'a> {
    Valid,
    /// The API rejected these.
    Other(&'a Tokens),
}

impl Held {
    pub(super) fn new(record: &Record, now: Now) -> Held {
        // A record from the future, by a clock that was set back since or by another machine's, is good for its
        // lifetime and no longer.
        let moment = |at: i64| now.after(at.saturating_sub(now.wall.max(record.obtained_at)));
        let ends_at = record.tokens.expires_at().map(|at| at.saturating_mul(1000));
        let lifetime = ends_at.map_or(i64::MAX, |at| at.saturating_sub(record.obtained_at).max(0));
        Held {
            tokens: record.tokens.clone(),
            refresh_at: record.refresh_at.map(moment),
            ends_at: ends_at.map(moment),
            lifetime: Duration::from_millis(lifetime.unsigned_abs()),
        }
    }

    pub(super) fn is_over(&self, now: Now) -> bool {
        self.ends_at.is_some_and(|at| now.has_reached(at))
    }

    pub(super) fn is_due(&self, now: Now) -> bool {
        self.refresh_at.is_some_and(|at| now.has_reached(at))
    }

    pub(super) fn secrets(&self) -> [&str; 2] {
        [self.tokens.access_token().expose(), self.tokens.refresh_token().map_or("", Secret::expose)]
    }
}

impl State {
    pub(super) fn of(record: &Record, now: Now) -> State {
        let held = Held::new(record, now);
        let ends = [held.refresh_at, held.ends_at].into_iter().flatten();
        let gate = ends.fold(now.after(i64::MAX), Moment::earlier);
        State { generation: record.generation, held: Some(held), gate: Some(gate), ..State::default() }
    }

    pub(super) fn ended(generation: u64) -> State {
        State { generation, ..State::default() }
    }

    /// The tokens, if they are good for now without anything being done.
    pub(super) fn ready(&self, now: Now) -> Option<&Tokens> {
        let gate = self.gate?;
        if now.has_reached(gate) { None } else { self.held.as_ref().map(|held| &held.tokens) }
    }

    /// The tokens, if they are what is wanted, though perhaps not for long.
    pub(super) fn answers(&self, want: Want, now: Now) -> Option<&Tokens> {
        match want {
            Want::Valid => self.ready(now),
            Want::Other(rejected) => {
                let tokens = self.alive(now)?;
                // Another holder of the store may have handed out the rejected ones after these.
                let ends = |tokens: &Tokens| tokens.expires_at().unwrap_or(i64::MAX);
                let other = tokens.access_token() != rejected.access_token();
                (other && ends(tokens) >= ends(rejected)).then_some(tokens)
            }
        }
    }

    /// The tokens that have not ended yet.
    pub(super) fn alive(&self, now: Now) -> Option<&Tokens> {
        self.held.as_ref().filter(|held| !held.is_over(now)).map(|held| &held.tokens)
    }

    pub(super) fn tokens(&self) -> Option<Tokens> {
        self.held.as_ref().map(|held| held.tokens.clone())
    }

    /// The same after a failure: what is still good is handed out, and the next try waits.
    pub(super) fn after_failure(&self, error: &Error, now: Now) -> State {
        let mut state = self.clone();
        state.failures = self.failures.saturating_add(1);
        state.last_error = Some(error.clone());
        if let Some(held) = &self.held {
            let left = held.ends_at.map_or(LAST_PAUSE, |at| at.clock.saturating_duration_since(now.clock));
            let first = FIRST_PAUSE.min(held.lifetime / 20);
            let pause = first.saturating_mul(1 << self.failures.min(10)).min(LAST_PAUSE).min(left);
            let pause = client::jitter(pause).max(error.retry_after().unwrap_or_default());
            let next = now.after(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
            state.gate = Some(held.ends_at.map_or(next, |end| next.earlier(end)));
        }
        state
    }
}

/// The record of tokens that came now, with a time drawn for their refresh.
pub(super) fn record(tokens: &Tokens, generation: u64, now: Now) -> Record {
    let refresh_at = tokens.expires_at().map(|ends| {
        let lifetime = ends.saturating_mul(1000).saturating_sub(now.wall).max(0);
        let part = REFRESH_FROM + (REFRESH_TO - REFRESH_FROM) * client::random();
        now.wall.saturating_add((lifetime as f64 * part) as i64)
    });
    Record { tokens: tokens.clone(), generation, obtained_at: now.wall, refresh_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    fn tokens(expires_at: Option<i64>) -> Tokens {
        let at = expires_at.map_or("null".to_owned(), |at| at.to_string());
        Tokens::from_json(&format!(r#"{{"access_token":"a:1","refresh_token":"r:1","expires_at":{at}}}"#)).unwrap()
    }

    /// The clocks `seconds` later.
    fn later(now: Now, seconds: i64) -> Now {
        Now { clock: now.clock + Duration::from_secs(seconds.unsigned_abs()), wall: now.wall + seconds * 1000 }
    }

    /// A round second, so that lifetimes are what they say.
    fn now() -> Now {
        let now = Now::read();
        Now { wall: now.wall / 1000 * 1000, ..now }
    }

    #[test]
    fn the_refresh_is_drawn_from_the_last_part_of_the_lifetime_and_spread_over_it() {
        let now = now();
        for lifetime in [0, 1, 60, 43_200] {
            let record = || record(&tokens(Some(now.wall / 1000 + lifetime)), 1, now).refresh_at.unwrap() - now.wall;
            let all: Vec<_> = (0..500).map(|_| record()).collect();
            let (from, to) = (lifetime * 750, lifetime * 950);
            assert!(all.iter().all(|at| (from..=to).contains(at)), "{lifetime}");
            let (first, last) = (all.iter().min().unwrap(), all.iter().max().unwrap());
            assert!(last - first >= (to - from) * 9 / 10, "{lifetime}: {first} to {last}");
        }
        assert_eq!(record(&tokens(None), 1, now).refresh_at, None);
    }

    #[test]
    fn tokens_are_ready_until_their_refresh_alive_until_their_end() {
        let now = now();
        let record = Record {
            tokens: tokens(Some(now.wall / 1000 + 100)),
            generation: 1,
            obtained_at: now.wall,
            refresh_at: Some(now.wall + 80_000),
        };
        let state = State::of(&record, now);
        for (seconds, ready, alive) in
            [(0, true, true), (79, true, true), (80, false, true), (99, false, true), (100, false, false)]
        {
            let at = later(now, seconds);
            assert_eq!((state.ready(at).is_some(), state.alive(at).is_some()), (ready, alive), "{seconds} s");
            // The same where only one of the clocks went on.
            for at in [Now { wall: now.wall - 5, ..at }, Now { clock: now.clock, ..at }] {
                assert_eq!((state.ready(at).is_some(), state.alive(at).is_some()), (ready, alive), "{seconds} s");
            }
        }
        // Tokens that never end are never due.
        let forever = State::of(&super::record(&tokens(None), 1, now), now);
        assert!(forever.ready(later(now, 29 * 24 * 3600)).is_some());
        assert!(forever.alive(later(now, 10_000 * 24 * 3600)).is_some());
    }

    #[test]
    fn a_record_from_the_future_is_good_for_its_lifetime_and_no_longer() {
        let now = now();
        let ahead = later(now, 1_000_000);
        let record = Record {
            tokens: tokens(Some(ahead.wall / 1000 + 100)),
            generation: 1,
            obtained_at: ahead.wall,
            refresh_at: Some(ahead.wall + 80_000),
        };
        let state = State::of(&record, now);
        assert!(state.ready(later(now, 79)).is_some() && state.ready(later(now, 80)).is_none());
        assert!(state.alive(later(now, 99)).is_some() && state.alive(later(now, 100)).is_none());
    }

    #[test]
    fn after_a_failure_the_next_try_waits_longer_and_longer_but_not_past_the_end() {
        let start = now();
        let error = Error::new(Status::Server, "x", "y");
        let record = record(&tokens(Some(start.wall / 1000 + 43_200)), 1, start);
        let mut state = State::of(&record, start);
        let now = later(start, 41_000);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            state = state.after_failure(&error, now);
            pauses.push((state.gate.unwrap().wall - now.wall) / 1000);
        }
        assert_eq!(state.failures, 8);
        for (pause, longest) in pauses.iter().zip([30, 60, 120, 240, 480, 600, 600, 600]) {
            assert!((longest / 2..=longest).contains(pause), "{pauses:?}");
        }
        // The server's wish counts, the end of the tokens more.
        let wish = error.with_retry_after(Some(Duration::from_secs(900)));
        assert_eq!(state.after_failure(&wish, now).gate.unwrap().wall - now.wall, 900_000);
        let near = later(start, 43_190);
        assert_eq!(state.after_failure(&wish, near).gate.unwrap().wall - near.wall, 10_000);
    }

    #[test]
    fn what_was_rejected_is_no_answer_and_what_is_newer_is() {
        let now = now();
        let state = State::of(&record(&tokens(Some(now.wall / 1000 + 100)), 1, now), now);
        let other = Tokens::from_json(r#"{"access_token":"b:1","expires_at":1700000000}"#).unwrap();
        assert!(state.answers(Want::Other(&other), now).is_some());
        let newer = format!(r#"{{"access_token":"b:1","expires_at":{}}}"#, now.wall / 1000 + 101);
        let newer = Tokens::from_json(&newer).unwrap();
        assert!(state.answers(Want::Other(&newer), now).is_none(), "another holder has newer ones than these");
        assert!(state.answers(Want::Other(&tokens(None)), now).is_none(), "the same access token");
        assert!(state.answers(Want::Other(&other), later(now, 100)).is_none(), "it has ended");
        assert!(State::ended(7).answers(Want::Valid, now).is_none());
    }
}
