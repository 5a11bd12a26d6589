//! The [`Error`]: a status to branch on, advice on what to do, and a message for the log.
//!
//! An [`Error`] never holds a secret. All texts of the server pass through [`redact`](crate::secret::redact), and no
//! message has a URL with a query.

use std::fmt;
use std::time::Duration;

/// The remedy for a response that does not come from the API.
pub(crate) const CHECK_BASE_URL: &str = "check the base URL, and any proxy or firewall on the way";

/// The kind of a failure. The numbers are those of `cm_status` in the C ABI: they never change and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Status {
    /// An argument is missing, malformed or out of range, or the login is already finished. Nothing was sent.
    InvalidArgument = 1,
    /// The code or the refresh token is no longer valid (400 `invalid_grant`, 401 `invalid_token`).
    LoginRequired = 2,
    /// The access token is unknown or expired (401 at logout).
    TokenRejected = 3,
    /// The user denied the access, or the server responded with 403.
    AccessDenied = 4,
    /// The API key is wrong, or is not allowed to do this (any other 401 of the token endpoint).
    ClientRejected = 5,
    /// The server rejected the request for another reason (any other 4xx, or another error in the redirect).
    RequestRejected = 6,
    /// The redirect does not belong to this login. The login stays open.
    StateMismatch = 7,
    /// The server cannot be reached, the connection was lost, or the proxy failed.
    Network = 8,
    /// The certificate is not trusted, or the TLS handshake failed.
    Tls = 9,
    /// A deadline passed.
    Timeout = 10,
    /// The server failed or is overloaded (5xx or 429).
    Server = 11,
    /// The response is not one of this API.
    Protocol = 12,
    /// The store of a session cannot be read, locked or written.
    Store = 13,
    /// A bug in this library.
    Internal = 14,
    /// The call was cancelled, for example by [`Client::cancel`](crate::Client::cancel).
    Cancelled = 15,
}

impl Status {
    /// All statuses, in the order of their numbers.
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

    /// The name of the status in capitals, for logs: `"LOGIN_REQUIRED"`.
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

    /// The usual advice. An error can have another one: see [`Error::advice`].
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

/// What to do about an error. The numbers are those of `cm_advice` in the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Advice {
    /// Nothing: your program cancelled the call.
    None = 0,
    /// A person must change something: the program, its settings, the network or the API key.
    Fix = 1,
    /// Send the user to the login page again.
    LogIn = 2,
    /// Get a new access token with the refresh token, then repeat the call.
    Refresh = 3,
    /// Repeat the call later. If the server named a time, wait for [`Error::retry_after`].
    Retry = 4,
    /// Report the message: there is a bug in this library.
    Report = 5,
}

impl Advice {
    /// All advices, in the order of their numbers.
    pub const ALL: &'static [Advice] =
        &[Advice::None, Advice::Fix, Advice::LogIn, Advice::Refresh, Advice::Retry, Advice::Report];

    /// The name of the advice, for logs: `"log in"`.
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

/// The reason why a call failed. It prints as one line that says what happened and what to do. It holds no secret.
#[derive(Clone)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    status: Status,
    advice: Advice,
    /// What happened. The message is this and the remedy.
    what: String,
    message: String,
    http_status: Option<u16>,
    oauth_error: Option<String>,
    oauth_description: Option<String>,
    retry_after: Option<Duration>,
    request_sent: bool,
}

/// The longest wait before a retry. A timer of some languages cannot wait for longer than 24 days.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

impl Error {
    /// `what` says what happened, and `remedy` what to do. The message is both.
    pub(crate) fn new(status: Status, what: impl Into<String>, remedy: &str) -> Self {
        Self::with_text(status, what.into(), remedy)
    }

    /// Not generic, so that it is compiled once.
    fn with_text(status: Status, what: String, remedy: &str) -> Self {
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

    /// The error for a bad argument: its name, and what is wrong with it or how to correct it.
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

    /// `code` and `description` must be redacted.
    pub(crate) fn with_oauth(mut self, code: Option<String>, description: Option<String>) -> Self {
        self.0.oauth_error = code;
        self.0.oauth_description = description;
        self
    }

    pub(crate) fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.0.retry_after = retry_after.map(|time| time.min(MAX_RETRY_AFTER));
        self
    }

    /// `sent`: at least one byte of the request may have reached the server.
    pub(crate) fn with_request_sent(mut self, sent: bool) -> Self {
        self.0.request_sent = sent;
        self
    }

    /// The kind of failure.
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// What to do. The status alone does not decide it: for an exchange whose request may have reached the server it is
    /// [`Advice::LogIn`], because the code is used up.
    pub fn advice(&self) -> Advice {
        self.0.advice
    }

    /// One line for the log: what happened, what the server said, and what to do.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The HTTP status of the response, if there was one.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// The OAuth error code of the response or the redirect (RFC 6749, sections 4.1.2.1 and 5.2), such as
    /// `invalid_grant`.
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }

    /// The server's description of the error: at most 512 bytes, with secrets replaced by `[redacted]`. It is for
    /// people; do not branch on it.
    pub fn oauth_description(&self) -> Option<&str> {
        self.0.oauth_description.as_deref()
    }

    /// How long to wait before a retry: the server's `Retry-After`, or the rest of a session's back-off. At most a day.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether at least one byte of the request may have reached the server. If so, an authorization code is used up.
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
    fn statuses_have_the_numbers_and_names_of_the_abi() {
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
    fn advices_have_the_numbers_and_names_of_the_abi() {
        let table: Vec<_> = Advice::ALL.iter().map(|a| (*a as i32, a.name())).collect();
        let wanted = [(0, "nothing"), (1, "fix"), (2, "log in"), (3, "refresh"), (4, "retry"), (5, "report")];
        assert_eq!(table, wanted);
    }

    #[test]
    fn an_error_prints_its_message_and_its_debug_format_adds_the_status() {
        let error = Error::invalid_argument("code", "it is empty");
        assert_eq!(error.to_string(), "code: it is empty");
        assert_eq!(format!("{error:?}"), "INVALID_ARGUMENT: code: it is empty");
    }
}
