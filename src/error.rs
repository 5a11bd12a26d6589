//! What went wrong: a status to branch on, advice on what to do, and the details for the log.
//!
//! Every other module makes its errors here. An [`Error`] never holds a secret: texts of the server come in through
//! [`redact`](crate::secret::redact) only, and no URL with a query is kept.

use std::fmt;
use std::time::Duration;

/// The remedy for a response that does not come from the API.
pub(crate) const CHECK_BASE_URL: &str = "check the base URL, and any proxy or firewall on the way";

/// What kind of failure it was. Numbers are the C ABI's `cm_status`: fixed, and never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Status {
    /// A parameter is missing, malformed or impossible, or the login is already finished. Nothing was sent.
    InvalidArgument = 1,
    /// The code or the refresh token is no longer good (400 `invalid_grant`, 401 `invalid_token`).
    LoginRequired = 2,
    /// The access token is unknown or expired (401 at logout).
    TokenRejected = 3,
    /// The user said no, or the server answered 403.
    AccessDenied = 4,
    /// Any other 401 of the token endpoint: the API key is wrong or may not do this.
    ClientRejected = 5,
    /// Any other 4xx, or such an error on the redirect.
    RequestRejected = 6,
    /// The redirect does not belong to this login, which stays open.
    StateMismatch = 7,
    /// No name, no route, refused, reset, cut off, or the proxy failed.
    Network = 8,
    /// The certificate or the handshake failed.
    Tls = 9,
    /// A deadline passed.
    Timeout = 10,
    /// 5xx or 429, whatever its body.
    Server = 11,
    /// An answer that is not what the API promises.
    Protocol = 12,
    /// The store of a session could not be read, locked or written.
    Store = 13,
    /// A bug in this library, caught.
    Internal = 14,
    /// [`Client::cancel`](crate::Client::cancel) was called.
    Cancelled = 15,
}

impl Status {
    /// Every status there is, in the order of their numbers.
    pub const ALL: &'static [Status] = &[
        Status::InvalidArgument,
        Status::LoginRequired,
        Status::TokenRejected,
        Status::AccessDenied,
        Status::ClientRejected,
        Status::RequestRejected,
        Status::StateMismatch,
        Status::Network,
        Status::Tls,
        Status::Timeout,
        Status::Server,
        Status::Protocol,
        Status::Store,
        Status::Internal,
        Status::Cancelled,
    ];

    /// The status' name in capitals, for logs: `"LOGIN_REQUIRED"`.
    pub fn name(self) -> &'static str {
        match self {
            Status::InvalidArgument => "INVALID_ARGUMENT",
            Status::LoginRequired => "LOGIN_REQUIRED",
            Status::TokenRejected => "TOKEN_REJECTED",
            Status::AccessDenied => "ACCESS_DENIED",
            Status::ClientRejected => "CLIENT_REJECTED",
            Status::RequestRejected => "REQUEST_REJECTED",
            Status::StateMismatch => "STATE_MISMATCH",
            Status::Network => "NETWORK",
            Status::Tls => "TLS",
            Status::Timeout => "TIMEOUT",
            Status::Server => "SERVER",
            Status::Protocol => "PROTOCOL",
            Status::Store => "STORE",
            Status::Internal => "INTERNAL",
            Status::Cancelled => "CANCELLED",
        }
    }

    /// What usually helps; an error may know better (see [`Error::advice`]).
    fn advice(self) -> Advice {
        match self {
            Status::LoginRequired | Status::StateMismatch => Advice::LogIn,
            Status::TokenRejected => Advice::Refresh,
            Status::Network | Status::Timeout | Status::Server | Status::Store => Advice::Retry,
            Status::Internal => Advice::Report,
            Status::Cancelled => Advice::None,
            Status::InvalidArgument
            | Status::AccessDenied
            | Status::ClientRejected
            | Status::RequestRejected
            | Status::Tls
            | Status::Protocol => Advice::Fix,
        }
    }
}

/// What to do about an error. The numbers are the C ABI's `cm_advice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Advice {
    /// Nothing: you asked for it.
    None = 0,
    /// Somebody must change something: the program, its settings, the site's network or the API key.
    Fix = 1,
    /// Send the user to the login page again.
    LogIn = 2,
    /// Get a new access token with the refresh token, then do it again.
    Refresh = 3,
    /// Try again later; after [`Error::retry_after`] where the server named a time.
    Retry = 4,
    /// It is a bug in this library: report it with the message.
    Report = 5,
}

impl Advice {
    /// Every advice there is, in the order of their numbers.
    pub const ALL: &'static [Advice] =
        &[Advice::None, Advice::Fix, Advice::LogIn, Advice::Refresh, Advice::Retry, Advice::Report];

    /// The advice in words, for logs: `"log in"`.
    pub fn name(self) -> &'static str {
        match self {
            Advice::None => "nothing",
            Advice::Fix => "fix",
            Advice::LogIn => "log in",
            Advice::Refresh => "refresh",
            Advice::Retry => "retry",
            Advice::Report => "report",
        }
    }
}

/// Why a call failed. Prints as one line that says what happened and what to do, and holds no secret.
#[derive(Clone)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    status: Status,
    advice: Advice,
    /// What happened, without the remedy.
    what: String,
    message: String,
    http_status: Option<u16>,
    oauth_error: Option<String>,
    oauth_description: Option<String>,
    retry_after: Option<Duration>,
    request_sent: bool,
}

impl Error {
    /// What happened, and what to do about it; together they are the message.
    pub(crate) fn new(status: Status, what: impl Into<String>, remedy: &str) -> Self {
        let what = what.into();
        Error(Box::new(Details {
            status,
            advice: status.advice(),
            message: format!("{what}; {remedy}"),
            what,
            http_status: None,
            oauth_error: None,
            oauth_description: None,
            retry_after: None,
            request_sent: false,
        }))
    }

    /// A bad argument: its name, and what is wrong with it or how to correct it.
    pub(crate) fn invalid_argument(name: &str, problem: impl fmt::Display) -> Self {
        let mut error = Self::new(Status::InvalidArgument, format!("{name}: {problem}"), "");
        error.0.message.clone_from(&error.0.what);
        error
    }

    pub(crate) fn with_advice(mut self, advice: Advice, remedy: &str) -> Self {
        self.0.advice = advice;
        self.0.message = format!("{}; {remedy}", self.0.what);
        self
    }

    pub(crate) fn with_http_status(mut self, http_status: u16) -> Self {
        self.0.http_status = Some(http_status);
        self
    }

    /// `code` and `description` as they may be shown: redacted.
    pub(crate) fn with_oauth(mut self, code: Option<String>, description: Option<String>) -> Self {
        self.0.oauth_error = code;
        self.0.oauth_description = description;
        self
    }

    pub(crate) fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.0.retry_after = retry_after;
        self
    }

    /// Notes that at least one byte of the request may have reached the server.
    pub(crate) fn with_request_sent(mut self, sent: bool) -> Self {
        self.0.request_sent = sent;
        self
    }

    /// The kind of failure.
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// What to do. It belongs to this error, not to its status alone: after an exchange whose request may have
    /// arrived it is [`Advice::LogIn`], for the code is used up.
    pub fn advice(&self) -> Advice {
        self.0.advice
    }

    /// One line for the log: what happened, what the server said, and what to do.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The HTTP status, where there was an answer.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// The OAuth error code of the answer or the redirect (RFC 6749, sections 4.1.2.1 and 5.2): `invalid_grant`.
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }

    /// What the server said about it, at most 512 bytes, secrets replaced by `[redacted]`. For people: never branch
    /// on it.
    pub fn oauth_description(&self) -> Option<&str> {
        self.0.oauth_description.as_deref()
    }

    /// How long the server asked to wait (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether a byte of the request may have reached the server. An authorization code is then used up.
    pub fn request_sent(&self) -> bool {
        self.0.request_sent
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.0.status.name())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_statuses_are_those_of_the_abi() {
        let table: Vec<_> = Status::ALL.iter().map(|s| (*s as i32, s.name())).collect();
        assert_eq!(
            table,
            [
                (1, "INVALID_ARGUMENT"),
                (2, "LOGIN_REQUIRED"),
                (3, "TOKEN_REJECTED"),
                (4, "ACCESS_DENIED"),
                (5, "CLIENT_REJECTED"),
                (6, "REQUEST_REJECTED"),
                (7, "STATE_MISMATCH"),
                (8, "NETWORK"),
                (9, "TLS"),
                (10, "TIMEOUT"),
                (11, "SERVER"),
                (12, "PROTOCOL"),
                (13, "STORE"),
                (14, "INTERNAL"),
                (15, "CANCELLED"),
            ]
        );
    }

    #[test]
    fn numbers_and_names_of_advices_are_those_of_the_abi() {
        let table: Vec<_> = Advice::ALL.iter().map(|a| (*a as i32, a.name())).collect();
        let wanted = [(0, "nothing"), (1, "fix"), (2, "log in"), (3, "refresh"), (4, "retry"), (5, "report")];
        assert_eq!(table, wanted);
    }

    #[test]
    fn an_error_prints_its_message_and_in_debug_its_status_too() {
        let error = Error::invalid_argument("code", "it is empty");
        assert_eq!(error.to_string(), "code: it is empty");
        assert_eq!(format!("{error:?}"), "INVALID_ARGUMENT: code: it is empty");
    }
}
