//! Error: a status to branch on, advice on what to do, and the details for the log. Never a secret.

use std::ptr::null;

use cmauth::{Advice, Error, Status};
use libc::{c_char, c_int};

use crate::guard;
use crate::text::{Text, or_null};

/// What became of a call. 0 is success; numbers are fixed, and never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum cm_status {
    /// It worked.
    Ok = 0,
    /// A parameter is NULL, not UTF-8, empty or impossible, or the login is already finished. Nothing was sent.
    InvalidArgument = 1,
    /// The code or the refresh token is no longer good: send the user to the login page.
    LoginRequired = 2,
    /// The access token is unknown or expired (401 at logout): refresh.
    TokenRejected = 3,
    /// The user said no, or the server answered 403.
    AccessDenied = 4,
    /// The API key is wrong or may not do this (any other 401 at the token endpoint).
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
    /// The server answered 5xx or 429.
    Server = 11,
    /// The answer is not what the API promises: a redirect, HTML, no usable token, more than 64 KiB.
    Protocol = 12,
    /// The store of a session could not be read, locked or written.
    Store = 13,
    /// A bug in this library, caught.
    Internal = 14,
    /// `cm_client_cancel` was called.
    Cancelled = 15,
}

impl From<Status> for cm_status {
    fn from(status: Status) -> Self {
        match status {
            Status::InvalidArgument => cm_status::InvalidArgument,
            Status::LoginRequired => cm_status::LoginRequired,
            Status::TokenRejected => cm_status::TokenRejected,
            Status::AccessDenied => cm_status::AccessDenied,
            Status::ClientRejected => cm_status::ClientRejected,
            Status::RequestRejected => cm_status::RequestRejected,
            Status::StateMismatch => cm_status::StateMismatch,
            Status::Network => cm_status::Network,
            Status::Tls => cm_status::Tls,
            Status::Timeout => cm_status::Timeout,
            Status::Server => cm_status::Server,
            Status::Protocol => cm_status::Protocol,
            Status::Store => cm_status::Store,
            Status::Cancelled => cm_status::Cancelled,
            // A status of the core that is not listed here is a bug here; a test holds that there is none.
            _ => cm_status::Internal,
        }
    }
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum cm_advice {
    /// Nothing: there is no error, or you asked for it (`CM_STATUS_CANCELLED`).
    None = 0,
    /// Somebody must change something: the program, its settings, the site's network or the API key.
    Fix = 1,
    /// Send the user to the login page again.
    LogIn = 2,
    /// Get a new access token with the refresh token, then do it again.
    Refresh = 3,
    /// Try again later, after `cm_error_retry_after` where it has a time.
    Retry = 4,
    /// It is a bug in this library: report it with the message.
    Report = 5,
}

impl From<Advice> for cm_advice {
    fn from(advice: Advice) -> Self {
        match advice {
            Advice::None => cm_advice::None,
            Advice::Fix => cm_advice::Fix,
            Advice::LogIn => cm_advice::LogIn,
            Advice::Refresh => cm_advice::Refresh,
            Advice::Retry => cm_advice::Retry,
            _ => cm_advice::Report,
        }
    }
}

/// Why a call failed. Immutable: any number of threads may read it at once.
pub struct cm_error {
    status: cm_status,
    advice: cm_advice,
    message: Text,
    http_status: c_int,
    oauth_error: Option<Text>,
    oauth_description: Option<Text>,
    retry_after: i64,
}

impl cm_error {
    pub(crate) fn new(error: &Error) -> Self {
        cm_error {
            status: error.status().into(),
            advice: error.advice().into(),
            message: Text::new(error.message()),
            http_status: error.http_status().map_or(0, c_int::from),
            oauth_error: error.oauth_error().map(Text::new),
            oauth_description: error.oauth_description().map(Text::new),
            // Rounded up: a wait that is too short is refused again.
            retry_after: error
                .retry_after()
                .map_or(-1, |wait| i64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)),
        }
    }
}

/// Frees an error.
///
/// @param error  the error, or NULL
///
/// Not while another thread uses it. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_free(error: *mut cm_error) {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::free(error) }
}

/// The kind of failure: what the call returned.
///
/// @param error  the error; NULL gives `CM_STATUS_OK`
/// @return the status
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_status(error: *const cm_error) -> cm_status {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(error, cm_status::Ok, |error| error.status) }
}

/// What to do. It belongs to this error, not to its status alone: after an exchange whose request may have arrived it is
/// `CM_ADVICE_LOG_IN`, for the code is used up.
///
/// @param error  the error; NULL gives `CM_ADVICE_NONE`
/// @return the advice
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_advice(error: *const cm_error) -> cm_advice {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(error, cm_advice::None, |error| error.advice) }
}

/// One line for the log: what happened, what the server said, and what to do.
///
/// @param error  the error; NULL gives "no error"
/// @return the message, borrowed from the error; never NULL
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_message(error: *const cm_error) -> *const c_char {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(error, c"no error".as_ptr(), |error| error.message.as_ptr()) }
}

/// The HTTP status of the answer.
///
/// @param error  the error; NULL gives 0
/// @return the status, 0 where there was no answer
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_http_status(error: *const cm_error) -> c_int {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(error, 0, |error| error.http_status) }
}

/// The OAuth error code of the answer or the redirect (RFC 6749, sections 4.1.2.1 and 5.2): "invalid_grant".
///
/// @param error  the error; NULL gives NULL
/// @return the code, borrowed from the error; NULL where there is none
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_oauth_error(error: *const cm_error) -> *const c_char {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(error, null(), |error| or_null(error.oauth_error.as_ref())) }
}

/// What the server said about it, at most 512 bytes, secrets replaced by "[redacted]". For people: never branch on it.
///
/// @param error  the error; NULL gives NULL
/// @return the description, borrowed from the error; NULL where there is none
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_oauth_description(error: *const cm_error) -> *const c_char {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(error, null(), |error| or_null(error.oauth_description.as_ref())) }
}

/// How long to wait before another try: as the server asked (Retry-After), or what is left of a session's pause.
///
/// @param error  the error; NULL gives -1
/// @return seconds, at least 0, rounded up; -1 where no time is known
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_retry_after(error: *const cm_error) -> i64 {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(error, -1, |error| error.retry_after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_the_core_has_its_number_here() {
        for &status in Status::ALL {
            assert_eq!(cm_status::from(status) as i32, status as i32, "{status:?}");
        }
    }

    #[test]
    fn every_advice_of_the_core_has_its_number_here() {
        for &advice in Advice::ALL {
            assert_eq!(cm_advice::from(advice) as i32, advice as i32, "{advice:?}");
        }
    }
}
