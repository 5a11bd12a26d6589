//! What one call for tokens does while others may be at work: whether it leads, joins a flight, or has its answer. Decides
//! only; `driver` waits, and so does the simulation in its own way.

use super::clock::Now;
use super::policy;
use super::state::{LocalResult, State, Want};
use crate::error::{Error, Status};
use crate::tokens::Tokens;

/// What a flight is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Newer tokens, before the current ones end: a caller who waits can do without them.
    Early,
    /// Tokens that a caller cannot do without.
    Needed,
    /// A login or the end of one: others wait for its end, and then look again.
    Exclusive,
}

/// A flight that a call has waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlightInfo {
    pub(crate) purpose: Purpose,
    /// By the boot clock.
    pub(crate) began: i64,
    /// It ran on the thread of another caller, who may have been interrupted.
    pub(crate) is_interruptible: bool,
}

/// What a call for tokens does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Return(Result<Tokens, Error>),
    /// Lead a flight for this purpose, or join the one under way.
    LeadOrJoin(Purpose),
}

/// One call for tokens.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) want: Want,
    /// By the boot clock.
    pub(crate) deadline: i64,
}

impl Caller {
    /// At the begin, and whenever a flight ended without an answer for this call.
    pub(crate) fn next_step(&self, state: &State, now: Now) -> Step {
        match state.resolve_locally(&self.want, now) {
            LocalResult::Tokens(tokens) => Step::Return(Ok(tokens)),
            LocalResult::Failed(error) => Step::Return(Err(error)),
            LocalResult::NeedsFlight if now.boot >= self.deadline => Step::Return(Err(timed_out())),
            LocalResult::NeedsFlight if self.fallback_tokens(state, now).is_some() => Step::LeadOrJoin(Purpose::Early),
            LocalResult::NeedsFlight => Step::LeadOrJoin(Purpose::Needed),
        }
    }

    /// Until when a flight is waited for that began at `began`. A call that can have tokens which have not ended waits a
    /// moment since the begin of the flight, so that the next one does not wait again for the same thing.
    pub(crate) fn wait_deadline(&self, began: i64, state: &State, now: Now) -> i64 {
        match self.fallback_tokens(state, now) {
            Some(_) => self.deadline.min(began.saturating_add(policy::MAX_WAIT_WITH_TOKENS)),
            None => self.deadline,
        }
    }

    /// After waiting for a flight: what it gave, or `None` where it has not ended.
    pub(crate) fn after_waiting(
        &self,
        flight: FlightInfo,
        result: Option<Result<Option<Tokens>, Error>>,
        state: &State,
        now: Now,
    ) -> Step {
        match result {
            Some(Ok(Some(tokens))) if self.is_satisfied_by(&tokens) => {
                self.return_unless_expired(tokens, flight.began, state, now)
            }
            // A login, a logout, or the very tokens that were rejected.
            Some(Ok(_)) => self.next_step(state, now),
            Some(Err(error)) if error.status() == Status::Cancelled && flight.is_interruptible => {
                self.next_step(state, now)
            }
            Some(Err(error)) => match self.or_fallback_tokens(error, state, now) {
                // An early flight gives up sooner than a call would that needs its tokens.
                Err(_) if flight.purpose == Purpose::Early => self.next_step(state, now),
                result => Step::Return(result),
            },
            None => match self.fallback_tokens(state, now) {
                Some(tokens) => Step::Return(Ok(tokens)),
                None if now.boot >= self.deadline => Step::Return(Err(timed_out())),
                None => self.next_step(state, now),
            },
        }
    }

    /// After leading a flight that began at `began`.
    pub(crate) fn after_leading(&self, result: Result<Tokens, Error>, began: i64, state: &State, now: Now) -> Step {
        match result {
            Ok(tokens) => self.return_unless_expired(tokens, began, state, now),
            Err(error) => Step::Return(self.or_fallback_tokens(error, state, now)),
        }
    }

    /// What a flight gave may have ended before it could be handed over, by a store that took its time. The tokens that the
    /// server gave to this very flight are the best there are, however short they live.
    fn return_unless_expired(&self, tokens: Tokens, began: i64, state: &State, now: Now) -> Step {
        let has_expired =
            state.current.as_ref().is_some_and(|current| current.has_same_token(&tokens) && current.is_expired(now));
        let fetched_here = state.current.as_ref().is_some_and(|current| current.fetched_here);
        let from_refresh = fetched_here && state.refreshed_at.is_some_and(|at| at >= began);
        if has_expired && !from_refresh { self.next_step(state, now) } else { Step::Return(Ok(tokens)) }
    }

    /// The tokens at hand in place of an error that need not concern the caller yet.
    fn or_fallback_tokens(&self, error: Error, state: &State, now: Now) -> Result<Tokens, Error> {
        match error.status() {
            Status::LoginRequired | Status::Cancelled => Err(error),
            _ => self.fallback_tokens(state, now).ok_or(error),
        }
    }

    fn is_satisfied_by(&self, tokens: &Tokens) -> bool {
        !matches!(&self.want, Want::ReplacementFor(rejected) if rejected.access_token() == tokens.access_token())
    }

    /// Tokens that the caller can have meanwhile.
    pub(super) fn fallback_tokens(&self, state: &State, now: Now) -> Option<Tokens> {
        match self.want {
            Want::Valid => state.unexpired_tokens(now).cloned(),
            Want::ReplacementFor(_) => None,
        }
    }
}

pub(super) fn timed_out() -> Error {
    Error::new(Status::Timeout, "the tokens were not refreshed within the call's time", "try again later")
}
