//! From the core's errors to Python's exceptions: the one place that runs the core's calls and raises what they return.
//!
//! The exceptions themselves are Python classes, in `python/cmauth/_errors.py`.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cmauth::{Advice, Error, Status};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// Runs a call of the core, other Python threads running meanwhile. A panic of the core becomes
/// `cmauth.InternalError`, with its place in the source and nothing else.
pub(crate) fn call<T: Send>(py: Python<'_>, call: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(call))) {
        Ok(result) => result.map_err(|error| to_python(py, &error)),
        Err(_) => {
            let place = PANIC_PLACE.take();
            let message = format!("a bug in libcmauth ({place}); report it with this message");
            let details = PyDict::new(py);
            Err(exception(py, Status::Internal, Advice::Report, &message, &details))
        }
    }
}

/// The exception for an error of the core.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let details = PyDict::new(py);
    let filled = (|| {
        details.set_item("http_status", error.http_status())?;
        details.set_item("oauth_error", error.oauth_error())?;
        details.set_item("oauth_description", error.oauth_description())?;
        details.set_item("retry_after", error.retry_after().map(|after| after.as_secs_f64()))?;
        details.set_item("request_sent", error.request_sent())
    })();
    match filled {
        Ok(()) => exception(py, error.status(), error.advice(), error.message(), &details),
        Err(out_of_memory) => out_of_memory,
    }
}

fn exception(py: Python<'_>, status: Status, advice: Advice, message: &str, details: &Bound<'_, PyDict>) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = MAKE.get_or_try_init(py, || -> PyResult<_> {
        let module = py.import(intern!(py, "cmauth._errors"))?;
        Ok(module.getattr(intern!(py, "make"))?.unbind())
    });
    let made = make.and_then(|make| make.bind(py).call((message, status as i32, advice as i32), Some(details)));
    match made {
        Ok(error) => PyErr::from_value(error),
        Err(failed) => failed,
    }
}

/// The core's statuses, by which a test checks `cmauth.Status`.
pub(crate) fn statuses() -> Vec<(&'static str, i32)> {
    Status::ALL.iter().map(|status| (status.name(), *status as i32)).collect()
}

/// The core's advices, by which a test checks `cmauth.Advice`.
pub(crate) fn advices() -> Vec<(String, i32)> {
    [Advice::None, Advice::Fix, Advice::LogIn, Advice::Refresh, Advice::Retry, Advice::Report]
        .iter()
        .map(|advice| (format!("{advice:?}"), *advice as i32))
        .collect()
}

thread_local! {
    /// Where the last panic of this thread was.
    static PANIC_PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps panics off stderr: their text could hold data. The hook is that of this module's own copy of Rust's standard
/// library, so other Rust extensions of the process keep theirs.
pub(crate) fn silence_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            // A thread at its end has no thread locals any more; then nobody asks.
            let _ = PANIC_PLACE.try_with(|last| last.replace(place.to_string()));
        }
    }));
}
