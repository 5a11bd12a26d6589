//! Name lookups that calls share. While a host is looked up, further calls to it wait for that lookup and start no thread.
//! The result is not cached: once the lookup has ended, the next call starts a new one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::error::ConnectError;
use crate::cancel::{Cancellation, Waiters};
use crate::panic::catch_panic;
use crate::per_process::PerProcess;
use crate::threads::{Permit, Threads};

/// The lookups in progress in one process. Clones are the same.
#[derive(Clone)]
pub(super) struct Lookups(Arc<Inner>);

struct Inner {
    threads: Threads,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Vec<Arc<Lookup>>,
    waiters: Waiters,
}

/// One lookup in progress.
pub(super) struct Lookup {
    host: String,
    result: OnceLock<Addresses>,
}

pub(super) type Addresses = Result<Vec<SocketAddr>, ConnectError>;

/// The part of a call in the lookup of its host.
pub(super) enum Role {
    /// It waits for the lookup of another call.
    Follower(Arc<Lookup>),
    /// It starts a lookup, on the thread of this permit.
    Leader(Leader, Permit),
}

impl Lookups {
    pub(super) fn of_this_process() -> Lookups {
        static LOOKUPS: PerProcess<Lookups> = PerProcess::new();
        Lookups::clone(&LOOKUPS.get_or_make(|_| Lookups::with(Threads::of_this_process())))
    }

    /// Lookups that take their permits from `threads`.
    pub(super) fn with(threads: Threads) -> Lookups {
        Lookups(Arc::new(Inner { threads, state: Mutex::default() }))
    }

    pub(super) fn threads(&self) -> &Threads {
        &self.0.threads
    }

    /// Joins the lookup of `host`, or starts one. `None` if that needs a permit and none is free: see
    /// [`Threads::try_permit`].
    pub(super) fn join(&self, host: &str, cancellation: &Cancellation) -> Option<Role> {
        let mut state = self.state();
        if let Some(lookup) = state.running.iter().find(|lookup| lookup.host == host) {
            return Some(Role::Follower(lookup.clone()));
        }
        let permit = self.0.threads.try_permit(cancellation)?;
        let lookup = Arc::new(Lookup { host: host.to_owned(), result: OnceLock::new() });
        state.running.push(lookup.clone());
        Some(Role::Leader(Leader { lookups: self.clone(), lookup }, permit))
    }

    /// The result of a lookup. If it has not ended it returns `None`, and its end notifies the waiters of `cancellation`.
    pub(super) fn result(&self, lookup: &Lookup, cancellation: &Cancellation) -> Option<Addresses> {
        let mut state = self.state();
        let result = lookup.result.get().cloned();
        if result.is_none() {
            state.waiters.add(cancellation);
        }
        result
    }

    /// Whether a call that `cancellation` ends waits for a lookup.
    #[cfg(test)]
    pub(super) fn has_waiter(&self, cancellation: &Cancellation) -> bool {
        self.state().waiters.has(cancellation)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to look a host up for all that wait. It moves to the thread of the lookup, so the call that started the lookup can
/// end before it.
pub(super) struct Leader {
    lookups: Lookups,
    lookup: Arc<Lookup>,
}

impl Leader {
    /// Runs `look_up`, and gives its result to all.
    pub(super) fn run(self, look_up: impl FnOnce() -> Addresses) -> Addresses {
        let result = catch_panic(look_up).unwrap_or_else(|error| Err(ConnectError::Panic(error)));
        let _ = self.lookup.result.set(result.clone());
        result
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // It has a result, unless the thread did not start.
        self.lookup.result.get_or_init(|| Err(ConnectError::Lookup("no thread could be started".to_owned())));
        let waiters = {
            let mut state = self.lookups.state();
            state.running.retain(|lookup| !Arc::ptr_eq(lookup, &self.lookup));
            state.waiters.take()
        };
        // Not under the lock: a waiter takes it while it checks.
        waiters.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_takes_a_permit_and_joining_it_takes_none() {
        let (lookups, cancellation) = (Lookups::with(Threads::at_most(1)), Cancellation::default());
        let leader = lookups.join("a.invalid", &cancellation);
        assert!(matches!(leader, Some(Role::Leader(..))));
        assert!(lookups.join("b.invalid", &cancellation).is_none());
        assert!(matches!(lookups.join("a.invalid", &cancellation), Some(Role::Follower(_))));
        drop(leader);
        assert!(matches!(lookups.join("b.invalid", &cancellation), Some(Role::Leader(..))));
    }

    #[test]
    fn a_lookup_is_joined_until_it_ends_and_its_result_is_not_cached() {
        let (lookups, cancellation) = (Lookups::with(Threads::at_most(2)), Cancellation::default());
        let Some(Role::Leader(leader, _permit)) = lookups.join("a.invalid", &cancellation) else { panic!() };
        let Some(Role::Follower(joined)) = lookups.join("a.invalid", &cancellation) else { panic!() };
        assert!(lookups.result(&joined, &cancellation).is_none());
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        leader.run(|| Ok(vec![address])).unwrap();
        assert_eq!(lookups.result(&joined, &cancellation).unwrap().unwrap(), [address]);
        let Some(Role::Leader(leader, _permit)) = lookups.join("a.invalid", &cancellation) else { panic!("cached") };
        let Some(Role::Follower(joined)) = lookups.join("a.invalid", &cancellation) else { panic!() };
        drop(leader);
        let failure = lookups.result(&joined, &cancellation).unwrap().unwrap_err();
        assert!(matches!(failure, ConnectError::Lookup(_)), "{failure:?}");
    }
}
