//! What a process knows of its user at one moment, and what follows from it for a caller. Immutable: a change is a new one.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::clock::{Moment, Now};
use super::policy;
use crate::error::{Advice, Error, Status};
use crate::secret::Secret;
use crate::store::record::{Owner, Record};
use crate::tokens::Tokens;

/// What is known of the user now.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) generation: u64,
    /// `None`: nobody is logged in.
    pub(crate) current: Option<CurrentTokens>,
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
    pub(crate) store_retry_at: i64,
    /// When the store was last read, and when tokens were last refreshed here, by the boot clock.
    pub(crate) store_read_at: i64,
    pub(crate) refreshed_at: Option<i64>,
    /// When tokens were last refreshed here because the API had rejected them.
    pub(crate) rejection_refresh_at: Option<i64>,
    /// When the store's lock was given back last.
    pub(crate) unlocked_at: Option<i64>,
}

/// Who holds a session's tokens: the API key, the server, and this run of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) owner: Owner,
    /// `None`: the system has no name for it.
    pub(crate) boot_id: Option<String>,
}

/// The tokens, and when what is to be done.
#[derive(Clone, Debug)]
pub(crate) struct CurrentTokens {
    pub(crate) record: Record,
    /// `None`: never.
    pub(crate) refresh_at: Option<Moment>,
    pub(crate) expires_at: Option<Moment>,
    /// When the tokens came, by the boot clock; where another machine received them, or this one before it started anew,
    /// when they were first seen here. They are at least as old.
    pub(crate) known_since: i64,
    /// When the tokens came, by the boot clock, as well as it can be told; `None`: in the future of the wall clock here.
    pub(crate) obtained_at_boot: Option<i64>,
    /// They came to this machine in this run of it, so that their age is certain.
    pub(crate) age_is_certain: bool,
    /// The server gave them to this process, in answer to a refresh.
    pub(crate) fetched_here: bool,
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
    ReplacementFor(Tokens),
}

/// What a caller gets.
#[derive(Clone, Debug)]
pub(crate) enum LocalResult {
    Tokens(Tokens),
    Failed(Error),
    /// The store or the server must be asked.
    NeedsFlight,
}

impl CurrentTokens {
    pub(crate) fn new(record: Record, identity: &Identity, now: Now) -> CurrentTokens {
        let same_boot = record.obtained_boot.as_ref().filter(|time| Some(&time.boot_id) == identity.boot_id.as_ref());
        let by_wall = now.wall.saturating_sub(record.obtained_at);
        let age = match same_boot {
            Some(time) => now.boot.saturating_sub(time.at),
            // A record from the future, by a clock that was set back since or by another machine's: it counts as new.
            None => by_wall.max(0),
        };
        let obtained_boot = now.boot.saturating_sub(age.max(0));
        let known_since = if same_boot.is_some() { obtained_boot } else { now.boot };
        let age_is_certain = same_boot.is_some();
        let obtained_at_boot = (age_is_certain || by_wall >= 0).then_some(obtained_boot);
        // A negative age is none of this boot, whatever the record says: the tokens count as ended.
        let boot = |after: i64| if age < 0 { i64::MIN } else { obtained_boot.saturating_add(after) };
        let moment = |at: i64| Moment { boot: boot(at.saturating_sub(record.obtained_at)), wall: at };
        let expires_at = record.tokens.expires_at().map(|at| moment(at.saturating_mul(1000)));
        CurrentTokens {
            refresh_at: record.refresh_at.map(moment),
            expires_at,
            known_since,
            obtained_at_boot,
            age_is_certain,
            fetched_here: false,
            record,
        }
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.record.tokens
    }

    pub(crate) fn is_expired(&self, now: Now) -> bool {
        self.expires_at.is_some_and(|at| now.has_reached(at))
    }

    pub(crate) fn needs_refresh(&self, now: Now) -> bool {
        self.refresh_at.is_some_and(|at| now.has_reached(at))
    }

    /// How old the tokens are at least.
    pub(crate) fn age(&self, now: Now) -> i64 {
        now.boot.saturating_sub(self.known_since)
    }

    pub(crate) fn lifetime(&self) -> i64 {
        let expires_at = self.tokens().expires_at().map_or(i64::MAX, |at| at.saturating_mul(1000));
        expires_at.saturating_sub(self.record.obtained_at).max(0)
    }

    pub(crate) fn has_same_token(&self, tokens: &Tokens) -> bool {
        self.tokens().access_token() == tokens.access_token()
    }

    pub(crate) fn secrets(&self) -> [&str; 2] {
        [self.tokens().access_token().expose(), self.tokens().refresh_token().map_or("", Secret::expose)]
    }
}

impl State {
    /// Nobody is logged in.
    pub(crate) fn logged_out(generation: u64, now: Now) -> State {
        State {
            generation,
            current: None,
            ready_until: None,
            replaced: None,
            unsaved: false,
            last_error: None,
            back_off: None,
            store_failures: 0,
            store_retry_at: i64::MIN,
            store_read_at: now.boot,
            refreshed_at: None,
            rejection_refresh_at: None,
            unlocked_at: None,
        }
    }

    /// The user of `record`, which the store has.
    pub(crate) fn from_record(record: Record, identity: &Identity, now: Now) -> State {
        let generation = record.generation;
        let current = Some(CurrentTokens::new(record, identity, now));
        State { current, ..State::logged_out(generation, now) }.with_ready_until(now)
    }

    /// The state of `record`, which replaces what this one has. A pause of the server goes on: other tokens do not end it.
    pub(crate) fn replaced_by(&self, record: Record, identity: &Identity, now: Now) -> State {
        let mut new = State::from_record(record, identity, now);
        if let (Some(old), Some(current)) = (&self.current, &mut new.current) {
            if current.has_same_token(old.tokens()) {
                current.fetched_here = old.fetched_here;
                // Another holder wrote down the same tokens: what is known here of their end still counts.
                current.expires_at =
                    current.expires_at.zip(old.expires_at).map(|(new, old)| new.earlier(old)).or(current.expires_at);
            } else {
                new.replaced = Some(old.tokens().access_token().clone());
            }
        }
        new.with_back_off_of(self, now)
    }

    /// The state after another holder of the store ended the login.
    pub(crate) fn logged_out_elsewhere(&self, now: Now) -> State {
        State::logged_out(self.generation.saturating_add(1), now).with_back_off_of(self, now)
    }

    /// Only an answer of the server ends a row of failures.
    fn with_back_off_of(self, before: &State, now: Now) -> State {
        let back_off = before.back_off.clone();
        let last_error = back_off.as_ref().map(|back_off| back_off.error.clone());
        State {
            back_off,
            last_error,
            refreshed_at: before.refreshed_at,
            rejection_refresh_at: before.rejection_refresh_at,
            unlocked_at: before.unlocked_at,
            ..self
        }
        .with_ready_until(now)
    }

    /// The same with [`ready_until`](Self::ready_until) as it follows from the rest: the end of the tokens, their refresh,
    /// or the next try to save them.
    pub(crate) fn with_ready_until(self, now: Now) -> State {
        // Only the boot clock ends a pause: somebody who sets the wall clock causes no request.
        let boot_time = |boot: i64| Moment { boot, ..Moment::NEVER };
        let ready_until = self.current.as_ref().map(|current| {
            let pause = self.back_off.as_ref().map_or(i64::MIN, |back_off| back_off.early_until);
            let pause = pause.max(self.store_retry_at);
            let refresh = match current.refresh_at {
                Some(at) if now.has_reached(at) && now.boot < pause => boot_time(pause),
                at => at.unwrap_or(Moment::NEVER),
            };
            let save = if self.unsaved { boot_time(self.store_retry_at) } else { Moment::NEVER };
            refresh.earlier(save).earlier(current.expires_at.unwrap_or(Moment::NEVER))
        });
        State { ready_until, ..self }
    }

    /// The tokens, if they are good and nothing is to be done.
    pub(crate) fn ready(&self, now: Now) -> Option<&Tokens> {
        let until = self.ready_until?;
        if now.has_reached(until) { None } else { self.current.as_ref().map(CurrentTokens::tokens) }
    }

    /// The tokens, if they have not ended.
    pub(crate) fn unexpired_tokens(&self, now: Now) -> Option<&Tokens> {
        self.current.as_ref().filter(|current| !current.is_expired(now)).map(CurrentTokens::tokens)
    }

    /// What a caller gets without asking anybody.
    pub(crate) fn resolve_locally(&self, want: &Want, now: Now) -> LocalResult {
        let Some(current) = &self.current else {
            return LocalResult::NeedsFlight;
        };
        match want {
            Want::Valid => {
                if let Some(tokens) = self.ready(now) {
                    return LocalResult::Tokens(tokens.clone());
                }
                if !current.is_expired(now) {
                    return LocalResult::NeedsFlight;
                }
            }
            Want::ReplacementFor(rejected) => {
                if !current.has_same_token(rejected) {
                    // Replaced here: old news. Else the store tells which of the two is newer.
                    let is_old = self.replaced.as_ref() == Some(rejected.access_token());
                    return match self.unexpired_tokens(now) {
                        Some(tokens) if is_old => LocalResult::Tokens(tokens.clone()),
                        _ => LocalResult::NeedsFlight,
                    };
                }
            }
        }
        // Another holder may have stored newer tokens meanwhile: after a rejection it is the likely cause.
        match self.refusal(want, now) {
            Some(error)
                if error.status() != Status::TokenRejected
                    && now.boot < self.store_read_at.saturating_add(policy::STORE_READ_INTERVAL) =>
            {
                LocalResult::Failed(error)
            }
            _ => LocalResult::NeedsFlight,
        }
    }

    /// Why the server is not asked now for other tokens than the current ones; `None`: it may be.
    pub(crate) fn refusal(&self, want: &Want, now: Now) -> Option<Error> {
        let current = self.current.as_ref()?;
        let is_early = matches!(want, Want::Valid) && !current.is_expired(now);
        if let Some(error) = self.back_off_error(is_early, now) {
            return Some(error);
        }
        // Where their age is not certain, they are young as long as this process has just refreshed rejected ones.
        let young_since = if current.age_is_certain {
            current.obtained_at_boot
        } else {
            current.obtained_at_boot.max(self.rejection_refresh_at)
        };
        let min_age = policy::min_age(current.record.rejections, current.lifetime());
        let young_for = young_since.map_or(0, |since| min_age.saturating_sub(now.boot.saturating_sub(since)));
        if matches!(want, Want::ReplacementFor(_)) && !current.is_expired(now) && young_for > 0 {
            let what = "the API rejected tokens that were refreshed just now because others had been rejected";
            let remedy = "try again later; if another installation uses this user, let both share a store";
            let error = Error::new(Status::TokenRejected, what, remedy).with_advice(Advice::Retry, remedy);
            return Some(error.with_retry_after(Some(Duration::from_millis(young_for.unsigned_abs()))));
        }
        None
    }

    /// The error of the server for which it is still left alone, with the time that is left.
    pub(crate) fn back_off_error(&self, is_early: bool, now: Now) -> Option<Error> {
        let back_off = self.back_off.as_ref()?;
        let until = if is_early { back_off.early_until } else { back_off.until };
        let left = Duration::from_millis(until.saturating_sub(now.boot).max(0).unsigned_abs());
        (!left.is_zero()).then(|| back_off.error.clone().with_retry_after(Some(left)))
    }

    /// The same after the server failed: tokens that have not ended are handed out, and the next request waits.
    pub(crate) fn after_failure(&self, error: &Error, now: Now, random: u64) -> State {
        let failures = self.back_off.as_ref().map_or(0, |back_off| back_off.failures).saturating_add(1);
        let (lifetime, left) = self.current.as_ref().map_or((0, 0), |current| {
            let left = current.expires_at.map_or(i64::MAX, |at| at.boot.saturating_sub(now.boot).max(0));
            (current.lifetime(), left)
        });
        let pauses = policy::back_off_after(failures, lifetime, left, error.retry_after(), random);
        let (until, early_until) = (now.boot.saturating_add(pauses.needed), now.boot.saturating_add(pauses.early));
        let back_off = Some(BackOff { failures, error: error.clone(), until, early_until });
        State { last_error: Some(error.clone()), back_off, ..self.clone() }.with_ready_until(now)
    }

    /// The same after the store failed, or another holder kept its lock.
    pub(crate) fn after_store_failure(&self, error: &Error, now: Now, random: u64) -> State {
        let store_failures = self.store_failures.saturating_add(1);
        let store_retry_at = now.boot.saturating_add(policy::store_back_off(store_failures, random));
        State { last_error: Some(error.clone()), store_failures, store_retry_at, ..self.clone() }.with_ready_until(now)
    }

    /// The same after the store was read and has the current tokens.
    pub(crate) fn after_store_success(&self, now: Now) -> State {
        let last_error = self.back_off.as_ref().map(|back_off| back_off.error.clone());
        State {
            store_read_at: now.boot,
            unsaved: false,
            last_error,
            store_failures: 0,
            store_retry_at: i64::MIN,
            ..self.clone()
        }
        .with_ready_until(now)
    }

    /// Whether the other state has other tokens, or another number for them.
    pub(crate) fn differs_from(&self, other: &State) -> bool {
        let is_same = match (&self.current, &other.current) {
            (Some(one), Some(two)) => one.has_same_token(two.tokens()),
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
        let early = time(current.refresh_at?).max(by_wall(early.max(self.store_retry_at)));
        let needed = time(current.expires_at.unwrap_or(Moment::NEVER)).max(by_wall(needed));
        Some(early.min(needed).div_euclid(1000))
    }

    /// Failures since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.back_off.as_ref().map_or(0, |back_off| back_off.failures).saturating_add(self.store_failures)
    }
}
