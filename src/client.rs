//! The [`Client`], with the three calls to the server: exchange, refresh, logout.
//!
//! Each call makes one request of the vendor's guide, sends it through `transport` and reads the response with
//! `response`. This module also retries. A client keeps no user and no token.
//!
//! The guide: "OAuth login panel + refresh token",
//! <https://developer.cameramanager.com/docs/oauth-login-panel-refresh-token>.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::cancel::{self, Cancellation};
use crate::clock::unix_now;
use crate::config::Config;
use crate::error::{Advice, Error, Status};
use crate::logging;
use crate::origin::Origin;
use crate::random::jitter;
use crate::response::{self, Call};
use crate::secret::Secret;
use crate::text::{check_text, fits_header};
use crate::tokens::Tokens;
use crate::transport::{Method, Request, Transport};
use crate::url;
use crate::user::User;
use crate::wipe::Zeroizing;

/// Makes calls to the server for one API key. Any number of threads can use it at once. It is cheap to clone, and
/// clones share their connections.
///
/// ```no_run
/// # fn main() -> Result<(), cmauth::Error> {
/// let config = cmauth::Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
/// let client = cmauth::Client::new(&config)?;
/// let tokens = client.exchange_code("AbCdEf", "https://example.com")?;
/// let tokens = match tokens.refresh_token() {
///     Some(refresh_token) => client.refresh(refresh_token.expose())?,
///     None => tokens,
/// };
/// client.logout(tokens.access_token().expose())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    /// `Basic base64(id:secret)`.
    basic: Zeroizing<String>,
    transport: Transport,
}

impl Client {
    /// Makes a client from a copy of `config`. Reads the CA files and the system's trusted root certificates; sends
    /// nothing.
    ///
    /// # Errors
    /// - [`InvalidArgument`](Status::InvalidArgument): a setter of `config` was given a bad value (the error names the
    ///   first), or a CA file cannot be used.
    /// - [`Tls`](Status::Tls): the system has no trusted root certificates.
    pub fn new(config: &Config) -> Result<Client, Error> {
        config.check()?;
        let credentials = Zeroizing::new(format!("{}:{}", config.client_id, config.client_secret.expose()));
        Ok(Client(Arc::new(Inner {
            basic: Zeroizing::new(format!("Basic {}", *Zeroizing::new(BASE64_STANDARD.encode(&*credentials)))),
            transport: Transport::new(config)?,
            config: config.clone(),
        })))
    }

    /// Exchanges the code of a redirect for tokens (step 4 of the guide, RFC 6749 section 4.1.3). `redirect_uri` must
    /// be exactly the one with which the login page was opened.
    ///
    /// [`Login::finish`](crate::Login::finish) checks the state of the redirect and then does this. Use this function
    /// if your program checks the state itself.
    ///
    /// The first request that reaches the server uses the code up. So the call sends it only once, and retries only if
    /// no byte of the request was sent.
    ///
    /// # Errors
    /// - [`LoginRequired`](Status::LoginRequired): the code is invalid or used up, or the redirect URI differs.
    /// - [`ClientRejected`](Status::ClientRejected): the server rejected the API key.
    /// - [`InvalidArgument`](Status::InvalidArgument): an argument is malformed; nothing was sent.
    /// - [`RequestRejected`](Status::RequestRejected), [`AccessDenied`](Status::AccessDenied),
    ///   [`Network`](Status::Network), [`Tls`](Status::Tls), [`Timeout`](Status::Timeout), [`Server`](Status::Server),
    ///   [`Protocol`](Status::Protocol), [`Cancelled`](Status::Cancelled).
    pub fn exchange_code(&self, code: &str, redirect_uri: &str) -> Result<Tokens, Error> {
        check("code", code)?;
        url::check_redirect_uri(redirect_uri).map_err(|problem| Error::invalid_argument("redirect_uri", problem))?;
        let config = &self.0.config;
        let parameters = [
            ("grant_type", "authorization_code"),
            ("scope", config.scope.as_str()),
            ("code", code),
            ("redirect_uri", redirect_uri),
        ];
        self.token_request(Call::ExchangeCode, &parameters, code, self.deadline())
    }

    /// Gets a new access token (step 5 of the guide, RFC 6749 section 6). The old access token becomes invalid at once.
    /// If the response has no refresh token, the returned tokens have the old one.
    ///
    /// # Errors
    /// [`LoginRequired`](Status::LoginRequired): the refresh token is no longer valid. Other errors are those of
    /// [`exchange_code`](Self::exchange_code).
    pub fn refresh(&self, refresh_token: &str) -> Result<Tokens, Error> {
        self.refresh_until(refresh_token, Some(&self.0.config.scope), self.deadline())
    }

    /// [`refresh`](Self::refresh) with the caller's scope and deadline. Without a scope, the tokens get the one that
    /// was granted before (RFC 6749, section 6).
    pub(crate) fn refresh_until(
        &self,
        refresh_token: &str,
        scope: Option<&str>,
        deadline: Instant,
    ) -> Result<Tokens, Error> {
        check("refresh_token", refresh_token)?;
        let grant = ("grant_type", "refresh_token");
        let token = ("refresh_token", refresh_token);
        let tokens = match scope {
            Some(scope) => {
                self.token_request(Call::Refresh, &[grant, ("scope", scope), token], refresh_token, deadline)?
            }
            None => self.token_request(Call::Refresh, &[grant, token], refresh_token, deadline)?,
        };
        Ok(tokens.or_refresh_token(refresh_token))
    }

    /// Revokes the access token and its refresh token (step 6 of the guide).
    ///
    /// # Errors
    /// [`TokenRejected`](Status::TokenRejected): the access token is unknown or expired. If it has expired, the refresh
    /// token is still valid: refresh, then log out. Other errors are those of [`exchange_code`](Self::exchange_code).
    pub fn logout(&self, access_token: &str) -> Result<(), Error> {
        self.logout_until(access_token, self.deadline())
    }

    /// [`logout`](Self::logout) with the caller's deadline.
    pub(crate) fn logout_until(&self, access_token: &str, deadline: Instant) -> Result<(), Error> {
        check("access_token", access_token)?;
        if !fits_header(access_token) {
            return Err(Error::invalid_argument(
                "access_token",
                "it has a character that is not allowed in an HTTP header",
            ));
        }
        let url = format!("{}/rest/v2.0/users/self/tokens/current", self.base_url());
        let request = Request {
            method: Method::Delete,
            url: &url,
            authorization: &Zeroizing::new(format!("Bearer {access_token}")),
            form: None,
            once: false,
        };
        let secrets = self.secrets(access_token);
        // An earlier request may have reached the server and revoked the tokens, although its response was lost.
        let mut maybe_done = false;
        self.with_retries("logout", deadline, || {
            let result = self.0.transport.send(&request, deadline).and_then(|response| {
                maybe_done |= response.resent;
                response::read_logout(&response, &secrets).map_err(|error| error.with_request_sent(true))
            });
            match result {
                Err(error) if maybe_done && error.status() == Status::TokenRejected => Ok(()),
                Err(error) => {
                    maybe_done |= error.request_sent();
                    Err(error)
                }
                done => done,
            }
        })
    }

    /// Who the user of an access token is (`GET /rest/v2.0/users/self` of the vendor's API). A program that serves many users
    /// can ask once after each login, and keep the users by [`User::id`].
    ///
    /// # Errors
    /// [`TokenRejected`](Status::TokenRejected): the access token is unknown or expired.
    /// [`AccessDenied`](Status::AccessDenied): the scope of the token does not allow it. Other errors are those of
    /// [`exchange_code`](Self::exchange_code).
    pub fn user(&self, access_token: &str) -> Result<User, Error> {
        check("access_token", access_token)?;
        let url = format!("{}/rest/v2.0/users/self", self.base_url());
        let request = Request {
            method: Method::Get,
            url: &url,
            authorization: &Zeroizing::new(format!("Bearer {access_token}")),
            form: None,
            once: false,
        };
        let secrets = self.secrets(access_token);
        let deadline = self.deadline();
        self.with_retries("user", deadline, || {
            let response = self.0.transport.send(&request, deadline)?;
            response::read_user(&response, &secrets).map_err(|error| error.with_request_sent(true))
        })
    }

    /// The URL of the proxy that requests go through, which can contain a password.
    pub(crate) fn proxy_url(&self) -> Option<Secret> {
        self.0.transport.proxy_url()
    }

    /// Checks that a URL may get the access token: it is a URL of the origin (scheme, host and port) of the base URL, or of an
    /// origin of [`Config::allow_origin`]. Ask before each request to a URL that the program did not write itself, such as the
    /// target of a redirect: whoever gets the token can use it.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument): it may not, or it is not a URL. The message names the origin, without path and
    /// query.
    pub fn check_url(&self, url: &str) -> Result<(), Error> {
        self.check_url_or(url, &[])
    }

    /// [`check_url`](Self::check_url) with further origins.
    pub(crate) fn check_url_or(&self, url: &str, allowed: &[Origin]) -> Result<(), Error> {
        let origin = Origin::of(url).map_err(|problem| Error::invalid_argument("url", problem))?;
        let config = &self.0.config;
        let own = Origin::of(&config.base_url);
        if own.as_ref() == Ok(&origin) || config.allowed_origins.contains(&origin) || allowed.contains(&origin) {
            return Ok(());
        }
        let problem = format!(
            "the access token is not sent to {origin}, only to {}; allow this origin if the token belongs there",
            own.map_or_else(|_| config.base_url.clone(), |own| own.to_string())
        );
        Err(Error::invalid_argument("url", problem))
    }

    /// Ends the calls in progress on this client and its clones, logins and sessions within 100 ms, with
    /// [`Cancelled`](Status::Cancelled). Later calls fail at once. This is for a program that must stop: a cancelled client
    /// stays cancelled. To end one call only, use a [`Cancel`](crate::Cancel).
    pub fn cancel(&self) {
        self.0.transport.cancel();
    }

    /// Whether a call on this thread must fail at once: the client or the scope of the thread is cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.transport.is_cancelled() || cancel::is_scope_cancelled()
    }

    /// # Errors
    /// [`Cancelled`](Status::Cancelled): see [`is_cancelled`](Self::is_cancelled).
    pub(crate) fn check_cancelled(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(cancel::cancelled()) } else { Ok(()) }
    }

    fn token_request(
        &self,
        call: Call,
        parameters: &[(&str, &str)],
        sent_secret: &str,
        deadline: Instant,
    ) -> Result<Tokens, Error> {
        let inner = &*self.0;
        if inner.config.client_secret.expose().is_empty() {
            let problem =
                "this is a public client, without a secret; exchange and refresh on the machine that has the secret";
            return Err(Error::invalid_argument("client_secret", problem));
        }
        let parameters = url::encode_query(parameters);
        let endpoint = format!("{}/oauth/token", self.base_url());
        let with_query = Zeroizing::new(format!("{endpoint}?{}", *parameters));
        let in_body = inner.config.params_in_body;
        let once = call == Call::ExchangeCode;
        let request = Request {
            method: Method::Post,
            url: if in_body { &endpoint } else { &with_query },
            authorization: &inner.basic,
            form: in_body.then_some(parameters.as_str()),
            once,
        };
        let secrets = self.secrets(sent_secret);
        let name = if once { "exchange_code" } else { "refresh" };
        self.with_retries(name, deadline, || {
            let now = unix_now();
            let result = inner.transport.send(&request, deadline).and_then(|response| {
                response::read_tokens(call, &response, now, &secrets).map_err(|error| error.with_request_sent(true))
            });
            match result {
                Err(error) if once && error.request_sent() => Err(response::after_sent_exchange(error)),
                result => result,
            }
        })
    }

    /// Runs `attempt` until it succeeds, fails with an error that a retry cannot repair, or the retries or the time are
    /// used up.
    fn with_retries<T>(
        &self,
        call: &str,
        deadline: Instant,
        attempt: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.logged(|| self.retry(call, deadline, attempt))
    }

    fn retry<T>(
        &self,
        call: &str,
        deadline: Instant,
        mut attempt: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let config = &self.0.config;
        let mut retries = 0;
        loop {
            let error = match attempt() {
                Ok(value) => {
                    logging::info!("{call}: done");
                    return Ok(value);
                }
                Err(error) => error,
            };
            let is_transient = matches!(error.status(), Status::Network | Status::Server | Status::Timeout);
            // The error of a sent exchange advises to log in, not to retry.
            let may_retry = is_transient && error.advice() == Advice::Retry && retries < config.max_retries;
            let pause = error.retry_after().unwrap_or_else(|| back_off(retries));
            // If the deadline comes before the next attempt, this error says more than a timeout.
            if !may_retry || pause >= deadline.saturating_duration_since(Instant::now()) {
                logging::error!("{call}: {}: {error}", error.status().name());
                return Err(error);
            }
            logging::warning!("{call}: {error}; retry in {} ms", pause.as_millis());
            if let Err(cancelled) = self.cancellation().sleep(pause) {
                logging::error!("{call}: {}: {cancelled}", cancelled.status().name());
                return Err(cancelled);
            }
            retries += 1;
        }
    }

    /// Runs a call whose lines go to the log of this client.
    pub(crate) fn logged<T>(&self, call: impl FnOnce() -> T) -> T {
        logging::scope(self.0.config.log.as_ref(), call)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout()
    }

    /// The timeout of a whole call.
    pub(crate) fn timeout(&self) -> Duration {
        self.0.config.timeout
    }

    /// The switch that ends all calls of this client in this process. A forked child has its own.
    pub(crate) fn cancellation(&self) -> Cancellation {
        self.0.transport.cancellation()
    }

    /// The secrets of a request that contains `sent`. No message may show them.
    fn secrets<'a>(&'a self, sent: &'a str) -> [&'a str; 3] {
        let basic = &self.0.basic["Basic ".len()..];
        [sent, self.0.config.client_secret.expose(), basic]
    }

    /// The base URL, without a slash at its end.
    pub(crate) fn base_url(&self) -> &str {
        &self.0.config.base_url
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.0.config).finish_non_exhaustive()
    }
}

fn check(name: &str, text: &str) -> Result<(), Error> {
    check_text(text).map_err(|problem| Error::invalid_argument(name, problem))
}

/// The wait before a retry: half a second, doubled with every retry up to 8 s. A random part of up to half is left out,
/// so that calls that failed together do not retry together.
fn back_off(retries: u32) -> Duration {
    jitter(Duration::from_millis(500 << retries.min(4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_before_retries_grow_and_stay_within_their_bounds() {
        for (retries, max) in [(0, 500), (1, 1000), (2, 2000), (4, 8000), (10, 8000)] {
            for _ in 0..100 {
                let pause = back_off(retries).as_millis();
                assert!((max / 2..=max).contains(&pause), "{retries}: {pause}");
            }
        }
    }

    #[test]
    fn the_basic_header_has_a_colon_between_id_and_secret() {
        let config = Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
        // The guide's example has a quotation mark instead, which its server would reject.
        assert_eq!(
            *Client::new(&config).unwrap().0.basic,
            "Basic Y2FtZXJhbWFuYWdlci50ZXN0OnF3ZXJ0eXVpb3Bhc2RmZ2hqa2x6eGN2Ym5tMTIzNDU="
        );
    }

    #[test]
    fn bad_parameters_are_named_and_nothing_is_sent() {
        // No server listens here: a request would end with a network error.
        let mut config = Config::new("id", "secret");
        config.set_base_url("http://127.0.0.1:1");
        let client = Client::new(&config).unwrap();
        let errors = [
            ("code: ", client.exchange_code("", "https://example.com").unwrap_err()),
            ("code: ", client.exchange_code("a\n", "https://example.com").unwrap_err()),
            ("redirect_uri: ", client.exchange_code("a", "").unwrap_err()),
            ("redirect_uri: ", client.exchange_code("a", "example.com").unwrap_err()),
            ("redirect_uri: ", client.exchange_code("a", "app://login").unwrap_err()),
            ("refresh_token: ", client.refresh("").unwrap_err()),
            ("access_token: ", client.logout("").unwrap_err()),
            ("access_token: ", client.logout("a b").unwrap_err()),
            ("access_token: ", client.logout("é").unwrap_err()),
        ];
        for (beginning, error) in errors {
            assert_eq!(error.status(), Status::InvalidArgument);
            assert!(error.message().starts_with(beginning), "{error}");
            assert!(!error.request_sent());
        }
    }
}
