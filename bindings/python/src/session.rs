//! `cmauth.Session` and its stores: `MemoryStore`, `FileStore`, and whatever follows the protocol `cmauth.Store`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cmauth::{LoggedOut, Secret, Store, StoreError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::client::Client;
use crate::tokens::Tokens;
use crate::{errors, text};

/// One logged-in user, asked by any thread of any process for a token that is valid now.
///
/// It keeps its tokens in `store`: a `FileStore`, a `MemoryStore`, a `RedisStore` or another
/// `Store`. It begins with the ones that are there, or with nobody logged in until `start`.
/// Threads share one session; processes and machines share a user by sharing a store.
/// Raises `RetryError` where the store cannot be read. If what it has is damaged, or of another
/// API key or server, nobody is logged in: `health` has the `FixError` that every call but
/// `forget` raises, and `forget` gives it up.
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
    /// Raises `RetryError` where the store could not be locked or written, `FixError` where what it
    /// has is damaged or of another API key or server and would be lost: the session is as before,
    /// and the tokens are still good for another try.
    fn start(&self, py: Python<'_>, tokens: &Bound<'_, Tokens>) -> PyResult<()> {
        let tokens = &tokens.get().0;
        errors::call(py, || self.0.start(tokens))
    }

    /// Tokens that are valid now. Refreshes them when they are about to end, once for all.
    ///
    /// Where that fails while the tokens at hand have not ended, gives those; the failure shows
    /// in `health`. Raises `LoginError` where nobody is logged in or the server ended the login.
    /// With a `MemoryStore` or `FileStore`, who can have tokens that have not ended waits for newer
    /// ones for a second at most. After a failure the server is left alone: later calls for
    /// tokens that have ended, or were rejected, raise the same error at once until `retry_after`
    /// has passed.
    fn tokens(&self, py: Python<'_>) -> PyResult<Tokens> {
        crate::logging::deliver(py);
        let tokens = self.0.tokens_at_hand();
        errors::raise_kept()?;
        if let Some(tokens) = tokens {
            return Ok(Tokens(tokens));
        }
        errors::call(py, || self.0.tokens()).map(Tokens)
    }

    /// The tokens, if they are valid now and nothing need be done, else `None`; never blocks.
    fn tokens_at_hand(&self, py: Python<'_>) -> PyResult<Option<Tokens>> {
        crate::logging::deliver(py);
        let tokens = self.0.tokens_at_hand().map(Tokens);
        errors::raise_kept().map(|()| tokens)
    }

    /// Other tokens, after the API answered 401 to these: refreshed once for all who ask.
    ///
    /// Not after a 403, which other tokens would get too. Raises what `tokens` does; the rejected
    /// ones are not given again. Tokens that came after rejected ones, and are younger than 15 s
    /// (up to 10 minutes, if that goes on), are not refreshed again: `RetryError` with the status
    /// `TOKEN_REJECTED`, and `retry_after`.
    fn rejected(&self, py: Python<'_>, tokens: &Bound<'_, Tokens>) -> PyResult<Tokens> {
        let tokens = &tokens.get().0;
        errors::call(py, || self.0.rejected(tokens)).map(Tokens)
    }

    /// Ends the login at the server, for all who share it, and here.
    ///
    /// `True`: the server confirmed it. `False`: it was gone already. Raises where the server
    /// could not be told: all is as before, so try again, or `forget`.
    fn logout(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(errors::call(py, || self.0.logout())? == LoggedOut::Confirmed)
    }

    /// Forgets the tokens here and in the store; the server is not told.
    ///
    /// Clears a store whose content is damaged, or of another API key or server, too.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        errors::call(py, || self.0.forget())
    }

    /// Calls `callback` with the generation after each change: other tokens, or none any more.
    ///
    /// So that streams that live long can reconnect. It is called in the thread that noticed,
    /// within a call of the session, which it may call in its turn. The generation is another
    /// number after each change; of two calls at once either may come first. `None`: nobody is
    /// told any more.
    fn on_change(&self, callback: Option<Py<PyAny>>) {
        self.0.on_change(move |generation| {
            let Some(callback) = &callback else { return };
            Python::attach(|py| {
                if let Err(error) = callback.bind(py).call1((generation,))
                    && !errors::keep_if_it_ends_the_program(py, &error)
                {
                    error.write_unraisable(py, Some(callback.bind(py)));
                }
            });
        });
    }

    /// How the session is, as known here; asks nobody.
    fn health(&self, py: Python<'_>) -> Health {
        crate::logging::deliver(py);
        Health(self.0.health())
    }

    fn __repr__(&self) -> String {
        format!("Session({})", Health(self.0.health()).__repr__())
    }
}

/// How a session is. Holds no secret.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct Health(cmauth::Health);

#[pymethods]
impl Health {
    /// Whether there are tokens, as far as is known here.
    #[getter]
    fn logged_in(&self) -> bool {
        self.0.logged_in
    }

    /// The number of the tokens: another one after each change.
    #[getter]
    fn generation(&self) -> u64 {
        self.0.generation
    }

    /// When the access token ends, in Unix seconds; `None`: never, or nobody is logged in.
    #[getter]
    fn expires_at(&self) -> Option<i64> {
        self.0.expires_at
    }

    /// When a refresh is tried next, in Unix seconds; `None`: never, or nobody is logged in.
    #[getter]
    fn next_refresh(&self) -> Option<i64> {
        self.0.next_refresh
    }

    /// Failures since the last success.
    #[getter]
    fn failures(&self) -> u32 {
        self.0.failures
    }

    /// The last of the failures in a row, or what is wrong with the content of the store.
    #[getter]
    fn last_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.0.last_error.as_ref().map(|error| errors::to_python(py, error).into_value(py).into_any())
    }

    /// Whether the store has the tokens. If it refused them, saving is tried again.
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

/// Keeps a session for as long as the process lives.
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
/// Beside `path` stand `path.lock`, which stays, and for a moment `path.tmp`. A process that is
/// killed, or a machine that loses power, leaves the old session or the new one. A file that
/// others can read is refused. What is wrong with the path is raised when a session is opened.
///
/// A relative path counts from the working directory of this moment. Of a symbolic link, the
/// target is written and locked. A child of `os.fork` does not inherit the lock. No other code of
/// the process may open and close `path.lock`, which would release it.
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

/// An object that follows the protocol `cmauth.Store`.
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

    fn unlock(&self) {
        Python::attach(|py| {
            let store = self.0.bind(py);
            if let Err(error) = store.call_method0(intern!(py, "unlock"))
                && !errors::keep_if_it_ends_the_program(py, &error)
            {
                error.write_unraisable(py, Some(store));
            }
        });
    }

    fn generation(&self) -> Result<u64, StoreError> {
        Python::attach(|py| {
            let method = self.0.bind(py).getattr_opt(intern!(py, "generation"));
            // Most stores need none, and may have an attribute of their own by that name.
            let method = method.map(|method| method.filter(|method| method.is_callable()));
            let generation = method.and_then(|method| method.map_or(Ok(0), |method| method.call0()?.extract()));
            generation.map_err(|error| failed(py, &error))
        })
    }
}

/// What a store raised. The core hides the tokens in its text.
fn failed(py: Python<'_>, error: &PyErr) -> StoreError {
    errors::keep_if_it_ends_the_program(py, error);
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
