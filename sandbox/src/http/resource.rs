//! `/rest/…`: protected resources in the format of the vendor's REST API, and the logout.
//!
//! As in a resource server, the check of the token comes before the path: an unknown path without a token gives 401.

use std::sync::Arc;

use axum::body::{Body, Bytes};
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
    body: Bytes,
) -> Response<Body> {
    let format = Format::of(&headers);
    let params = Params::read(&method, &uri, &headers, &body);
    let served = authenticate(&shared, &params, &headers).and_then(|(token, grant)| {
        let response = serve(&shared, &method, uri.path(), &token, &grant)?;
        // The resources are JSON only. The errors of the token and of its scope can be XML.
        if !response::accepts_json(&headers) && response.status() == StatusCode::OK && method != Method::DELETE {
            let detail = "Could not find acceptable representation";
            return Ok(response::rest_error(StatusCode::NOT_ACCEPTABLE, Some(detail)));
        }
        Ok(response)
    });
    served.unwrap_or_else(|error| response::oauth_error(&error.of(&shared.flavours), Endpoint::Resource, format))
}

/// The token of a header, up to a comma, or else of a parameter, as downloads of recordings send it (Spring's
/// `BearerTokenExtractor`).
fn authenticate(shared: &Shared, params: &Params, headers: &HeaderMap) -> Result<(String, Grant), OAuthError> {
    let of_header = headers.get_all(header::AUTHORIZATION).iter().find_map(|value| {
        // A header is read as ISO 8859-1.
        let value: String = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        let token = strip_scheme(&value, "bearer")?.trim();
        Some(token.split(',').next().filter(|token| !token.is_empty()).unwrap_or(token).to_owned())
    });
    let token = of_header.or_else(|| params.get("access_token").map(str::to_owned));
    let token = token.ok_or_else(OAuthError::no_credentials)?;
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
    // Spring matches a path with a slash at its end, too.
    let path = path.strip_suffix('/').unwrap_or(path);
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    // The methods of each path.
    let allowed = match parts.as_slice() {
        ["v2.0", "users", "self", "tokens", "current"] => "DELETE",
        ["v2.0", "users", "self"] | ["v2.4", "cameras"] => "GET",
        ["v2.4", "cameras", _] => "GET,PUT",
        _ => return Ok(response::rest_error(StatusCode::NOT_FOUND, Some("No such resource"))),
    };
    let method = if method == Method::HEAD { &Method::GET } else { method };
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
        ("OPTIONS", _) => Ok(response::options(&allowed.replace("GET", "GET,HEAD"))),
        _ => {
            let detail = format!("Request method '{method}' not supported");
            let response = response::rest_error(StatusCode::METHOD_NOT_ALLOWED, Some(&detail));
            Ok(response::with_allow(response, allowed))
        }
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
