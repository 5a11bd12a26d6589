//! Sends one request and returns its response, or an error that says what failed. HTTP/1.1 by ureq, over our own
//! connections.
//!
//! `client` uses it. It handles pooled connections, the deadline of one attempt, proxies, TLS, and the child of a fork.
//! It does not decide what a response means (`response` does), and it does not retry (`client` does). It sends a request
//! again in one case only: if the pooled connection turns out to be stale.

mod buffers;
mod connection;
mod connector;
mod dial;
mod error;
mod http;
mod idle;
mod issuer;
mod lookup;
mod process;
mod progress;
mod settings;
mod socket;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};

use crate::cancel::{Cancel, Cancellation, cancelled};
use crate::config::Config;
use crate::error::Error;
use crate::logging;
use crate::per_process::PerProcess;
use crate::secret::Secret;
use crate::sync::process_id;
use http::ReadError;
use process::Process;
use progress::Progress;
use settings::{MAX_IDLE_AGE, Settings};

pub(crate) use http::{Method, Request, Response};

/// ureq accepts no URL over 64 KiB, and neither does any server.
const MAX_URL_LEN: usize = 60 * 1024;

/// Sends requests to one server.
pub(crate) struct Transport {
    /// The base URL, and whether a proxy is used, for messages.
    server: String,
    connect_timeout: Duration,
    settings: Settings,
    /// Set by a cancel in this process, or in its parent before the fork.
    cancel: Cancel,
    /// The ID of the process that made this transport, and the connections of that process.
    owner: (u32, Arc<Process>),
    /// The connections of a forked child.
    child: PerProcess<Arc<Process>>,
}

/// Why one attempt failed.
enum AttemptError {
    Http(ureq::Error),
    /// The body of the response is too long. With the HTTP status.
    TooLarge(u16),
    /// The deadline had passed before the attempt.
    TimedOut,
    /// The request cannot be sent.
    Request(Error),
}

impl Transport {
    /// Reads the CA files and the system's trusted root certificates. It sends nothing.
    pub(crate) fn new(config: &Config) -> Result<Transport, Error> {
        Transport::with(config, MAX_IDLE_AGE)
    }

    fn with(config: &Config, max_idle_age: Duration) -> Result<Transport, Error> {
        let settings = Settings::new(config, max_idle_age)?;
        let proxy = if settings.config.proxy().is_some() { " through the proxy" } else { "" };
        let owner = (process_id(), Process::first(&settings));
        Ok(Transport {
            server: format!("{}{proxy}", config.base_url),
            connect_timeout: config.connect_timeout,
            settings,
            cancel: Cancel::new(),
            owner,
            child: PerProcess::new(),
        })
    }

    /// The URL of the proxy, which can contain a password.
    pub(crate) fn proxy_url(&self) -> Option<Secret> {
        self.settings.config.proxy().map(|proxy| Secret::new(proxy.uri().to_string()))
    }

    /// Sends the request and waits for the whole response, until `deadline`.
    ///
    /// The error says whether a byte of the request may have reached the server ([`Error::request_sent`]).
    pub(crate) fn send(&self, request: &Request, deadline: Instant) -> Result<Response, Error> {
        let process = self.process();
        if process.cancellation.ends_this_call() {
            return Err(cancelled());
        }
        // The URL for the log: without the query, which holds tokens.
        let (method, url) = (request.method.name(), request.url.split('?').next().unwrap_or_default());
        let begun = Instant::now();
        let _outer = Progress::keep_outer();
        logging::debug!("{method} {url}");
        Progress::begin(request.max_len());
        let mut result = self.attempt(&process.agent, request, deadline, request.once);
        let first = Progress::get();
        // The pooled connection was stale: the server had closed it, or was closing it as the request came. Some
        // servers send 408 before they close an idle connection (RFC 9110, section 15.5.9). The server did nothing for
        // this request, so sending it again does not count as a retry. A request that must not arrive twice is never
        // sent on a pooled connection.
        let is_stale = match &result {
            Err(AttemptError::Http(error)) => !first.response_begun && error::is_connection_lost(error),
            Ok(response) => response.http_status == 408,
            Err(_) => false,
        };
        if is_stale && !first.new_connection && !request.once && !process.cancellation.ends_this_call() {
            logging::debug!("{method} {url}: the pooled connection was stale; sent on a new one");
            Progress::begin(request.max_len());
            result = self
                .attempt(&process.agent, request, deadline, true)
                .map(|response| Response { resent: true, ..response });
        }
        let took = begun.elapsed().as_millis();
        match &result {
            Ok(response) => logging::debug!("{method} {url}: HTTP {} in {took} ms", response.http_status),
            Err(_) => logging::debug!("{method} {url}: no response in {took} ms"),
        }
        result.map_err(|failure| {
            let error = match failure {
                // A cancel shuts the socket down, which looks like a failure of the network.
                _ if process.cancellation.ends_this_call() => cancelled(),
                AttemptError::Http(error) => error::to_error(&self.server, &error),
                AttemptError::TooLarge(http_status) => error::too_large(&self.server).with_http_status(http_status),
                AttemptError::TimedOut => error::to_error(&self.server, &ureq::Error::Timeout(ureq::Timeout::Global)),
                AttemptError::Request(error) => error,
            };
            error.with_request_sent(first.request_sent || Progress::get().request_sent)
        })
    }

    /// The switch that ends all calls of this process.
    pub(crate) fn cancellation(&self) -> Cancellation {
        self.process().cancellation.clone()
    }

    /// Ends the calls in progress and all later ones with [`Status::Cancelled`](crate::Status::Cancelled).
    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
        self.process().cancel();
    }

    /// Whether [`cancel`](Self::cancel) was called. Costs one load of an atomic.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Sends the request; if `new_connection`, never on a pooled connection.
    fn attempt(
        &self,
        agent: &Agent,
        request: &Request,
        deadline: Instant,
        new_connection: bool,
    ) -> Result<Response, AttemptError> {
        let invalid = |name, problem| AttemptError::Request(Error::invalid_argument(name, problem));
        if request.url.len() > MAX_URL_LEN {
            let problem = "the URL of the request would be longer than 60 KiB; shorten scope, code or redirect URI";
            return Err(invalid("request", problem));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(AttemptError::TimedOut);
        }
        let authorization = http::sensitive(request.authorization)
            .ok_or_else(|| invalid("access_token", "it has a character that is not allowed in an HTTP header"))?;
        let max_reuse_age =
            if new_connection { Duration::ZERO } else { idle::max_reuse_age(self.settings.max_idle_age) };
        let connect_timeout = self.connect_timeout.min(left);

        // ureq's builders with and without a body have the same methods, but no common trait.
        macro_rules! prepare {
            ($builder:expr) => {
                $builder
                    .header(AUTHORIZATION, authorization)
                    .config()
                    .timeout_global(Some(left))
                    .timeout_connect(Some(connect_timeout))
                    .max_idle_age(max_reuse_age)
                    .build()
            };
        }
        let response = match (request.method, request.form) {
            (Method::Get, _) => prepare!(agent.get(request.url)).call(),
            (Method::Delete, _) => prepare!(agent.delete(request.url)).call(),
            (Method::Post, None) => prepare!(agent.post(request.url)).send_empty(),
            (Method::Post, Some(form)) => {
                prepare!(agent.post(request.url)).header(CONTENT_TYPE, "application/x-www-form-urlencoded").send(form)
            }
        };
        let response = response.map_err(AttemptError::Http)?;
        Response::read(request.method, response).map_err(|error| match error {
            ReadError::Http(error) => AttemptError::Http(error),
            ReadError::TooLarge(http_status) => AttemptError::TooLarge(http_status),
        })
    }

    /// The connections of this process. All its threads get the same ones, so that one cancel ends all calls.
    fn process(&self) -> Arc<Process> {
        let (id, owner) = &self.owner;
        if *id == process_id() {
            return Arc::clone(owner);
        }
        let make = |parent: Option<&Arc<Process>>| Process::child_of(parent.unwrap_or(owner), &self.settings);
        Arc::clone(&self.child.get_or_make(make))
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("server", &self.server).finish_non_exhaustive()
    }
}
