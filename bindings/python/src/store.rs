//! The stores of sessions: `MemoryStore`, `FileStore`, and objects that implement the protocol `cmauth.Store`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cmauth::{Secret, Store, StoreError};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::{errors, store_thread, text};

/// Keeps a session in memory, until the process ends.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct MemoryStore(pub(crate) Arc<cmauth::MemoryStore>);

#[pymethods]
impl MemoryStore {
    #[new]
    fn new() -> MemoryStore {
        MemoryStore(Arc::new(cmauth::MemoryStore::new()))
    }

    #[allow(clippy::unused_self, reason = "a method in Python")]
    fn __repr__(&self) -> &'static str {
        "MemoryStore()"
    }
}

/// Keeps a session in one file, which only its owner can read, for all processes of a machine.
///
/// Beside `path`, it uses `path.lock`, which stays, and `path.tmp` while it writes. If a process
/// is killed, or the machine loses power, the file has the old session or the new one. The store
/// rejects a file that other users can read. Opening a session raises errors of the path.
///
/// A path that begins with "~" counts from the home folder. A relative path counts from the working
/// directory at the time of this call. For a symbolic link, the store writes and locks the target.
/// A child of `os.fork` does not inherit the lock. Other code of the process must not open and
/// close `path.lock`, which would release the lock.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct FileStore(pub(crate) Arc<cmauth::FileStore>);

#[pymethods]
impl FileStore {
    #[new]
    fn new(path: &Bound<'_, PyAny>) -> PyResult<FileStore> {
        let os_path = path.py().import(intern!(path.py(), "os.path"))?;
        let path: PathBuf = os_path.call_method1(intern!(path.py(), "expanduser"), (path,))?.extract()?;
        Ok(FileStore(Arc::new(cmauth::FileStore::new(path))))
    }

    fn __repr__(&self) -> String {
        format!("FileStore({:?})", self.0.path())
    }
}

/// An object that implements the protocol `cmauth.Store`.
pub(crate) struct PythonStore(Py<PyAny>);

impl PythonStore {
    /// Raises a `TypeError` if the object cannot be a store.
    pub(crate) fn new(store: &Bound<'_, PyAny>) -> PyResult<PythonStore> {
        let stores = store.py().import(intern!(store.py(), "cmauth._stores"))?;
        stores.call_method1(intern!(store.py(), "check_store"), (store,))?;
        Ok(PythonStore(store.clone().unbind()))
    }

    pub(crate) fn object(&self) -> &Py<PyAny> {
        &self.0
    }

    /// Calls a method, and reads what it returned. `returns` says what that must be.
    fn call<T>(
        &self,
        name: &str,
        arguments: impl for<'py> IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error: Into<PyErr>>,
        returns: &str,
        read: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>,
    ) -> Result<T, StoreError> {
        Python::attach(|py| {
            let store = self.0.bind(py);
            let call = || {
                let (method, arguments) = (store.getattr(name)?, arguments.into_pyobject(py).map_err(Into::into)?);
                if store_thread::is_in_thread_of_package() {
                    store_thread::call(&method, &arguments)
                } else {
                    method.call1(arguments)
                }
            };
            let returned = call().map_err(|error| failed(py, &error))?;
            read(&returned).map_err(|_| {
                let kind = |object: &Bound<'_, PyAny>| {
                    object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string())
                };
                let mistake = format!("{}.{name}: it returned {}, not {returns}", kind(store), kind(&returned));
                errors::keep(PyTypeError::new_err(mistake.clone()));
                StoreError::Unusable(mistake)
            })
        })
    }
}

impl Store for PythonStore {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        self.call("load", (), "str or None", |record| match record.is_none() {
            true => Ok(None),
            false => text("record", record.cast::<PyString>()?).map(Some),
        })
    }

    fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError> {
        self.call("save", (record.expose(), generation), "None", |_| Ok(()))
    }

    fn clear(&self, generation: u64) -> Result<(), StoreError> {
        self.call("clear", (generation,), "None", |_| Ok(()))
    }

    fn try_lock(&self, hold: Duration) -> Result<bool, StoreError> {
        self.call("try_lock", (hold.as_secs_f64(),), "bool", |locked| locked.is_truthy())
    }

    fn unlock(&self) -> Result<(), StoreError> {
        self.call("unlock", (), "None", |_| Ok(()))
    }

    fn generation(&self) -> Result<u64, StoreError> {
        // The method is optional. A store may also have another attribute of that name.
        let has_method = Python::attach(|py| {
            let method = self.0.bind(py).getattr_opt(intern!(py, "generation"));
            method.map(|method| method.is_some_and(|method| method.is_callable())).map_err(|error| failed(py, &error))
        })?;
        if has_method { self.call("generation", (), "int", |generation| generation.extract()) } else { Ok(0) }
    }
}

/// Converts an exception of a store, and keeps it as the cause of the session's error. The core redacts tokens in its text.
fn failed(py: Python<'_>, error: &PyErr) -> StoreError {
    errors::keep_interrupt(py, error);
    errors::keep_cause(error.clone_ref(py));
    let kind = error.get_type(py);
    let stale = py
        .import(intern!(py, "cmauth._stores"))
        .and_then(|module| module.getattr(intern!(py, "StaleError")))
        .is_ok_and(|stale| kind.is_subclass(&stale).unwrap_or(false));
    if stale {
        return StoreError::Newer;
    }
    let name = kind.name().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    StoreError::Failed(format!("{name}: {}", error.value(py)))
}

/// How many seconds a method of a store may still take, if a session calls it on this thread.
///
/// Neither the timeout of the client nor a cancel ends a method of a store, so use this as the
/// limit of its own requests. It is at least 1, because new tokens are saved even after the
/// timeout. `None`: no session calls a store on this thread.
#[pyfunction]
pub(crate) fn store_time_left() -> Option<f64> {
    cmauth::store_time_left().map(|time| time.as_secs_f64())
}
