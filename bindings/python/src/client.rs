//! `cmauth.Client`, and functions for scripts that make one call.

use std::path::PathBuf;
use std::time::Duration;

use cmauth::bindings::{Origins, reject_setting};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};

use crate::login::Login;
use crate::tokens::{Tokens, access_token_of};
use crate::{errors, text};

/// A client for one API key: an id and a secret, from https://dealer.cameramanager.com.
///
/// A client is immutable and stores no user. It keeps connections open, so make one and share it
/// between threads. Its calls block, but other threads run meanwhile. Ctrl-C ends a call within
/// 100 ms. A failure raises `Error`. Other processes can inherit the client by fork, or get it as
/// a pickle, which contains the secret.
///
/// client_secret: `None` on a machine that must not have it, such as an operator's workstation.
///     Such a client can begin logins; a machine with the secret finishes them (`Login.to_json`).
///
/// Options, with `None` for the default:
///
/// base_url: the server; https, or http on this machine for tests. Default: `DEFAULT_BASE_URL`.
/// scope: the scope to request: "write" (default), "read", or several separated by spaces.
/// timeout: the time limit of a call with its retries, in seconds. Default: 30.
/// connect_timeout: the time limit of one connection with its TLS handshake. Default: 10.
/// ca_file: a PEM file with the certificates to trust instead of the system's.
/// add_ca_files: PEM files with certificates to trust in addition.
/// proxy: the URL of a proxy, or "" for none. Default: the environment decides, as in curl
///     (HTTPS_PROXY, ALL_PROXY, NO_PROXY).
/// user_agent: your product and its version, which follow `libcmauth/x.y.z`.
/// max_retries: how often a refresh or logout is retried after a temporary failure. Default: 2.
/// params_in_body: sends token requests as a form, not in the query. Default: `False`.
/// allow_origins: further origins that may get the access token of a user, such as
///     "https://media.example". Default: only `base_url` may. See `check_url`.
///
/// An unusable value raises `FixError` with its name. Making a client sends nothing.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct Client {
    pub(crate) core: cmauth::Client,
    /// For `repr`.
    client_id: String,
    /// For `repr`.
    base_url: String,
    /// For pickles.
    client_secret: Option<cmauth::Secret>,
    /// The options from the caller, for pickles.
    options: Py<PyDict>,
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (client_id, client_secret, *, base_url=None, scope=None, timeout=None, connect_timeout=None,
        ca_file=None, add_ca_files=None, proxy=None, user_agent=None, max_retries=None, params_in_body=false, allow_origins=None))]
    #[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        client_id: &Bound<'_, PyString>,
        client_secret: Option<&Bound<'_, PyString>>,
        base_url: Option<&Bound<'_, PyString>>,
        scope: Option<&Bound<'_, PyString>>,
        timeout: Option<f64>,
        connect_timeout: Option<f64>,
        ca_file: Option<PathBuf>,
        add_ca_files: Option<&Bound<'_, PyAny>>,
        proxy: Option<&Bound<'_, PyString>>,
        user_agent: Option<&Bound<'_, PyString>>,
        max_retries: Option<&Bound<'_, PyInt>>,
        params_in_body: bool,
        allow_origins: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Client> {
        let client_id = text("client_id", client_id)?;
        let client_secret = client_secret.map(|secret| text("client_secret", secret)).transpose()?;
        let mut config = match &client_secret {
            Some(client_secret) => cmauth::Config::new(client_id.expose(), client_secret.expose()),
            None => cmauth::Config::new_public(client_id.expose()),
        };
        let options = PyDict::new(py);
        macro_rules! keep {
            ($($name:ident)*) => {
                $(if let Some(value) = &$name { options.set_item(stringify!($name), value)?; })*
            };
        }
        keep!(base_url scope timeout connect_timeout ca_file proxy user_agent max_retries);
        options.set_item("params_in_body", params_in_body)?;
        let mut shown_base_url = cmauth::DEFAULT_BASE_URL.to_owned();
        if let Some(base_url) = base_url {
            let base_url = text("base_url", base_url)?;
            config.set_base_url(base_url.expose());
            shown_base_url = base_url.expose().to_owned();
        }
        if let Some(scope) = scope {
            config.set_scope(text("scope", scope)?.expose());
        }
        for (name, seconds, set) in [
            ("timeout", timeout, cmauth::Config::set_timeout as fn(&mut _, _) -> &mut _),
            ("connect_timeout", connect_timeout, cmauth::Config::set_connect_timeout),
        ] {
            match seconds.map(Duration::try_from_secs_f64) {
                None => {}
                Some(Ok(time)) => _ = set(&mut config, time),
                Some(Err(_)) => {
                    reject_setting(&mut config, name, "not a time; give seconds, more than 0 and at most a day")
                }
            }
        }
        if let Some(ca_file) = ca_file {
            config.set_ca_file(ca_file);
        }
        if let Some(paths) = add_ca_files {
            let paths: Vec<PathBuf> = list("add_ca_files", "paths", paths)?;
            options.set_item("add_ca_files", &paths)?;
            for path in paths {
                config.add_ca_file(path);
            }
        }
        if let Some(proxy) = proxy {
            config.set_proxy(Some(text("proxy", proxy)?.expose()));
        }
        if let Some(user_agent) = user_agent {
            config.set_user_agent(text("user_agent", user_agent)?.expose());
        }
        if let Some(max_retries) = max_retries {
            match max_retries.extract::<u32>() {
                Ok(max_retries) => _ = config.set_max_retries(max_retries),
                Err(_) => reject_setting(&mut config, "max_retries", "not a number from 0 to 10"),
            }
        }
        config.set_params_in_body(params_in_body);
        if let Some(origins) = allow_origins {
            let origins: Vec<String> = list("allow_origins", "origins", origins)?;
            for origin in &origins {
                config.allow_origin(origin);
            }
            options.set_item("allow_origins", origins)?;
        }
        Ok(Client {
            core: errors::call(py, || cmauth::Client::new(&config))?,
            client_id: client_id.expose().to_owned(),
            base_url: shown_base_url,
            client_secret,
            options: options.unbind(),
        })
    }

    /// Exchanges the code of a redirect for tokens.
    ///
    /// `redirect_uri` must be exactly the one of the login page. `Login.finish` does the same and
    /// also checks the state of the redirect; use this method if you check the state yourself.
    /// Raises `LoginError` if the code is not valid any more. A code can be used once.
    fn exchange_code(
        &self,
        py: Python<'_>,
        code: &Bound<'_, PyString>,
        redirect_uri: &Bound<'_, PyString>,
    ) -> PyResult<Tokens> {
        let code = text("code", code)?;
        let redirect_uri = text("redirect_uri", redirect_uri)?;
        errors::call(py, || self.core.exchange_code(code.expose(), redirect_uri.expose())).map(Tokens)
    }

    /// Gets a new access token. The old one ends at once, so store the new tokens.
    ///
    /// Raises `LoginError` if the refresh token is not valid any more.
    fn refresh(&self, py: Python<'_>, refresh_token: &Bound<'_, PyString>) -> PyResult<Tokens> {
        let refresh_token = text("refresh_token", refresh_token)?;
        errors::call(py, || self.core.refresh(refresh_token.expose())).map(Tokens)
    }

    /// Ends the access token and its refresh token.
    ///
    /// Raises `RefreshError` if the access token is unknown or expired. The refresh token of an
    /// expired one stays valid: refresh, then log out.
    fn logout(&self, py: Python<'_>, access_token: &Bound<'_, PyString>) -> PyResult<()> {
        let access_token = text("access_token", access_token)?;
        errors::call(py, || self.core.logout(access_token.expose()))
    }

    /// Asks the API who the user of these tokens is, and returns a `User`.
    ///
    /// A program that serves many users keeps them by `User.id`. Raises `RefreshError` if the access
    /// token is unknown or expired. Raises `FixError` if its scope does not allow it.
    ///
    /// tokens: the tokens, or only their access token.
    fn user(&self, py: Python<'_>, tokens: &Bound<'_, PyAny>) -> PyResult<User> {
        let access_token = access_token_of(tokens)?;
        errors::call(py, || self.core.user(access_token.expose())).map(User)
    }

    /// Checks that a URL may get the access token. Raises `FixError` with its origin if it may not.
    ///
    /// URLs of the server (`base_url`: scheme, host and port) may, and those of `allow_origins` and
    /// `allow`. `Auth`, `HttpxAuth` and `Session.sign_url` do this check. With other HTTP libraries,
    /// call it before each request to a URL that the program did not write itself.
    ///
    /// allow: further origins: `["https://media.example"]`.
    #[pyo3(signature = (url, *, allow=None))]
    fn check_url(&self, py: Python<'_>, url: &Bound<'_, PyString>, allow: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let allow = origins(py, allow)?;
        let url = text("url", url)?;
        cmauth::bindings::check_url(&self.core, url.expose(), &allow).map_err(|error| errors::to_python(py, &error))
    }

    /// For `cmauth doctor`: the URL of the proxy that is used. It can contain a password.
    fn _proxy_url(&self) -> Option<String> {
        cmauth::bindings::proxy_url(&self.core).map(|url| url.expose().to_owned())
    }

    /// Ends the calls in progress on this client, and all later ones, with `CancelledError`.
    ///
    /// Call it from any thread when the program must stop. A cancelled client stays cancelled.
    fn cancel(&self) {
        self.core.cancel();
    }

    /// Begins a login that redirects to `redirect_uri`. Sends nothing.
    ///
    /// Raises `FixError` if that does not begin with http:// or https://.
    fn begin_login(&self, redirect_uri: &Bound<'_, PyString>) -> PyResult<Login> {
        let py = redirect_uri.py();
        let redirect_uri = text("redirect_uri", redirect_uri)?;
        errors::call(py, || cmauth::Login::new(&self.core, redirect_uri.expose())).map(Login::plain)
    }

    /// Begins a login that redirects to this machine, and listens for it on 127.0.0.1.
    ///
    /// Open its `url` in the browser, then call its `wait`.
    ///
    /// port: 0 for a free one. An API key with a registered redirect URI may need the port of that.
    ///
    /// Raises `FixError` if the port is not available.
    #[pyo3(signature = (port=0))]
    fn listen(&self, py: Python<'_>, port: u16) -> PyResult<Login> {
        errors::call(py, || cmauth::Loopback::listen(&self.core, port)).map(Login::listening)
    }

    /// Does a whole login: opens the browser, waits for the redirect, and returns the tokens.
    ///
    /// timeout: how long the user may take, in seconds.
    /// port: as for `listen`.
    /// message: the text of the page that the browser shows after the login.
    /// show: called with the URL of the login page instead of opening a browser: `show=print`. It runs
    ///     in a thread, so the redirect is answered while it blocks. Its exception ends the login.
    ///
    /// Raises `LoginError` if the user denied the access, `RetryError` after the timeout.
    #[pyo3(signature = (*, timeout=300.0, port=0, message=None, show=None))]
    fn login<'py>(
        &self,
        py: Python<'py>,
        timeout: f64,
        port: u16,
        message: Option<&Bound<'_, PyString>>,
        show: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let login = self.listen(py, port)?;
        if let Some(message) = message {
            login.set_message(message)?;
        }
        py.import("cmauth._show")?.call_method1("wait_and_show", (login, show, timeout))
    }

    /// The arguments with which a pickle makes the client.
    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> ((String, Option<String>), Bound<'py, PyDict>) {
        let secret = self.client_secret.as_ref().map(|secret| secret.expose().to_owned());
        ((self.client_id.clone(), secret), self.options.bind(py).clone())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// Ends the calls in progress, as `cancel` does.
    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _traceback: &Bound<'_, PyAny>) {
        self.core.cancel();
    }

    fn __repr__(&self) -> String {
        format!("Client(client_id={:?}, base_url={:?})", self.client_id, self.base_url)
    }
}

/// A user, as the API describes it. `Client.user` asks for it. Contains no secret.
#[pyclass(module = "cmauth", frozen, eq)]
#[derive(PartialEq)]
pub(crate) struct User(cmauth::User);

#[pymethods]
impl User {
    /// The ID, the same for every login of the user: "20003".
    #[getter]
    fn id(&self) -> &str {
        &self.0.id
    }

    /// The name with which the user logs in, if the API sent it.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The e-mail address, if the API sent it.
    #[getter]
    fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    fn __repr__(&self) -> String {
        let or_none =
            |text: &Option<String>| text.as_ref().map_or_else(|| "None".to_owned(), |text| format!("{text:?}"));
        format!("User(id={:?}, name={}, email={})", self.0.id, or_none(&self.0.name), or_none(&self.0.email))
    }
}

/// The items of a list that the caller gave. One text is a mistake, although Python can iterate over it.
fn list<T: for<'py> FromPyObjectOwned<'py, Error: Into<PyErr>>>(
    name: &str,
    of: &str,
    items: &Bound<'_, PyAny>,
) -> PyResult<Vec<T>> {
    if items.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!("{name}: give a list of {of}, not one text")));
    }
    items.try_iter()?.map(|item| item?.extract().map_err(Into::into)).collect()
}

/// The origins of an argument `allow`.
pub(crate) fn origins(py: Python<'_>, allow: Option<&Bound<'_, PyAny>>) -> PyResult<Origins> {
    let mut origins = Origins::default();
    for origin in allow.map(|allow| list::<String>("allow", "origins", allow)).transpose()?.unwrap_or_default() {
        origins.add(&origin).map_err(|error| errors::to_python(py, &error))?;
    }
    Ok(origins)
}

/// `Client.exchange_code` for a script that calls once. `options` are those of `Client`.
#[pyfunction]
#[pyo3(signature = (client_id, client_secret, code, redirect_uri, **options))]
pub(crate) fn exchange_code(
    client_id: &Bound<'_, PyString>,
    client_secret: &Bound<'_, PyString>,
    code: &Bound<'_, PyString>,
    redirect_uri: &Bound<'_, PyString>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Tokens> {
    let client = client_for_one_call(client_id, client_secret, options)?;
    client.get().exchange_code(client.py(), code, redirect_uri)
}

/// `Client.refresh` for a script that calls once. `options` are those of `Client`.
#[pyfunction]
#[pyo3(signature = (client_id, client_secret, refresh_token, **options))]
pub(crate) fn refresh(
    client_id: &Bound<'_, PyString>,
    client_secret: &Bound<'_, PyString>,
    refresh_token: &Bound<'_, PyString>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Tokens> {
    let client = client_for_one_call(client_id, client_secret, options)?;
    client.get().refresh(client.py(), refresh_token)
}

/// `Client.logout` for a script that calls once. `options` are those of `Client`.
#[pyfunction]
#[pyo3(signature = (client_id, client_secret, access_token, **options))]
pub(crate) fn logout(
    client_id: &Bound<'_, PyString>,
    client_secret: &Bound<'_, PyString>,
    access_token: &Bound<'_, PyString>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let client = client_for_one_call(client_id, client_secret, options)?;
    client.get().logout(client.py(), access_token)
}

fn client_for_one_call<'py>(
    client_id: &Bound<'py, PyString>,
    client_secret: &Bound<'py, PyString>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Client>> {
    let client = client_id.py().get_type::<Client>();
    Ok(client.call((client_id, client_secret), options)?.cast_into()?)
}
