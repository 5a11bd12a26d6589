//! Login: one login under way. Open its URL in the user's browser, give the URL that it comes back to to
//! `cm_login_finish`.

use std::ffi::{c_char, c_int};
use std::ptr::null;

use cmauth::Login;

use crate::client::cm_client;
use crate::error::{cm_error, cm_status};
use crate::guard;
use crate::text::Text;
use crate::tokens::cm_tokens;

/// A login under way. Used up by the first exchange of which a byte was sent; after a mismatch or an earlier failure it
/// stays open. Any number of threads may use it at once; one of them finishes it.
pub struct cm_login {
    login: Login,
    url: Text,
}

/// Begins a login (step 2 of the vendor's guide), with a state of 256 random bits by which `cm_login_finish` knows the
/// redirect. Sends nothing.
///
/// @param client        the client; not NULL. It can be freed before the login.
/// @param redirect_uri  where the browser comes back to, http://… or https://…, without a fragment; not NULL
/// @param login         receives the login; not NULL
/// @param error         receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`: the redirect URI cannot be used
///
/// Free the login with `cm_login_free`, an error with `cm_error_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_new(
    client: *const cm_client,
    redirect_uri: *const c_char,
    login: *mut *mut cm_login,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        guard::call("login", login, error, || {
            let client = guard::handle("client", client)?;
            let login = Login::new(&client.0, guard::text("redirect_uri", redirect_uri)?)?;
            Ok(cm_login { url: Text::new(login.url()), login })
        })
    }
}

/// Frees a login, and wipes the state in it.
///
/// @param login  the login, or NULL
///
/// Not while a call on it runs. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_free(login: *mut cm_login) {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::free(login) }
}

/// The page to open in the user's browser, which must follow redirects. It holds the login's state: not for a log.
///
/// @param login  the login; NULL gives NULL
/// @return the URL, borrowed from the login
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_url(login: *const cm_login) -> *const c_char {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(login, null(), |login| login.url.as_ptr()) }
}

/// Whether a URL is the redirect of this login, for a browser inside your product: it tells when to stop showing pages
/// and call `cm_login_finish`, which checks the rest.
///
/// @param login  the login; NULL gives 0
/// @param url    where the browser is about to go; NULL gives 0
/// @return 1 if it is at the place of the redirect URI and has a code or an error, else 0
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_is_redirect(login: *const cm_login, url: *const c_char) -> c_int {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        guard::get(login, 0, |login| guard::text_or_problem(url).is_ok_and(|url| login.login.is_redirect(url)).into())
    }
}

/// Checks the redirect and exchanges its code for tokens (steps 3 and 4 of the vendor's guide).
///
/// @param login           the login; not NULL
/// @param redirected_url  the URL that the browser came back to, or what follows its host; not NULL
/// @param tokens          receives the tokens; not NULL
/// @param error           receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_STATE_MISMATCH`: the redirect belongs to another login, or somebody forged it;
///         `CM_STATUS_ACCESS_DENIED`: the user said no; `CM_STATUS_REQUEST_REJECTED`: the server sent another error;
///         `CM_STATUS_INVALID_ARGUMENT`: there is no code in it, a parameter twice, or the login is finished already;
///         else as `cm_exchange_code`
///
/// Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_finish(
    login: *const cm_login,
    redirected_url: *const c_char,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        guard::call("tokens", tokens, error, || {
            let login = guard::handle("login", login)?;
            let redirected_url = guard::text("redirected_url", redirected_url)?;
            Ok(cm_tokens::new(login.login.finish(redirected_url)?))
        })
    }
}
