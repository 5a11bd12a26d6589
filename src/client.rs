//! A config made usable: [`Client`], with the three calls that are the heart of this library.
//!
//! Each call makes one request of the vendor's guide, hands it to `transport` and gives the answer to `answer`. Here is
//! also what is sent again, and when. A client remembers no user and no token.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::LOG;
use crate::answer::{self, Call};
use crate::cancel::Cancellation;
use crate::config::{Config, check_text};
use crate::error::{Advice, Error, Status};
use crate::tokens::{self, Tokens};
use crate::transport::{Answer, Method, Request, Transport};
use crate::url;
use crate::wipe::Zeroizing;

/// Talks to the server for one API key. Cheap to clone, used by any number of threads at once; clones share their
/// connections.
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
    /// Makes a client from a copy of `config`. Reads CA files and the system's trust; sends nothing.
    ///
    /// # Errors
    /// [`InvalidArgument`](Status::InvalidArgument) for the first bad value that a setter was given, or a CA file that
    /// cannot be used; [`Tls`](Status::Tls) where this machine trusts nobody.
    pub fn new(config: &Config) -> Result<Client, Error> {
        config.check()?;
        let credentials = Zeroizing::new(format!("{}:{}", config.client_id, config.client_secret.expose()));
        Ok(Client(Arc::new(Inner {
            basic: Zeroizing::new(format!("Basic {}", *Zeroizing::new(BASE64_STANDARD.encode(&*credentials)))),
            transport: Transport::new(config)?,
            config: config.clone(),
        })))
    }

    /// Turns the code of a redirect into tokens (step 4 of the guide, RFC 6749 section 4.1.3). `redirect_uri` is the
    /// one the login page was opened with, to the byte.
    ///
    /// [`Login::finish`](crate::Login::finish) does this too, and checks the redirect's state before; use this where
    /// the host checks for itself.
    ///
    /// A code is used up by the first request that reaches the server, so it is sent once: again only if not a byte
    /// of it went out.
    ///
    /// # Errors
    /// [`LoginRequired`](Status::LoginRequired): the code is not good, or was used, or the redirect URI differs.
    /// [`ClientRejected`](Status::ClientRejected): the API key. [`InvalidArgument`](Status::InvalidArgument): nothing
    /// was sent. Else [`RequestRejected`](Status::RequestRejected), [`AccessDenied`](Status::AccessDenied),
    /// [`Network`](Status::Network), [`Tls`](Status::Tls), [`Timeout`](Status::Timeout), [`Server`](Status::Server),
    /// [`Protocol`](Status::Protocol).
    pub fn exchange_code(&self, code: &str, redirect_uri: &str) -> Result<Tokens, Error> {
        check("code", code)?;
        check_redirect_uri(redirect_uri)?;
        let config = &self.0.config;
        let parameters = [
            ("grant_type", "authorization_code"),
            ("scope", config.scope.as_str()),
            ("code", code),
            ("redirect_uri", redirect_uri),
        ];
        self.token_request(Call::ExchangeCode, &parameters, code, self.deadline())
    }

    /// Gets a new access token (step 5 of the guide, RFC 6749 section 6). The old one ends at once. Where the answer
    /// has no refresh token, the tokens returned keep the old one.
    ///
    /// # Errors
    /// [`LoginRequired`](Status::LoginRequired): the refresh token is no longer good. Else as for
    /// [`exchange_code`](Self::exchange_code).
    pub fn refresh(&self, refresh_token: &str) -> Result<Tokens, Error> {
        self.refresh_until(refresh_token, Some(&self.0.config.scope), self.deadline())
    }

    /// [`refresh`](Self::refresh) with a scope and a deadline of the caller's. No scope means the one that was granted
    /// (RFC 6749, section 6).
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

    /// Ends the access token and its refresh token (step 6 of the guide).
    ///
    /// # Errors
    /// [`TokenRejected`](Status::TokenRejected): the access token is unknown or expired; an expired one leaves the
    /// refresh token alive: refresh, then log out. Else as for [`exchange_code`](Self::exchange_code).
    pub fn logout(&self, access_token: &str) -> Result<(), Error> {
        self.logout_until(access_token, self.deadline())
    }

    /// [`logout`](Self::logout) with a deadline of the caller's.
    pub(crate) fn logout_until(&self, access_token: &str, deadline: Instant) -> Result<(), Error> {
        check("access_token", access_token)?;
        if !access_token.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
            return Err(Error::invalid_argument("access_token", "it has a character that no header can carry"));
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
        // Whether an earlier sending may have done it, its answer lost on the way.
        let mut may_be_done = false;
        self.with_retries("logout", deadline, || {
            let result = self.0.transport.send(&request, deadline).and_then(|answer| {
                may_be_done |= answer.resent;
                answer::read_logout(&answer, &secrets).map_err(|error| error.with_request_sent(true))
            });
            match result {
                Err(error) if may_be_done && error.status() == Status::TokenRejected => Ok(()),
                Err(error) => {
                    may_be_done |= error.request_sent();
                    Err(error)
                }
                done => done,
            }
        })
    }

    /// Ends the calls under way on this client and its clones within 100 ms, and every later one at once, with
    /// [`Cancelled`](Status::Cancelled). For a program that must stop; there is no way back but a new client.
    pub fn cancel(&self) {
        self.0.transport.cancel();
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
            let problem = "this client has none (Config::new_public); finish on the machine that has the secret";
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
            let now = tokens::unix_now();
            let result = inner.transport.send(&request, deadline).and_then(|answer: Answer| {
                answer::read_tokens(call, &answer, now, &secrets).map_err(|error| error.with_request_sent(true))
            });
            match result {
                Err(error) if once && error.request_sent() => Err(answer::after_sent_exchange(error)),
                result => result,
            }
        })
    }

    /// Runs `attempt` until it succeeds, fails for good, or the retries or the time of the call are used up.
    fn with_retries<T>(
        &self,
        call: &str,
        deadline: Instant,
        mut attempt: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let config = &self.0.config;
        let mut tries = 0;
        loop {
            let error = match attempt() {
                Ok(value) => {
                    log::info!(target: LOG, "{call}: done");
                    return Ok(value);
                }
                Err(error) => error,
            };
            let passing = matches!(error.status(), Status::Network | Status::Server | Status::Timeout);
            // An exchange that was sent advises to log in, not to retry.
            let worth_it = passing && error.advice() == Advice::Retry && tries < config.max_retries;
            let pause = error.retry_after().unwrap_or_else(|| back_off(tries));
            // If the time would be up before the next attempt, the reason is more use than "timeout".
            if !worth_it || pause >= deadline.saturating_duration_since(Instant::now()) {
                log::error!(target: LOG, "{call}: {}: {error}", error.status().name());
                return Err(error);
            }
            log::warn!(target: LOG, "{call}: {error}; sent again in {} ms", pause.as_millis());
            if let Err(cancelled) = self.cancellation().sleep(pause) {
                log::error!(target: LOG, "{call}: {}: {cancelled}", cancelled.status().name());
                return Err(cancelled);
            }
            tries += 1;
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout()
    }

    /// The time of a whole call.
    pub(crate) fn timeout(&self) -> Duration {
        self.0.config.timeout
    }

    /// The switch that ends all calls of this client in this process. A forked child has its own.
    pub(crate) fn cancellation(&self) -> Cancellation {
        self.0.transport.cancellation()
    }

    /// What must not show in a message about a request with `sent` in it.
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

/// Checks a redirect URI as the guide has it: http:// or https://, used to the byte.
pub(crate) fn check_redirect_uri(redirect_uri: &str) -> Result<(), Error> {
    check("redirect_uri", redirect_uri)?;
    let lower = redirect_uri.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err(Error::invalid_argument("redirect_uri", "begin it with http:// or https://"));
    }
    Ok(())
}

fn check(name: &str, text: &str) -> Result<(), Error> {
    check_text(text).map_err(|problem| Error::invalid_argument(name, problem))
}

/// Half a second, doubled with every try up to 8 s, of which a random half is left out, so that callers that failed
/// together do not come back together.
fn back_off(tries: u32) -> Duration {
    jitter(Duration::from_millis(500 << tries.min(4)))
}

/// The pause less a random part of up to its half.
pub(crate) fn jitter(longest: Duration) -> Duration {
    longest / 2 + longest.mul_f64(random() / 2.0)
}

/// A random number from 0 to 1.
pub(crate) fn random() -> f64 {
    fraction(random_bits())
}

pub(crate) fn random_bits() -> u64 {
    let mut random = [0; 8];
    // Without it a time is still right, only not spread.
    let _ = getrandom::getrandom(&mut random);
    u64::from_ne_bytes(random)
}

/// Random bits as a number from 0 to 1.
pub(crate) fn fraction(bits: u64) -> f64 {
    // As many bits as an f64 keeps.
    (bits >> 11) as f64 / ((1_u64 << 53) - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_their_bounds() {
        for (tries, longest) in [(0, 500), (1, 1000), (2, 2000), (4, 8000), (10, 8000)] {
            for _ in 0..100 {
                let pause = back_off(tries).as_millis();
                assert!((longest / 2..=longest).contains(&pause), "{tries}: {pause}");
            }
        }
    }

    #[test]
    fn the_basic_header_has_a_colon_between_id_and_secret() {
        let config = Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
        // The guide's own example has a quotation mark there, which its server would refuse.
        assert_eq!(
            *Client::new(&config).unwrap().0.basic,
            "Basic Y2FtZXJhbWFuYWdlci50ZXN0OnF3ZXJ0eXVpb3Bhc2RmZ2hqa2x6eGN2Ym5tMTIzNDU="
        );
    }

    #[test]
    fn bad_parameters_are_named_and_nothing_is_sent() {
        // Nothing listens here: a request would end as a network error.
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
