//! Catches panics, which must not reach a caller in another language. For the bindings: for Rust programs nothing
//! changes.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, Location, PanicHookInfo};
use std::sync::Once;

use crate::error::{Error, Status};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static LOCATION: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `body`. A panic in it prints nothing and becomes an error. The error has the source location, and not the
/// message of the panic, which can hold secrets.
///
/// For bindings. The first call sets a panic hook, which passes all other panics on to the previous hook.
///
/// # Errors
/// [`Internal`](Status::Internal): `body` panicked.
pub fn catch_panic<T>(body: impl FnOnce() -> T) -> Result<T, Error> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| on_panic(panic, &previous)));
    });
    // One access to the thread-local variable: it is a large part of the cost of a getter.
    CATCHING.with(|catching| {
        let outer = catching.replace(true);
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            #[cfg(feature = "panic-test")]
            if let Ok(data) = std::env::var("CMAUTH_TEST_PANIC") {
                panic!("{data}");
            }
            body()
        }));
        let result = result.map_err(error_of);
        catching.set(outer);
        result
    })
}

/// The error for a panic. Drops the payload.
#[cold]
fn error_of(payload: Box<dyn std::any::Any + Send>) -> Error {
    let location = LOCATION.take();
    // Dropping the payload can panic again.
    let mut payload = Some(payload);
    while let Some(value) = payload {
        payload = panic::catch_unwind(AssertUnwindSafe(|| drop(value))).err();
    }
    Error::new(Status::Internal, format!("a bug in libcmauth, caught at {location}"), "report this message")
}

fn on_panic(panic: &PanicHookInfo<'_>, previous: &dyn Fn(&PanicHookInfo<'_>)) {
    if CATCHING.get() {
        LOCATION.set(panic.location().map(short).unwrap_or_default());
    } else {
        previous(panic);
    }
}

/// `ureq-3.5.2/src/run.rs:12`, without the folders of the build machine.
fn short(location: &Location<'_>) -> String {
    let parts: Vec<&str> = location.file().split(['/', '\\']).collect();
    let from = parts.iter().rposition(|part| *part == "src").map_or(0, |src| src.saturating_sub(1));
    format!("{}:{}", parts[from..].join("/"), location.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_location_and_without_its_message() {
        let error = catch_panic(|| panic!("hunter2")).unwrap_err();
        assert_eq!(error.status(), Status::Internal);
        assert!(error.message().contains("src/panic.rs:"), "{error}");
        assert!(!error.message().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_is_caught_too() {
        struct PanicsInDrop;
        impl Drop for PanicsInDrop {
            fn drop(&mut self) {
                panic!("hunter2");
            }
        }
        let error = catch_panic(|| panic::panic_any(PanicsInDrop)).unwrap_err();
        assert_eq!(error.status(), Status::Internal);
    }

    #[test]
    fn a_value_is_returned() {
        assert_eq!(catch_panic(|| 7).unwrap(), 7);
    }
}
