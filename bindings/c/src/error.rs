//! Error. You need these functions when a call fails: they give its status, advice on what to do, and a log line.
//! Branch on the status or the advice, never on a text. No text contains a secret.

use std::ptr::null;

use cmauth::{Advice, Error, Status};
use libc::c_char;

use crate::guard;
use crate::text::{Text, or_null};
use crate::version::CM_NONE;

/// Result of a call. 0 is success. The numbers never change and are never used again for another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum cm_status {
    /// The call succeeded.
    Ok = 0,
    /// A parameter is NULL, not UTF-8, empty or out of range, or the login is already finished. Nothing was sent.
    InvalidArgument = 1,
    /// Nobody is logged in, or the code or refresh token is no longer valid. Send the user to the login page.
    LoginRequired = 2,
    /// The access token is unknown or expired. At logout: refresh first. From `cm_session_rejected`: it is too
    /// young to be refreshed again.
    TokenRejected = 3,
    /// The user denied the access, or the server answered 403.
    AccessDenied = 4,
    /// The API key is wrong or lacks a permission: the token endpoint answered 401.
    ClientRejected = 5,
    /// The server rejects the request for another reason: another 4xx, or an error in the redirect.
    RequestRejected = 6,
    /// The redirect does not belong to this login. The login stays open.
    StateMismatch = 7,
    /// The network failed: host unknown, no route, connection refused or lost, or the proxy failed.
    Network = 8,
    /// The TLS handshake failed, or the certificate of the server is not trusted.
    Tls = 9,
    /// The call did not finish within its timeout.
    Timeout = 10,
    /// The server answered 5xx or 429.
    Server = 11,
    /// The response is not one of this API: a redirect, HTML, no usable token, or more than 64 KiB.
    Protocol = 12,
    /// The store of a session could not be read, locked or written, or its content cannot be used.
    Store = 13,
    /// There is a bug in the library.
    Internal = 14,
    /// `cm_client_cancel`, `cm_login_cancel` or `cm_cancel_now` was called.
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
            // A status of the core that is missing here is a bug. A test checks that none is missing.
            _ => cm_status::Internal,
        }
    }
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum cm_advice {
    /// Nothing: there is no error, or your program cancelled the call.
    None = 0,
    /// Somebody must correct the program, its settings, the network or the API key. Until then the same call fails
    /// again.
    Fix = 1,
    /// Send the user to the login page.
    LogIn = 2,
    /// Get a new access token with the refresh token, then make the call again.
    Refresh = 3,
    /// Make the call again later. If `cm_error_retry_after` is not `CM_NONE`, wait for that time.
    Retry = 4,
    /// Report a bug in the library, with the message.
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

/// Details of a failure. It never changes.
pub struct cm_error {
    status: cm_status,
    advice: cm_advice,
    message: Text,
    http_status: i32,
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
            http_status: error.http_status().map_or(CM_NONE as i32, i32::from),
            oauth_error: error.oauth_error().map(Text::new),
            oauth_description: error.oauth_description().map(Text::new),
            // Rounded up, because a session fails again during its back-off.
            retry_after: error
                .retry_after()
                .map_or(CM_NONE, |wait| i64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)),
        }
    }
}

/// Frees an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_free(error: *mut cm_error) {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::free(error) }
}

/// The status that the call returned.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_status(error: *const cm_error) -> cm_status {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(error, cm_status::Ok, |error| error.status) }
}

/// What to do about the failure. Errors with the same status can have different advice: if an exchange may have
/// reached the server, the advice is `CM_ADVICE_LOG_IN`, because the code is then used up.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_advice(error: *const cm_error) -> cm_advice {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(error, cm_advice::None, |error| error.advice) }
}

/// One line for the log: what happened, what the server said, and what to do.
///
/// @return the message, never NULL; "no error" if the error is NULL
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_message(error: *const cm_error) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(error, c"no error".as_ptr(), |error| error.message.as_ptr()) }
}

/// The HTTP status of the response.
///
/// @return the HTTP status; `CM_NONE`: there was no response
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_http_status(error: *const cm_error) -> i32 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(error, CM_NONE as i32, |error| error.http_status) }
}

/// The OAuth error code in the response or the redirect, such as "invalid_grant" (RFC 6749, sections 4.1.2.1 and
/// 5.2).
///
/// @return the code; NULL if there is none
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_oauth_error(error: *const cm_error) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(error, null(), |error| or_null(error.oauth_error.as_ref())) }
}

/// What the server said about the error, at most 512 bytes. Secrets are replaced by "[redacted]". It is for people.
///
/// @return the description; NULL if there is none
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_oauth_description(error: *const cm_error) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(error, null(), |error| or_null(error.oauth_description.as_ref())) }
}

/// How long to wait before the next try: the server's Retry-After, or the rest of a session's back-off.
///
/// @return seconds, rounded up, at most 86400 (a day); `CM_NONE`: no time is known
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_error_retry_after(error: *const cm_error) -> i64 {
    // SAFETY: the handle follows the header's rules.
    unsafe { guard::get(error, CM_NONE, |error| error.retry_after) }
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
