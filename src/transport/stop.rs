//! Stopping: one switch for all calls of a client, which wakes those that wait.
//!
//! Calls blocked in a read or write are woken by shutting their sockets down, which ureq's agent does; this is for the
//! other waits: making a connection, and the pause before a retry.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::progress::is_asked_to_end;
use crate::interrupt;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// The switch. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<Inner>);

#[derive(Default)]
struct Inner {
    stopped: AtomicBool,
    /// Held while a waiter looks whether it must wait, so that no wake-up comes in between.
    looking: Mutex<()>,
    changed: Condvar,
}

/// How a wait ended.
#[derive(Debug, PartialEq)]
pub(super) enum Waited<T> {
    Found(T),
    Stopped,
    TimeIsUp,
}

impl Stop {
    /// Whether the call on this thread is to end: with all others, or alone.
    pub(super) fn is_set(&self) -> bool {
        self.is_set_for_all() || is_asked_to_end()
    }

    pub(super) fn is_set_for_all(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    pub(super) fn set(&self) {
        self.0.stopped.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether both are the same switch.
    pub(super) fn is(&self, other: &Stop) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Lets every waiter look again.
    pub(super) fn wake(&self) {
        drop(self.lock());
        self.0.changed.notify_all();
    }

    /// Waits until `look` finds something, the switch is set, or the time is up (`None`: never).
    pub(super) fn wait<T>(&self, until: Option<Instant>, mut look: impl FnMut() -> Option<T>) -> Waited<T> {
        let mut guard = self.lock();
        loop {
            if let Some(found) = look() {
                return Waited::Found(found);
            }
            if self.is_set_for_all() {
                return Waited::Stopped;
            }
            // A wait without an end is cut into hours: there is no call for it.
            let left = until.map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Waited::TimeIsUp;
            }
            let Some(slice) = interrupt::slice() else {
                let waited = self.0.changed.wait_timeout(guard, left);
                guard = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            };
            let waited = self.0.changed.wait_timeout(guard, left.min(slice));
            // Who is asked may take its time, or want to stop this itself.
            drop(waited);
            if is_asked_to_end() {
                return Waited::Stopped;
            }
            guard = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // Nothing is guarded that a panic could leave half done.
        self.0.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_wait_ends_by_what_it_waits_for_by_the_switch_or_by_its_time() {
        let stop = Stop::default();
        assert_eq!(stop.wait(None, || Some(7)), Waited::Found(7));
        assert_eq!(stop.wait(Some(Instant::now()), || None::<()>), Waited::TimeIsUp);
        stop.set();
        assert_eq!(stop.wait(None, || None::<()>), Waited::Stopped);
    }

    #[test]
    fn a_waiter_is_woken_at_once() {
        let stop = Stop::default();
        let other = stop.clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        let waiter = thread::spawn(move || {
            let mut told = false;
            other.wait(None, || {
                if !told {
                    told = true;
                    sender.send(()).unwrap();
                }
                None::<()>
            })
        });
        receiver.recv().unwrap();
        stop.set();
        assert_eq!(waiter.join().unwrap(), Waited::Stopped);
    }
}
