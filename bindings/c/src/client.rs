//! Client: a config made usable, and the three calls. It remembers no user and no token.

use cmauth::Client;
use libc::c_char;

use crate::call;
use crate::config::cm_config;
use crate::error::{cm_error, cm_status};
use crate::guard;
use crate::tokens::cm_tokens;

/// Talks to the server for one API key. Immutable: any number of threads may use it at once.
pub struct cm_client(pub(crate) Client);

/// Makes a client from a copy of the settings. Reads CA files and the system's trust; sends nothing.
///
/// @param config  the settings; not NULL. They can be freed at once.
/// @param client  receives the client; not NULL
/// @param error   receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT` for the first bad value in the settings, with its name;
///         `CM_STATUS_TLS` where this machine trusts nobody
///
/// Free the client with `cm_client_free`, an error with `cm_error_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_client_new(
    config: *const cm_config,
    client: *mut *mut cm_client,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::with_result("client", client, error, || {
            let config = guard::handle("config", config)?;
            Ok(cm_client(Client::new(&config.0)?))
        })
    }
}

/// Frees a client, and wipes the secret in it. Logins keep what they need of it.
///
/// @param client  the client, or NULL
///
/// Not while a call on it runs. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_client_free(client: *mut cm_client) {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::free(client) }
}

/// Ends the calls under way on this client, and every later one, with `CM_STATUS_CANCELLED`: for a program that must
/// stop. Calls under way end within 100 ms, wherever they hang; only one that waits for a SOCKS proxy to accept its
/// connection ends with the connect timeout. There is no way back but a new client.
///
/// Logins made with the client are ended with it. The client is still to be freed, once its calls have returned.
///
/// @param client  the client; NULL: nothing happens
///
/// Any thread, also while others are in calls on it; not from a signal handler. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_client_cancel(client: *const cm_client) {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(client, (), |client| client.0.cancel()) }
}

/// Turns the code of a redirect into tokens (step 4 of the vendor's guide, RFC 6749 section 4.1.3).
///
/// `cm_login_finish` does this too, and checks the redirect's state before; use this where you check for yourself. A
/// code is used up by the first request that reaches the server, so it is sent again only if not a byte of it went out.
///
/// @param client        the client; not NULL
/// @param code          the code; not NULL
/// @param redirect_uri  the one the login page was opened with, to the byte; not NULL
/// @param tokens        receives the tokens; not NULL
/// @param error         receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_LOGIN_REQUIRED`: the code is not good, or was used, or the redirect URI differs;
///         `CM_STATUS_CLIENT_REJECTED`: the API key; `CM_STATUS_INVALID_ARGUMENT`: nothing was sent; else
///         `CM_STATUS_REQUEST_REJECTED`, `_ACCESS_DENIED`, `_NETWORK`, `_TLS`, `_TIMEOUT`, `_SERVER`, `_PROTOCOL`,
///         `_CANCELLED`
///
/// Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread, many at once. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_exchange_code(
    client: *const cm_client,
    code: *const c_char,
    redirect_uri: *const c_char,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let client = guard::handle("client", client)?;
            let code = guard::text("code", code)?;
            let redirect_uri = guard::text("redirect_uri", redirect_uri)?;
            Ok(cm_tokens::new(&client.0.exchange_code(code, redirect_uri)?))
        })
    }
}

/// Gets a new access token (step 5 of the vendor's guide, RFC 6749 section 6). The old one ends at once.
///
/// Where the server sends no new refresh token, the tokens keep the old one.
///
/// @param client         the client; not NULL
/// @param refresh_token  the refresh token; not NULL
/// @param tokens         receives the tokens; not NULL
/// @param error          receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_LOGIN_REQUIRED`: the refresh token is no longer good; else as `cm_exchange_code`
///
/// Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread, many at once. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_refresh(
    client: *const cm_client,
    refresh_token: *const c_char,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let client = guard::handle("client", client)?;
            let refresh_token = guard::text("refresh_token", refresh_token)?;
            Ok(cm_tokens::new(&client.0.refresh(refresh_token)?))
        })
    }
}

/// Ends the access token and its refresh token (step 6 of the vendor's guide).
///
/// @param client        the client; not NULL
/// @param access_token  the access token; not NULL
/// @param error         receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_TOKEN_REJECTED`: the access token is unknown or expired; an expired one leaves the
///         refresh token alive: refresh, then log out; else as `cm_exchange_code`, without `CM_STATUS_LOGIN_REQUIRED`
///         and `_CLIENT_REJECTED`
///
/// Free an error with `cm_error_free`. Any thread, many at once. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_logout(
    client: *const cm_client,
    access_token: *const c_char,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::without_result(error, || {
            let client = guard::handle("client", client)?;
            client.0.logout(guard::text("access_token", access_token)?)
        })
    }
}
