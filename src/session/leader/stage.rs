//! The stages of a leader: which action is in progress, and what for.

use crate::clock::Now;
use crate::error::Error;
use crate::session::action::Outcome;
use crate::store::record::Record;

/// Why the current tokens are refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// They expire soon.
    Due,
    Expired,
    Rejected,
    /// They do not last as long as a caller asks for.
    TooShort,
    /// For a logout, which needs an access token that the server accepts.
    LogOut,
}

/// The action in progress, and its purpose.
#[derive(Debug)]
pub(super) enum Stage {
    Begun,
    Locking {
        lock_deadline: i64,
    },
    Loading,
    /// After the store refused a save or a clear because its content is newer.
    LoadingNewer {
        refused: Option<Box<Record>>,
        /// The server issued the refused tokens in this flight.
        from_refresh: bool,
    },
    /// A wait before a request that would be too early.
    WaitingToRefresh,
    Refreshing {
        reason: Reason,
        begun: Now,
    },
    SavingRefreshed {
        record: Box<Record>,
        is_retry: bool,
    },
    Resaving {
        record: Box<Record>,
    },
    ReadingGeneration {
        record: Option<Box<Record>>,
        is_retry: bool,
    },
    SavingHold {
        record: Box<Record>,
    },
    SavingLogin {
        record: Box<Record>,
    },
    /// After the server rejected the refresh token: the store may have another one by now.
    LoadingAfterInvalidGrant {
        error: Error,
    },
    /// The store has the rejected refresh token, so the login is over.
    ClearingAfterInvalidGrant {
        error: Error,
        generation: u64,
    },
    Clearing {
        outcome: Outcome,
        generation: u64,
    },
    Revoking,
    Unlocking {
        result: Result<Outcome, Error>,
    },
}
