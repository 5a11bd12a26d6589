//! One request in, one answer out, or an error that says what failed: HTTP/1.1 by ureq over our own connections.
//!
//! `client` is the only caller. Here: kept connections, the deadline of one attempt, proxies, TLS, the child of a
//! fork. Not here: what an answer means (`answer`), and what is sent again (`client`), except that a kept connection
//! which turns out to be dead is replaced without anybody noticing.

mod buffers;
mod connector;
mod dial;
mod fault;
mod idle;
mod link;
mod lookup;
mod process;
mod progress;
mod socket;
mod tls;

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use ureq::{Agent, Body, http};

use crate::LOG;
use crate::cancel::{Cancellation, cancelled};
use crate::config::{Config, ProxyChoice};
use crate::error::Error;
use crate::per_process::PerProcess;
use crate::proxy;
use crate::sync::process_id;
use crate::url;
use crate::wipe::Zeroizing;
use process::{Process, Settings};
use progress::Progress;

/// ureq takes no longer ones than 64 KiB, nor does any server.
const LONGEST_URL: usize = 60 * 1024;

/// An answer may be this large and no larger.
pub(crate) const ANSWER_LIMIT: usize = 64 * 1024;

/// Head of an answer; ureq's default of 128 KiB for each buffer would be most of a process' memory.
const HEAD_LIMIT: usize = 16 * 1024;
const OUTPUT_BUFFER: usize = 4 * 1024;

/// How long a body is waited for that only helps the log.
const BODY_FOR_THE_LOG: Duration = Duration::from_millis(500);

/// Kept connections, and for how long: many threads of a recorder may refresh at once, and servers of this kind close
/// idle connections after 20 s or later. See `idle` for who closes them.
const KEPT_CONNECTIONS: usize = 64;
const KEPT_FOR: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Post,
    Delete,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

/// What goes to the server: `Accept: application/json` and the `User-Agent` come on top.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Base URL, path and query.
    pub(crate) url: &'a str,
    /// The value of `Authorization`.
    pub(crate) authorization: &'a str,
    /// A form body, or none: a POST then says `Content-Length: 0`.
    pub(crate) form: Option<&'a str>,
    /// It must not reach the server twice: it goes out on a connection that is known to be fresh.
    pub(crate) once: bool,
}

impl Request<'_> {
    /// An upper bound for what is sent, in bytes: other headers are short.
    fn size(&self) -> usize {
        self.url.len() + self.authorization.len() + self.form.map_or(0, str::len) + 2048
    }
}

/// What came back. The body is wiped when dropped: it can hold tokens.
pub(crate) struct Answer {
    pub(crate) http_status: u16,
    /// It answers the second sending of the request: the first was lost with a kept connection.
    pub(crate) resent: bool,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// The way to one server.
pub(crate) struct Transport {
    /// The base URL, and whether a proxy stands before it, for messages.
    server: String,
    connect_timeout: Duration,
    settings: Settings,
    /// The process that made this, and what it uses.
    owner: (u32, Arc<Process>),
    /// What a forked child uses.
    child: PerProcess<Arc<Process>>,
}

impl Transport {
    /// Reads the CA files and the system's trust; nothing is sent.
    pub(crate) fn new(config: &Config) -> Result<Transport, Error> {
        Transport::with(config, KEPT_FOR)
    }

    fn with(config: &Config, kept_for: Duration) -> Result<Transport, Error> {
        let https = config.base_url.starts_with("https:");
        // Without https no certificate is looked at, and a machine without any can still talk to a loopback server.
        let tls = if https { Some(Arc::new(tls::settings(config)?)) } else { None };
        let proxy = match &config.proxy {
            ProxyChoice::None => None,
            // A proxy would carry what must not leave this machine unencrypted.
            ProxyChoice::FromEnvironment if !https => None,
            ProxyChoice::FromEnvironment => proxy::from_environment(&config.base_url)?,
            ProxyChoice::Url(url) => {
                Some(proxy::parse(url.expose()).map_err(|problem| Error::invalid_argument("proxy", problem))?)
            }
        };
        if !https && proxy.as_ref().is_some_and(|proxy| !url::is_loopback(proxy.host())) {
            return Err(Error::invalid_argument(
                "proxy",
                "secrets cross a network over https:// only: set that base URL",
            ));
        }
        let server =
            if proxy.is_some() { format!("{} through the proxy", config.base_url) } else { config.base_url.clone() };
        let settings = Settings {
            config: ureq::config::Config::builder()
                .http_status_as_error(false)
                .https_only(https)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(proxy)
                .accept("application/json")
                .accept_encoding("")
                .user_agent(config.user_agent.as_str())
                .input_buffer_size(HEAD_LIMIT)
                .output_buffer_size(OUTPUT_BUFFER)
                .max_response_header_size(HEAD_LIMIT - 1)
                .max_idle_connections(KEPT_CONNECTIONS)
                .max_idle_connections_per_host(KEPT_CONNECTIONS)
                .max_idle_age(idle::usable_for(kept_for))
                .build(),
            tls,
            kept_for,
        };
        let owner = (process_id(), Process::first(&settings));
        Ok(Transport { server, connect_timeout: config.connect_timeout, settings, owner, child: PerProcess::new() })
    }

    /// Sends the request and waits for the whole answer, until `deadline`.
    ///
    /// The error says whether a byte of the request may have reached the server
    /// ([`Error::request_sent`]).
    pub(crate) fn send(&self, request: &Request, deadline: Instant) -> Result<Answer, Error> {
        let process = self.process();
        if process.cancellation.ends_this_call() {
            return Err(cancelled());
        }
        let (method, place) = (request.method.name(), request.url.split('?').next().unwrap_or_default());
        let begun = Instant::now();
        let _outer = Progress::keep_outer();
        log::debug!(target: LOG, "{method} {place}");
        Progress::begin(request.size());
        let mut result = self.attempt(&process.agent, request, deadline, request.once);
        let first = Progress::get();
        // The server had closed the kept connection, or was closing it as the request came; some say 408 first, which is
        // about the waiting before (RFC 9110, section 15.5.9). This is no retry of a request that was answered, and a
        // request that must not arrive twice never comes here.
        let stale = match &result {
            Err(Failed::Exchange(error)) => !first.answered && fault::is_connection_lost(error),
            Ok(answer) => answer.http_status == 408,
            Err(_) => false,
        };
        if stale && !first.dialled && !request.once && !process.cancellation.ends_this_call() {
            log::debug!(target: LOG, "{method} {place}: the kept connection had ended; sent on a new one");
            Progress::begin(request.size());
            result =
                self.attempt(&process.agent, request, deadline, true).map(|answer| Answer { resent: true, ..answer });
        }
        let took = begun.elapsed().as_millis();
        match &result {
            Ok(answer) => log::debug!(target: LOG, "{method} {place}: HTTP {} in {took} ms", answer.http_status),
            Err(_) => log::debug!(target: LOG, "{method} {place}: no answer in {took} ms"),
        }
        result.map_err(|failed| {
            let error = match failed {
                // Its socket was shut down, which looks like a failure of the network.
                _ if process.cancellation.ends_this_call() => cancelled(),
                Failed::Exchange(error) => fault::to_error(&self.server, &error),
                Failed::TooLarge(http_status) => fault::too_large(&self.server).with_http_status(http_status),
                Failed::NoTime => fault::to_error(&self.server, &ureq::Error::Timeout(ureq::Timeout::Global)),
                Failed::Request(error) => error,
            };
            error.with_request_sent(first.sent || Progress::get().sent)
        })
    }

    /// The switch that ends all calls of this process.
    pub(crate) fn cancellation(&self) -> Cancellation {
        self.process().cancellation.clone()
    }

    /// Ends the calls under way, and all later ones, with [`Status::Cancelled`](crate::Status::Cancelled).
    pub(crate) fn cancel(&self) {
        self.process().cancel();
    }

    fn attempt(&self, agent: &Agent, request: &Request, deadline: Instant, fresh: bool) -> Result<Answer, Failed> {
        if request.url.len() > LONGEST_URL {
            let problem = "the URL of the request would be longer than 60 KiB; shorten scope, code or redirect URI";
            return Err(Failed::Request(Error::invalid_argument("request", problem)));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failed::NoTime);
        }
        let authorization = sensitive(request.authorization)?;
        let kept_for = if fresh { Duration::ZERO } else { idle::usable_for(self.settings.kept_for) };
        let connect = self.connect_timeout.min(left);

        // Both kinds of builder have the same names but share no type.
        macro_rules! prepare {
            ($builder:expr) => {
                $builder
                    .header(AUTHORIZATION, authorization)
                    .config()
                    .timeout_global(Some(left))
                    .timeout_connect(Some(connect))
                    .max_idle_age(kept_for)
                    .build()
            };
        }
        let response = match (request.method, request.form) {
            (Method::Delete, _) => prepare!(agent.delete(request.url)).call(),
            (Method::Post, None) => prepare!(agent.post(request.url)).send_empty(),
            (Method::Post, Some(form)) => {
                prepare!(agent.post(request.url)).header(CONTENT_TYPE, "application/x-www-form-urlencoded").send(form)
            }
        };
        read(request.method, response.map_err(Failed::Exchange)?)
    }

    /// What this process uses: the same for all its threads, so that one cancel reaches all calls.
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

enum Failed {
    Exchange(ureq::Error),
    TooLarge(u16),
    NoTime,
    Request(Error),
}

fn sensitive(value: &str) -> Result<HeaderValue, Failed> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Failed::Request(Error::invalid_argument("access_token", "no header can carry it")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads an answer. A body is waited for only where it decides something: in a 2xx of the token endpoint, and in a 400
/// or 401, which can name an error. Elsewhere it helps the log, and the answer stands without it.
fn read(method: Method, mut response: http::Response<Body>) -> Result<Answer, Failed> {
    let http_status = response.status().as_u16();
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(parse_retry_after);
    let succeeded = (200..300).contains(&http_status);
    let decides = succeeded || matches!(http_status, 400 | 401);
    if !decides {
        Progress::set_body_until(Instant::now() + BODY_FOR_THE_LOG);
    }
    if succeeded && method == Method::Delete {
        return Ok(Answer { http_status, resent: false, retry_after, body: Zeroizing::default() });
    }

    // One allocation where the length is known: growing would leave copies behind.
    let expected = response.body().content_length().unwrap_or(4096);
    let room = usize::try_from(expected).unwrap_or(ANSWER_LIMIT).min(ANSWER_LIMIT);
    let mut body = Zeroizing::new(Vec::with_capacity(room + 1));
    let result = response.body_mut().as_reader().take(ANSWER_LIMIT as u64 + 1).read_to_end(&mut body);
    match result {
        Ok(_) if body.len() <= ANSWER_LIMIT => {}
        Ok(_) if succeeded => return Err(Failed::TooLarge(http_status)),
        Err(error) if decides => {
            return Err(Failed::Exchange(error.into()));
        }
        Ok(_) | Err(_) => body = Zeroizing::default(),
    }
    Ok(Answer { http_status, resent: false, retry_after, body })
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
fn parse_retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?;
    Some(at.duration_since(std::time::SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_comes_as_seconds_or_as_a_date() {
        assert_eq!(parse_retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let far = parse_retry_after("Fri, 31 Dec 2100 23:59:59 GMT").unwrap();
        assert!(far > Duration::from_secs(1_000_000));
        for nonsense in ["", "-1", "soon", "99999999999999999999999"] {
            assert_eq!(parse_retry_after(nonsense), None, "{nonsense}");
        }
    }
}
