//! Ends a call that runs in a thread of the package, such as one of an event loop's task that was cancelled.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::store_thread;

/// Ends calls from another thread.
#[pyclass(module = "cmauth._cmauth", name = "_Cancel", frozen)]
pub(crate) struct Cancel(cmauth::Cancel);

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Cancel {
        Cancel(cmauth::Cancel::new())
    }

    /// Runs `call`. After `cancel`, the calls of the library that it makes raise `CancelledError`.
    #[pyo3(signature = (call, *arguments))]
    fn run<'py>(&self, call: &Bound<'py, PyAny>, arguments: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        store_thread::in_thread_of_package(|| self.0.scope(|| call.call1(arguments)))
    }

    /// Ends the calls within 100 ms.
    fn cancel(&self) {
        self.0.cancel();
    }
}
