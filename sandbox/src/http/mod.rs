//! The HTTP side of the server: the routes, and the handling that all requests share.
//!
//! `accept` calls it with each request. Each file below serves one group of paths: it reads the request, calls `state`, and
//! writes the response.

mod authorize;
mod control;
mod login;
mod pages;
mod params;
mod resource;
mod response;
mod sessions;
mod token;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode, request};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;

use crate::clock::Clock;
use crate::faults::FaultQueue;
use crate::options::{Flavour, Options};
use crate::state::State;
use sessions::Sessions;

/// One request that reached the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Received {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query, unchanged.
    pub target: String,
    /// The headers in their order. Names are in lower case; invalid UTF-8 in values is replaced.
    pub headers: Vec<(String, String)>,
    /// The whole body. Invalid UTF-8 is replaced.
    pub body: String,
}

impl Received {
    /// The first value of a header. `name` must be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// The data that all connections share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) faults: FaultQueue,
    pub(crate) flavours: Vec<Flavour>,
    connections: AtomicUsize,
    tls: bool,
    state: Mutex<State>,
    sessions: Mutex<Sessions>,
    received: Mutex<Vec<Received>>,
}

impl Shared {
    pub(crate) fn new(options: &Options, faults: FaultQueue) -> Shared {
        Shared {
            clock: Clock::start(),
            faults,
            flavours: options.flavours.clone(),
            connections: AtomicUsize::new(0),
            tls: options.tls,
            state: Mutex::new(State::new(options)),
            sessions: Mutex::default(),
            received: Mutex::default(),
        }
    }

    pub(crate) fn received(&self) -> MutexGuard<'_, Vec<Received>> {
        self.received.lock().expect("no panic while recording")
    }

    pub(crate) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    /// How many connections the server has accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic in the state machine")
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().expect("no panic in the sessions")
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(login::front_page))
        .route("/login", get(login::show).post(login::submit))
        .route("/oauth/authorize", get(authorize::get).post(authorize::post))
        .route("/oauth/authorize/", get(authorize::get).post(authorize::post))
        .route("/oauth/token", any(token::token))
        .route("/rest", any(resource::resource))
        .route("/rest/", any(resource::resource))
        .route("/rest/{*path}", any(resource::resource))
        .merge(control_routes())
        .fallback(|| async { pages::not_found() })
        .with_state(Arc::clone(shared))
}

/// The routes of the control API alone.
pub(crate) fn control_router(shared: &Arc<Shared>) -> Router {
    control_routes().fallback(|| async { pages::not_found() }).with_state(Arc::clone(shared))
}

fn control_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/sandbox/clock", post(control::advance))
        .route("/sandbox/codes", post(control::make_code))
        .route("/sandbox/faults", get(control::list_faults).post(control::set_faults).delete(control::clear_faults))
        .route("/sandbox/tokens", get(control::list_tokens))
        .route("/sandbox/requests", get(control::list_requests).delete(control::clear_requests))
}

/// Whether a request is for the control API. Such requests are not recorded, and faults do not affect them.
pub(crate) fn is_control(request: &Request<Incoming>) -> bool {
    request.uri().path().starts_with("/sandbox/")
}

/// Reads the whole request and records it. A fault responds to it.
pub(crate) async fn record(shared: &Shared, request: Request<Incoming>) -> Received {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let received = received(&head, &body);
    shared.received().push(received.clone());
    received
}

/// Reads the whole request, records it, and responds to it.
pub(crate) async fn respond(router: Router, shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let is_control = is_control(&request);
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        // The client is gone and does not read this.
        return StatusCode::BAD_REQUEST.into_response();
    };
    let body: Bytes = body.to_bytes();
    if !is_control {
        shared.received().push(received(&head, &body));
    }
    if head_len(&head) > MAX_HEAD_LEN {
        return pages::error(StatusCode::BAD_REQUEST, "Bad Request", "Request header is too large");
    }
    let request = Request::from_parts(head, Body::from(body));
    match TowerToHyperService::new(router).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The longest head of a request, in bytes: Tomcat's default.
const MAX_HEAD_LEN: usize = 8192;

fn head_len(head: &request::Parts) -> usize {
    let line = head.method.as_str().len() + head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let headers: usize =
        head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
    line + "  HTTP/1.1\r\n\r\n".len() + headers
}

fn received(head: &request::Parts, body: &[u8]) -> Received {
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Received {
        method: head.method.to_string(),
        target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: head.headers.iter().map(header).collect(),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}
