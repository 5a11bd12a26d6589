//! The decisions of one call for tokens: return at once, lead a flight, join one, or stop waiting. `driver` (and the simulation)
//! carry them out.

use super::policy;
use super::state::{LocalResult, State, Want};
use crate::clock::Now;
use crate::error::{Advice, Error, Status};
use crate::tokens::Tokens;

/// What a flight is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Newer tokens before the current ones expire. A caller that waits can use the current ones instead.
    Early,
    /// Tokens that a caller cannot do without: the current ones have expired or were rejected.
    Needed,
    /// A login or its end. Other callers wait until it has ended and then decide again.
    Exclusive,
}

/// The flight that a call waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlightInfo {
    pub(crate) purpose: Purpose,
    /// By the boot clock.
    pub(crate) began: i64,
    /// The leader ran on the thread of another caller, and that call may have been interrupted.
    pub(crate) is_interruptible: bool,
}

/// What a call for tokens does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Return(Result<Tokens, Error>),
    /// Lead a flight for this purpose, or join the flight in progress.
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
    /// The first step, and the next one after a flight ended without a result for this call.
    pub(crate) fn next_step(&self, state: &State, now: Now) -> Step {
        match state.resolve_locally(&self.want, now) {
            LocalResult::Tokens(tokens) => Step::Return(Ok(tokens)),
            LocalResult::Failed(error) => Step::Return(Err(error)),
            LocalResult::NeedsFlight if now.boot >= self.deadline => Step::Return(Err(timed_out())),
            LocalResult::NeedsFlight if self.fallback_tokens(state, now).is_some() => Step::LeadOrJoin(Purpose::Early),
            LocalResult::NeedsFlight => Step::LeadOrJoin(Purpose::Needed),
        }
    }

    /// Until when to wait for a flight that began at `began`. If the caller has unexpired tokens to fall back on, the limit counts
    /// from the beginning of the flight, so that later callers do not wait again for the same flight.
    pub(crate) fn wait_deadline(&self, began: i64, state: &State, now: Now) -> i64 {
        match self.fallback_tokens(state, now) {
            Some(_) => self.deadline.min(began.saturating_add(policy::MAX_WAIT_WITH_TOKENS)),
            None => self.deadline,
        }
    }

    /// The step after waiting for a flight. `result` is `None` if the wait ended before the flight.
    pub(crate) fn after_waiting(
        &self,
        flight: FlightInfo,
        result: Option<Result<Option<Tokens>, Error>>,
        state: &State,
        now: Now,
    ) -> Step {
        match result {
            Some(Ok(Some(tokens))) if self.is_satisfied_by(&tokens, state, now) => {
                self.return_unless_expired(tokens, flight.began, state, now)
            }
            // A login, a logout, or the rejected tokens themselves.
            Some(Ok(_)) => self.next_step(state, now),
            Some(Err(error)) if error.status() == Status::Cancelled && flight.is_interruptible => {
                self.next_step(state, now)
            }
            Some(Err(error)) => match self.or_fallback_tokens(error, state, now) {
                // An early flight gives up sooner than a call that needs its tokens, so this call tries for itself.
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

    /// The step after leading a flight that began at `began`.
    pub(crate) fn after_leading(&self, result: Result<Tokens, Error>, began: i64, state: &State, now: Now) -> Step {
        match result {
            Ok(tokens) if self.is_satisfied_by(&tokens, state, now) => {
                self.return_unless_expired(tokens, began, state, now)
            }
            // They are not what this call asks for. It does not try again: each refresh ends the tokens of all others.
            Ok(_) => match self.next_step(state, now) {
                Step::LeadOrJoin(_) => Step::Return(Err(self.not_enough())),
                step => step,
            },
            Err(error) => Step::Return(self.or_fallback_tokens(error, state, now)),
        }
    }

    /// A slow store can delay the result of a flight until the tokens have expired. Then the call decides again. Exception:
    /// tokens that the server issued to this very flight are returned, however short their lifetime.
    fn return_unless_expired(&self, tokens: Tokens, began: i64, state: &State, now: Now) -> Step {
        let has_expired =
            state.current.as_ref().is_some_and(|current| current.has_same_token(&tokens) && current.is_expired(now));
        let fetched_here = state.current.as_ref().is_some_and(|current| current.fetched_here);
        let from_refresh = fetched_here && state.refreshed_at.is_some_and(|at| at >= began);
        if has_expired && !from_refresh { self.next_step(state, now) } else { Step::Return(Ok(tokens)) }
    }

    /// Unexpired tokens instead of an error, if the caller can use them.
    fn or_fallback_tokens(&self, error: Error, state: &State, now: Now) -> Result<Tokens, Error> {
        match error.status() {
            Status::LoginRequired | Status::Cancelled => Err(error),
            _ => self.fallback_tokens(state, now).ok_or(error),
        }
    }

    fn is_satisfied_by(&self, tokens: &Tokens, state: &State, now: Now) -> bool {
        match &self.want {
            Want::ReplacementFor(rejected) => rejected != tokens.access_token(),
            Want::ValidFor(0) => true,
            Want::ValidFor(_) => state.usable_tokens(&self.want, now) == Some(tokens),
        }
    }

    /// The error for tokens that another process saved meanwhile, and that this call cannot use.
    fn not_enough(&self) -> Error {
        match self.want {
            Want::ValidFor(_) => {
                let what = "the new tokens do not last as long as requested";
                Error::new(Status::Timeout, what, "request a shorter time, or try again later")
            }
            Want::ReplacementFor(_) => {
                let what = "another process has put the rejected tokens back into the store";
                let remedy = "try again later";
                Error::new(Status::TokenRejected, what, remedy).with_advice(Advice::Retry, remedy)
            }
        }
    }

    /// Unexpired tokens that the caller can use instead of newer ones.
    pub(super) fn fallback_tokens(&self, state: &State, now: Now) -> Option<Tokens> {
        state.usable_tokens(&self.want, now).cloned()
    }
}

fn timed_out() -> Error {
    Error::new(Status::Timeout, "the tokens were not refreshed within the timeout of the call", "try again later")
}
