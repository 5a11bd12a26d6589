//! `cmauth.Client`, and its three calls as functions for scripts.

use std::path::PathBuf;
use std::time::Duration;

use cmauth::bindings::reject_setting;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString};

use crate::login::Login;
use crate::tokens::Tokens;
use crate::{errors, text};

/// Talks to the server for one API key (id and secret, from https://dealer.cameramanager.com).
///
/// Immutable; make one and share it between threads, for it keeps connections open. It
/// remembers no user. Its calls block until they return or raise `Error`, other threads
/// running meanwhile; Ctrl-C ends one within 100 ms. Processes can inherit it by fork, or get it
/// as a pickle, which holds the secret.
///
/// client_secret: `None` on a machine that must not hold it, such as an operator's workstation:
///     the client can begin logins, for a machine that has it to finish (`Login.to_json`).
///
/// Options, `None` standing for the default:
///
/// base_url: the server, https (http only to this machine, for tests); `DEFAULT_BASE_URL`.
/// scope: what to ask for: "write" (default), "read", or several joined by spaces.
/// timeout: seconds that a whole call may take, retries included; 30.
/// connect_timeout: seconds that making one connection may take, TLS included; 10.
/// ca_file: a PEM file with the certificates to trust in place of the system's.
/// add_ca_files: PEM files with certificates to trust beside those.
/// proxy: `None`: from the environment (HTTPS_, ALL_, NO_PROXY, as in curl), "": none, else a URL.
/// user_agent: your product and its version, added after `libcmauth/x.y.z`.
/// max_retries: how often a refresh or logout is sent again after a passing failure; 2.
/// params_in_body: send token requests as a form and not in the query; `False`.
///
/// A value that cannot be raises `FixError`, which names it. Sends nothing.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct Client {
    pub(crate) core: cmauth::Client,
    /// For `repr`.
    client_id: String,
    /// For `repr`.
    base_url: String,
    /// For pickles.
    client_secret: Option<cmauth::Secret>,
    /// The options that were given, for pickles.
    options: Py<PyDict>,
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (client_id, client_secret, *, base_url=None, scope=None, timeout=None, connect_timeout=None,
        ca_file=None, add_ca_files=None, proxy=None, user_agent=None, max_retries=None, params_in_body=false))]
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
            if paths.is_instance_of::<PyString>() {
                return Err(PyTypeError::new_err("add_ca_files: give a list of paths, not one path"));
            }
            let paths = paths.try_iter()?.map(|path| path?.extract()).collect::<PyResult<Vec<PathBuf>>>()?;
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
        Ok(Client {
            core: errors::call(py, || cmauth::Client::new(&config))?,
            client_id: client_id.expose().to_owned(),
            base_url: shown_base_url,
            client_secret,
            options: options.unbind(),
        })
    }

    /// Turns the code of a redirect into tokens.
    ///
    /// `redirect_uri` is the one the login page was opened with, to the byte. `Login.finish` does
    /// this too, and checks the redirect's state before; use this where you check for yourself.
    /// Raises `LoginError` where the code is no longer good: it is used up by its first use.
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

    /// Gets a new access token. The old one ends at once: keep what comes back.
    ///
    /// Raises `LoginError` where the refresh token is no longer good.
    fn refresh(&self, py: Python<'_>, refresh_token: &Bound<'_, PyString>) -> PyResult<Tokens> {
        let refresh_token = text("refresh_token", refresh_token)?;
        errors::call(py, || self.core.refresh(refresh_token.expose())).map(Tokens)
    }

    /// Ends the access token and its refresh token.
    ///
    /// Raises `RefreshError` where the access token is unknown or expired; an expired one leaves
    /// the refresh token alive: refresh, then log out.
    fn logout(&self, py: Python<'_>, access_token: &Bound<'_, PyString>) -> PyResult<()> {
        let access_token = text("access_token", access_token)?;
        errors::call(py, || self.core.logout(access_token.expose()))
    }

    /// Ends the calls under way on this client, and every later one, with `CancelledError`.
    ///
    /// From any thread, for a program that must stop; there is no way back but a new client.
    fn cancel(&self) {
        self.core.cancel();
    }

    /// Begins a login that will come back to `redirect_uri`. Sends nothing.
    ///
    /// Raises `FixError` where that does not begin with http:// or https://.
    fn begin_login(&self, redirect_uri: &Bound<'_, PyString>) -> PyResult<Login> {
        let py = redirect_uri.py();
        let redirect_uri = text("redirect_uri", redirect_uri)?;
        errors::call(py, || cmauth::Login::new(&self.core, redirect_uri.expose())).map(Login::plain)
    }

    /// Begins a login that will come back to this machine, and listens for it.
    ///
    /// Open its `url` in the browser, then call its `wait`. It listens on 127.0.0.1 only.
    ///
    /// port: 0 takes a free one; a key with a registered redirect URI may need that one's.
    ///
    /// Raises `FixError` where the port cannot be had.
    #[pyo3(signature = (port=0))]
    fn listen(&self, py: Python<'_>, port: u16) -> PyResult<Login> {
        errors::call(py, || cmauth::Loopback::listen(&self.core, port)).map(Login::listening)
    }

    /// A whole login on this machine: opens the browser, waits for it to come back, finishes.
    ///
    /// timeout: seconds that the user may take.
    /// port: as for `listen`.
    /// message: the words on the page that the browser shows after a login.
    /// show: called with the URL of the page, in place of opening a browser: `show=print`.
    ///
    /// Raises `LoginError` where the user said no, `RetryError` where the time was up.
    #[pyo3(signature = (*, timeout=300.0, port=0, message=None, show=None))]
    fn login(
        &self,
        py: Python<'_>,
        timeout: f64,
        port: u16,
        message: Option<&Bound<'_, PyString>>,
        show: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Tokens> {
        let login = self.listen(py, port)?;
        if let Some(message) = message {
            login.set_message(message)?;
        }
        match show {
            Some(show) => _ = show.call1((login.url(),))?,
            None => {
                let browser = py.import("webbrowser")?.call_method1("open", (login.url(),))?;
                if !browser.is_truthy()? {
                    let problem = "no browser can be opened here; give show=print, and open the page yourself";
                    return Err(errors::to_python(py, &cmauth::bindings::invalid_argument("show", problem)));
                }
            }
        }
        login.wait(py, timeout)
    }

    /// What a pickle makes a client from.
    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> ((String, Option<String>), Bound<'py, PyDict>) {
        let secret = self.client_secret.as_ref().map(|secret| secret.expose().to_owned());
        ((self.client_id.clone(), secret), self.options.bind(py).clone())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// Ends what is under way, as `cancel` does.
    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _traceback: &Bound<'_, PyAny>) {
        self.core.cancel();
    }

    fn __repr__(&self) -> String {
        format!("Client(client_id={:?}, base_url={:?})", self.client_id, self.base_url)
    }
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
