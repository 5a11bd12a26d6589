//! Where a session's tokens outlive the process: [`Store`], and [`MemoryStore`] and [`FileStore`].
//!
//! A store keeps one text for one user and has one lock. What the text says is `record`'s affair, when it is written
//! `session`'s; a store of the host's own (Redis and the like) needs five calls, and a sixth if it keeps generations.

mod file;
mod lock;
pub(crate) mod record;

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::error::{Error, Status};
use crate::secret::{Secret, redact};

pub use file::FileStore;

/// Keeps the record of one user's session: a text of a few hundred bytes, secret, in which the tokens are.
///
/// A session calls `load` at any time, `save` and `clear` only between a `try_lock` that gave `true` and its `unlock`,
/// each from the thread whose call needed it. Sessions that share a store, in this process, on this machine or on
/// others, keep out of each other's way by its lock alone. A store must not call the session that uses it.
///
/// The timeout of a session's call does not end a call of the store: one on a network needs timeouts of its own.
///
/// Where a lock can expire (a lease in Redis), its holder may have slept through the end of it: such a store keeps the
/// generation beside the record and answers [`StoreError::Newer`] to a `save` or `clear` that is not newer than what
/// it has. Where a lock is never lost while its holder lives, generations can be ignored.
pub trait Store: Send + Sync {
    /// The record saved last, or `None`. Without the lock, so it is never half of one.
    fn load(&self) -> Result<Option<Secret>, StoreError>;

    /// Keeps `record` in place of the one before. When this returns, it survives what the store promises to survive.
    fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError>;

    /// Removes the record; one that cannot be read too.
    fn clear(&self, generation: u64) -> Result<(), StoreError>;

    /// Takes the lock if it is free, at once: `false` where somebody else has it. It must be good for at least
    /// `hold`; a lock that ends with the process that holds it need not expire.
    fn try_lock(&self, hold: Duration) -> Result<bool, StoreError>;

    /// Gives the lock back. Called only after a `try_lock` that returned `true`, and from the same thread.
    ///
    /// The lock may have expired meanwhile, and another session that uses this very object may hold it now: a store whose
    /// lock can expire must release only the lock that this thread acquired.
    fn unlock(&self);

    /// The generation of the last `save` or `clear`, where the store keeps it (also after a `clear`); 0 where it does
    /// not. A new login gets a larger one, so that a store which tracks generations accepts it. Called with the lock
    /// held.
    fn generation(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Whether a session may call this store from a thread of its own, and not only from the threads that call the
    /// session. If so, no caller ever waits for this store or for the server longer than it must.
    fn allows_background(&self) -> bool {
        false
    }
}

/// Why a store could not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// What it has is as new or newer: somebody else saved after the lock was lost.
    Newer,
    /// Anything else, in one line for the log that names the place: `"/var/lib/x: Permission denied"`.
    Failed(String),
}

impl StoreError {
    /// As an error of the session, with nothing of `secrets` in it.
    pub(crate) fn to_error(&self, doing: &str, secrets: &[&str]) -> Error {
        let what = match self {
            StoreError::Newer => "somebody else has saved newer ones".to_owned(),
            StoreError::Failed(message) => redact(&without_record(message), secrets),
        };
        Error::new(Status::Store, format!("the store could not {doing}: {what}"), "see that it can, then try again")
    }
}

/// The message up to the tokens of a record that it quotes: the session need not know them, for another holder of the store
/// may have saved them.
fn without_record(message: &str) -> Cow<'_, str> {
    let tokens = ["access_token", "refresh_token"].into_iter().filter_map(|key| message.find(key)).min();
    tokens.map_or(message.into(), |at| format!("{}[redacted]", &message[..at]).into())
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Newer => f.write_str("the store has a newer record"),
            StoreError::Failed(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for StoreError {}

/// Keeps a session for as long as the process lives. In a child of a fork the copy goes its own way.
#[derive(Default)]
pub struct MemoryStore {
    record: ArcSwapOption<Secret>,
    /// The process that holds the lock, or 0. No lock of the system: a forked child would find it held for ever.
    owner: AtomicU32,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        Ok(self.record.load().as_deref().cloned())
    }

    fn save(&self, record: &Secret, _generation: u64) -> Result<(), StoreError> {
        self.record.store(Some(record.clone().into()));
        Ok(())
    }

    fn clear(&self, _generation: u64) -> Result<(), StoreError> {
        self.record.store(None);
        Ok(())
    }

    fn try_lock(&self, _hold: Duration) -> Result<bool, StoreError> {
        let id = std::process::id();
        let owner = self.owner.load(Ordering::Acquire);
        Ok(owner != id && self.owner.compare_exchange(owner, id, Ordering::AcqRel, Ordering::Relaxed).is_ok())
    }

    fn unlock(&self) {
        self.owner.store(0, Ordering::Release);
    }

    fn allows_background(&self) -> bool {
        true
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Advice;

    const HOLD: Duration = Duration::from_secs(1);

    #[test]
    fn memory_keeps_one_record_and_lets_one_in_at_a_time() {
        let store = MemoryStore::new();
        assert_eq!(store.load().unwrap(), None);
        assert!(store.try_lock(HOLD).unwrap());
        assert!(!store.try_lock(HOLD).unwrap());
        store.save(&Secret::new("a"), 1).unwrap();
        store.save(&Secret::new("b"), 2).unwrap();
        assert_eq!(store.load().unwrap(), Some(Secret::new("b")));
        store.clear(3).unwrap();
        assert_eq!(store.load().unwrap(), None);
        store.unlock();
        assert!(store.try_lock(HOLD).unwrap());
    }

    #[test]
    fn a_lock_that_a_parent_process_held_at_the_fork_is_free_in_the_child() {
        let store = MemoryStore::new();
        store.owner.store(1, Ordering::Relaxed);
        assert!(store.try_lock(HOLD).unwrap());
    }

    #[test]
    fn a_record_that_a_store_quotes_is_hidden_whose_tokens_ever_are_in_it() {
        let record = r#"{"cmauth":1,"tokens":"{\"access_token\":\"a:2\",\"refresh_token\":\"r:2\"}"}"#;
        for quoted in [record.to_owned(), format!("{record:?}"), record[20..].to_owned()] {
            let error = StoreError::Failed(format!("/x: cannot read {quoted}")).to_error("be read", &[]);
            assert!(error.message().contains("/x: cannot read"), "{error}");
            assert!(!error.message().contains("a:2") && !error.message().contains("r:2"), "{error}");
        }
    }

    #[test]
    fn what_a_store_says_is_told_without_the_tokens() {
        let error = StoreError::Failed("cannot write access-token:1 to /x".to_owned());
        let error = error.to_error("save", &["access-token:1"]);
        assert_eq!(error.status(), Status::Store);
        assert_eq!(error.advice(), Advice::Retry);
        assert_eq!(
            error.message(),
            "the store could not save: cannot write [redacted] to /x; see that it can, then try again"
        );
    }
}
