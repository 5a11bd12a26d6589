//! What one call for tokens does while others may be at work: whether it leads, joins a flight, or has its answer. Decides
//! only; `driver` waits, and so does the simulation in its own way.

use super::clock::Now;
use super::policy;
use super::state::{Answer, State, Want};
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
pub(crate) struct FlightKind {
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
    pub(crate) fn look(&self, state: &State, now: Now) -> Step {
        match state.answer(&self.want, now) {
            Answer::Tokens(tokens) => Step::Return(Ok(tokens)),
            Answer::Failed(error) => Step::Return(Err(error)),
            Answer::Work if now.boot >= self.deadline => Step::Return(Err(too_slow())),
            Answer::Work if self.spare(state, now).is_some() => Step::LeadOrJoin(Purpose::Early),
            Answer::Work => Step::LeadOrJoin(Purpose::Needed),
        }
    }

    /// Until when a flight is waited for that began at `began`. A call that can have tokens which have not ended waits a
    /// moment since the begin of the flight, so that the next one does not wait again for the same thing.
    pub(crate) fn wait_until(&self, began: i64, state: &State, now: Now) -> i64 {
        match self.spare(state, now) {
            Some(_) => self.deadline.min(began.saturating_add(policy::MOMENT)),
            None => self.deadline,
        }
    }

    /// After waiting for a flight: what it gave, or `None` where it has not ended.
    pub(crate) fn waited(
        &self,
        flight: FlightKind,
        result: Option<Result<Option<Tokens>, Error>>,
        state: &State,
        now: Now,
    ) -> Step {
        match result {
            Some(Ok(Some(tokens))) if self.is_met_by(&tokens) => self.given(tokens, flight.began, state, now),
            // A login, a logout, or the very tokens that were rejected.
            Some(Ok(_)) => self.look(state, now),
            Some(Err(error)) if error.status() == Status::Cancelled && flight.is_interruptible => self.look(state, now),
            Some(Err(error)) => match self.instead_of(error, state, now) {
                // An early flight gives up sooner than a call would that needs its tokens.
                Err(_) if flight.purpose == Purpose::Early => self.look(state, now),
                result => Step::Return(result),
            },
            None => match self.spare(state, now) {
                Some(tokens) => Step::Return(Ok(tokens)),
                None if now.boot >= self.deadline => Step::Return(Err(too_slow())),
                None => self.look(state, now),
            },
        }
    }

    /// After leading a flight that began at `began`.
    pub(crate) fn led(&self, result: Result<Tokens, Error>, began: i64, state: &State, now: Now) -> Step {
        match result {
            Ok(tokens) => self.given(tokens, began, state, now),
            Err(error) => Step::Return(self.instead_of(error, state, now)),
        }
    }

    /// What a flight gave may have ended before it could be handed over, by a store that took its time. The tokens that the
    /// server gave to this very flight are the best there are, however short they live.
    fn given(&self, tokens: Tokens, began: i64, state: &State, now: Now) -> Step {
        let has_ended = state.current.as_ref().is_some_and(|current| current.is(&tokens) && current.is_over(now));
        let is_fetched = state.current.as_ref().is_some_and(|current| current.is_fetched);
        let is_fresh = is_fetched && state.refreshed_at.is_some_and(|at| at >= began);
        if has_ended && !is_fresh { self.look(state, now) } else { Step::Return(Ok(tokens)) }
    }

    /// The tokens at hand in place of an error that need not concern the caller yet.
    fn instead_of(&self, error: Error, state: &State, now: Now) -> Result<Tokens, Error> {
        match error.status() {
            Status::LoginRequired | Status::Cancelled => Err(error),
            _ => self.spare(state, now).ok_or(error),
        }
    }

    fn is_met_by(&self, tokens: &Tokens) -> bool {
        !matches!(&self.want, Want::Other(rejected) if rejected.access_token() == tokens.access_token())
    }

    /// Tokens that the caller can have meanwhile.
    pub(super) fn spare(&self, state: &State, now: Now) -> Option<Tokens> {
        match self.want {
            Want::Valid => state.alive(now).cloned(),
            Want::Other(_) => None,
        }
    }
}

pub(super) fn too_slow() -> Error {
    Error::new(Status::Timeout, "the tokens were not refreshed within the call's time", "try again later")
}
