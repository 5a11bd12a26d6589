//! Stores: they keep the tokens of a session when the process ends. The trait [`Store`], with [`MemoryStore`] and [`FileStore`].
//!
//! A store keeps one text for one user and has one lock. `record` defines the text, and `session` decides when to save it. A
//! program's own store, such as one in Redis, needs five methods, and a sixth if it tracks generations.

mod file;
mod lock;
pub(crate) mod record;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::error::{Advice, Error, Status};
use crate::secret::{Secret, redact};

pub use file::FileStore;

/// Keeps the record of one user's session: a secret text of a few hundred bytes that contains the tokens.
///
/// A session calls `load` at any time. It calls `save` and `clear` only between a `try_lock` that returned `true` and its
/// `unlock`. If [`allows_background`](Self::allows_background) is `false`, the calls come from the threads that call the
/// session. The lock is the only protection between sessions that share a store, in one process, on one machine or on several.
/// A store must not call the session that uses it.
///
/// The timeout of a session's call does not end a call of the store, and neither does a cancel. So a store on a network needs
/// its own timeouts: [`store_time_left`] says how long a call of the store may take.
///
/// If the lock can expire (a lease, for example in Redis), its holder may run on after the end of the lease, for example after
/// the machine slept. Such a store keeps the generation with the record. It returns [`StoreError::Newer`] for a `save` or
/// `clear` whose generation is not larger than the stored one. If a lock lasts as long as its holder lives, a store can ignore
/// generations.
pub trait Store: Send + Sync {
    /// Returns the record that was saved last, or `None`. Called without the lock, so a save in progress must never show a part
    /// of a record.
    fn load(&self) -> Result<Option<Secret>, StoreError>;

    /// Replaces the record. When this returns, the record is as durable as the store promises.
    fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError>;

    /// Removes the record, also one that cannot be read.
    fn clear(&self, generation: u64) -> Result<(), StoreError>;

    /// Takes the lock if it is free, without waiting. Returns `false` if another session or process has it. The lock must last
    /// at least for `hold`, or end with its process.
    fn try_lock(&self, hold: Duration) -> Result<bool, StoreError>;

    /// Releases the lock. Called only after a `try_lock` that returned `true`, from the same thread. A failure is logged as a
    /// warning; the call of the session goes on.
    ///
    /// The lock may have expired meanwhile, and another session that uses this same store object may have it now. So a store
    /// whose lock can expire must release only the lock that this thread acquired.
    fn unlock(&self) -> Result<(), StoreError>;

    /// Returns the generation of the last `save` or `clear`, or 0 if the store does not track generations. A `clear` must not
    /// reset it. A new login gets a larger generation, so that the store accepts it. Called with the lock held.
    fn generation(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Checks what the store was made with, such as a path, when a session opens.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument): the store can never work. [`Session::open`](crate::Session::open) returns the
    /// error.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether a session may call this store from a background thread, and not only from the threads that call the session. If
    /// so, no caller waits for this store or for the server longer than necessary.
    fn allows_background(&self) -> bool {
        false
    }
}

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The least time that [`store_time_left`] returns. New tokens must be saved even if the time of the call is over.
const MIN_TIME_LEFT: Duration = Duration::from_secs(1);

/// For a method of a [`Store`]: how long it may take, until the session's call that called it reaches its timeout. At least one
/// second, because a session saves new tokens even after that. `None` if no session calls a store on this thread.
pub fn store_time_left() -> Option<Duration> {
    let left = DEADLINE.get()?.saturating_duration_since(Instant::now());
    Some(left.max(MIN_TIME_LEFT))
}

/// For a binding that calls a store's method on another thread: what [`store_time_left`] returns on this one.
pub(crate) fn set_store_time_left(left: Option<Duration>) {
    DEADLINE.set(left.map(|left| Instant::now() + left));
}

/// Calls a store for a call of a session that ends at `deadline`.
pub(crate) fn with_deadline<T>(deadline: Instant, call: impl FnOnce() -> T) -> T {
    /// Restores the outer deadline, also after a panic.
    struct Outer(Option<Instant>);
    impl Drop for Outer {
        fn drop(&mut self) {
            DEADLINE.set(self.0);
        }
    }
    let _outer = Outer(DEADLINE.replace(Some(deadline)));
    call()
}

/// Why a call of a store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The stored generation is not smaller: another process saved or cleared after the lock of this one had expired.
    Newer,
    /// A failure that may be gone at the next try. One line for the log that names the place: `"/var/lib/x: No space left"`.
    Failed(String),
    /// A failure that stays until somebody corrects the cause. One line for the log that names the place and the remedy.
    Unusable(String),
}

impl StoreError {
    /// The error that a session returns. Its message contains none of `secrets`.
    pub(crate) fn to_error(&self, doing: &str, secrets: &[&str]) -> Error {
        let what = match self {
            StoreError::Newer => "another process has saved newer tokens".to_owned(),
            StoreError::Failed(message) | StoreError::Unusable(message) => redact(&without_record(message), secrets),
        };
        let remedy = "fix the cause, then try again";
        let error = Error::new(Status::Store, format!("the store could not {doing}: {what}"), remedy);
        if matches!(self, StoreError::Unusable(_)) { error.with_advice(Advice::Fix, remedy) } else { error }
    }
}

/// Cuts a message before the tokens of a record that it quotes. They may be tokens that another process saved and this session
/// does not know.
fn without_record(message: &str) -> Cow<'_, str> {
    let tokens = ["access_token", "refresh_token"].into_iter().filter_map(|key| message.find(key)).min();
    tokens.map_or(message.into(), |at| format!("{}[redacted]", &message[..at]).into())
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Newer => f.write_str("the store has a newer record"),
            StoreError::Failed(message) | StoreError::Unusable(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for StoreError {}

/// Keeps a session in memory, until the process ends. A forked child has its own copy.
#[derive(Default)]
pub struct MemoryStore {
    record: ArcSwapOption<Secret>,
    /// The process that has the lock, or 0. Not a mutex, because a forked child could inherit it locked for ever.
    owner: AtomicU32,
}

impl MemoryStore {
    /// Makes an empty store.
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

    fn unlock(&self) -> Result<(), StoreError> {
        self.owner.store(0, Ordering::Release);
        Ok(())
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

    const HOLD: Duration = Duration::from_secs(1);

    #[test]
    fn a_memory_store_keeps_one_record_and_one_lock() {
        let store = MemoryStore::new();
        assert_eq!(store.load().unwrap(), None);
        assert!(store.try_lock(HOLD).unwrap());
        assert!(!store.try_lock(HOLD).unwrap());
        store.save(&Secret::new("a"), 1).unwrap();
        store.save(&Secret::new("b"), 2).unwrap();
        assert_eq!(store.load().unwrap(), Some(Secret::new("b")));
        store.clear(3).unwrap();
        assert_eq!(store.load().unwrap(), None);
        store.unlock().unwrap();
        assert!(store.try_lock(HOLD).unwrap());
    }

    #[test]
    fn a_lock_that_a_parent_process_held_at_the_fork_is_free_in_the_child() {
        let store = MemoryStore::new();
        store.owner.store(1, Ordering::Relaxed);
        assert!(store.try_lock(HOLD).unwrap());
    }

    #[test]
    fn an_error_hides_the_tokens_of_a_quoted_record() {
        let record = r#"{"cmauth":1,"tokens":"{\"access_token\":\"a:2\",\"refresh_token\":\"r:2\"}"}"#;
        for quoted in [record.to_owned(), format!("{record:?}"), record[20..].to_owned()] {
            let error = StoreError::Failed(format!("/x: cannot read {quoted}")).to_error("be read", &[]);
            assert!(error.message().contains("/x: cannot read"), "{error}");
            assert!(!error.message().contains("a:2") && !error.message().contains("r:2"), "{error}");
        }
    }

    #[test]
    fn an_error_quotes_the_store_without_known_tokens() {
        let error = StoreError::Failed("cannot write access-token:1 to /x".to_owned());
        let error = error.to_error("save", &["access-token:1"]);
        assert_eq!(error.status(), Status::Store);
        assert_eq!(error.advice(), Advice::Retry);
        assert_eq!(
            error.message(),
            "the store could not save: cannot write [redacted] to /x; fix the cause, then try again"
        );
    }
}
