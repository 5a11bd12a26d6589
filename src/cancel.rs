//! Cancellation: the switch that ends all calls of a client, and the check that ends one call alone.
//!
//! - [`Cancellation`] is the switch. A call waits through it, so that the wait ends once the switch is set. Reads and
//!   writes of a socket do not wait through it: `transport` shuts the sockets down.
//! - [`interruptible`] runs a call with an interruption check, for example for Ctrl-C in an interpreter. Every wait in
//!   that call runs the check at least every [`CHECK_INTERVAL`], on the same thread. Other calls of the client go on.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Status};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Ends all calls of a client in one process. Clones are the same switch.
#[derive(Clone, Default)]
pub(crate) struct Cancellation(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    /// Held while a waiter checks its condition: a notification between the check and the wait would be lost.
    checking: Mutex<()>,
    changed: Condvar,
}

/// Result of a wait.
#[derive(Debug, PartialEq)]
pub(crate) enum Wait<T> {
    /// The condition was met.
    Ready(T),
    /// The client was cancelled, or the call on this thread was interrupted.
    Cancelled,
    /// The deadline passed.
    TimedOut,
}

impl<T> Wait<T> {
    /// `None` after the deadline; the error of a cancelled call if it was cancelled.
    pub(crate) fn into_result(self) -> Result<Option<T>, Error> {
        match self {
            Wait::Ready(value) => Ok(Some(value)),
            Wait::Cancelled => Err(cancelled()),
            Wait::TimedOut => Ok(None),
        }
    }
}

impl Cancellation {
    /// Sets the switch. Waits in progress end, and later ones end at once.
    pub(crate) fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.notify_waiters();
    }

    /// Whether the switch is set.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Whether the call on this thread must end: the switch is set, or the call was interrupted.
    pub(crate) fn ends_this_call(&self) -> bool {
        self.is_cancelled() || is_interrupted()
    }

    /// Makes all waiters check their conditions again.
    pub(crate) fn notify_waiters(&self) {
        drop(self.lock());
        self.0.changed.notify_all();
    }

    /// Waits until `check` returns a value, the call must end, or the deadline passes (`None`: no deadline). Runs
    /// `check` at the beginning, after each [`notify_waiters`](Self::notify_waiters), and sometimes between.
    pub(crate) fn wait<T>(&self, deadline: Option<Instant>, mut check: impl FnMut() -> Option<T>) -> Wait<T> {
        let mut value = None;
        let wait = self.wait_until(deadline, &mut || {
            value = check();
            value.is_some()
        });
        match (value, wait) {
            (Some(value), _) => Wait::Ready(value),
            (None, Wait::Cancelled) => Wait::Cancelled,
            (None, _) => Wait::TimedOut,
        }
    }

    /// [`wait`](Self::wait) for a condition. It is compiled once, not once for each caller.
    fn wait_until(&self, deadline: Option<Instant>, is_met: &mut dyn FnMut() -> bool) -> Wait<()> {
        let mut guard = self.lock();
        loop {
            if is_met() {
                return Wait::Ready(());
            }
            if self.is_cancelled() {
                return Wait::Cancelled;
            }
            // `sync` has no wait without a timeout. Without a deadline, this waits an hour, and then again.
            let left = deadline.map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Wait::TimedOut;
            }
            let Some(interval) = check_interval() else {
                let waited = self.0.changed.wait_timeout(guard, left);
                guard = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            };
            let waited = self.0.changed.wait_timeout(guard, left.min(interval));
            // The interruption check can take long, and can call `cancel`, so it runs without the lock.
            drop(waited);
            if is_interrupted() {
                return Wait::Cancelled;
            }
            guard = self.lock();
        }
    }

    /// Waits for this time.
    ///
    /// # Errors
    /// [`Cancelled`](Status::Cancelled): the call must end.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Error> {
        let deadline = Instant::now().checked_add(time);
        self.wait(deadline, || None::<()>).into_result().map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // The mutex guards no data, so a panic leaves nothing half done.
        self.0.checking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The switches whose waiters must check again once something has changed.
#[derive(Default)]
pub(crate) struct Waiters(Vec<Cancellation>);

impl Waiters {
    pub(crate) fn add(&mut self, cancellation: &Cancellation) {
        if !self.has(cancellation) {
            self.0.push(cancellation.clone());
        }
    }

    pub(crate) fn has(&self, cancellation: &Cancellation) -> bool {
        self.0.iter().any(|waiter| Arc::ptr_eq(&waiter.0, &cancellation.0))
    }

    /// All of them, and none are left.
    pub(crate) fn take(&mut self) -> Waiters {
        std::mem::take(self)
    }

    pub(crate) fn notify(self) {
        for cancellation in self.0 {
            cancellation.notify_waiters();
        }
    }
}

/// The error of a cancelled call.
pub(crate) fn cancelled() -> Error {
    Error::new(
        Status::Cancelled,
        "the call was cancelled",
        "repeat it if that was not intended; a cancelled client stays cancelled, so make a new one",
    )
}

/// The longest time between two interruption checks of a waiting call.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_millis(50);

type Check = Rc<dyn Fn() -> bool>;

thread_local! {
    static CHECK: RefCell<Option<Check>> = const { RefCell::new(None) };
}

/// Runs `call`. While it waits, it calls `is_interrupted` about every 50 ms, on this thread, except while it waits for a
/// SOCKS proxy. Once that returns
/// `true`, the call ends with [`Cancelled`](Status::Cancelled). `is_interrupted` must then return `true` until the call
/// has ended.
///
/// For bindings to a language that has its own way to interrupt a call. `is_interrupted` may make calls of this
/// library. These call it, too, so it must return at once while it is running already.
///
/// ```
/// # let client = cmauth::Client::new(cmauth::Config::new("id", "secret").set_base_url("http://127.0.0.1:1"))?;
/// let error = cmauth::bindings::interruptible(|| true, || client.refresh("r")).unwrap_err();
/// assert_eq!(error.status(), cmauth::Status::Cancelled);
/// # Ok::<(), cmauth::Error>(())
/// ```
pub fn interruptible<T>(is_interrupted: impl Fn() -> bool + 'static, call: impl FnOnce() -> T) -> T {
    /// Restores the outer check, also after a panic.
    struct Outer(Option<Check>);
    impl Drop for Outer {
        fn drop(&mut self) {
            CHECK.set(self.0.take());
        }
    }
    let outer = CHECK.take();
    let outer_check = outer.clone();
    let _outer = Outer(outer);
    CHECK.set(Some(Rc::new(move || is_interrupted() || outer_check.as_ref().is_some_and(|check| check()))));
    call()
}

/// Runs this thread's interruption check: whether the call must end.
pub(crate) fn is_interrupted() -> bool {
    let check = CHECK.with_borrow(Clone::clone);
    check.is_some_and(|check| check())
}

/// How long a wait on this thread may last until the next interruption check; `None`: the thread has no check.
pub(crate) fn check_interval() -> Option<Duration> {
    CHECK.with_borrow(|check| check.as_ref().map(|_| CHECK_INTERVAL))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;

    #[test]
    fn a_wait_ends_when_its_condition_is_met_when_it_is_cancelled_and_at_its_deadline() {
        let cancellation = Cancellation::default();
        assert_eq!(cancellation.wait(None, || Some(7)), Wait::Ready(7));
        assert_eq!(cancellation.wait(Some(Instant::now()), || None::<()>), Wait::TimedOut);
        cancellation.cancel();
        assert_eq!(cancellation.wait(None, || None::<()>), Wait::Cancelled);
    }

    #[test]
    fn a_cancel_wakes_a_waiter_at_once() {
        let cancellation = Cancellation::default();
        let of_waiter = cancellation.clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        let waiter = thread::spawn(move || {
            let mut is_first = true;
            of_waiter.wait(None, || {
                if std::mem::take(&mut is_first) {
                    sender.send(()).unwrap();
                }
                None::<()>
            })
        });
        receiver.recv().unwrap();
        cancellation.cancel();
        assert_eq!(waiter.join().unwrap(), Wait::Cancelled);
    }

    #[test]
    fn an_inner_call_runs_both_checks_and_the_outer_check_is_restored_after_it() {
        assert!(!is_interrupted() && check_interval().is_none());
        let (inner, outer) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let (inner_check, outer_check) = (inner.clone(), outer.clone());
        interruptible(
            move || outer_check.get(),
            || {
                interruptible(
                    move || inner_check.get(),
                    || {
                        assert!(!is_interrupted() && check_interval() == Some(CHECK_INTERVAL));
                        outer.set(true);
                        assert!(is_interrupted());
                        outer.set(false);
                        inner.set(true);
                        assert!(is_interrupted());
                    },
                );
                assert!(!is_interrupted() && check_interval().is_some());
            },
        );
        assert!(check_interval().is_none());
    }
}
