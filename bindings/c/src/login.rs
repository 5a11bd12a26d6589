//! Login. You need one each time a user logs in.
//! Open `cm_login_url` in a browser, then pass the redirect to `cm_login_finish`, or receive it with `cm_login_wait`.

use std::ptr::null;
use std::sync::OnceLock;
use std::time::Duration;

use cmauth::bindings::{invalid_argument, reject_page};
use cmauth::{Error, Login, Loopback, PageText};
use libc::c_char;

use crate::call;
use crate::client::cm_client;
use crate::error::{cm_error, cm_status};
use crate::guard;
use crate::handle::{self, Cell, handle};
use crate::text::Text;
use crate::tokens::cm_tokens;

/// One login of a user. It is finished when it has sent the first byte of an exchange. A failure before that, such
/// as a wrong state, leaves it open: pass another redirect.
pub struct cm_login(Cell<cm_login>);
handle!(cm_login, Value);

pub(crate) struct Value {
    kind: Kind,
    url: Text,
    json: OnceLock<Text>,
}

enum Kind {
    Plain(Login),
    Listening(Loopback),
}

/// The texts of the page at the end of a login: see `cm_login_set_page`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum cm_page_text {
    /// The language of the other texts, as a tag such as "en", "de-AT" or "ar" (BCP 47). It decides the direction of the
    /// text.
    Language = 1,
    /// The title of the page, in the tab of the browser.
    Title = 2,
    /// What the page says after a successful login. `cm_login_set_message` sets the same text.
    Success = 3,
    /// What the page says after a login that failed or that the user denied.
    Failure = 4,
    /// The name of the product, shown above the text and in the title.
    Product = 5,
}

impl Value {
    fn make(kind: Kind) -> *mut cm_login {
        let mut login = Value { kind, url: Text::new(""), json: OnceLock::new() };
        login.url = Text::new(login.login().url());
        handle::make(login)
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

/// Begins a login (step 2 of the guide). Makes a state of 256 random bits, by which `cm_login_finish` recognizes
/// the redirect. Sends nothing.
///
/// @param redirect_uri  where the browser returns: http://… or https://…, without a fragment
/// @param login         receives the login
/// @retval CM_STATUS_INVALID_ARGUMENT  the redirect URI cannot be used
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_new(
    client: *const cm_client,
    redirect_uri: *const c_char,
    login: *mut *mut cm_login,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("login", login, error, || {
            let client = handle::of("client", client)?;
            let login = Login::new(&client, guard::text("redirect_uri", redirect_uri)?)?;
            Ok(Value::make(Kind::Plain(login)))
        })
    }
}

/// Begins a login whose redirect this machine receives (RFC 8252). Open `cm_login_url` in a browser, then call
/// `cm_login_wait`.
///
/// The login listens on 127.0.0.1, which other machines cannot reach. Its redirect URI is `http://127.0.0.1:PORT/`.
/// Several such logins can exist at the same time. Sends nothing.
///
/// @param port   1 to 65535, or 0 for a free port. If your API key allows only one redirect URI, use its port.
/// @param login  receives the login
/// @retval CM_STATUS_INVALID_ARGUMENT  the port is in use or not allowed
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_listen(
    client: *const cm_client,
    port: i32,
    login: *mut *mut cm_login,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("login", login, error, || {
            let client = handle::of("client", client)?;
            let port = port.try_into().map_err(|_| invalid_argument("port", "not a number from 0 to 65535"))?;
            Ok(Value::make(Kind::Listening(Loopback::listen(&client, port)?)))
        })
    }
}

/// Continues a login that another process or machine began: that machine shows the page, this one has the secret.
/// Both clients must have the same client id and base URL.
///
/// @param json   what `cm_login_to_json` returned
/// @param login  receives the login. It does not listen.
/// @retval CM_STATUS_INVALID_ARGUMENT  the text is not a login of this client; the message names the key
/// @retval CM_STATUS_LOGIN_REQUIRED    the login began more than an hour ago, or the clocks differ
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_from_json(
    client: *const cm_client,
    json: *const c_char,
    login: *mut *mut cm_login,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("login", login, error, || {
            let client = handle::of("client", client)?;
            Ok(Value::make(Kind::Plain(Login::from_json(&client, guard::text("json", json)?)?)))
        })
    }
}

/// Frees a login. If it listens, this closes its port.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_free(login: *mut cm_login) {
    // SAFETY: the handle follows the header's rules.
    unsafe { handle::free(login) }
}

/// The URL of the login page, for the user's browser. The browser must follow redirects. The URL contains the state
/// of the login: do not log it.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_url(login: *const cm_login) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe { handle::get(login, null(), |login| login.url.as_ptr()) }
}

/// Whether a URL is the redirect of this login, for a browser inside your product. When this returns 1, close the
/// browser and call `cm_login_finish`, which checks the rest.
///
/// @param url  the URL that the browser is about to open
/// @return 1 if the URL matches the redirect URI and its query has a code or an error; otherwise 0
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_is_redirect(login: *const cm_login, url: *const c_char) -> i32 {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        handle::get(login, 0, |login| {
            guard::text_or_problem(url).is_ok_and(|url| login.login().is_redirect(url)).into()
        })
    }
}

/// Checks the redirect and exchanges its code for tokens (steps 3 and 4 of the guide). Can block until the timeout
/// of the client.
///
/// A whole URL must have the scheme, host, port and path of the redirect URI; a slash at the end of the path makes no
/// difference. A web server behind a proxy sees another URL than the browser: pass the part from the path on, of which only the
/// query is used.
///
/// @param redirected_url  the URL that the browser returned to, or its part from the path on
/// @param tokens          receives the tokens
/// @retval CM_STATUS_STATE_MISMATCH    the redirect belongs to another login or place, or is forged
/// @retval CM_STATUS_ACCESS_DENIED     the user denied the access, or the server answered 403
/// @retval CM_STATUS_INVALID_ARGUMENT  the redirect has no code, or has a parameter twice; or the login is
///                                     finished, or another thread is finishing it
/// @retval CM_STATUS_REQUEST_REJECTED  the redirect contains another error, or the server rejects the request
/// @retval CM_STATUS_LOGIN_REQUIRED    the code is no longer valid
/// @retval CM_STATUS_CLIENT_REJECTED   the server rejects the API key
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_finish(
    login: *const cm_login,
    redirected_url: *const c_char,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let login = handle::of("login", login)?;
            let redirected_url = guard::text("redirected_url", redirected_url)?;
            Ok(cm_tokens::make(&login.login().finish(redirected_url)?))
        })
    }
}

/// Waits until the browser returns to a login that listens, and finishes the login. The browser then shows the
/// result. Other requests to the port get an HTTP 400, and the wait continues. Only one thread at a time can wait.
/// Can block until its own timeout, and then until that of the client.
///
/// @param login       a login from `cm_login_listen`
/// @param timeout_ms  how long to wait for the browser, in milliseconds, more than 0. The exchange of the code has
///                    the timeout of the client in addition.
/// @param tokens      receives the tokens. The port is then closed.
/// @retval CM_STATUS_TIMEOUT           the browser did not return in time: wait again, or give up
/// @retval CM_STATUS_CANCELLED         `cm_login_cancel` or `cm_client_cancel` was called
/// @retval CM_STATUS_INVALID_ARGUMENT  the login does not listen or is finished, or another thread waits for it
/// @return otherwise as `cm_login_finish`
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_wait(
    login: *const cm_login,
    timeout_ms: i64,
    tokens: *mut *mut cm_tokens,
    error: *mut *mut cm_error,
) -> cm_status {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        call::with_result("tokens", tokens, error, || {
            let loopback = handle::of("login", login)?;
            let loopback = loopback.loopback()?;
            let timeout = u64::try_from(timeout_ms).ok().filter(|timeout| *timeout > 0);
            let timeout = timeout.ok_or_else(|| invalid_argument("timeout_ms", "not more than 0"))?;
            Ok(cm_tokens::make(&loopback.wait(Duration::from_millis(timeout))?))
        })
    }
}

/// Cancels `cm_login_wait` within 100 ms, also while it exchanges the code, except while it waits for a SOCKS proxy.
/// Later waits fail at once. Other calls of the client continue.
///
/// @param login  a login from `cm_login_listen`; for another login, nothing happens
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_cancel(login: *const cm_login) {
    // SAFETY: the handle follows the header's rules.
    unsafe { handle::get(login, (), |login| _ = login.loopback().map(Loopback::cancel)) }
}

/// Sets the text that the browser shows after a successful `cm_login_wait`. Default: "You are logged in." and "You
/// can close this page." on two lines.
///
/// @param login  a login from `cm_login_listen`; for another login, nothing happens
/// @param text   plain text; line breaks are kept. If it is NULL or not UTF-8, nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_set_message(login: *const cm_login, text: *const c_char) {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        handle::get(login, (), |login| {
            if let (Ok(loopback), Ok(text)) = (login.loopback(), guard::text_or_problem(text)) {
                loopback.set_message(text);
            }
        });
    }
}

/// Sets a text of the page that the browser shows after `cm_login_wait`. Without it, the page is in English and names no
/// product.
///
/// `cm_login_wait` reports the first bad value, with `CM_STATUS_INVALID_ARGUMENT`, before it waits.
///
/// @param login  a login from `cm_login_listen`; for another login, nothing happens
/// @param key    a `cm_page_text`
/// @param text   plain text
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_set_page(login: *const cm_login, key: i32, text: *const c_char) {
    // SAFETY: the parameters follow the header's rules.
    unsafe {
        handle::get(login, (), |login| {
            let Ok(loopback) = login.loopback() else { return };
            let key = match key {
                1 => PageText::Language,
                2 => PageText::Title,
                3 => PageText::Success,
                4 => PageText::Failure,
                5 => PageText::Product,
                _ => return reject_page(loopback, "key", "it is not a cm_page_text"),
            };
            match guard::text_or_problem(text) {
                Ok(text) => loopback.set_page(key, text),
                Err(problem) => reject_page(loopback, "text", problem),
            }
        });
    }
}

/// The login as JSON, for `cm_login_from_json` in another process or on another machine within an hour. It contains
/// the state, but not the secret of the API key. Protect it like a password.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_login_to_json(login: *const cm_login) -> *const c_char {
    // SAFETY: the handle follows the header's rules.
    unsafe {
        handle::get(login, null(), |login| {
            login.json.get_or_init(|| Text::new(login.login().to_json().expose())).as_ptr()
        })
    }
}
