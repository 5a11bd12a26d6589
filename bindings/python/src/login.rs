//! `cmauth.Login`.

use std::time::Duration;

use cmauth::{Loopback, PageText};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::client::Client;
use crate::tokens::Tokens;
use crate::{errors, text};

/// A login in progress, made by `Client.begin_login` or `Client.listen`.
///
/// The first exchange that is sent uses the login up. After a redirect of another login, or an
/// earlier failure, the login stays open.
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
    /// The login page to open in the user's browser, which must follow redirects.
    #[getter]
    pub(crate) fn url(&self) -> &str {
        self.core().url()
    }

    /// Checks the URL of the redirect, and exchanges its code for tokens.
    ///
    /// Raises `LoginError` if the redirect belongs to another login or the user denied the access.
    /// Raises `FixError` if it has no code or the login is finished already. Otherwise raises the
    /// errors of `Client.exchange_code`.
    fn finish(&self, redirected_url: &Bound<'_, PyString>) -> PyResult<Tokens> {
        let py = redirected_url.py();
        let redirected_url = text("redirected_url", redirected_url)?;
        errors::call(py, || self.core().finish(redirected_url.expose())).map(Tokens)
    }

    /// Waits for the redirect of a login that listens, and finishes the login.
    ///
    /// The browser shows a page with the result. Other requests to the port get 400, and the wait
    /// goes on. A finished login closes the port.
    ///
    /// timeout: how long the browser may take, in seconds. The exchange has the client's timeout in
    ///     addition.
    ///
    /// Raises `RetryError` after the timeout; you can then wait again. Raises `CancelledError`
    /// after `cancel`. Otherwise raises the errors of `finish`.
    #[pyo3(signature = (timeout=300.0))]
    pub(crate) fn wait(&self, py: Python<'_>, timeout: f64) -> PyResult<Tokens> {
        let loopback = self.loopback(py)?;
        let timeout = Duration::try_from_secs_f64(timeout).map_err(|_| {
            errors::to_python(py, &cmauth::bindings::invalid_argument("timeout", "not a time; give seconds"))
        })?;
        errors::call(py, || loopback.wait(timeout)).map(Tokens)
    }

    /// Ends `wait` within 100 ms. Call it from another thread.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        self.loopback(py)?.cancel();
        Ok(())
    }

    /// Sets the text of the page that the browser shows after a login that listens.
    pub(crate) fn set_message(&self, message: &Bound<'_, PyString>) -> PyResult<()> {
        self.loopback(message.py())?.set_message(text("message", message)?.expose());
        Ok(())
    }

    /// Sets texts of the page that the browser shows after a login that listens. `None` keeps one.
    ///
    /// language: the language of the other texts, as a tag such as "en" or "de-AT". `wait` raises
    ///     `FixError` if it is none.
    /// title: the title of the page, in the tab of the browser.
    /// success: what the page says after a successful login, as `set_message` does.
    /// failure: what it says after a login that failed or that the user denied.
    /// product: the name of the product.
    #[pyo3(signature = (*, language=None, title=None, success=None, failure=None, product=None))]
    fn set_page(
        &self,
        py: Python<'_>,
        language: Option<&Bound<'_, PyString>>,
        title: Option<&Bound<'_, PyString>>,
        success: Option<&Bound<'_, PyString>>,
        failure: Option<&Bound<'_, PyString>>,
        product: Option<&Bound<'_, PyString>>,
    ) -> PyResult<()> {
        let loopback = self.loopback(py)?;
        for (name, key, given) in [
            ("language", PageText::Language, language),
            ("title", PageText::Title, title),
            ("success", PageText::Success, success),
            ("failure", PageText::Failure, failure),
            ("product", PageText::Product, product),
        ] {
            if let Some(given) = given {
                loopback.set_page(key, text(name, given)?.expose());
            }
        }
        Ok(())
    }

    /// Whether `url` is the redirect URI of this login with a code or an error.
    ///
    /// An embedded browser needs this to know when the login is over. Then call `finish`, which
    /// also checks the state.
    fn is_redirect(&self, url: &Bound<'_, PyString>) -> PyResult<bool> {
        Ok(self.core().is_redirect(text("url", url)?.expose()))
    }

    /// The login as JSON, for another process or machine to finish within an hour.
    ///
    /// It does not contain the secret of the API key, but it is as secret as a password.
    fn to_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, self.core().to_json().expose())
    }

    /// Makes a login from the text that `to_json` returned, to finish it here.
    ///
    /// Raises `FixError` if it is another text, or of another API key or server than `client`.
    /// Raises `LoginError` if the login began more than an hour ago.
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
