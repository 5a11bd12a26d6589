//! `cmauth.Tokens`.

use cmauth::Secret;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::{errors, text};

/// The tokens of a user, and when they expire. Immutable; a refresh returns new ones.
///
/// The `repr` hides both tokens. Objects with the same content are equal. A pickle contains both
/// tokens, as `to_json` does: it is as secret as a password.
#[pyclass(module = "cmauth", frozen, eq)]
#[derive(PartialEq)]
pub(crate) struct Tokens(pub(crate) cmauth::Tokens);

#[pymethods]
impl Tokens {
    /// The token for the header `Authorization: Bearer …`. Opaque and secret.
    #[getter]
    fn access_token(&self) -> &str {
        self.0.access_token().expose()
    }

    /// The value of the header `Authorization`: "Bearer " and the access token. Secret.
    #[getter]
    fn authorization<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, self.0.authorization().expose())
    }

    /// The token for `Client.refresh`, if the server sent one. Secret.
    ///
    /// It is valid until the user logs out.
    #[getter]
    fn refresh_token(&self) -> Option<&str> {
        self.0.refresh_token().map(Secret::expose)
    }

    /// The type of the access token: "bearer", in the spelling of the server.
    #[getter]
    fn token_type(&self) -> &str {
        self.0.token_type()
    }

    /// The scope that the server granted: "write", "read write".
    #[getter]
    fn scope(&self) -> Option<&str> {
        self.0.scope()
    }

    /// When the access token expires, in Unix seconds. `None`: never.
    #[getter]
    fn expires_at(&self) -> Option<i64> {
        self.0.expires_at()
    }

    /// The remaining lifetime in seconds, at least 0. `None`: it never expires.
    #[getter]
    fn expires_in(&self) -> Option<i64> {
        self.0.expires_in()
    }

    /// The tokens as JSON, for the application to store. As secret as the tokens themselves.
    fn to_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, self.0.to_json().expose())
    }

    /// Makes tokens from the text that `to_json` returned. Ignores unknown keys.
    ///
    /// Raises `FixError` if it is another text.
    #[staticmethod]
    fn from_json(json: &Bound<'_, PyString>) -> PyResult<Tokens> {
        let py = json.py();
        cmauth::Tokens::from_json(text("json", json)?.expose())
            .map(Tokens)
            .map_err(|error| errors::to_python(py, &error))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyString>,))> {
        Ok((py.get_type::<Tokens>().getattr("from_json")?, (self.to_json(py),)))
    }

    fn __repr__(&self) -> String {
        // A server could repeat a token in one of these fields.
        let secrets: Vec<&Secret> =
            [Some(self.0.access_token()), self.0.refresh_token()].into_iter().flatten().collect();
        let plain = |text: &str| format!("{:?}", cmauth::bindings::redact(text, &secrets));
        let or_none = |shown: Option<String>| shown.unwrap_or_else(|| "None".to_owned());
        format!(
            "Tokens(access_token=[redacted], refresh_token={}, token_type={}, scope={}, expires_at={})",
            or_none(self.0.refresh_token().map(|secret| format!("{secret:?}"))),
            plain(self.0.token_type()),
            or_none(self.0.scope().map(plain)),
            or_none(self.0.expires_at().map(|at| at.to_string())),
        )
    }
}

/// The access token of an argument that is tokens, or only their access token.
pub(crate) fn access_token_of(tokens: &Bound<'_, PyAny>) -> PyResult<Secret> {
    match tokens.cast::<PyString>() {
        Ok(access_token) => text("tokens", access_token),
        Err(_) => Ok(tokens.cast::<Tokens>()?.get().0.access_token().clone()),
    }
}
