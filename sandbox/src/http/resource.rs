//! `/rest/…`: protected resources in the format of the vendor's REST API, and the logout.
//!
//! As in a resource server, the check of the token comes before the path: an unknown path without a token gives 401.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde::Serialize;

use super::Shared;
use super::params::Params;
use super::response::{self, Endpoint, Format};
use super::token::strip_scheme;
use crate::oauth_error::{Kind, OAuthError};
use crate::state::Grant;

/// The cameras of each zone.
const CAMERA_NAMES: [&str; 3] = ["Entrance", "Counter", "Stockroom"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SelfBody<'a> {
    user_id: u32,
    username: &'a str,
    email_address: String,
    first_name: &'a str,
    last_name: &'a str,
    language: &'a str,
    zone_id: u32,
    time_zone: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CameraBody {
    camera_id: u32,
    name: &'static str,
    zone_id: u32,
    account_id: u32,
    enabled: bool,
    online: bool,
    recording: bool,
    ethernet_mac_address: String,
}

pub(super) async fn resource(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let format = Format::of(&headers);
    let served = authenticate(&shared, &uri, &headers).and_then(|(token, grant)| {
        // The resources support JSON only. The errors of the token check above can be XML.
        if format != Format::Json {
            let detail = "Could not find acceptable representation";
            return Ok(response::rest_error(StatusCode::NOT_ACCEPTABLE, Some(detail)));
        }
        serve(&shared, &method, uri.path(), &token, &grant)
    });
    served.unwrap_or_else(|error| response::oauth_error(&error, Endpoint::Resource, format))
}

/// The token of the header, or else of the query, as downloads of recordings send it (Spring's `BearerTokenExtractor`).
fn authenticate(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Result<(String, Grant), OAuthError> {
    let header = headers.get(header::AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let of_header = header.as_deref().and_then(|header| strip_scheme(header, "bearer ")).map(str::trim);
    let query = Params::read(uri, headers, &[]);
    let token = of_header.or_else(|| query.get("access_token")).ok_or_else(OAuthError::no_credentials)?.to_owned();
    let now = shared.clock.now();
    let grant = shared.state().check_access_token(&token, now)?;
    Ok((token, grant))
}

fn serve(
    shared: &Shared,
    method: &Method,
    path: &str,
    token: &str,
    grant: &Grant,
) -> Result<Response<Body>, OAuthError> {
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    match (method.as_str(), parts.as_slice()) {
        ("DELETE", ["v2.0", "users", "self", "tokens", "current"]) => {
            shared.state().log_out(token);
            Ok(response::status(StatusCode::OK))
        }
        ("GET", ["v2.0", "users", "self"]) => {
            need(grant, &["read", "write"])?;
            Ok(response::plain_json(&user(grant, shared.state().zone(&grant.user))))
        }
        ("GET", ["v2.4", "cameras"]) => {
            need(grant, &["read", "write"])?;
            Ok(response::plain_json(&cameras_of(shared.state().zone(&grant.user)).collect::<Vec<_>>()))
        }
        ("GET", ["v2.4", "cameras", id]) => {
            need(grant, &["read", "write"])?;
            camera(shared, id, grant)
        }
        // This changes nothing. It exists because it needs the scope write.
        ("PUT", ["v2.4", "cameras", id]) => {
            need(grant, &["write"])?;
            camera(shared, id, grant)
        }
        (_, ["v2.0", "users", "self"] | ["v2.0", "users", "self", "tokens", "current"])
        | (_, ["v2.4", "cameras"] | ["v2.4", "cameras", _]) => {
            let detail = format!("Request method '{method}' not supported");
            Ok(response::rest_error(StatusCode::METHOD_NOT_ALLOWED, Some(&detail)))
        }
        _ => Ok(response::rest_error(StatusCode::NOT_FOUND, Some("No such resource"))),
    }
}

/// The grant needs one of these scopes.
fn need(grant: &Grant, scopes: &[&str]) -> Result<(), OAuthError> {
    if scopes.iter().any(|scope| grant.scope.contains(*scope)) {
        return Ok(());
    }
    let error = OAuthError::new(Kind::InsufficientScope, "Insufficient scope for this resource");
    Err(error.with_scope(scopes.join(" ")))
}

fn user(grant: &Grant, zone: u32) -> SelfBody<'_> {
    SelfBody {
        user_id: zone + 10_000,
        username: &grant.user,
        email_address: format!("{}@example.com", grant.user),
        first_name: "Demo",
        last_name: "User",
        language: "en",
        zone_id: zone,
        time_zone: "Europe/Amsterdam",
    }
}

fn cameras_of(zone: u32) -> impl Iterator<Item = CameraBody> {
    (zone * 10 + 1..).zip(CAMERA_NAMES).map(move |(camera_id, name)| CameraBody {
        camera_id,
        name,
        zone_id: zone,
        account_id: zone,
        enabled: true,
        online: true,
        recording: true,
        // The prefix 00:00:5E:00:53 is reserved for documentation.
        ethernet_mac_address: format!("00:00:5E:00:53:{:02X}", camera_id % 256),
    })
}

/// One camera of the user. 403 for a camera of another user, 404 for an unknown id.
fn camera(shared: &Shared, id: &str, grant: &Grant) -> Result<Response<Body>, OAuthError> {
    let state = shared.state();
    let own = state.zone(&grant.user);
    let found = state.zones().flat_map(cameras_of).find(|camera| camera.camera_id.to_string() == id);
    match found {
        Some(camera) if camera.zone_id == own => Ok(response::plain_json(&camera)),
        Some(_) => Err(OAuthError::new(Kind::AccessDenied, "Access is denied")),
        None => Ok(response::rest_error(StatusCode::NOT_FOUND, Some("No such camera"))),
    }
}
