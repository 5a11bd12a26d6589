//! Calls methods of stores written in Python on a thread that has no frame of Rust.
//!
//! When the interpreter ends, it ends each other thread at its next step in Python, by unwinding its stack. Frames of Rust must
//! not be unwound like that: the process would abort. A thread of the package (`cmauth._async.start_thread`) can be in a store's
//! method for as long as that likes. So another thread calls the method, and the thread of the package waits for it, without
//! being in Python.

use std::cell::Cell;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

thread_local! {
    static IS_OF_PACKAGE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `call` on a thread of the package.
pub(crate) fn in_thread_of_package<T>(call: impl FnOnce() -> T) -> T {
    IS_OF_PACKAGE.set(true);
    call()
}

pub(crate) fn is_in_thread_of_package() -> bool {
    IS_OF_PACKAGE.get()
}

/// Calls `method` on the store thread of this thread.
pub(crate) fn call<'py>(method: &Bound<'py, PyAny>, arguments: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let py = method.py();
    let (sender, receiver) = mpsc::channel();
    let answer = Answer { sender, time_left: cmauth::store_time_left() };
    py.import(intern!(py, "cmauth._async"))?
        .call_method1(intern!(py, "call_on_store_thread"), (method, arguments, answer))?;
    let returned = py.detach(move || match receiver.recv() {
        Ok(returned) => returned,
        // The interpreter ends.
        Err(_) => loop {
            thread::park();
        },
    });
    returned.map(|returned| returned.into_bound(py))
}

/// What a store thread returns.
#[pyclass(module = "cmauth._cmauth", name = "_Answer", frozen)]
pub(crate) struct Answer {
    sender: Sender<PyResult<Py<PyAny>>>,
    time_left: Option<Duration>,
}

#[pymethods]
impl Answer {
    /// The method begins on this thread.
    fn begin(&self) {
        cmauth::bindings::set_store_time_left(self.time_left);
    }

    /// The method has returned `result`, or raised `error`.
    fn end(&self, result: Py<PyAny>, error: Option<Bound<'_, PyAny>>) {
        cmauth::bindings::set_store_time_left(None);
        // The thread that waits lives until it has the answer.
        let _ = self.sender.send(error.map_or(Ok(result), |error| Err(PyErr::from_value(error))));
    }
}
