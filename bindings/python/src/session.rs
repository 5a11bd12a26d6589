//! `cmauth.Session` and its stores: `MemoryStore`, `FileStore`, and objects that implement the protocol `cmauth.Store`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cmauth::{Change, LoggedOut, Secret, Store, StoreError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::client::Client;
use crate::tokens::Tokens;
use crate::{errors, text};

/// A logged-in user. It gives all threads and processes a valid access token.
///
/// It keeps the tokens in `store`: a `FileStore`, a `MemoryStore`, a `RedisStore` or another
/// `Store`. It begins with the tokens in the store. Without any, nobody is logged in until
/// `start`. Threads share one session. Processes and machines share a store.
///
/// Raises `RetryError` if the store cannot be read. If its content is damaged, or of another API
/// key or server, nobody is logged in: `health` has a `FixError`, which every call except
/// `forget` raises, and `forget` clears the store.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct Session(cmauth::Session);

#[pymethods]
impl Session {
    #[new]
    fn new(py: Python<'_>, client: &Bound<'_, Client>, store: &Bound<'_, PyAny>) -> PyResult<Session> {
        let store: Arc<dyn Store> = if let Ok(memory) = store.cast::<MemoryStore>() {
            memory.get().0.clone()
        } else if let Ok(file) = store.cast::<FileStore>() {
            file.get().0.clone()
        } else {
            Arc::new(PythonStore(store.clone().unbind()))
        };
        let client = &client.get().core;
        errors::call(py, || cmauth::Session::open_shared(client, store)).map(Session)
    }

    /// Begins with the tokens of a login. They are in the store when this returns.
    ///
    /// Raises `RetryError` if the store cannot be locked or written. Raises `FixError` if the store
    /// has content that is damaged, or of another API key or server; `forget` deletes it. After an
    /// error, the session is unchanged and the tokens are still valid, so you can try again.
    fn start(&self, py: Python<'_>, tokens: &Bound<'_, Tokens>) -> PyResult<()> {
        let tokens = &tokens.get().0;
        errors::call(py, || self.0.start(tokens))
    }

    /// Returns valid tokens. Refreshes them shortly before they expire, once for all callers.
    ///
    /// If a refresh fails before the tokens have expired, this returns them, and `health` has the
    /// failure. Raises `LoginError` if nobody is logged in or the server ended the login.
    ///
    /// With a `MemoryStore` or `FileStore`, a caller whose tokens have not expired waits for a
    /// refresh for at most a second. After a failure, the session pauses: until `retry_after` has
    /// passed, it raises the same error at once if the tokens have expired or were rejected.
    fn tokens(&self, py: Python<'_>) -> PyResult<Tokens> {
        crate::logging::deliver(py);
        let tokens = self.0.tokens_at_hand();
        errors::raise_interrupt()?;
        if let Some(tokens) = tokens {
            return Ok(Tokens(tokens));
        }
        errors::call(py, || self.0.tokens()).map(Tokens)
    }

    /// The tokens, if they are valid and need no refresh now, else `None`. Never blocks.
    fn tokens_at_hand(&self, py: Python<'_>) -> PyResult<Option<Tokens>> {
        crate::logging::deliver(py);
        let tokens = self.0.tokens_at_hand().map(Tokens);
        errors::raise_interrupt().map(|()| tokens)
    }

    /// Returns other tokens after the API responded 401. Refreshes once for all callers.
    ///
    /// Do not call it after a 403, which other tokens would get too. It raises the errors of
    /// `tokens`, and the session does not return the rejected tokens again.
    ///
    /// Tokens that replaced rejected ones are not refreshed before they are 15 s old (up to 10
    /// minutes, if the API goes on rejecting tokens). Until then, this raises `RetryError` with the
    /// status `TOKEN_REJECTED` and `retry_after`.
    ///
    /// tokens: the rejected tokens, or only their access token.
    fn rejected(&self, py: Python<'_>, tokens: &Bound<'_, PyAny>) -> PyResult<Tokens> {
        if let Ok(access_token) = tokens.cast::<PyString>() {
            let access_token = text("tokens", access_token)?;
            return errors::call(py, || self.0.rejected_token(access_token.expose())).map(Tokens);
        }
        let tokens = &tokens.cast::<Tokens>()?.get().0;
        errors::call(py, || self.0.rejected(tokens)).map(Tokens)
    }

    /// How many seconds `tokens` has nothing to do but to return the tokens at hand.
    ///
    /// `None`: nothing will be due, because the tokens do not expire or nobody is logged in. An event
    /// loop can wait for this time. Another call, or another process, can change it.
    fn next_action(&self) -> Option<f64> {
        self.0.next_action().map(|time| time.as_secs_f64())
    }

    /// Ends the login at the server, for all who share it, and clears the store.
    ///
    /// Returns `True` if the server confirmed it, `False` if the login had ended already. Raises an
    /// error and changes nothing if the server cannot be told; then try again, or call `forget`.
    fn logout(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(errors::call(py, || self.0.logout())? == LoggedOut::Confirmed)
    }

    /// Deletes the tokens here and in the store, without telling the server.
    ///
    /// It also clears a store whose content is damaged, or of another API key or server.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        errors::call(py, || self.0.forget())
    }

    /// Calls `callback` with a `Change` and the generation after each change of the tokens.
    ///
    /// Long-lived streams can then reconnect. If several changes were not reported yet, it is called
    /// once, with the last one. The session calls it in the thread that noticed the
    /// change, within a call of the session. The callback may call the session. The generation
    /// differs after each change. Two concurrent calls can come in any order. `None` removes the
    /// callback.
    fn on_change(&self, callback: Option<Py<PyAny>>) {
        self.0.on_change(move |change, generation| {
            let Some(callback) = &callback else { return };
            let number = match change {
                Change::EndedHere => 2,
                Change::EndedByServer => 3,
                Change::EndedElsewhere => 4,
                _ => 1,
            };
            Python::attach(|py| {
                let change = py
                    .import(intern!(py, "cmauth._change"))
                    .and_then(|module| module.getattr(intern!(py, "Change")))
                    .and_then(|kind| kind.call1((number,)));
                if let Err(error) = change.and_then(|change| callback.bind(py).call1((change, generation)))
                    && !errors::keep_interrupt(py, &error)
                {
                    error.write_unraisable(py, Some(callback.bind(py)));
                }
            });
        });
    }

    /// The state of the session, as far as this process knows. Sends nothing.
    fn health(&self, py: Python<'_>) -> Health {
        crate::logging::deliver(py);
        Health(self.0.health())
    }

    fn __repr__(&self) -> String {
        format!("Session({})", Health(self.0.health()).__repr__())
    }
}

/// The state of a session. Contains no secret.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct Health(cmauth::Health);

#[pymethods]
impl Health {
    /// Whether there are tokens, as far as this process knows.
    #[getter]
    fn logged_in(&self) -> bool {
        self.0.logged_in
    }

    /// A number that identifies the present tokens. It differs after each change.
    #[getter]
    fn generation(&self) -> u64 {
        self.0.generation
    }

    /// When the access token expires, in Unix seconds. `None`: never, or nobody is logged in.
    #[getter]
    fn expires_at(&self) -> Option<i64> {
        self.0.expires_at
    }

    /// When the next refresh is due, in Unix seconds. `None`: never, or nobody is logged in.
    #[getter]
    fn next_refresh(&self) -> Option<i64> {
        self.0.next_refresh
    }

    /// The number of failures since the last success.
    #[getter]
    fn failures(&self) -> u32 {
        self.0.failures
    }

    /// The last of these failures, or the error in the content of the store.
    #[getter]
    fn last_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.0.last_error.as_ref().map(|error| errors::to_python(py, error).into_value(py).into_any())
    }

    /// Whether the store has the tokens. If saving them failed, the session tries again.
    #[getter]
    fn saved(&self) -> bool {
        self.0.saved
    }

    fn __repr__(&self) -> String {
        let health = &self.0;
        format!(
            "Health(logged_in={}, generation={}, failures={}, saved={})",
            python_bool(health.logged_in),
            health.generation,
            health.failures,
            python_bool(health.saved)
        )
    }
}

fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// Keeps a session in memory, until the process ends.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct MemoryStore(Arc<cmauth::MemoryStore>);

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
/// A relative path counts from the working directory at the time of this call. For a symbolic
/// link, the store writes and locks the target. A child of `os.fork` does not inherit the lock.
/// Other code of the process must not open and close `path.lock`, which would release the lock.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct FileStore(Arc<cmauth::FileStore>);

#[pymethods]
impl FileStore {
    #[new]
    fn new(path: PathBuf) -> FileStore {
        FileStore(Arc::new(cmauth::FileStore::new(path)))
    }

    fn __repr__(&self) -> String {
        format!("FileStore({:?})", self.0.path())
    }
}

/// An object that implements the protocol `cmauth.Store`.
struct PythonStore(Py<PyAny>);

impl Store for PythonStore {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        Python::attach(|py| {
            let record = self.0.bind(py).call_method0(intern!(py, "load"));
            let record = record.and_then(|record| match record.is_none() {
                true => Ok(None),
                false => text("record", record.cast::<PyString>()?).map(Some),
            });
            record.map_err(|error| failed(py, &error))
        })
    }

    fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError> {
        Python::attach(|py| {
            let saved = self.0.bind(py).call_method1(intern!(py, "save"), (record.expose(), generation));
            saved.map(drop).map_err(|error| failed(py, &error))
        })
    }

    fn clear(&self, generation: u64) -> Result<(), StoreError> {
        Python::attach(|py| {
            let cleared = self.0.bind(py).call_method1(intern!(py, "clear"), (generation,));
            cleared.map(drop).map_err(|error| failed(py, &error))
        })
    }

    fn try_lock(&self, hold: Duration) -> Result<bool, StoreError> {
        Python::attach(|py| {
            let locked = self.0.bind(py).call_method1(intern!(py, "try_lock"), (hold.as_secs_f64(),));
            locked.and_then(|locked| locked.is_truthy()).map_err(|error| failed(py, &error))
        })
    }

    fn unlock(&self) -> Result<(), StoreError> {
        Python::attach(|py| {
            let unlocked = self.0.bind(py).call_method0(intern!(py, "unlock"));
            unlocked.map(drop).map_err(|error| failed(py, &error))
        })
    }

    fn generation(&self) -> Result<u64, StoreError> {
        Python::attach(|py| {
            let method = self.0.bind(py).getattr_opt(intern!(py, "generation"));
            // The method is optional. A store may also have another attribute of that name.
            let method = method.map(|method| method.filter(|method| method.is_callable()));
            let generation = method.and_then(|method| method.map_or(Ok(0), |method| method.call0()?.extract()));
            generation.map_err(|error| failed(py, &error))
        })
    }
}

/// Converts an exception of a store. The core redacts tokens in its text.
fn failed(py: Python<'_>, error: &PyErr) -> StoreError {
    errors::keep_interrupt(py, error);
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
