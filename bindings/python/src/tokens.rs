//! `cmauth.Tokens`.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::{errors, text};

/// What the server gave, and until when. Immutable; a refresh gives new ones.
///
/// Its `repr` hides both tokens. Two are equal when all they hold is. A pickle of it holds both
/// tokens, as `to_json` does: as secret as a password.
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

    /// The token for `Client.refresh`, where the server gave one. Secret.
    ///
    /// It works until the user logs out.
    #[getter]
    fn refresh_token(&self) -> Option<&str> {
        self.0.refresh_token().map(cmauth::Secret::expose)
    }

    /// How to use the access token: "bearer", in the server's spelling.
    #[getter]
    fn token_type(&self) -> &str {
        self.0.token_type()
    }

    /// What the tokens allow, as the server said it: "write", "read write".
    #[getter]
    fn scope(&self) -> Option<&str> {
        self.0.scope()
    }

    /// When the access token ends, in Unix seconds; `None`: never.
    #[getter]
    fn expires_at(&self) -> Option<i64> {
        self.0.expires_at()
    }

    /// Seconds left now, at least 0; `None`: it never expires.
    #[getter]
    fn expires_in(&self) -> Option<i64> {
        self.0.expires_in()
    }

    /// The tokens as JSON, for the application to keep: as secret as the tokens in it.
    fn to_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, self.0.to_json().expose())
    }

    /// Tokens from what `to_json` returned. Keys it does not know are passed over.
    ///
    /// Raises `FixError` where it is something else.
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
        // A server may repeat a token where it does not belong.
        let secrets = [Some(self.0.access_token()), self.0.refresh_token()];
        let plain = |text: &str| {
            let hide = |text: String, secret: &cmauth::Secret| text.replace(secret.expose(), "[redacted]");
            format!("{:?}", secrets.iter().flatten().fold(text.to_owned(), |text, secret| hide(text, secret)))
        };
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
