//! Login: one login under way. Open its URL in the user's browser; then give the URL that it comes back to to
//! `cm_login_finish`, or, for a login that listens on this machine, call `cm_login_wait`.

use std::ptr::null;
use std::sync::OnceLock;
use std::time::Duration;

use cmauth::bindings::invalid_argument;
use cmauth::{Error, Login, Loopback};
use libc::{c_char, c_int};

use crate::call;
use crate::client::cm_client;
use crate::error::{cm_error, cm_status};
use crate::guard;
use crate::text::Text;
use crate::tokens::cm_tokens;

/// A login under way. Used up by the first exchange of which a byte was sent; after a mismatch or an earlier failure it
/// stays open. Any number of threads may use it at once; one of them finishes it.
pub struct cm_login {
    kind: Kind,
    url: Text,
    json: OnceLock<Text>,
}

enum Kind {
    Plain(Login),
    Listening(Loopback),
}

impl cm_login {
    fn new(kind: Kind) -> cm_login {
        let mut login = cm_login { kind, url: Text::new(""), json: OnceLock::new() };
        login.url = Text::new(login.login().url());
        login
    }

    fn login(&self) -> &Login {
        match &self.kind {
            Kind::Plain(login) => login,
            Kind::Listening(loopback) => loopback.login(),
        }
    }

    fn loopback(&self) -> Result<&Loopback, Error> {
        match &self.kind {
            Kind::Listening(loopback) => Ok(loopback),
            Kind::Plain(_) => Err(invalid_argument("login", "it does not listen; make it with cm_login_listen")),
        }
    }
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
        call::with_result("login", login, error, || {
            let client = guard::handle("client", client)?;
            let login = Login::new(&client.0, guard::text("redirect_uri", redirect_uri)?)?;
            Ok(cm_login::new(Kind::Plain(login)))
        })
    }
}

/// Begins a login that comes back to this machine (RFC 8252): listens on 127.0.0.1, which no other machine reaches, with
/// `http://127.0.0.1:PORT/` as its redirect URI. Open `cm_login_url` in the browser, then call `cm_login_wait`. Any number
/// of them can run side by side. Sends nothing.
///
/// @param client  the client; not NULL. It can be freed before the login.
/// @param port    from 1 to 65535, or 0 for a free one; a key with a registered redirect URI may need that one's
/// @param login   receives the login; not NULL
/// @param error   receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`: the port cannot be had
///
/// Free the login with `cm_login_free`, which closes the port; an error with `cm_error_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_listen(
    client: *const cm_client,
    port: c_int,
    login: *mut *mut cm_login,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::with_result("login", login, error, || {
            let client = guard::handle("client", client)?;
            let port = port.try_into().map_err(|_| invalid_argument("port", "not a number from 0 to 65535"))?;
            Ok(cm_login::new(Kind::Listening(Loopback::listen(&client.0, port)?)))
        })
    }
}

/// Takes over a login that another process or machine began, to finish it here: one shows the page, the other has the
/// secret. Both clients must have the same id and server.
///
/// @param client  the client; not NULL. It can be freed before the login.
/// @param json    what `cm_login_to_json` gave there; not NULL
/// @param login   receives the login, which does not listen; not NULL
/// @param error   receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`; `CM_STATUS_INVALID_ARGUMENT`, naming the key, where it holds no login of this client;
///         `CM_STATUS_LOGIN_REQUIRED`: it began more than an hour ago
///
/// Free the login with `cm_login_free`, an error with `cm_error_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_from_json(
    client: *const cm_client,
    json: *const c_char,
    login: *mut *mut cm_login,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::with_result("login", login, error, || {
            let client = guard::handle("client", client)?;
            Ok(cm_login::new(Kind::Plain(Login::from_json(&client.0, guard::text("json", json)?)?)))
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
        guard::get(login, 0, |login| guard::text_or_problem(url).is_ok_and(|url| login.login().is_redirect(url)).into())
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
        call::with_result("tokens", tokens, error, || {
            let login = guard::handle("login", login)?;
            let redirected_url = guard::text("redirected_url", redirected_url)?;
            Ok(cm_tokens::new(&login.login().finish(redirected_url)?))
        })
    }
}

/// Waits until the browser comes back to a login that listens, shows it a page that says how it went, and finishes the
/// login. Whatever else comes to the port is answered with 400, and the wait goes on.
///
/// @param login       a login from `cm_login_listen`; not NULL
/// @param timeout_ms  how long the browser is waited for, more than 0; the exchange of the code has the client's time after
///                    it
/// @param tokens      receives the tokens; not NULL
/// @param error       receives the details of a failure; may be NULL
/// @return `CM_STATUS_OK`, and the port is closed; `CM_STATUS_TIMEOUT`: nobody came; wait again, or give up;
///         `CM_STATUS_CANCELLED`: by `cm_login_cancel` or `cm_client_cancel`; `CM_STATUS_INVALID_ARGUMENT`: it does not listen,
///         is finished, or another thread waits for it; else as `cm_login_finish`
///
/// Free the tokens with `cm_tokens_free`, an error with `cm_error_free`. Any thread; one waits. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_wait(
    login: *const cm_login,
    timeout_ms: i64,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let loopback = guard::handle("login", login)?.loopback()?;
            let timeout = u64::try_from(timeout_ms).ok().filter(|timeout| *timeout > 0);
            let timeout = timeout.ok_or_else(|| invalid_argument("timeout_ms", "not more than 0"))?;
            Ok(cm_tokens::new(&loopback.wait(Duration::from_millis(timeout))?))
        })
    }
}

/// Ends the wait for a login that listens, within 100 ms, and every later one; the exchange that may have begun with it.
/// Other calls of the client go on.
///
/// @param login  a login from `cm_login_listen`; any other, and NULL: nothing happens
///
/// Any thread, also while another waits. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_cancel(login: *const cm_login) {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::get(login, (), |login| _ = login.loopback().map(Loopback::cancel)) }
}

/// Sets the words on the page that the browser shows after a login that listens. Default: "You are logged in." and
/// "You can close this page."
///
/// @param login  a login from `cm_login_listen`; any other, and NULL: nothing happens
/// @param text   plain text, in which lines stay lines; NULL or no UTF-8: nothing happens
///
/// Any thread. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_set_message(login: *const cm_login, text: *const c_char) {
    // SAFETY: parameters as the conventions have them.
    unsafe {
        guard::get(login, (), |login| {
            if let (Ok(loopback), Ok(text)) = (login.loopback(), guard::text_or_problem(text)) {
                loopback.set_message(text);
            }
        });
    }
}

/// The login as JSON, for `cm_login_from_json` in another process or on another machine, within an hour. The API key's
/// secret is not in it, but the state is: as secret as a password.
///
/// @param login  the login; NULL gives NULL
/// @return the JSON, borrowed from the login
///
/// Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_to_json(login: *const cm_login) -> *const c_char {
    // SAFETY: a handle as the conventions have it.
    unsafe {
        guard::get(login, null(), |login| {
            login.json.get_or_init(|| Text::new(login.login().to_json().expose())).as_ptr()
        })
    }
}
