//! Cancellation: one flag, [`Cancel`], which ends the calls of a thread, of a login or of a client.
//!
//! - [`Cancel::scope`] and [`interruptible`] apply to the calls of one thread. Every wait of such a call looks at the flag, or
//!   runs the check, at least every [`CHECK_INTERVAL`].
//! - [`Cancellation`] is the flag of a client, together with the threads that wait in its calls: they are woken at once. Reads
//!   and writes of a socket do not wait through it: `transport` shuts the sockets down.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Status};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Ends calls from outside, for example when a user presses Cancel: those that a thread makes in its [`scope`](Self::scope).
/// Clones are the same.
///
/// ```
/// # let client = cmauth::Client::new(cmauth::Config::new("id", "secret").set_base_url("http://127.0.0.1:1"))?;
/// let cancel = cmauth::Cancel::new();
/// let button = cancel.clone();
/// std::thread::spawn(move || button.cancel()).join().unwrap();
/// let error = cancel.scope(|| client.refresh("r")).unwrap_err();
/// assert_eq!(error.status(), cmauth::Status::Cancelled);
/// # Ok::<(), cmauth::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Makes one that is not cancelled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Ends the calls in its scopes within 100 ms, with [`Cancelled`](Status::Cancelled); later ones end at once. It stays
    /// cancelled: make a new one for the next call.
    ///
    /// This is one atomic store, so a signal handler may call it.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Runs `call`. The calls of this library that it makes on this thread end when this is cancelled. In an inner scope, the
    /// outer one counts as well.
    pub fn scope<T>(&self, call: impl FnOnce() -> T) -> T {
        /// Restores the outer scope, also after a panic.
        struct Outer(Option<Rc<Scope>>);
        impl Drop for Outer {
            fn drop(&mut self) {
                replace_scope(self.0.take());
            }
        }
        let outer = Outer(replace_scope(None));
        replace_scope(Some(Rc::new(Scope { cancel: self.clone(), outer: outer.0.clone() })));
        call()
    }
}

/// Sets the scope of this thread, in place of [`Cancel::scope`], and returns the [`Cancel`] that was set before. `None` ends the
/// scope.
///
/// For bindings to a language in which a scope is not a function.
pub fn set_cancel_scope(cancel: Option<Cancel>) -> Option<Cancel> {
    let outer = replace_scope(cancel.map(|cancel| Rc::new(Scope { cancel, outer: None })));
    outer.map(|outer| outer.cancel.clone())
}

struct Scope {
    cancel: Cancel,
    outer: Option<Rc<Scope>>,
}

fn replace_scope(scope: Option<Rc<Scope>>) -> Option<Rc<Scope>> {
    HAS_SCOPE.set(scope.is_some());
    SCOPE.replace(scope)
}

/// Whether the scope of this thread is cancelled.
#[inline]
pub(crate) fn is_scope_cancelled() -> bool {
    HAS_SCOPE.get() && is_any_scope_cancelled()
}

fn is_any_scope_cancelled() -> bool {
    let is_cancelled = |scope: &RefCell<Option<Rc<Scope>>>| {
        let scope = scope.borrow();
        let mut scope = scope.as_ref();
        while let Some(inner) = scope {
            if inner.cancel.is_cancelled() {
                return true;
            }
            scope = inner.outer.as_ref();
        }
        false
    };
    // At the end of the thread, a destructor of another thread-local may make calls when the scope is gone already.
    SCOPE.try_with(is_cancelled).unwrap_or(false)
}

/// Ends all calls of a client in one process. Clones are the same switch.
#[derive(Clone, Default)]
pub(crate) struct Cancellation(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancel: Cancel,
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
    /// `None` after the deadline; an error if the call was cancelled.
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
        self.0.cancel.cancel();
        self.notify_waiters();
    }

    /// Whether the switch is set.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.cancel.is_cancelled()
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
    let remedy = "if that was not intended, call it again; after a cancel of the client, make a new client first";
    Error::new(Status::Cancelled, "the call was cancelled", remedy)
}

/// The longest time between two interruption checks of a waiting call.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_millis(50);

type Check = Rc<dyn Fn() -> bool>;

thread_local! {
    /// Whether there is a scope. Unlike `SCOPE` it has no destructor, so that the fast path of a session reads it quickly.
    static HAS_SCOPE: Cell<bool> = const { Cell::new(false) };
    static SCOPE: RefCell<Option<Rc<Scope>>> = const { RefCell::new(None) };
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

/// Whether the call of this thread must end: its scope is cancelled, or its interruption check says so.
pub(crate) fn is_interrupted() -> bool {
    let check = CHECK.with_borrow(Clone::clone);
    is_scope_cancelled() || check.is_some_and(|check| check())
}

/// How long a wait on this thread may last until the next interruption check; `None`: the thread has no check.
pub(crate) fn check_interval() -> Option<Duration> {
    let has_check = HAS_SCOPE.get() || CHECK.with_borrow(Option::is_some);
    has_check.then_some(CHECK_INTERVAL)
}

#[cfg(test)]
mod tests {
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
    fn a_scope_ends_the_calls_of_its_thread_only_and_an_outer_scope_counts_too() {
        let (outer, inner) = (Cancel::new(), Cancel::new());
        outer.scope(|| {
            assert!(!is_interrupted() && check_interval().is_some());
            inner.scope(|| {
                assert!(!is_interrupted());
                outer.cancel();
                assert!(is_interrupted());
            });
            thread::scope(|scope| scope.spawn(|| assert!(!is_interrupted())).join().unwrap());
            assert!(is_interrupted());
        });
        assert!(!is_interrupted() && check_interval().is_none());
        inner.cancel();
        assert!(set_cancel_scope(Some(inner)).is_none());
        assert!(is_interrupted());
        assert!(set_cancel_scope(None).is_some_and(|before| before.is_cancelled()));
        assert!(!is_interrupted());
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
