//! `cmauth.Session`, and what it returns.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cmauth::bindings::{invalid_argument, sign_url};
use cmauth::{Change, LoggedOut, Store};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::client::{Client, origins};
use crate::store::{FileStore, MemoryStore, PythonStore};
use crate::tokens::{Tokens, access_token_of};
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
#[pyclass(module = "cmauth", frozen, weakref)]
pub(crate) struct Session {
    core: cmauth::Session,
    /// The object behind the store, if it is one of Python.
    store: Option<Arc<PythonStore>>,
    on_change: Arc<Callback>,
    /// Runs the blocking calls of this session for event loops. Made when it is needed.
    worker: PyOnceLock<Py<PyAny>>,
}

/// The callback of `Session.on_change`. The garbage collector must see it: it often refers to the session.
#[derive(Default)]
struct Callback(Mutex<Option<Py<PyAny>>>);

impl Callback {
    fn get(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|callback| callback.clone_ref(py))
    }

    fn set(&self, callback: Option<Py<PyAny>>) {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), callback);
        // This can run code of the program, so the lock is free.
        drop(before);
    }
}

#[pymethods]
impl Session {
    #[new]
    fn new(py: Python<'_>, client: &Bound<'_, Client>, store: &Bound<'_, PyAny>) -> PyResult<Session> {
        let (store, own): (Arc<dyn Store>, _) = if let Ok(memory) = store.cast::<MemoryStore>() {
            (memory.get().0.clone(), None)
        } else if let Ok(file) = store.cast::<FileStore>() {
            (file.get().0.clone(), None)
        } else {
            let own = Arc::new(PythonStore::new(store)?);
            (own.clone(), Some(own))
        };
        let client = &client.get().core;
        let core = errors::call(py, || cmauth::Session::open_shared(client, store))?;
        Ok(Session { core, store: own, on_change: Arc::default(), worker: PyOnceLock::new() })
    }

    /// Begins with the tokens of a login. They are in the store when this returns.
    ///
    /// Raises `RetryError` if the store cannot be locked or written. Raises `FixError` if the store
    /// has content that is damaged, or of another API key or server; `forget` deletes it. After an
    /// error, the session is unchanged and the tokens are still valid, so you can try again.
    fn start(&self, py: Python<'_>, tokens: &Bound<'_, Tokens>) -> PyResult<()> {
        let tokens = &tokens.get().0;
        errors::call(py, || self.core.start(tokens))
    }

    /// Returns valid tokens. Refreshes them shortly before they expire, once for all callers.
    ///
    /// If a refresh fails before the tokens have expired, this returns them, and `health` has the
    /// failure. Raises `LoginError` if nobody is logged in or the server ended the login.
    ///
    /// With a `MemoryStore` or `FileStore`, a caller whose tokens have not expired waits for a
    /// refresh for at most a second. After a failure, the session pauses: until `retry_after` has
    /// passed, it raises the same error at once if the tokens have expired or were rejected.
    ///
    /// min_validity: how many seconds the tokens must remain valid. They are refreshed first if they
    ///     are not, for a job that must end with the tokens that it began with: see also `hold`.
    ///     Raises `FixError` if it is more than new tokens have.
    #[pyo3(signature = (*, min_validity=None))]
    fn tokens(&self, py: Python<'_>, min_validity: Option<f64>) -> PyResult<Tokens> {
        if let Some(seconds) = min_validity {
            let time = Duration::try_from_secs_f64(seconds).map_err(|_| {
                errors::to_python(py, &invalid_argument("min_validity", "not a time; give seconds, at least 0"))
            })?;
            return errors::call(py, || self.core.tokens_for(time)).map(Tokens);
        }
        crate::logging::deliver(py);
        let tokens = self.core.tokens_at_hand();
        errors::raise_interrupt()?;
        if let Some(tokens) = tokens {
            return Ok(Tokens(tokens));
        }
        errors::call(py, || self.core.tokens()).map(Tokens)
    }

    /// The tokens, if they are valid and need no refresh now, else `None`. Never blocks.
    fn tokens_at_hand(&self, py: Python<'_>) -> PyResult<Option<Tokens>> {
        crate::logging::deliver(py);
        let tokens = self.core.tokens_at_hand().map(Tokens);
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
        let access_token = access_token_of(tokens)?;
        errors::call(py, || self.core.rejected_token(access_token.expose())).map(Tokens)
    }

    /// Holds early refreshes off until `until`, for all sessions on the store, and returns the tokens.
    ///
    /// A refresh ends the old access token at once, so hold the tokens during a long download:
    /// `session.tokens(min_validity=3600)`, then `session.hold(time.time() + 3600)`. A hold ends with
    /// the tokens at the latest. A shorter one does not end a longer one. It does not prevent a
    /// refresh after a 401, a logout, or a refresh by a program that does not use this store.
    ///
    /// until: Unix seconds.
    ///
    /// Raises the errors of `tokens`. Raises `RetryError` if the hold could not be saved.
    fn hold(&self, py: Python<'_>, until: f64) -> PyResult<Tokens> {
        if until.is_nan() {
            return Err(errors::to_python(py, &invalid_argument("until", "not a time; give Unix seconds")));
        }
        // A conversion to an integer keeps to its limits.
        let until = until.ceil() as i64;
        errors::call(py, || self.core.hold(until)).map(Tokens)
    }

    /// Returns `url` with the access token as the query parameter `access_token`, as a `SignedUrl`.
    ///
    /// The API requires that for downloads of recordings. The token is percent-encoded, and replaces
    /// one that is there. The rest of the URL stays as it is, so encode the `+` of a time as `%2B`.
    /// Prefer the header where the API accepts it: servers and proxies log URLs.
    ///
    /// allow: further origins that may get the token: `["https://media.example"]`.
    ///
    /// Raises `FixError` if the URL may not get the token: see `Client.check_url`. Otherwise raises the
    /// errors of `tokens`.
    #[pyo3(signature = (url, *, allow=None))]
    fn sign_url(
        &self,
        py: Python<'_>,
        url: &Bound<'_, PyString>,
        allow: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<SignedUrl> {
        let allow = origins(py, allow)?;
        let url = text("url", url)?;
        errors::call(py, || sign_url(&self.core, url.expose(), &allow)).map(SignedUrl)
    }

    /// For `Auth` and `HttpxAuth`: `Client.check_url` of this session's client.
    fn _check_url(&self, py: Python<'_>, url: &Bound<'_, PyString>, allow: &Bound<'_, Origins>) -> PyResult<()> {
        let url = text("url", url)?;
        cmauth::bindings::check_url(self.core.client(), url.expose(), &allow.get().0)
            .map_err(|error| errors::to_python(py, &error))
    }

    /// For event loops: runs the blocking calls of this session in a thread.
    #[getter]
    fn _worker(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let make = || PyResult::Ok(py.import("cmauth._async")?.getattr("Worker")?.call0()?.unbind());
        self.worker.get_or_try_init(py, make).map(|worker| worker.clone_ref(py))
    }

    /// How many seconds `tokens` has nothing to do but to return the tokens at hand.
    ///
    /// `None`: nothing will be due, because the tokens do not expire or nobody is logged in. An event
    /// loop can wait for this time. Another call, or another process, can change it.
    fn next_action(&self) -> Option<f64> {
        self.core.next_action().map(|time| time.as_secs_f64())
    }

    /// Ends the login at the server, for all who share it, and clears the store.
    ///
    /// Returns `True` if the server confirmed it, `False` if the login had ended already. Raises an
    /// error and changes nothing if the server cannot be told; then try again, or call `forget`.
    fn logout(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(errors::call(py, || self.core.logout())? == LoggedOut::Confirmed)
    }

    /// Deletes the tokens here and in the store, without telling the server.
    ///
    /// It also clears a store whose content is damaged, or of another API key or server.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        errors::call(py, || self.core.forget())
    }

    /// Calls `callback` with a `Change` and the generation after each change of the tokens.
    ///
    /// Long-lived streams can then reconnect. If several changes were not reported yet, it is called
    /// once, with the last one. The session calls it in the thread that noticed the
    /// change, within a call of the session. The callback may call the session. The generation
    /// differs after each change. Two concurrent calls can come in any order. `None` removes the
    /// callback.
    fn on_change(&self, callback: Option<Py<PyAny>>) {
        self.on_change.set(callback);
        let on_change = self.on_change.clone();
        self.core.on_change(move |change, generation| {
            let number = match change {
                Change::EndedHere => 2,
                Change::EndedByServer => 3,
                Change::EndedElsewhere => 4,
                _ => 1,
            };
            Python::attach(|py| {
                let Some(callback) = on_change.get(py) else { return };
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
        Health(self.core.health())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A callback that is just being set is in use, so it need not be seen.
        if let Ok(callback) = self.on_change.0.try_lock() {
            visit.call(&*callback)?;
        }
        visit.call(self.store.as_ref().map(|store| store.object()))
    }

    fn __clear__(&self) {
        self.on_change.set(None);
    }

    fn __repr__(&self) -> String {
        format!("Session({})", Health(self.core.health()).__repr__())
    }
}

/// Further origins that may get the access token, for `Auth` and `HttpxAuth`.
#[pyclass(module = "cmauth._cmauth", name = "_Origins", frozen)]
pub(crate) struct Origins(cmauth::bindings::Origins);

#[pymethods]
impl Origins {
    #[new]
    #[pyo3(signature = (allow=None))]
    fn new(py: Python<'_>, allow: Option<&Bound<'_, PyAny>>) -> PyResult<Origins> {
        origins(py, allow).map(Origins)
    }
}

/// A URL with the access token in its query, made by `Session.sign_url`.
///
/// It is as secret as the token. Its `repr` and `str` hide it.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct SignedUrl(cmauth::SignedUrl);

#[pymethods]
impl SignedUrl {
    /// The URL. Do not log it.
    #[getter]
    fn url(&self) -> &str {
        self.0.url().expose()
    }

    /// When the token in the URL expires, in Unix seconds. `None`: never.
    ///
    /// A refresh ends the token earlier: `Session.hold` keeps refreshes away.
    #[getter]
    fn expires_at(&self) -> Option<i64> {
        self.0.expires_at()
    }

    fn __repr__(&self) -> String {
        let expires_at = self.0.expires_at().map_or_else(|| "None".to_owned(), |at| at.to_string());
        format!("SignedUrl(url=[redacted], expires_at={expires_at})")
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

    /// Until when early refreshes are held off, in Unix seconds: see `Session.hold`. `None`: they are not.
    #[getter]
    fn held_until(&self) -> Option<i64> {
        self.0.held_until
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
