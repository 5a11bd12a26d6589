//! What a leader is asked for, what it has done, and what it is told: the words between [`leader`](super::leader), which
//! decides, and whoever carries its actions out.

use super::state::Want;
use crate::error::Error;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::record::Record;
use crate::tokens::Tokens;

/// What the leader is there for.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// Tokens for those who ask.
    Provide(Want),
    /// A new login.
    Start(Tokens),
    /// The end of the login, here and at the server.
    LogOut,
    /// The end of the login, here alone.
    Forget,
}

/// What a flight leads to.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Tokens(Tokens),
    Started,
    LoggedOut(LoggedOut),
    Forgotten,
}

/// How a logout went that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// The server ended the tokens.
    Confirmed,
    /// There was nothing to end: the server knew the login no more, or nobody was logged in.
    AlreadyGone,
}

/// What is to be done next. Each action but the last is answered by the [`Event`] of the same name.
#[derive(Debug)]
pub(crate) enum Action {
    /// Try to take the store's lock.
    Lock,
    /// Wait so many milliseconds.
    Wait(i64),
    /// Read the store.
    Load,
    /// Ask the store for its generation.
    ReadGeneration,
    Save(Box<Record>),
    Clear(u64),
    /// Refresh at the server, with the scope that was granted.
    Refresh {
        refresh_token: Secret,
        scope: Option<String>,
    },
    /// End the tokens at the server.
    Revoke {
        access_token: Secret,
    },
    /// Give the lock back.
    Unlock,
    /// That was all.
    Finish(Result<Outcome, Error>),
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    Begin,
    /// `false`: somebody else has the lock.
    Locked(Result<bool, StoreError>),
    /// An error: the wait was cancelled.
    Waited(Result<(), Error>),
    Loaded(Result<Option<Secret>, StoreError>),
    GenerationRead(Result<u64, StoreError>),
    Saved(Result<(), StoreError>),
    Cleared(Result<(), StoreError>),
    Refreshed(Result<Tokens, Error>),
    Revoked(Result<(), Error>),
    Unlocked,
}

/// The time that a flight has, by the boot clock, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) deadline: i64,
    /// No request begins with less time left than this.
    pub(crate) reserve: i64,
}

impl Limits {
    /// The last time at which a request begins: one with a moment to go would only be lost.
    pub(crate) fn latest_request_start(&self) -> i64 {
        self.deadline - self.reserve
    }
}
