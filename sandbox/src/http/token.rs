//! `/oauth/token`: exchanges a code or a refresh token for tokens.
//!
//! It checks the credentials of the client first, then the method. `state` does the rest.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use super::Shared;
use super::params::Params;
use super::response::{self, Endpoint, Format};
use crate::oauth_error::{Kind, OAuthError};
use crate::state::{Issued, TokenRequest};

/// The response, with its keys in the order of the guide.
#[derive(Serialize)]
pub(super) struct TokenBody {
    access_token: String,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    scope: String,
}

impl From<Issued> for TokenBody {
    fn from(issued: Issued) -> TokenBody {
        TokenBody {
            access_token: issued.access_token,
            token_type: "bearer",
            refresh_token: issued.refresh_token,
            expires_in: issued.expires_in,
            scope: issued.scope,
        }
    }
}

pub(super) async fn token(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let format = Format::of(&headers);
    match issue(&shared, &method, &uri, &headers, &body) {
        // The code is used up, even if the client does not accept the format of the response.
        Ok(_) if format == Format::None => response::not_acceptable(),
        Ok(issued) => response::fresh_json(&TokenBody::from(issued)),
        Err(error) => response::oauth_error(&error, Endpoint::Token, format),
    }
}

fn issue(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Issued, OAuthError> {
    let (id, secret) = basic(headers)?;
    let now = shared.clock.now();
    let mut state = shared.state();
    if !state.is_client(&id, &secret) {
        return Err(OAuthError::new(Kind::Unauthorized, "Bad credentials"));
    }
    if method != Method::POST {
        return Err(OAuthError::new(Kind::MethodNotAllowed, format!("Request method '{method}' not supported")));
    }
    let params = Params::read(uri, headers, body);
    let request = TokenRequest {
        client_id: params.get("client_id"),
        grant_type: params.get("grant_type"),
        scope: params.get("scope"),
        code: params.get("code"),
        redirect_uri: params.get("redirect_uri"),
        refresh_token: params.get("refresh_token"),
    };
    state.token(&id, request, now)
}

/// The id and the secret: UTF-8, separated by the first `:`, not URL-decoded.
fn basic(headers: &HeaderMap) -> Result<(String, String), OAuthError> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(encoded) = strip_scheme(header, "basic ") else {
        return Err(OAuthError::no_credentials());
    };
    let bad = |words: &str| OAuthError::new(Kind::Unauthorized, words);
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(|| bad("Failed to decode basic authentication token"))?;
    let (id, secret) = decoded.split_once(':').ok_or_else(|| bad("Invalid basic authentication token"))?;
    Ok((id.to_owned(), secret.to_owned()))
}

/// The part of an `Authorization` header after its scheme. `scheme` is in lower case and ends with a space.
pub(super) fn strip_scheme<'a>(header: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = header.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}
