//! The snapshot: what a process knows about its user at one time, and what follows from it for a caller. It is immutable; each
//! change makes a new one.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::{Change, policy};
use crate::clock::{Moment, Now};
use crate::error::{Advice, Error, Status};
use crate::secret::Secret;
use crate::store::record::{Owner, Record, next_generation};
use crate::tokens::Tokens;

/// A snapshot of the user.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) generation: u64,
    /// `None`: no user is logged in.
    pub(crate) current: Option<CurrentTokens>,
    /// Who ended the login. Without a meaning if a user is logged in.
    pub(crate) ended: Change,
    /// Until this time the tokens are returned without any work.
    pub(crate) ready_until: Option<Moment>,
    /// The access token that the current one replaced in this process. A 401 for it causes no refresh.
    pub(crate) previous_access_token: Option<Secret>,
    /// The store refused the current tokens, so it does not have them.
    pub(crate) unsaved: bool,
    /// The last failure since the last success.
    pub(crate) last_error: Option<Error>,
    /// Set after a failure of the server: no request until it ends.
    pub(crate) back_off: Option<BackOff>,
    /// Number of failures of the store in a row, and the time (boot clock) before which work that can wait is not tried again.
    pub(crate) store_failures: u32,
    pub(crate) store_retry_at: i64,
    /// When the store was last read, by the boot clock.
    pub(crate) store_read_at: i64,
    /// When this process last refreshed tokens, by the boot clock.
    pub(crate) refreshed_at: Option<i64>,
    /// When this process last refreshed tokens because the API had rejected them, by the boot clock.
    pub(crate) rejection_refresh_at: Option<i64>,
    /// When this process last released the store's lock, by the boot clock.
    pub(crate) unlocked_at: Option<i64>,
}

/// What identifies this process for its tokens: API key, server, and boot of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) owner: Owner,
    /// `None`: the system has no boot ID.
    pub(crate) boot_id: Option<String>,
}

/// The tokens, with the times of their refresh and their expiry on this machine's clocks.
#[derive(Clone, Debug)]
pub(crate) struct CurrentTokens {
    pub(crate) record: Record,
    /// `None`: never. Not before the end of a hold.
    pub(crate) refresh_at: Option<Moment>,
    /// The end of the hold, which is never after the expiry.
    pub(crate) held_until: Option<Moment>,
    pub(crate) expires_at: Option<Moment>,
    /// When the tokens were obtained, by the boot clock. If another machine obtained them, or this one before a restart: when
    /// this process first saw them. The tokens are at least this old.
    pub(crate) known_since: i64,
    /// Best estimate of when the tokens were obtained, by the boot clock. `None` if the wall clock says that it is in the future.
    pub(crate) obtained_estimate: Option<i64>,
    /// The tokens were obtained on this machine since its last start, so their age is exact.
    pub(crate) age_is_certain: bool,
    /// This process obtained the tokens by a refresh.
    pub(crate) fetched_here: bool,
}

/// No request to the server before these times (boot clock).
#[derive(Clone, Debug)]
pub(crate) struct BackOff {
    /// Number of failures in a row.
    pub(crate) failures: u32,
    pub(crate) error: Error,
    /// For tokens that are needed now.
    pub(crate) until: i64,
    /// While the current tokens have not expired.
    pub(crate) early_until: i64,
}

/// What a caller wants.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    /// Tokens that are valid now, and for at least this number of milliseconds.
    ValidFor(i64),
    /// Tokens with another access token than this one, which the API rejected.
    ReplacementFor(Secret),
}

/// What a caller gets from the snapshot alone.
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
        let wall_age = now.wall.saturating_sub(record.obtained_at);
        let age = match same_boot {
            Some(time) => now.boot.saturating_sub(time.at),
            // The record is from the future: a clock was set back, or the clock of another machine is ahead. It counts as new.
            None => wall_age.max(0),
        };
        let estimate = now.boot.saturating_sub(age.max(0));
        let known_since = if same_boot.is_some() { estimate } else { now.boot };
        let age_is_certain = same_boot.is_some();
        let obtained_estimate = (age_is_certain || wall_age >= 0).then_some(estimate);
        // A negative age within the same boot is impossible, so the record is wrong: the tokens count as expired.
        let boot = |after: i64| if age < 0 { i64::MIN } else { estimate.saturating_add(after) };
        let moment = |at: i64| Moment { boot: boot(at.saturating_sub(record.obtained_at)), wall: at };
        let expires_at = record.tokens.expires_at().map(|at| moment(at.saturating_mul(1000)));
        // Without a refresh token there is nothing to do before the tokens expire.
        let refresh_at = record.refresh_at.filter(|_| record.tokens.refresh_token().is_some());
        let held_until = record.held_until();
        CurrentTokens {
            refresh_at: refresh_at.map(|at| moment(held_until.map_or(at, |held| at.max(held)))),
            held_until: held_until.map(moment),
            expires_at,
            known_since,
            obtained_estimate,
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

    /// Whether early refreshes are held off.
    pub(crate) fn is_held(&self, now: Now) -> bool {
        self.held_until.is_some_and(|until| !now.has_reached(until)) && !self.is_expired(now)
    }

    /// How long the tokens are still valid, in milliseconds. The clock on which they expire first counts.
    pub(crate) fn left(&self, now: Now) -> i64 {
        self.expires_at.map_or(i64::MAX, |at| now.until(at).max(0))
    }

    /// Whether the tokens are valid now, and for at least `min_left` milliseconds.
    pub(crate) fn lasts(&self, min_left: i64, now: Now) -> bool {
        !self.is_expired(now) && self.left(now) >= min_left
    }

    /// The tokens are at least this old.
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

    /// Why tokens that have not expired must not be refreshed for a caller to whom they do not last long enough.
    fn too_short(&self, min_left: i64, now: Now) -> Option<Error> {
        if self.is_expired(now) || self.left(now) >= min_left {
            return None;
        }
        let most = policy::max_min_validity(self.lifetime());
        if self.record.refreshed && min_left > most {
            let problem = format!(
                "the server's tokens are valid for {} s, so ask for at most {} s",
                self.lifetime() / 1000,
                most / 1000
            );
            return Some(Error::invalid_argument("min_validity", problem));
        }
        let until = self.held_until.filter(|_| self.is_held(now))?;
        let what = "the tokens do not last as long as requested, and they are not refreshed while a caller holds them";
        let remedy = "try again later, or request a shorter time";
        let error = Error::new(Status::TokenRejected, what, remedy).with_advice(Advice::Retry, remedy);
        Some(error.with_retry_after(Some(Duration::from_millis(now.until(until).max(0).unsigned_abs()))))
    }

    pub(crate) fn secrets(&self) -> [&str; 2] {
        [self.tokens().access_token().expose(), self.tokens().refresh_token().map_or("", Secret::expose)]
    }
}

impl State {
    /// The snapshot without a user.
    pub(crate) fn logged_out(generation: u64, now: Now) -> State {
        State {
            generation,
            current: None,
            ended: Change::EndedElsewhere,
            ready_until: None,
            previous_access_token: None,
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

    /// The snapshot for a record that the store has.
    pub(crate) fn from_record(record: Record, identity: &Identity, now: Now) -> State {
        let generation = record.generation;
        let current = Some(CurrentTokens::new(record, identity, now));
        State { current, ..State::logged_out(generation, now) }.with_ready_until(now)
    }

    /// The snapshot in which `record` replaces the tokens of this one. The back-off stays: other tokens do not end it.
    pub(crate) fn replaced_by(&self, record: Record, identity: &Identity, now: Now) -> State {
        let mut new = State::from_record(record, identity, now);
        if let (Some(old), Some(current)) = (&self.current, &mut new.current) {
            if current.has_same_token(old.tokens()) {
                current.fetched_here = old.fetched_here;
                // Another process may have stored the same tokens: the earlier expiry that is known here still counts.
                current.expires_at =
                    current.expires_at.zip(old.expires_at).map(|(new, old)| new.earlier(old)).or(current.expires_at);
            } else {
                new.previous_access_token = Some(old.tokens().access_token().clone());
            }
        }
        new.with_back_off_of(self, now)
    }

    /// The snapshot after another session on the store ended the login.
    pub(crate) fn logged_out_elsewhere(&self, now: Now) -> State {
        State::logged_out(next_generation(self.generation), now).with_back_off_of(self, now)
    }

    /// Takes over the back-off, which only a response of the server ends.
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

    /// The snapshot with [`ready_until`](Self::ready_until) computed from the other fields: the time of the refresh, of the next
    /// attempt to save, or of the expiry, whichever comes first.
    pub(crate) fn with_ready_until(self, now: Now) -> State {
        // Only the boot clock ends a back-off: setting the wall clock must not cause a request.
        let boot_time = |boot: i64| Moment { boot, ..Moment::NEVER };
        let ready_until = self.current.as_ref().map(|current| {
            let retry_at = self.back_off.as_ref().map_or(i64::MIN, |back_off| back_off.early_until);
            let retry_at = retry_at.max(self.store_retry_at);
            let refresh = match current.refresh_at {
                Some(at) if now.has_reached(at) && now.boot < retry_at => boot_time(retry_at),
                at => at.unwrap_or(Moment::NEVER),
            };
            let save = if self.unsaved { boot_time(self.store_retry_at) } else { Moment::NEVER };
            refresh.earlier(save).earlier(current.expires_at.unwrap_or(Moment::NEVER))
        });
        State { ready_until, ..self }
    }

    /// The tokens, if they are valid and no work is due.
    pub(crate) fn ready(&self, now: Now) -> Option<&Tokens> {
        let until = self.ready_until?;
        if now.has_reached(until) { None } else { self.current.as_ref().map(CurrentTokens::tokens) }
    }

    /// The tokens, if they have not expired.
    pub(crate) fn unexpired_tokens(&self, now: Now) -> Option<&Tokens> {
        self.current.as_ref().filter(|current| !current.is_expired(now)).map(CurrentTokens::tokens)
    }

    /// Unexpired tokens that a caller can use in place of newer ones.
    pub(crate) fn usable_tokens(&self, want: &Want, now: Now) -> Option<&Tokens> {
        match want {
            Want::ValidFor(min_left) => self.current.as_ref().filter(|current| current.lasts(*min_left, now)),
            Want::ReplacementFor(_) => None,
        }
        .map(CurrentTokens::tokens)
    }

    /// Resolves a call without the store and the server, if possible.
    pub(crate) fn resolve_locally(&self, want: &Want, now: Now) -> LocalResult {
        let Some(current) = &self.current else {
            return LocalResult::NeedsFlight;
        };
        match want {
            Want::ValidFor(min_left) => {
                if current.lasts(*min_left, now) {
                    return match self.ready(now) {
                        Some(tokens) => LocalResult::Tokens(tokens.clone()),
                        None => LocalResult::NeedsFlight,
                    };
                }
            }
            Want::ReplacementFor(rejected) => {
                if current.tokens().access_token() != rejected {
                    // If this process replaced the rejected tokens, the current ones are newer. Otherwise the store must tell.
                    let is_old = self.previous_access_token.as_ref() == Some(rejected);
                    return match self.unexpired_tokens(now) {
                        Some(tokens) if is_old => LocalResult::Tokens(tokens.clone()),
                        _ => LocalResult::NeedsFlight,
                    };
                }
            }
        }
        // Another session may have stored newer tokens in the meantime. After a rejection that is the likely cause.
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

    /// Why the server must not be asked now for tokens that replace the current ones. `None`: it may be asked.
    pub(crate) fn refusal(&self, want: &Want, now: Now) -> Option<Error> {
        let current = self.current.as_ref()?;
        if let Want::ValidFor(min_left) = want
            && let Some(error) = current.too_short(*min_left, now)
        {
            return Some(error);
        }
        if let Some(error) = self.back_off_error(self.usable_tokens(want, now).is_some(), now) {
            return Some(error);
        }
        // If their age is not exact, they count as no older than this process's last refresh of rejected tokens.
        let young_since = if current.age_is_certain {
            current.obtained_estimate
        } else {
            current.obtained_estimate.max(self.rejection_refresh_at)
        };
        let min_age = policy::min_age(current.record.rejections, current.lifetime());
        let young_for = young_since.map_or(0, |since| min_age.saturating_sub(now.boot.saturating_sub(since)));
        if matches!(want, Want::ReplacementFor(_)) && !current.is_expired(now) && young_for > 0 {
            let what = "the API rejected the old tokens, and now the new ones too, which are too young to be refreshed";
            let remedy = "try again later; if another installation uses this user, let both share a store";
            let error = Error::new(Status::TokenRejected, what, remedy).with_advice(Advice::Retry, remedy);
            return Some(error.with_retry_after(Some(Duration::from_millis(young_for.unsigned_abs()))));
        }
        None
    }

    /// The error that caused the back-off, with the time that is left of it. `None` if there is no back-off now. `is_early`: the
    /// current tokens have not expired.
    pub(crate) fn back_off_error(&self, is_early: bool, now: Now) -> Option<Error> {
        let back_off = self.back_off.as_ref()?;
        let until = if is_early { back_off.early_until } else { back_off.until };
        let left = Duration::from_millis(until.saturating_sub(now.boot).max(0).unsigned_abs());
        (!left.is_zero()).then(|| back_off.error.clone().with_retry_after(Some(left)))
    }

    /// The snapshot after a failure of the server. Unexpired tokens stay in use, and the next request waits.
    pub(crate) fn after_failure(&self, error: &Error, now: Now, random: u64) -> State {
        let failures = self.back_off.as_ref().map_or(0, |back_off| back_off.failures).saturating_add(1);
        let (lifetime, left) = self.current.as_ref().map_or((0, 0), |current| {
            let left = current.expires_at.map_or(i64::MAX, |at| at.boot.saturating_sub(now.boot).max(0));
            (current.lifetime(), left)
        });
        let delays = policy::back_off_after(failures, lifetime, left, error.retry_after(), random);
        let (until, early_until) = (now.boot.saturating_add(delays.needed), now.boot.saturating_add(delays.early));
        let back_off = Some(BackOff { failures, error: error.clone(), until, early_until });
        State { last_error: Some(error.clone()), back_off, ..self.clone() }.with_ready_until(now)
    }

    /// The snapshot after the store failed, or its lock could not be obtained.
    pub(crate) fn after_store_failure(&self, error: &Error, now: Now, random: u64) -> State {
        let store_failures = self.store_failures.saturating_add(1);
        let store_retry_at = now.boot.saturating_add(policy::store_back_off(store_failures, random));
        State { last_error: Some(error.clone()), store_failures, store_retry_at, ..self.clone() }.with_ready_until(now)
    }

    /// The snapshot after the store was read and has the current tokens.
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

    /// Whether the other snapshot has other tokens, or tokens of another login. A hold changes the generation only.
    pub(crate) fn differs_from(&self, other: &State) -> bool {
        match (&self.current, &other.current) {
            (Some(one), Some(two)) => !one.has_same_token(two.tokens()) || one.record.login != two.record.login,
            (None, None) => self.generation != other.generation,
            _ => true,
        }
    }

    /// When the next refresh will be tried, in Unix seconds: when the tokens are due and no back-off is in progress, or at the
    /// latest when they have expired and the back-off for needed tokens has ended.
    pub(crate) fn next_refresh(&self, now: Now) -> Option<i64> {
        let current = self.current.as_ref()?;
        let by_wall = |boot: i64| now.wall.saturating_add(boot.saturating_sub(now.boot));
        // The clock that comes first counts.
        let time = |at: Moment| at.wall.min(by_wall(at.boot));
        let (early, needed) =
            self.back_off.as_ref().map_or((i64::MIN, i64::MIN), |back_off| (back_off.early_until, back_off.until));
        let early = time(current.refresh_at?).max(by_wall(early.max(self.store_retry_at)));
        let needed = time(current.expires_at.unwrap_or(Moment::NEVER)).max(by_wall(needed));
        Some(to_nearest_second(early.min(needed)))
    }

    /// Until when early refreshes are held off, in Unix seconds.
    pub(crate) fn held_until(&self, now: Now) -> Option<i64> {
        let current = self.current.as_ref().filter(|current| current.is_held(now))?;
        Some(to_nearest_second(now.wall.saturating_add(now.until(current.held_until?))))
    }

    /// How long in milliseconds a call for tokens has nothing to do. `None`: nothing will be due.
    pub(crate) fn next_action(&self, now: Now) -> Option<i64> {
        let current = self.current.as_ref()?;
        if current.is_expired(now) {
            // Without a refresh token, only a login helps.
            current.tokens().refresh_token()?;
            let until = self.back_off.as_ref().map_or(i64::MIN, |back_off| back_off.until).max(self.store_retry_at);
            return Some(until.saturating_sub(now.boot).max(0));
        }
        let until = self.ready_until.filter(|until| *until != Moment::NEVER)?;
        Some(now.until(until).max(0))
    }

    /// What the change was that led to this snapshot.
    pub(crate) fn change(&self) -> Change {
        if self.current.is_some() { Change::Tokens } else { self.ended }
    }

    /// Failures since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.back_off.as_ref().map_or(0, |back_off| back_off.failures).saturating_add(self.store_failures)
    }
}

/// In seconds. Not rounded down: the two clocks tick up to a millisecond apart, which would show a second too little.
fn to_nearest_second(ms: i64) -> i64 {
    ms.saturating_add(500).div_euclid(1000)
}
