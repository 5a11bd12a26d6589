//! One login in progress: its `state`, the page to open, and the check of the redirect.
//!
//! ```text
//! Login::new ─► url() ─► the user's browser ─► server: log in, approve ─► redirect_uri?code=…&state=… ─► finish()
//! ```

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::clock;
use crate::error::{Advice, Error, Status};
use crate::json;
use crate::logging;
use crate::response::is_oauth_code;
use crate::secret::{Secret, redact};
use crate::tokens::Tokens;
use crate::url;
use crate::wipe::Zeroizing;

/// A login in progress (steps 2 to 4 of the vendor's guide "OAuth login panel + refresh token", RFC 6749 section 4.1).
///
/// A login can be used for one exchange of a code. It stays open after a redirect with another state, and after an exchange
/// that failed before anything was sent.
pub struct Login {
    client: Client,
    redirect_uri: String,
    state: Secret,
    /// When the login began, in Unix seconds.
    begun_at: i64,
    /// A `Secret` because it contains the state.
    url: Secret,
    stage: AtomicU8,
}

/// How long a login that was saved as JSON can be finished, in seconds. It is long enough to reset a lost password.
const MAX_AGE: i64 = 3600;

/// How far the clock of the machine that began the login may be ahead, in seconds.
const MAX_CLOCK_SKEW: i64 = 300;

const OPEN: u8 = 0;
const EXCHANGING: u8 = 1;
const FINISHED: u8 = 2;

impl Login {
    /// Begins a login whose browser will be redirected to `redirect_uri`, which must begin with http:// or https://.
    ///
    /// Creates a `state` of 256 random bits, by which [`finish`](Self::finish) recognizes the redirect of this login (RFC 6749,
    /// section 10.12). Sends nothing.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument): the redirect URI does not begin with http:// or https://, contains a
    /// fragment, or contains a parameter that the server adds (`code`, `state`, `error`, `error_description`).
    /// [`Internal`](Status::Internal): the operating system returned no random numbers.
    pub fn new(client: &Client, redirect_uri: &str) -> Result<Login, Error> {
        check_login_uri(redirect_uri)?;
        let mut random = zeroize::Zeroizing::new([0_u8; 32]);
        getrandom::getrandom(&mut *random).map_err(|error| {
            Error::new(
                Status::Internal,
                format!("the operating system returned no random numbers: {error}"),
                "check /dev/urandom and the sandbox of this process",
            )
        })?;
        Ok(Login::with_state(
            client,
            redirect_uri,
            Secret::new(BASE64_URL_SAFE_NO_PAD.encode(*random)),
            clock::unix_now(),
        ))
    }

    fn with_state(client: &Client, redirect_uri: &str, state: Secret, begun_at: i64) -> Login {
        let config = client.config();
        let query = url::encode_query(&[
            ("scope", &config.scope),
            ("client_id", &config.client_id),
            ("response_type", "code"),
            ("redirect_uri", redirect_uri),
            ("state", state.expose()),
        ]);
        Login {
            url: Secret::new(format!("{}/oauth/authorize?{}", client.base_url(), *query)),
            client: client.clone(),
            redirect_uri: redirect_uri.to_owned(),
            state,
            begun_at,
            stage: AtomicU8::new(OPEN),
        }
    }

    /// The login as JSON, so that another process or machine can finish it with [`from_json`](Self::from_json) within an hour.
    /// The JSON does not contain the secret of the API key. It contains the state, so keep it as secret as a password.
    pub fn to_json(&self) -> Secret {
        let config = self.client.config();
        let texts = [
            ("base_url", config.base_url.as_str()),
            ("client_id", &config.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("state", self.state.expose()),
        ];
        // A character can become six in JSON. The buffer must not grow, because that would leave copies in memory.
        let room = texts.iter().map(|(key, text)| key.len() + 6 * text.len() + 8).sum::<usize>() + 64;
        let mut object = Map::new();
        for (key, text) in texts {
            object.insert(key.to_owned(), text.into());
        }
        object.insert("begun_at".to_owned(), self.begun_at.into());
        Secret::new(json::Wiped(Value::Object(object)).to_text(room))
    }

    /// Restores a login from the JSON of [`to_json`](Self::to_json). Both clients must have the same client ID and server.
    /// Ignores unknown keys.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument): the JSON is not what `to_json` returned; the message names the key.
    /// [`LoginRequired`](Status::LoginRequired): the login began more than an hour ago.
    pub fn from_json(client: &Client, json: &str) -> Result<Login, Error> {
        let bad = |problem: &str| Error::invalid_argument("json", problem);
        let mut value = json::Wiped::parse(json.as_bytes())
            .filter(|value| value.0.is_object())
            .ok_or_else(|| bad("not a JSON object; give what to_json returned"))?;
        let mut text = |key: &str| {
            let text = value.take_text(key).ok().flatten().filter(|text| !text.is_empty());
            text.ok_or_else(|| bad(&format!("\"{key}\" is missing, or not a string")))
        };
        let (base_url, client_id) = (text("base_url")?, text("client_id")?);
        let (redirect_uri, state) = (text("redirect_uri")?, text("state")?);
        let begun_at = value.0.get("begun_at").and_then(Value::as_i64);
        let begun_at = begun_at.ok_or_else(|| bad("\"begun_at\" is missing, or not a whole number of seconds"))?;

        for (key, there, here) in
            [("client_id", &client_id, &client.config().client_id), ("base_url", &base_url, &client.config().base_url)]
        {
            if **there != *here {
                return Err(bad(&format!("\"{key}\" is not the one of this client; both clients must have the same")));
            }
        }
        check_login_uri(&redirect_uri).map_err(|_| bad("\"redirect_uri\" cannot be used"))?;
        if state.len() < 43 || !state.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(bad("\"state\" is not the state of a login"));
        }
        let age = clock::unix_now().saturating_sub(begun_at);
        if !(-MAX_CLOCK_SKEW..=MAX_AGE).contains(&age) {
            return Err(Error::new(
                Status::LoginRequired,
                "the login began more than an hour ago, or the clocks of the two machines differ",
                "log in again",
            ));
        }
        Ok(Login::with_state(client, &redirect_uri, Secret::from(state), begun_at))
    }

    /// The login page to open in the user's browser (step 2 of the guide). The browser must follow redirects.
    pub fn url(&self) -> &str {
        self.url.expose()
    }

    /// The redirect URI of this login.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Whether `url` can be the redirect of this login: it has the scheme, host, port and path of the redirect URI (a slash at the
    /// end of the path makes no difference), and a
    /// parameter `code` or `error`. For an embedded browser: if this returns `true`, close the page and call
    /// [`finish`](Self::finish), which checks the state.
    pub fn is_redirect(&self, url: &str) -> bool {
        let has = |name| {
            let query = url::query_of(url.trim()).unwrap_or_default();
            url::query_values(query, name).is_ok_and(|values| !values.is_empty())
        };
        let url = url.trim();
        let is_there = url::parts(url).is_some() && url::difference(&self.redirect_uri, url).is_none();
        is_there && (has("code") || has("error"))
    }

    /// Checks the redirect and exchanges its code for tokens.
    ///
    /// `redirected_url` is the URL that the browser was redirected to, or its part from the path on. Leading and trailing
    /// white space is ignored. A whole URL must have the scheme, host, port and path of the redirect URI; a slash at the end of the
    /// path makes no difference. A web server behind a proxy sees another URL than the browser: pass the part from the path on, of
    /// which only the query is used.
    ///
    /// # Errors
    /// [`StateMismatch`](Status::StateMismatch): the redirect belongs to another login or place, or is forged.
    /// [`AccessDenied`](Status::AccessDenied): the user denied the access. [`RequestRejected`](Status::RequestRejected) or
    /// [`Server`](Status::Server): the server redirected with another error.
    /// [`InvalidArgument`](Status::InvalidArgument): the redirect contains no code, or a parameter twice, or the login is
    /// already finished. Otherwise as for [`Client::exchange_code`].
    pub fn finish(&self, redirected_url: &str) -> Result<Tokens, Error> {
        let code = self.code_from_redirect(redirected_url)?;
        self.exchange(&code)
    }

    /// Checks a redirect of this login and returns its code.
    pub(crate) fn code_from_redirect(&self, redirected_url: &str) -> Result<Zeroizing<String>, Error> {
        let bad = |problem: String| Error::invalid_argument("redirected_url", problem);
        let redirected_url = redirected_url.trim();
        if let Some(part) = url::difference(&self.redirect_uri, redirected_url) {
            return Err(self.mismatch(
                &format!("its {part} is not that of the redirect URI {}", self.redirect_uri),
                "pass the URL that the browser is redirected to; if a proxy changes it, pass its part from the path on",
            ));
        }
        let query = url::query_of(redirected_url)
            .ok_or_else(|| bad("it has no query; pass the whole URL that the browser was redirected to".to_owned()))?;
        let only = |name: &str| -> Result<Option<Zeroizing<String>>, Error> {
            let mut values = url::query_values(query, name)
                .map_err(|_| bad(format!("its parameter \"{name}\" is not UTF-8")))?
                .into_iter()
                .map(Cow::into_owned)
                .map(Zeroizing::new);
            let value = values.next();
            match values.next() {
                Some(_) => Err(bad(format!("its parameter \"{name}\" occurs twice"))),
                None => Ok(value),
            }
        };
        let (state, code, error) = (only("state")?, only("code")?, only("error")?);
        let description = only("error_description")?;

        let state = state.filter(|state| !state.is_empty()).map(Secret::from);
        if state.as_ref() != Some(&self.state) {
            let how = if state.is_some() { "its state differs" } else { "its state is missing" };
            return Err(self.mismatch(
                how,
                "log in again: open the new login page, and pass the whole URL that the browser is redirected to",
            ));
        }
        if let Some(error) = error.filter(|error| !error.is_empty()) {
            let secrets = [self.state.expose(), code.as_deref().map_or("", String::as_str)];
            return Err(authorization_error(&error, description.as_deref().map(String::as_str), &secrets));
        }
        code.filter(|code| !code.is_empty()).ok_or_else(|| bad("it has neither a code nor an error".to_owned()))
    }

    fn mismatch(&self, how: &str, remedy: &str) -> Error {
        let what = format!("the redirect does not belong to this login: {how}");
        let error = Error::new(Status::StateMismatch, what, remedy);
        self.client.logged(|| logging::warning!("login: {}: {error}", error.status().name()));
        error
    }

    /// Whether the login can still be finished.
    pub(crate) fn is_open(&self) -> bool {
        self.stage.load(Ordering::Acquire) != FINISHED
    }

    /// Exchanges the code. Only one exchange runs at a time, and only one may reach the server.
    pub(crate) fn exchange(&self, code: &str) -> Result<Tokens, Error> {
        self.stage
            .compare_exchange(OPEN, EXCHANGING, Ordering::AcqRel, Ordering::Acquire)
            .map_err(|_| Error::invalid_argument("login", "it is already finished; begin a new one"))?;
        let result = self.client.exchange_code(code, &self.redirect_uri);
        let unsent = result.as_ref().is_err_and(|error| !error.request_sent());
        self.stage.store(if unsent { OPEN } else { FINISHED }, Ordering::Release);
        result
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("redirect_uri", &self.redirect_uri)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Checks a redirect URI: it must be one that [`Login::is_redirect`] can recognize.
fn check_login_uri(redirect_uri: &str) -> Result<(), Error> {
    let bad = |problem: String| Error::invalid_argument("redirect_uri", problem);
    url::check_redirect_uri(redirect_uri).map_err(|problem| bad(problem.to_owned()))?;
    if redirect_uri.contains('#') {
        return Err(bad("remove the fragment ('#' and everything after it)".to_owned()));
    }
    if !redirect_uri.is_ascii() {
        return Err(bad("percent-encode the characters that are not ASCII, as browsers do".to_owned()));
    }
    if url::parts(redirect_uri).is_none() {
        return Err(bad("it is not a URL with a valid host and port".to_owned()));
    }
    let own_query = url::query_of(redirect_uri).unwrap_or_default();
    for name in ["code", "state", "error", "error_description"] {
        if url::query_values(own_query, name).is_ok_and(|values| !values.is_empty()) {
            return Err(bad(format!("it has a parameter \"{name}\", which the server adds")));
        }
    }
    Ok(())
}

/// Makes an error from the error of a redirect (RFC 6749, section 4.1.2.1).
fn authorization_error(code: &str, description: Option<&str>, secrets: &[&str]) -> Error {
    let shown = redact(code, secrets);
    // In a query a plus stands for a space.
    let description = description.map(|text| redact(text, secrets).replace('+', " "));
    let (status, advice, what, remedy) = match code {
        "access_denied" => {
            (Status::AccessDenied, Advice::LogIn, "the user denied the access", "log in again if that was a mistake")
        }
        "server_error" | "temporarily_unavailable" => {
            (Status::Server, Advice::LogIn, "the server has a problem", "log in again later")
        }
        _ => (
            Status::RequestRejected,
            Advice::Fix,
            "the server rejected the request of the login page",
            "check the scope, the client ID and the redirect URI",
        ),
    };
    let quoted = match &description {
        Some(description) => format!("{shown}: {description}"),
        None => shown.clone(),
    };
    Error::new(status, format!("{what} ({quoted})"), remedy)
        .with_advice(advice, remedy)
        .with_oauth(Some(shown).filter(|code| is_oauth_code(code)), description)
}
