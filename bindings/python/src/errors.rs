//! From the core's errors to Python's exceptions: the one place that runs the core's calls and raises what they return, or
//! what a signal handler raised meanwhile: Ctrl-C.
//!
//! The exceptions themselves are Python classes, in `python/cmauth/_errors.py`.

use std::cell::RefCell;
use std::rc::Rc;

use cmauth::bindings::{catch_panic, interruptible};
use cmauth::{Advice, Error, Status};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// Runs a call of the core, other Python threads running meanwhile. A panic of the core becomes
/// `cmauth.InternalError`, with its place in the source and nothing else.
pub(crate) fn call<T: Send>(py: Python<'_>, call: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    crate::logging::prepare(py);
    let result = run(py, call);
    crate::logging::deliver(py);
    result?.map_err(|error| to_python(py, &error))
}

/// Runs it, and raises what a signal handler raised meanwhile.
fn run<T: Send>(py: Python<'_>, call: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<Result<T, Error>> {
    let result = if is_main_thread(py)? {
        let (result, raised) = py.detach(|| {
            let raised = Rc::new(RefCell::new(None));
            let handlers = raised.clone();
            let ask = move || {
                if handlers.borrow().is_some() {
                    return true;
                }
                // A handler may call the library in its turn, which asks here too. Nobody can interrupt any more while
                // the interpreter ends.
                let failed = Python::try_attach(|py| py.check_signals().err()).flatten();
                let stop = failed.is_some();
                if stop {
                    *handlers.borrow_mut() = failed;
                }
                stop
            };
            let result = interruptible(ask, || catch_panic(call));
            (result, raised.take())
        });
        if let Some(raised) = raised {
            return Err(raised);
        }
        result
    } else {
        py.detach(|| catch_panic(call))
    };
    raise_kept()?;
    Ok(result.and_then(|result| result))
}

thread_local! {
    /// What ended a method of a store or a callback, and is to end the program's call, too: `KeyboardInterrupt`, `SystemExit`.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Keeps what is no `Exception` and so no failure of a store, to be raised by the call under way on this thread.
pub(crate) fn keep_if_it_ends_the_program(py: Python<'_>, error: &PyErr) -> bool {
    let ends = !error.is_instance_of::<pyo3::exceptions::PyException>(py);
    if ends {
        RAISED.set(Some(error.clone_ref(py)));
    }
    ends
}

/// Raises what was kept.
pub(crate) fn raise_kept() -> PyResult<()> {
    RAISED.take().map_or(Ok(()), Err)
}

/// Whether this is the thread in which Python runs signal handlers.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import(intern!(py, "threading"))?;
    let main = threading.call_method0(intern!(py, "main_thread"))?.getattr(intern!(py, "ident"))?;
    threading.call_method0(intern!(py, "get_ident"))?.eq(main)
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
    Advice::ALL.iter().map(|advice| (format!("{advice:?}"), *advice as i32)).collect()
}
