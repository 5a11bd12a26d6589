//! The types that the [`leader`](super::leader) and its driver exchange: jobs, actions, events and outcomes.

use super::state::Want;
use crate::error::Error;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::record::Record;
use crate::tokens::Tokens;

/// The task of a leader.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// Get tokens for the callers.
    Provide(Want),
    /// Start with the tokens of a new login.
    Start(Tokens),
    /// Refresh no tokens early until this time, in Unix milliseconds.
    Hold(i64),
    /// End the login at the server and in the store.
    LogOut,
    /// Clear the store only.
    Forget,
}

/// Result of a flight that did not fail.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Tokens(Tokens),
    Started,
    LoggedOut(LoggedOut),
    Forgotten,
}

/// Result of a logout that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// The server ended the login.
    Confirmed,
    /// There was nothing to end: the server did not know the login any more, or no user was logged in.
    AlreadyGone,
}

/// What the driver must do next. For each action except the last, the driver then reports the [`Event`] of the same name.
#[derive(Debug)]
pub(crate) enum Action {
    /// Try to take the store's lock.
    Lock,
    /// Wait for this number of milliseconds.
    Wait(i64),
    /// Read the store.
    Load,
    /// Ask the store for its generation.
    ReadGeneration,
    Save(Box<Record>),
    /// Clear the store, with this generation.
    Clear(u64),
    /// Refresh at the server, with the scope that was granted.
    Refresh {
        refresh_token: Secret,
        scope: Option<String>,
    },
    /// Log out at the server, which ends the access token and its refresh token.
    Revoke {
        access_token: Secret,
    },
    /// Release the store's lock.
    Unlock,
    /// The job is done.
    Finish(Result<Outcome, Error>),
}

/// Result of an action.
#[derive(Debug)]
pub(crate) enum Event {
    Begin,
    /// `false`: another process or session has the lock.
    Locked(Result<bool, StoreError>),
    /// The error says that the wait was cancelled.
    Waited(Result<(), Error>),
    Loaded(Result<Option<Secret>, StoreError>),
    GenerationRead(Result<u64, StoreError>),
    Saved(Result<(), StoreError>),
    Cleared(Result<(), StoreError>),
    Refreshed(Result<Tokens, Error>),
    Revoked(Result<(), Error>),
    Unlocked,
}

/// The time limits of a flight, in milliseconds of the boot clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) deadline: i64,
    /// No request begins if less time than this is left.
    pub(crate) reserve: i64,
}

impl Limits {
    /// The latest time at which a request may begin: the response to a later one might come too late.
    pub(crate) fn latest_request_start(&self) -> i64 {
        self.deadline - self.reserve
    }
}
