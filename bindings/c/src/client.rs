//! Client. You need one for each API key; all threads of your program can share it.
//! It makes the three requests of the guide: exchange a code, refresh, log out. It stores no user and no token.

use cmauth::Client;
use libc::c_char;

use crate::call;
use crate::config::cm_config;
use crate::error::{cm_error, cm_status};
use crate::guard;
use crate::handle::{self, Cell, handle};
use crate::tokens::cm_tokens;

/// Sends requests to the server for one API key. It never changes.
pub struct cm_client(Cell<cm_client>);
handle!(cm_client, Client);

/// Makes a client from a copy of the settings. Reads the CA files and the certificates that the system trusts.
/// Sends nothing.
///
/// @param config  the settings; you can free them at once
/// @param client  receives the client
/// @retval CM_STATUS_INVALID_ARGUMENT  a setting is bad; the message names it
/// @retval CM_STATUS_TLS               the system has no trusted root certificates
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_client_new(
    config: *const cm_config,
    client: *mut *mut cm_client,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("client", client, error, || {
            let config = guard::handle("config", config)?;
            Ok(handle::make(Client::new(&config.0)?))
        })
    }
}

/// Frees a client. Its logins and sessions go on: they keep what they need.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_client_free(client: *mut cm_client) {
    // SAFETY: the handle follows the header's rules.
    unsafe { handle::free(client) }
}

/// Cancels this client, for a program that must stop. Calls in progress return `CM_STATUS_CANCELLED` within 100 ms.
/// Later calls return it at once, also if they would not have to wait: `while (cm_session_tokens(...) == 0)` ends. This
/// includes the calls of the client's logins and sessions, and `cm_session_open`. To end one call only, see
/// `cm_cancel_new`.
///
/// These calls send nothing and do not wait, so they work on a cancelled client: `cm_login_new`, `_listen` and
/// `_from_json`, `cm_session_health`, and all functions that only read from a handle.
///
/// Two calls in progress end later. A call that waits for a SOCKS proxy to accept its connection ends with the connect
/// timeout. A call that is in a callback of a custom store continues until the callback returns.
///
/// A cancelled client stays cancelled: make a new one to continue. Free the cancelled client when its calls have
/// returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_client_cancel(client: *const cm_client) {
    // SAFETY: the handle follows the header's rules.
    unsafe { handle::get(client, (), Client::cancel) }
}

/// Exchanges a code for tokens (step 4 of the guide, RFC 6749 section 4.1.3). Can block until the timeout of the
/// client.
///
/// Most programs call `cm_login_finish` instead, which also checks the state of the redirect. Use this function if
/// you check the state yourself.
///
/// @param code          the code from the redirect
/// @param redirect_uri  the redirect URI that the login page was opened with, byte for byte
/// @param tokens        receives the tokens
/// @retval CM_STATUS_LOGIN_REQUIRED    the code is not valid, was used before, or belongs to another redirect URI
/// @retval CM_STATUS_CLIENT_REJECTED   the server rejects the API key
/// @retval CM_STATUS_ACCESS_DENIED     the server answered 403
/// @retval CM_STATUS_REQUEST_REJECTED  the server rejects the request for another reason
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_exchange_code(
    client: *const cm_client,
    code: *const c_char,
    redirect_uri: *const c_char,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let client = handle::of("client", client)?;
            let code = guard::text("code", code)?;
            let redirect_uri = guard::text("redirect_uri", redirect_uri)?;
            Ok(cm_tokens::make(&client.exchange_code(code, redirect_uri)?))
        })
    }
}

/// Gets a new access token (step 5 of the guide, RFC 6749 section 6). The server ends the old access token at once.
/// Can block until the timeout of the client.
///
/// If the server sends no new refresh token, the new tokens contain the old one.
///
/// @param tokens  receives the new tokens
/// @retval CM_STATUS_LOGIN_REQUIRED    the refresh token is no longer valid
/// @retval CM_STATUS_CLIENT_REJECTED   the server rejects the API key
/// @retval CM_STATUS_ACCESS_DENIED     the server answered 403
/// @retval CM_STATUS_REQUEST_REJECTED  the server rejects the request for another reason
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_refresh(
    client: *const cm_client,
    refresh_token: *const c_char,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let client = handle::of("client", client)?;
            let refresh_token = guard::text("refresh_token", refresh_token)?;
            Ok(cm_tokens::make(&client.refresh(refresh_token)?))
        })
    }
}

/// Ends the access token and its refresh token (step 6 of the guide). Can block until the timeout of the client.
///
/// @retval CM_STATUS_TOKEN_REJECTED    the access token is unknown or has expired. If it has expired, the refresh
///                                     token is still valid: refresh, then log out.
/// @retval CM_STATUS_ACCESS_DENIED     the server answered 403
/// @retval CM_STATUS_REQUEST_REJECTED  the server rejects the request for another reason
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_logout(
    client: *const cm_client,
    access_token: *const c_char,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::without_result(error, || {
            let client = handle::of("client", client)?;
            client.logout(guard::text("access_token", access_token)?)
        })
    }
}

/// Checks that a URL may get the access token of a user: it is a URL of the server, by scheme, host and port, or of an origin of
/// `cm_config_allow_origin`. Call it before each request to a URL that your program did not write itself, such as the target of
/// a redirect: whoever gets the token can use it. Sends nothing.
///
/// @retval CM_STATUS_INVALID_ARGUMENT  it may not get the token, or it is no URL; the message names its origin
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_client_check_url(
    client: *const cm_client,
    url: *const c_char,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::without_result(error, || {
            let client = handle::of("client", client)?;
            client.check_url(guard::text("url", url)?)
        })
    }
}
