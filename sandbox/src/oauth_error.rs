//! The errors of OAuth requests, with the texts of Spring Security OAuth 2.
//!
//! `state` and `http` make them. `http::response` writes them into responses, `http::authorize` into redirects. The
//! descriptions echo codes and tokens, as those of the real server do, so a client has to redact them.

use crate::options::Flavour;

/// One error: its kind and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OAuthError {
    pub(crate) kind: Kind,
    words: String,
    /// What the words are about, such as the token.
    value: Option<String>,
    /// The `scope` of the response, in errors about scopes.
    pub(crate) scope: Option<String>,
}

/// The `error` of an [`OAuthError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    AccessDenied,
    /// [`InvalidClient`](Kind::InvalidClient), of a client that sent its id and secret as parameters.
    BadFormCredentials,
    InsufficientScope,
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    InvalidToken,
    MethodNotAllowed,
    Unauthorized,
    UnsupportedGrantType,
    UnsupportedResponseType,
}

impl OAuthError {
    pub(crate) fn new(kind: Kind, words: impl Into<String>) -> OAuthError {
        OAuthError { kind, words: words.into(), value: None, scope: None }
    }

    /// An error whose text quotes what was sent: `{words}: {value}`.
    pub(crate) fn about(kind: Kind, words: &str, value: impl Into<String>) -> OAuthError {
        OAuthError { value: Some(value.into()), ..OAuthError::new(kind, words) }
    }

    /// The error of a flavour: from 2.5 on, the framework quotes nothing.
    pub(crate) fn of(self, flavours: &[Flavour]) -> OAuthError {
        if flavours.contains(&Flavour::V25) { OAuthError { value: None, ..self } } else { self }
    }

    /// The `error_description`.
    pub(crate) fn description(&self) -> String {
        match &self.value {
            // The only one of these texts that is a sentence.
            Some(value) if self.words.ends_with("client authentication") => format!("{} to {value}.", self.words),
            Some(value) => format!("{}: {value}", self.words),
            None => self.words.clone(),
        }
    }

    pub(crate) fn with_scope(self, scope: impl Into<String>) -> OAuthError {
        OAuthError { scope: Some(scope.into()), ..self }
    }

    /// Spring's error for a request without credentials, at the token endpoint and at the resources.
    pub(crate) fn no_credentials() -> OAuthError {
        OAuthError::new(Kind::Unauthorized, "Full authentication is required to access this resource")
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::AccessDenied => "access_denied",
            Kind::InsufficientScope => "insufficient_scope",
            Kind::BadFormCredentials | Kind::InvalidClient => "invalid_client",
            Kind::InvalidGrant => "invalid_grant",
            Kind::InvalidRequest => "invalid_request",
            Kind::InvalidScope => "invalid_scope",
            Kind::InvalidToken => "invalid_token",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::Unauthorized => "unauthorized",
            Kind::UnsupportedGrantType => "unsupported_grant_type",
            Kind::UnsupportedResponseType => "unsupported_response_type",
        }
    }

    pub(crate) fn status(self) -> u16 {
        match self {
            Kind::BadFormCredentials | Kind::InvalidClient | Kind::InvalidToken | Kind::Unauthorized => 401,
            Kind::AccessDenied | Kind::InsufficientScope => 403,
            Kind::MethodNotAllowed => 405,
            Kind::InvalidGrant
            | Kind::InvalidRequest
            | Kind::InvalidScope
            | Kind::UnsupportedGrantType
            | Kind::UnsupportedResponseType => 400,
        }
    }
}
