//! Runs calls of the core, and raises their errors as Python exceptions. If a signal handler raises an exception during a
//! call, as after Ctrl-C, it ends the call and raises that exception.
//!
//! The exceptions are Python classes, in `python/cmauth/_errors.py`.

use std::cell::RefCell;
use std::rc::Rc;

use cmauth::bindings::{catch_panic, interruptible};
use cmauth::{Advice, Error, Status};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// Runs a call of the core, while other Python threads run. A panic of the core becomes `cmauth.InternalError` with the
/// position in the source and nothing else.
pub(crate) fn call<T: Send>(py: Python<'_>, call: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    CAUSE.take();
    crate::logging::prepare(py);
    let result = run(py, call);
    crate::logging::deliver(py);
    raise_interrupt()?;
    result?.map_err(|error| {
        let raised = to_python(py, &error);
        if error.status() == Status::Store {
            raised.set_cause(py, CAUSE.take());
        }
        raised
    })
}

/// Runs a call. If a signal handler raises an exception meanwhile, raises that.
fn run<T: Send>(py: Python<'_>, call: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<Result<T, Error>> {
    let result = if is_main_thread(py)? {
        let (result, raised) = py.detach(|| {
            let raised = Rc::new(RefCell::new(None));
            let handlers = raised.clone();
            let ask = move || {
                if handlers.borrow().is_some() || has_interrupt() {
                    return true;
                }
                // A handler may itself call the library, and so this closure. While the interpreter shuts down, nothing
                // can be interrupted.
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
    Ok(result.and_then(|result| result))
}

thread_local! {
    /// An exception that must end the call of the library in progress: `KeyboardInterrupt` or `SystemExit` of a store, a
    /// callback or a log handler, or a `TypeError` about a store.
    static INTERRUPT: RefCell<Option<PyErr>> = const { RefCell::new(None) };

    /// The last exception of a store during this call. It is the cause of the error that the call raises, so that its traceback
    /// is not lost.
    static CAUSE: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Keeps an exception that is not an `Exception`, so not a failure of the code that raised it. The call in progress on this
/// thread raises it.
pub(crate) fn keep_interrupt(py: Python<'_>, error: &PyErr) -> bool {
    let ends = !error.is_instance_of::<pyo3::exceptions::PyException>(py);
    if ends {
        keep(error.clone_ref(py));
    }
    ends
}

/// Keeps an exception. The call in progress on this thread raises it.
pub(crate) fn keep(error: PyErr) {
    INTERRUPT.set(Some(error));
}

/// Keeps an exception of a store, as the cause of the error of the call in progress on this thread.
pub(crate) fn keep_cause(error: PyErr) {
    CAUSE.set(Some(error));
}

pub(crate) fn has_interrupt() -> bool {
    INTERRUPT.with_borrow(Option::is_some)
}

/// Raises the exception that `keep_interrupt` has kept.
pub(crate) fn raise_interrupt() -> PyResult<()> {
    INTERRUPT.take().map_or(Ok(()), Err)
}

/// Whether this is the thread in which Python runs signal handlers.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import(intern!(py, "threading"))?;
    let main = threading.call_method0(intern!(py, "main_thread"))?.getattr(intern!(py, "ident"))?;
    threading.call_method0(intern!(py, "get_ident"))?.eq(main)
}

/// Settings that have another name in Python, where one argument has all values.
const PYTHON_NAMES: [(&str, &str); 2] = [("add_ca_file: ", "add_ca_files: "), ("allow_origin: ", "allow_origins: ")];

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
    let message = PYTHON_NAMES
        .iter()
        .find_map(|(core, python)| error.message().strip_prefix(core).map(|problem| format!("{python}{problem}")));
    let message = message.as_deref().unwrap_or(error.message());
    match filled {
        Ok(()) => exception(py, error.status(), error.advice(), message, &details),
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

/// The statuses of the core. A test compares `cmauth.Status` with them.
pub(crate) fn statuses() -> Vec<(&'static str, i32)> {
    Status::ALL.iter().map(|status| (status.name(), *status as i32)).collect()
}

/// The advices of the core. A test compares `cmauth.Advice` with them.
pub(crate) fn advices() -> Vec<(String, i32)> {
    Advice::ALL.iter().map(|advice| (format!("{advice:?}"), *advice as i32)).collect()
}
