//! `cmauth.Login`.

use std::time::Duration;

use cmauth::Loopback;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::client::Client;
use crate::tokens::Tokens;
use crate::{errors, text};

/// One login under way, made by `Client.begin_login` or `Client.listen`.
///
/// It is used up by the first exchange that was sent; after a mismatch or an earlier failure it
/// stays open.
#[pyclass(module = "cmauth", frozen)]
pub(crate) struct Login(Kind);

enum Kind {
    Plain(cmauth::Login),
    Listening(Loopback),
}

impl Login {
    pub(crate) fn plain(login: cmauth::Login) -> Login {
        Login(Kind::Plain(login))
    }

    pub(crate) fn listening(loopback: Loopback) -> Login {
        Login(Kind::Listening(loopback))
    }

    fn core(&self) -> &cmauth::Login {
        match &self.0 {
            Kind::Plain(login) => login,
            Kind::Listening(loopback) => loopback.login(),
        }
    }

    fn loopback(&self, py: Python<'_>) -> PyResult<&Loopback> {
        match &self.0 {
            Kind::Listening(loopback) => Ok(loopback),
            Kind::Plain(_) => {
                let error =
                    cmauth::bindings::invalid_argument("login", "it does not listen; make it with Client.listen");
                Err(errors::to_python(py, &error))
            }
        }
    }
}

#[pymethods]
impl Login {
    /// The page to open in the user's browser, which must follow redirects.
    #[getter]
    pub(crate) fn url(&self) -> &str {
        self.core().url()
    }

    /// Checks the URL that the browser came back to, and exchanges its code for tokens.
    ///
    /// Raises `LoginError` where the redirect belongs to another login or the user said no,
    /// `FixError` where there is no code in it or the login is finished already; else what
    /// `Client.exchange_code` raises.
    fn finish(&self, redirected_url: &Bound<'_, PyString>) -> PyResult<Tokens> {
        let py = redirected_url.py();
        let redirected_url = text("redirected_url", redirected_url)?;
        errors::call(py, || self.core().finish(redirected_url.expose())).map(Tokens)
    }

    /// Waits until the browser comes back to a login that listens, and finishes it.
    ///
    /// The browser is shown a page that says how it went. Whatever else comes to the port is
    /// answered with 400, and the wait goes on; then the port is closed.
    ///
    /// timeout: seconds that the browser may take; the exchange has the client's time after it.
    ///
    /// Raises `RetryError` where nobody came, after which it can wait again, `CancelledError`
    /// after `cancel`; else what `finish` raises.
    #[pyo3(signature = (timeout=300.0))]
    pub(crate) fn wait(&self, py: Python<'_>, timeout: f64) -> PyResult<Tokens> {
        let loopback = self.loopback(py)?;
        let timeout = Duration::try_from_secs_f64(timeout).map_err(|_| {
            errors::to_python(py, &cmauth::bindings::invalid_argument("timeout", "not a time; give seconds"))
        })?;
        errors::call(py, || loopback.wait(timeout)).map(Tokens)
    }

    /// Ends `wait`, from another thread, within 100 ms.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        self.loopback(py)?.cancel();
        Ok(())
    }

    /// The words on the page that the browser shows after a login that listens.
    pub(crate) fn set_message(&self, message: &Bound<'_, PyString>) -> PyResult<()> {
        self.loopback(message.py())?.set_message(text("message", message)?.expose());
        Ok(())
    }

    /// Whether `url` is the redirect of a login like this one.
    ///
    /// For a browser inside the product, to know when to stop showing pages and call `finish`,
    /// which checks the rest.
    fn is_redirect(&self, url: &Bound<'_, PyString>) -> PyResult<bool> {
        Ok(self.core().is_redirect(text("url", url)?.expose()))
    }

    /// The login as JSON, for another process or machine to finish within an hour.
    ///
    /// The API key's secret is not in it; what is there is as secret as a password.
    fn to_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, self.core().to_json().expose())
    }

    /// A login from what `to_json` returned elsewhere, to finish it here.
    ///
    /// Raises `FixError` where it is something else, or of another key or server than `client`,
    /// `LoginError` where it began more than an hour ago.
    #[staticmethod]
    fn from_json(client: &Bound<'_, Client>, json: &Bound<'_, PyString>) -> PyResult<Login> {
        let py = json.py();
        let json = text("json", json)?;
        let client = &client.get().core;
        errors::call(py, || cmauth::Login::from_json(client, json.expose())).map(Login::plain)
    }

    fn __repr__(&self) -> String {
        format!("Login(redirect_uri={:?}, url=[redacted])", self.core().redirect_uri())
    }
}
