//! What a process knows of its user at one moment, and what follows from it for a caller. Immutable: a change is a new one.

use std::time::Duration;

use super::clock::{Moment, Now};
use super::policy;
use crate::error::{Advice, Error, Status};
use crate::secret::Secret;
use crate::store::record::{BootTime, Owner, Record};
use crate::tokens::Tokens;

/// What is known of the user now.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) generation: u64,
    /// `None`: nobody is logged in.
    pub(crate) current: Option<Current>,
    /// Until then the tokens are handed out as they are.
    pub(crate) ready_until: Option<Moment>,
    /// The access token that the current one replaced here: a 401 for it is old news.
    pub(crate) replaced: Option<Secret>,
    /// The store does not have the current tokens: it refused them.
    pub(crate) unsaved: bool,
    /// The last failure since the last success.
    pub(crate) last_error: Option<Error>,
    /// The server failed and is left alone for a while.
    pub(crate) back_off: Option<BackOff>,
    /// How often the store failed in a row, and until when, by the boot clock, what can wait does.
    pub(crate) store_failures: u32,
    pub(crate) store_pause_until: i64,
    /// When the store was last read, and when tokens were last refreshed here, by the boot clock.
    pub(crate) looked_at: i64,
    pub(crate) refreshed_at: Option<i64>,
    /// The latter, of a refresh because the API had rejected the tokens.
    pub(crate) rejected_at: Option<i64>,
    /// When the store's lock was given back last.
    pub(crate) unlocked_at: Option<i64>,
}

/// Who holds a session's tokens: the API key, the server, and this run of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) owner: Owner,
    /// `None`: the system has no name for it.
    pub(crate) boot_id: Option<String>,
}

/// The tokens, and when what is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) record: Record,
    /// `None`: never.
    pub(crate) refresh_at: Option<Moment>,
    pub(crate) ends_at: Option<Moment>,
    /// When the tokens came, by the boot clock; where another machine received them, or this one before it started anew,
    /// when they were first seen here. They are at least as old.
    pub(crate) known_since: i64,
    /// When the tokens came, by the boot clock, as well as it can be told; `None`: in the future of the wall clock here.
    pub(crate) came_at: Option<i64>,
    /// They came to this machine in this run of it, so that their age is certain.
    pub(crate) came_here: bool,
}

/// Nobody asks the server before these times of the boot clock.
#[derive(Clone, Debug)]
pub(crate) struct BackOff {
    /// How often in a row.
    pub(crate) failures: u32,
    pub(crate) error: Error,
    pub(crate) until: i64,
    /// For tokens that have not ended.
    pub(crate) early_until: i64,
}

/// What a caller needs.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    Valid,
    /// The API rejected these.
    Other(Tokens),
}

/// What a caller gets.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Tokens(Tokens),
    Failed(Error),
    /// The store or the server must be asked.
    Work,
}

impl Current {
    pub(crate) fn new(record: Record, holder: &Holder, now: Now) -> Current {
        let same_boot = record.obtained_boot.as_ref().filter(|time| Some(&time.boot_id) == holder.boot_id.as_ref());
        let by_wall = now.wall.saturating_sub(record.obtained_at);
        let age = match same_boot {
            Some(time) => now.boot.saturating_sub(time.at),
            // A record from the future, by a clock that was set back since or by another machine's: it counts as new.
            None => by_wall.max(0),
        };
        let obtained_boot = now.boot.saturating_sub(age.max(0));
        let known_since = if same_boot.is_some() { obtained_boot } else { now.boot };
        let came_here = same_boot.is_some();
        let came_at = (came_here || by_wall >= 0).then_some(obtained_boot);
        // A negative age is none of this boot, whatever the record says: the tokens count as ended.
        let boot = |after: i64| if age < 0 { i64::MIN } else { obtained_boot.saturating_add(after) };
        let moment = |at: i64| Moment { boot: boot(at.saturating_sub(record.obtained_at)), wall: at };
        let ends_at = record.tokens.expires_at().map(|at| moment(at.saturating_mul(1000)));
        Current { refresh_at: record.refresh_at.map(moment), ends_at, known_since, came_at, came_here, record }
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.record.tokens
    }

    pub(crate) fn is_over(&self, now: Now) -> bool {
        self.ends_at.is_some_and(|at| now.has_reached(at))
    }

    pub(crate) fn is_due(&self, now: Now) -> bool {
        self.refresh_at.is_some_and(|at| now.has_reached(at))
    }

    /// How old the tokens are at least.
    pub(crate) fn age(&self, now: Now) -> i64 {
        now.boot.saturating_sub(self.known_since)
    }

    pub(crate) fn lifetime(&self) -> i64 {
        let ends_at = self.tokens().expires_at().map_or(i64::MAX, |at| at.saturating_mul(1000));
        ends_at.saturating_sub(self.record.obtained_at).max(0)
    }

    pub(crate) fn is(&self, tokens: &Tokens) -> bool {
        self.tokens().access_token() == tokens.access_token()
    }

    pub(crate) fn secrets(&self) -> [&str; 2] {
        [self.tokens().access_token().expose(), self.tokens().refresh_token().map_or("", Secret::expose)]
    }
}

impl State {
    /// Nobody is logged in.
    pub(crate) fn nobody(generation: u64, now: Now) -> State {
        State {
            generation,
            current: None,
            ready_until: None,
            replaced: None,
            unsaved: false,
            last_error: None,
            back_off: None,
            store_failures: 0,
            store_pause_until: i64::MIN,
            looked_at: now.boot,
            refreshed_at: None,
            rejected_at: None,
            unlocked_at: None,
        }
    }

    /// The user of `record`, which the store has.
    pub(crate) fn of(record: Record, holder: &Holder, now: Now) -> State {
        let generation = record.generation;
        let current = Some(Current::new(record, holder, now));
        State { current, ..State::nobody(generation, now) }.with_new_limit(now)
    }

    /// The state of `record`, which replaces what this one has. A pause of the server goes on: other tokens do not end it.
    pub(crate) fn replaced_by(&self, record: Record, holder: &Holder, now: Now) -> State {
        let mut new = State::of(record, holder, now);
        if let (Some(old), Some(current)) = (&self.current, &mut new.current) {
            if current.is(old.tokens()) {
                // Another holder wrote down the same tokens: what is known here of their end still counts.
                current.ends_at =
                    current.ends_at.zip(old.ends_at).map(|(new, old)| new.earlier(old)).or(current.ends_at);
            } else {
                new.replaced = Some(old.tokens().access_token().clone());
            }
        }
        new.with_pauses_of(self, now)
    }

    /// The state after another holder of the store ended the login.
    pub(crate) fn ended(&self, now: Now) -> State {
        State::nobody(self.generation.saturating_add(1), now).with_pauses_of(self, now)
    }

    /// Only an answer of the server ends a row of failures.
    fn with_pauses_of(self, before: &State, now: Now) -> State {
        let back_off = before.back_off.clone();
        let last_error = back_off.as_ref().map(|back_off| back_off.error.clone());
        State {
            back_off,
            last_error,
            refreshed_at: before.refreshed_at,
            rejected_at: before.rejected_at,
            unlocked_at: before.unlocked_at,
            ..self
        }
        .with_new_limit(now)
    }

    /// The same with [`ready_until`](Self::ready_until) as it follows from the rest: the end of the tokens, their refresh,
    /// or the next try to save them.
    pub(crate) fn with_new_limit(self, now: Now) -> State {
        // Only the boot clock ends a pause: somebody who sets the wall clock causes no request.
        let boot_time = |boot: i64| Moment { boot, ..Moment::NEVER };
        let ready_until = self.current.as_ref().map(|current| {
            let pause = self.back_off.as_ref().map_or(i64::MIN, |back_off| back_off.early_until);
            let pause = pause.max(self.store_pause_until);
            let refresh = match current.refresh_at {
                Some(at) if now.has_reached(at) && now.boot < pause => boot_time(pause),
                at => at.unwrap_or(Moment::NEVER),
            };
            let save = if self.unsaved { boot_time(self.store_pause_until) } else { Moment::NEVER };
            refresh.earlier(save).earlier(current.ends_at.unwrap_or(Moment::NEVER))
        });
        State { ready_until, ..self }
    }

    /// The tokens, if they are good and nothing is to be done.
    pub(crate) fn ready(&self, now: Now) -> Option<&Tokens> {
        let until = self.ready_until?;
        if now.has_reached(until) { None } else { self.current.as_ref().map(Current::tokens) }
    }

    /// The tokens, if they have not ended.
    pub(crate) fn alive(&self, now: Now) -> Option<&Tokens> {
        self.current.as_ref().filter(|current| !current.is_over(now)).map(Current::tokens)
    }

    /// What a caller gets without asking anybody.
    pub(crate) fn answer(&self, want: &Want, now: Now) -> Answer {
        let Some(current) = &self.current else {
            return Answer::Work;
        };
        match want {
            Want::Valid => {
                if let Some(tokens) = self.ready(now) {
                    return Answer::Tokens(tokens.clone());
                }
                if !current.is_over(now) {
                    return Answer::Work;
                }
            }
            Want::Other(rejected) => {
                if !current.is(rejected) {
                    // Replaced here: old news. Else the store tells which of the two is newer.
                    let is_old = self.replaced.as_ref() == Some(rejected.access_token());
                    return match self.alive(now) {
                        Some(tokens) if is_old => Answer::Tokens(tokens.clone()),
                        _ => Answer::Work,
                    };
                }
            }
        }
        // Another holder may have stored newer tokens meanwhile: after a rejection it is the likely cause.
        match self.refusal(want, now) {
            Some(error)
                if error.status() != Status::TokenRejected
                    && now.boot < self.looked_at.saturating_add(policy::LOOK_EVERY) =>
            {
                Answer::Failed(error)
            }
            _ => Answer::Work,
        }
    }

    /// Why the server is not asked now for other tokens than the current ones; `None`: it may be.
    pub(crate) fn refusal(&self, want: &Want, now: Now) -> Option<Error> {
        let current = self.current.as_ref()?;
        let is_early = matches!(want, Want::Valid) && !current.is_over(now);
        if let Some(error) = self.backed_off(is_early, now) {
            return Some(error);
        }
        // Where their age is not certain, they are young as long as this process has just refreshed rejected ones.
        let young_since = if current.came_here { current.came_at } else { current.came_at.max(self.rejected_at) };
        let min_age = policy::min_age(current.record.rejections, current.lifetime());
        let young_for = young_since.map_or(0, |since| min_age.saturating_sub(now.boot.saturating_sub(since)));
        if matches!(want, Want::Other(_)) && !current.is_over(now) && young_for > 0 {
            let what = "the API rejected tokens that were refreshed just now because others had been rejected";
            let remedy = "try again later; if another installation uses this user, let both share a store";
            let error = Error::new(Status::TokenRejected, what, remedy).with_advice(Advice::Retry, remedy);
            return Some(error.with_retry_after(Some(Duration::from_millis(young_for.unsigned_abs()))));
        }
        None
    }

    /// The error of the server for which it is still left alone, with the time that is left.
    pub(crate) fn backed_off(&self, is_early: bool, now: Now) -> Option<Error> {
        let back_off = self.back_off.as_ref()?;
        let until = if is_early { back_off.early_until } else { back_off.until };
        let left = Duration::from_millis(until.saturating_sub(now.boot).max(0).unsigned_abs());
        (!left.is_zero()).then(|| back_off.error.clone().with_retry_after(Some(left)))
    }

    /// The same after the server failed: tokens that have not ended are handed out, and the next request waits.
    pub(crate) fn after_failure(&self, error: &Error, now: Now, random: u64) -> State {
        let failures = self.back_off.as_ref().map_or(0, |back_off| back_off.failures).saturating_add(1);
        let (lifetime, left) = self.current.as_ref().map_or((0, 0), |current| {
            let left = current.ends_at.map_or(i64::MAX, |at| at.boot.saturating_sub(now.boot).max(0));
            (current.lifetime(), left)
        });
        let pauses = policy::pauses_after(failures, lifetime, left, error.retry_after(), random);
        let (until, early_until) = (now.boot.saturating_add(pauses.needed), now.boot.saturating_add(pauses.early));
        let back_off = Some(BackOff { failures, error: error.clone(), until, early_until });
        State { last_error: Some(error.clone()), back_off, ..self.clone() }.with_new_limit(now)
    }

    /// The same after the store failed, or another holder kept its lock.
    pub(crate) fn after_store_failure(&self, error: &Error, now: Now, random: u64) -> State {
        let store_failures = self.store_failures.saturating_add(1);
        let store_pause_until = now.boot.saturating_add(policy::store_pause(store_failures, random));
        State { last_error: Some(error.clone()), store_failures, store_pause_until, ..self.clone() }.with_new_limit(now)
    }

    /// The same after the store was read and has the current tokens.
    pub(crate) fn with_store_well(&self, now: Now) -> State {
        let last_error = self.back_off.as_ref().map(|back_off| back_off.error.clone());
        State {
            looked_at: now.boot,
            unsaved: false,
            last_error,
            store_failures: 0,
            store_pause_until: i64::MIN,
            ..self.clone()
        }
        .with_new_limit(now)
    }

    /// Whether the other state has other tokens, or another number for them.
    pub(crate) fn is_other_than(&self, other: &State) -> bool {
        let is_same = match (&self.current, &other.current) {
            (Some(one), Some(two)) => one.is(two.tokens()),
            (one, two) => one.is_none() && two.is_none(),
        };
        self.generation != other.generation || !is_same
    }

    /// When a refresh is tried next, in Unix seconds: as soon as the tokens are due and no pause of the server or the store
    /// lasts, or, at the latest, when they have ended and the server is not left alone.
    pub(crate) fn next_refresh(&self, now: Now) -> Option<i64> {
        let current = self.current.as_ref()?;
        let by_wall = |boot: i64| now.wall.saturating_add(boot.saturating_sub(now.boot));
        // By the clock that comes first.
        let time = |at: Moment| at.wall.min(by_wall(at.boot));
        let (early, needed) =
            self.back_off.as_ref().map_or((i64::MIN, i64::MIN), |pauses| (pauses.early_until, pauses.until));
        let early = time(current.refresh_at?).max(by_wall(early.max(self.store_pause_until)));
        let needed = time(current.ends_at.unwrap_or(Moment::NEVER)).max(by_wall(needed));
        Some(early.min(needed).div_euclid(1000))
    }

    /// Failures since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.back_off.as_ref().map_or(0, |back_off| back_off.failures).saturating_add(self.store_failures)
    }
}

/// Tokens that are new, and what is new with them.
pub(crate) struct NewTokens {
    pub(crate) tokens: Tokens,
    pub(crate) login: u64,
    pub(crate) generation: u64,
    pub(crate) rejections: u32,
}

impl NewTokens {
    /// The record of tokens that came at `now`, with a time drawn for their refresh.
    pub(crate) fn into_record(self, holder: &Holder, now: Now, random: u64) -> Record {
        let refresh_at = self.tokens.expires_at().map(|ends| {
            let lifetime = ends.saturating_mul(1000).saturating_sub(now.wall);
            now.wall.saturating_add(policy::refresh_after(lifetime, random))
        });
        Record {
            owner: Some(holder.owner.clone()),
            login: Some(self.login),
            tokens: self.tokens,
            generation: self.generation,
            obtained_at: now.wall,
            obtained_boot: holder.boot_id.clone().map(|boot_id| BootTime { boot_id, at: now.boot }),
            refresh_at,
            rejections: self.rejections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { boot: 5_000_000, wall: 1_700_000_000_000 };

    fn holder(boot_id: &str) -> Holder {
        let owner = Owner { client_id: "key".to_owned(), base_url: "https://server".to_owned() };
        Holder { owner, boot_id: Some(boot_id.to_owned()) }
    }

    fn tokens(access_token: &str, expires_at: Option<i64>) -> Tokens {
        Tokens::new(Secret::new(access_token), Some(Secret::new("r:1")), "bearer".to_owned(), None, expires_at)
    }

    /// A record that came at [`NOW`], of tokens that live for so many seconds.
    fn record(lifetime: Option<i64>, rejections: u32) -> Record {
        let expires_at = lifetime.map(|seconds| NOW.wall / 1000 + seconds);
        let new = NewTokens { tokens: tokens("a:1", expires_at), login: 1, generation: 1, rejections };
        new.into_record(&holder("this"), NOW, u64::MAX / 4)
    }

    /// The clocks so many seconds after [`NOW`], the wall clock set by so many.
    fn later(seconds: i64, set: i64) -> Now {
        Now { boot: NOW.boot + seconds * 1000, wall: NOW.wall + (seconds + set) * 1000 }
    }

    #[test]
    fn tokens_are_ready_until_their_refresh_and_alive_until_their_end() {
        // A quarter of the way from 75 to 95 % of the lifetime.
        let state = State::of(record(Some(100), 0), &holder("this"), NOW);
        for (seconds, ready, alive) in [(0, true, true), (79, true, true), (80, false, true), (99, false, true)] {
            let at = later(seconds, 0);
            assert_eq!((state.ready(at).is_some(), state.alive(at).is_some()), (ready, alive), "{seconds} s");
        }
        assert!(state.alive(later(100, 0)).is_none());
        // Tokens that never end are never due.
        let forever = State::of(record(None, 0), &holder("this"), NOW);
        assert!(forever.ready(later(100_000_000, 0)).is_some());
    }

    #[test]
    fn a_wall_clock_that_was_set_back_keeps_no_ended_token_alive_not_even_after_a_restart() {
        let before = State::of(record(Some(6), 0), &holder("this"), NOW);
        for seconds in 0..20 {
            let now = later(seconds, -3600);
            let after_restart = State::of(record(Some(6), 0), &holder("this"), now);
            for state in [&before, &after_restart] {
                assert_eq!(state.alive(now).is_some(), seconds < 6, "{seconds} s");
            }
        }
        // Set forward, it ends them early.
        assert!(before.alive(later(1, 3600)).is_none());
    }

    #[test]
    fn a_record_of_another_run_is_judged_by_the_wall_clock_and_counts_as_new_if_it_is_from_the_future() {
        let now = Now { boot: 70, ..later(3, 0) };
        let state = State::of(record(Some(6), 0), &holder("another"), now);
        let at = |ms: i64| Now { boot: now.boot + ms, wall: now.wall + ms };
        assert!(state.alive(at(2_999)).is_some() && state.alive(at(3_000)).is_none());
        let behind = Now { boot: 70, ..later(3, -3600) };
        let state = State::of(record(Some(6), 0), &holder("another"), behind);
        let at = |ms: i64| Now { boot: behind.boot + ms, wall: behind.wall + ms };
        assert!(state.alive(at(5_999)).is_some() && state.alive(at(6_000)).is_none());
        // The boot clock of one run does not go back: such a record lies.
        let earlier = Now { boot: NOW.boot - 1, wall: NOW.wall };
        assert!(State::of(record(Some(6), 0), &holder("this"), earlier).alive(earlier).is_none());
    }

    #[test]
    fn after_a_failure_the_same_error_comes_at_once_with_the_time_that_is_left() {
        let error = Error::new(Status::Server, "x", "y").with_retry_after(Some(Duration::from_secs(120)));
        let state = State::of(record(Some(6), 0), &holder("this"), NOW);
        let state = State { looked_at: later(10, 0).boot, ..state.after_failure(&error, later(10, 0), 7) };
        let Answer::Failed(shown) = state.answer(&Want::Valid, later(10, 0)) else { panic!() };
        assert_eq!(shown.retry_after(), Some(Duration::from_secs(120)));
        let other = Want::Other(tokens("a:1", None));
        let Answer::Failed(shown) = state.answer(&other, later(10, 0)) else { panic!() };
        assert_eq!(shown.retry_after(), Some(Duration::from_secs(120)));
        assert!(state.refusal(&Want::Valid, later(129, 0)).is_some());
        assert!(state.refusal(&Want::Valid, later(130, 0)).is_none());
        // Other tokens do not end the pause.
        let theirs = state.replaced_by(record(Some(6), 0), &holder("this"), later(20, 0));
        assert!(theirs.refusal(&Want::Valid, later(129, 0)).is_some());
    }

    #[test]
    fn the_next_refresh_is_after_the_pause_that_the_server_asked_for() {
        let error = Error::new(Status::Server, "x", "y").with_retry_after(Some(Duration::from_secs(1800)));
        for (lifetime, next) in [(6, 1810), (60, 1810), (3600, 2880)] {
            let state = State::of(record(Some(lifetime), 0), &holder("this"), NOW);
            let state = state.after_failure(&error, later(10, 0), 7);
            let (shown, next) = (state.next_refresh(later(10, 0)).unwrap(), later(next, 0).wall / 1000);
            assert!((next - 1..=next).contains(&shown), "{lifetime} s: {shown}");
        }
        // Before a failure, and where the store, too, is tried again before: when they are due.
        let state = State::of(record(Some(100), 0), &holder("this"), NOW);
        let unsaved = State { unsaved: true, ..state.after_store_failure(&error, NOW, 7) }.with_new_limit(NOW);
        for state in [state, unsaved] {
            let (shown, next) = (state.next_refresh(NOW).unwrap(), later(80, 0).wall / 1000);
            assert!((next - 1..=next).contains(&shown), "{shown}");
        }
    }

    #[test]
    fn rejected_tokens_that_are_young_are_refused_and_replaced_ones_answered_at_once() {
        let state = State::of(record(Some(43_200), 2), &holder("this"), NOW);
        let rejected = Want::Other(tokens("a:1", None));
        let refusal = state.refusal(&rejected, later(10, 0)).unwrap();
        assert_eq!((refusal.status(), refusal.advice()), (Status::TokenRejected, Advice::Retry));
        assert_eq!(refusal.retry_after(), Some(Duration::from_secs(20)));
        assert!(state.refusal(&rejected, later(30, 0)).is_none());
        assert!(state.refusal(&Want::Valid, later(10, 0)).is_none());
        // Setting the wall clock makes nothing older.
        assert!(state.refusal(&rejected, later(10, 600)).is_some());

        let mut next = record(Some(43_200), 0);
        next.tokens = tokens("a:2", Some(NOW.wall / 1000 + 100));
        let next = state.replaced_by(next, &holder("this"), NOW);
        assert!(matches!(next.answer(&rejected, NOW), Answer::Tokens(_)));
        // Of unknown ones the store tells whether they are newer.
        assert!(matches!(next.answer(&Want::Other(tokens("a:3", None)), NOW), Answer::Work));
    }
}
