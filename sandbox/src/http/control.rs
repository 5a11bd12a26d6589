//! `/sandbox/…`: the handles for tests in languages that cannot hold a `Sandbox`. No real server has these.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::token::TokenBody;
use super::{Shared, answer};
use crate::faults::{Fault, Planned, Wanted};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    /// Seconds.
    advance: f64,
}

/// `POST /sandbox/clock` with `{"advance": seconds}`.
pub(super) async fn advance(State(shared): State<Arc<Shared>>, body: Bytes) -> Response<Body> {
    let asked: Result<Advance, _> = serde_json::from_slice(&body);
    let by = asked
        .map_err(|error| error.to_string())
        .and_then(|asked| Duration::try_from_secs_f64(asked.advance).map_err(|error| error.to_string()));
    match by {
        Ok(by) => {
            shared.clock.advance(by);
            answer::status(StatusCode::NO_CONTENT)
        }
        Err(why) => {
            let words = format!("Wanted a JSON body like {{\"advance\": 3600}} (seconds, not negative): {why}\n");
            answer::with_body(StatusCode::BAD_REQUEST, "text/plain;charset=UTF-8", words)
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedCode {
    redirect_uri: String,
    scope: Option<String>,
}

#[derive(Serialize)]
struct MadeCode {
    code: String,
}

/// `POST /sandbox/codes` with `{"redirect_uri": "…", "scope": "read"}`: the code of a user who allowed that scope, whatever a
/// client asks for. Without a scope it is write.
pub(super) async fn make_code(State(shared): State<Arc<Shared>>, body: Bytes) -> Response<Body> {
    let wanted: Result<WantedCode, _> = serde_json::from_slice(&body);
    match wanted {
        Ok(WantedCode { redirect_uri, scope }) => {
            let scope = scope.as_deref().unwrap_or("write");
            answer::fresh_json(&MadeCode { code: shared.state().make_first_code(&redirect_uri, scope) })
        }
        Err(why) => {
            let words = format!(
                "Wanted a JSON body like {{\"redirect_uri\": \"https://example.com\", \"scope\": \"read\"}}: {why}\n"
            );
            answer::with_body(StatusCode::BAD_REQUEST, "text/plain;charset=UTF-8", words)
        }
    }
}

/// `GET /sandbox/requests`: what was received, oldest first.
pub(super) async fn list_requests(State(shared): State<Arc<Shared>>) -> Response<Body> {
    answer::fresh_json(&*shared.received())
}

/// `DELETE /sandbox/requests`: forgets it.
pub(super) async fn clear_requests(State(shared): State<Arc<Shared>>) -> Response<Body> {
    shared.received().clear();
    answer::status(StatusCode::NO_CONTENT)
}

/// `GET /sandbox/tokens`: the access tokens that live, those that end first first.
pub(super) async fn list_tokens(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let now = shared.clock.now();
    let tokens: Vec<TokenBody> = shared.state().live_tokens(now).into_iter().map(TokenBody::from).collect();
    answer::fresh_json(&tokens)
}

/// `POST /sandbox/faults`: what is to go wrong next, in place of what was to.
pub(super) async fn set_faults(State(shared): State<Arc<Shared>>, body: Bytes) -> Response<Body> {
    let wanted = serde_json::from_slice(&body).map_err(|error| error.to_string()).and_then(Wanted::read);
    let (done, wait) = oneshot::channel();
    match wanted.and_then(|planned| shared.faults.set(&planned, || _ = done.send(()))) {
        Ok(()) => {
            // An error: the sandbox is ending.
            let _ = wait.await;
            answer::status(StatusCode::NO_CONTENT)
        }
        Err(why) => {
            let words = format!(
                "Wanted JSON like \"cut-body\" or [{{\"fault\": \"status-503\", \"times\": 2}}] (null: until cleared): {why}\n"
            );
            answer::with_body(StatusCode::BAD_REQUEST, "text/plain;charset=UTF-8", words)
        }
    }
}

/// `DELETE /sandbox/faults`: nothing is to go wrong any more.
pub(super) async fn clear_faults(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let (done, wait) = oneshot::channel();
    if shared.faults.set(&[], || _ = done.send(())).is_ok() {
        let _ = wait.await;
    }
    answer::status(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct FaultList {
    pending: Vec<Pending>,
    faults: Vec<Known>,
}

#[derive(Serialize)]
struct Pending {
    fault: &'static str,
    times: Option<u32>,
}

#[derive(Serialize)]
struct Known {
    fault: &'static str,
    about: String,
    needs_tls: bool,
}

/// `GET /sandbox/faults`: what is to come, and what there is.
pub(super) async fn list_faults(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let pending = |planned: Planned| Pending { fault: planned.fault.name(), times: planned.times };
    let known = |fault: &Fault| Known {
        fault: fault.name(),
        about: format!("{} {}", fault.about(), fault.kind().about()),
        needs_tls: fault.needs_tls(),
    };
    answer::fresh_json(&FaultList {
        pending: shared.faults.pending().into_iter().map(pending).collect(),
        faults: Fault::ALL.iter().map(known).collect(),
    })
}
