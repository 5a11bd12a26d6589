//! Panics that must not reach a caller in another language. For the bindings; Rust programs see panics as ever.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, Location, PanicHookInfo};
use std::sync::Once;

use crate::error::{Error, Status};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `body`. A panic in it prints nothing and becomes an error with the place in the source and nothing else, for a
/// panic's message can hold anything.
///
/// For bindings: the first call sets a panic hook, which passes panics outside of such a call on to the one before it.
///
/// # Errors
/// [`Internal`](Status::Internal): it panicked.
pub fn catch_panic<T>(body: impl FnOnce() -> T) -> Result<T, Error> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| on_panic(panic, &others)));
    });
    // One look at the thread's own: it is a good part of what a getter costs.
    CATCHING.with(|catching| {
        let outer = catching.replace(true);
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            #[cfg(feature = "panic-test")]
            if let Ok(data) = std::env::var("CMAUTH_TEST_PANIC") {
                panic!("{data}");
            }
            body()
        }));
        let result = result.map_err(carried_by);
        catching.set(outer);
        result
    })
}

/// The error for a panic; drops what it carries.
#[cold]
fn carried_by(payload: Box<dyn std::any::Any + Send>) -> Error {
    let place = PLACE.take();
    // Dropping what a panic carries can panic again.
    let mut carried = Some(payload);
    while let Some(payload) = carried {
        carried = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))).err();
    }
    Error::new(Status::Internal, format!("a bug in libcmauth, caught at {place}"), "report this line")
}

fn on_panic(panic: &PanicHookInfo<'_>, others: &dyn Fn(&PanicHookInfo<'_>)) {
    if CATCHING.get() {
        PLACE.set(panic.location().map(short).unwrap_or_default());
    } else {
        others(panic);
    }
}

/// `ureq-3.5.2/src/run.rs:12`, without the folders of the machine that built it.
fn short(place: &Location<'_>) -> String {
    let parts: Vec<&str> = place.file().split(['/', '\\']).collect();
    let from = parts.iter().rposition(|part| *part == "src").map_or(0, |src| src.saturating_sub(1));
    format!("{}:{}", parts[from..].join("/"), place.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_place_and_nothing_else() {
        let error = catch_panic(|| panic!("hunter2")).unwrap_err();
        assert_eq!(error.status(), Status::Internal);
        assert!(error.message().contains("src/panic.rs:"), "{error}");
        assert!(!error.message().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_panic_that_panics_again_when_dropped_is_caught_too() {
        struct Again;
        impl Drop for Again {
            fn drop(&mut self) {
                panic!("hunter2");
            }
        }
        let error = catch_panic(|| panic::panic_any(Again)).unwrap_err();
        assert_eq!(error.status(), Status::Internal);
    }

    #[test]
    fn a_value_passes() {
        assert_eq!(catch_panic(|| 7).unwrap(), 7);
    }
}
