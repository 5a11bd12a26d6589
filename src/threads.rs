//! Permits for the threads of this library: how many a process may have.
//!
//! A process has at most [`MAX_THREADS`] threads of this library at once, those of all clients together. One of them
//! closes idle connections, and one keeps sessions fresh. The others need a permit: they look names up, connect, or
//! refresh a session. A call that needs a thread waits for a permit until its deadline.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cancel::{Cancellation, Waiters};
use crate::per_process::PerProcess;

/// Threads of this library that a process has at most.
pub(crate) const MAX_THREADS: usize = 64;

/// How many of them may refresh a session. Each of these needs another thread for its connection.
const MAX_REFRESHES: usize = 24;

/// A semaphore for the threads of one process. Clones are the same.
#[derive(Clone)]
pub(crate) struct Threads(Arc<Inner>);

struct Inner {
    max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    refreshes: usize,
    waiters: Waiters,
}

impl Threads {
    pub(crate) fn of_this_process() -> Threads {
        static THREADS: PerProcess<Threads> = PerProcess::new();
        // The thread that closes idle connections and the one that keeps sessions fresh have no permit.
        Threads::clone(&THREADS.get_or_make(|_| Threads::at_most(MAX_THREADS - 2)))
    }

    pub(crate) fn at_most(max: usize) -> Threads {
        Threads(Arc::new(Inner { max, state: Mutex::default() }))
    }

    /// A permit for one thread. If all are taken it returns `None`, and the next free permit notifies the waiters of
    /// `cancellation`.
    pub(crate) fn try_permit(&self, cancellation: &Cancellation) -> Option<Permit> {
        let mut state = self.state();
        let permit = self.take(&mut state);
        if permit.is_none() {
            state.waiters.add(cancellation);
        }
        permit
    }

    /// A permit for a thread that refreshes a session. If all are taken it returns `None`, and the caller refreshes on
    /// its own thread.
    pub(crate) fn try_refresh_permit(&self) -> Option<RefreshPermit> {
        let mut state = self.state();
        if state.refreshes >= MAX_REFRESHES {
            return None;
        }
        let permit = self.take(&mut state)?;
        state.refreshes += 1;
        Some(RefreshPermit { threads: self.clone(), _permit: permit })
    }

    fn take(&self, state: &mut State) -> Option<Permit> {
        if state.taken >= self.0.max {
            return None;
        }
        state.taken += 1;
        Some(Permit(self.clone()))
    }

    /// Gives back a permit, and makes the waiters try again.
    fn give_back(&self, change: impl FnOnce(&mut State)) {
        let waiters = {
            let mut state = self.state();
            change(&mut state);
            state.waiters.take()
        };
        // Not under the lock, because a waiter acquires it while it checks.
        waiters.notify();
    }

    /// Whether a call that `cancellation` ends waits for a permit.
    #[cfg(test)]
    pub(crate) fn has_waiter(&self, cancellation: &Cancellation) -> bool {
        self.state().waiters.has(cancellation)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to run one thread. The thread holds it until it ends.
pub(crate) struct Permit(Threads);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back(|state| state.taken -= 1);
    }
}

/// The right to run a thread that refreshes a session.
pub(crate) struct RefreshPermit {
    threads: Threads,
    _permit: Permit,
}

impl Drop for RefreshPermit {
    fn drop(&mut self) {
        self.threads.give_back(|state| state.refreshes -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_free_again_after_its_thread_has_ended() {
        let (threads, cancellation) = (Threads::at_most(2), Cancellation::default());
        let permits = [threads.try_permit(&cancellation).unwrap(), threads.try_permit(&cancellation).unwrap()];
        assert!(!threads.has_waiter(&cancellation));
        assert!(threads.try_permit(&cancellation).is_none());
        assert!(threads.has_waiter(&cancellation));
        drop(permits);
        assert!(!threads.has_waiter(&cancellation));
        assert!(threads.try_permit(&cancellation).is_some());
    }

    #[test]
    fn refreshes_leave_permits_for_their_connections() {
        let (threads, cancellation) = (Threads::at_most(MAX_THREADS), Cancellation::default());
        let refreshes: Vec<_> = std::iter::from_fn(|| threads.try_refresh_permit()).collect();
        assert_eq!(refreshes.len(), MAX_REFRESHES);
        let connections: Vec<_> = (0..MAX_REFRESHES).map(|_| threads.try_permit(&cancellation)).collect();
        assert!(connections.iter().all(Option::is_some));
        drop(refreshes);
        assert!(threads.try_refresh_permit().is_some());
    }
}
