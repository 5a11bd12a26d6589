//! Calls that a program may want to leave while they wait: Ctrl-C in an interpreter, a login that is cancelled.
//!
//! A thread that runs a call says here how to ask whether it should go on. Whatever waits in that call (`transport`)
//! asks every [`SLICE`], on the same thread, and ends with [`Cancelled`](crate::Status::Cancelled) once told to. Other
//! calls of the client go on: to end them all there is [`Client::cancel`](crate::Client::cancel).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How long nobody is asked, at most.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

type Ask = Rc<dyn Fn() -> bool>;

thread_local! {
    static ASK: RefCell<Option<Ask>> = const { RefCell::new(None) };
}

/// Runs `call`. Whenever it waits, `ask` is called at least every 50 ms, on this thread; once it gives `true` the call
/// ends with [`Cancelled`](crate::Status::Cancelled). It is asked again until then, and must go on saying so.
///
/// For bindings, whose language has a way of its own to interrupt a call.
///
/// ```
/// # let client = cmauth::Client::new(cmauth::Config::new("id", "secret").set_base_url("http://127.0.0.1:1"))?;
/// let error = cmauth::bindings::interruptible(|| true, || client.refresh("r")).unwrap_err();
/// assert_eq!(error.status(), cmauth::Status::Cancelled);
/// # Ok::<(), cmauth::Error>(())
/// ```
pub fn interruptible<T>(ask: impl Fn() -> bool + 'static, call: impl FnOnce() -> T) -> T {
    /// Puts back who was asked before, a panic included.
    struct Before(Option<Ask>);
    impl Drop for Before {
        fn drop(&mut self) {
            ASK.set(self.0.take());
        }
    }
    let outer = ASK.take();
    let asks_outer = outer.clone();
    let _before = Before(outer);
    ASK.set(Some(Rc::new(move || ask() || asks_outer.as_ref().is_some_and(|outer| outer()))));
    call()
}

/// Whether the call on this thread is to end.
pub(crate) fn is_asked() -> bool {
    let ask = ASK.with_borrow(Clone::clone);
    ask.is_some_and(|ask| ask())
}

/// The longest that a wait on this thread may last before it asks; `None`: there is nobody to ask.
pub(crate) fn slice() -> Option<Duration> {
    ASK.with_borrow(|ask| ask.as_ref().map(|_| SLICE))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_inner_call_asks_both_and_the_outer_one_is_asked_again_after_it() {
        assert!(!is_asked() && slice().is_none());
        let (inner, outer) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let (asks_inner, asks_outer) = (inner.clone(), outer.clone());
        interruptible(
            move || asks_outer.get(),
            || {
                interruptible(
                    move || asks_inner.get(),
                    || {
                        assert!(!is_asked() && slice() == Some(SLICE));
                        outer.set(true);
                        assert!(is_asked());
                        outer.set(false);
                        inner.set(true);
                        assert!(is_asked());
                    },
                );
                assert!(!is_asked() && slice().is_some());
            },
        );
        assert!(slice().is_none());
    }
}
