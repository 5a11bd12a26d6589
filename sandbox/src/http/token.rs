//! `/oauth/token`: exchanges a code or a refresh token for tokens.
//!
//! It checks the credentials of the client first, then the method. `state` does the rest.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use serde::Serialize;

use super::Shared;
use super::params::Params;
use super::response::{self, Endpoint, Format};
use crate::oauth_error::{Kind, OAuthError};
use crate::options::Flavour;
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
    let error = match issue(&shared, &method, &uri, &headers, &body) {
        // Tokens are JSON, whatever the client accepts.
        Ok(issued) => return response::fresh_json(&TokenBody::from(issued)),
        Err(error) => error.of(&shared.flavours),
    };
    let is_boot = shared.flavours.contains(&Flavour::Boot);
    // The filter that checks the key takes the format that the client prefers, the endpoint JSON if the client accepts it.
    let format = match error.kind {
        Kind::Unauthorized | Kind::BadFormCredentials => Format::of(&headers),
        _ if response::accepts_json(&headers) => Format::Json,
        _ => Format::of(&headers),
    };
    match (error.kind, format) {
        (Kind::MethodNotAllowed, _) if method == Method::OPTIONS => response::options("GET,HEAD,POST"),
        // The endpoint itself refuses a GET. The container refuses the others.
        (Kind::MethodNotAllowed, format) if !matches!(method, Method::GET | Method::HEAD) || format != Format::Json => {
            response::container_error(StatusCode::METHOD_NOT_ALLOWED, &uri, &headers)
        }
        (Kind::Unauthorized, _) if is_boot => {
            let mut response = response::container_error(StatusCode::UNAUTHORIZED, &uri, &headers);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(BASIC));
            response
        }
        (Kind::Unauthorized | Kind::BadFormCredentials, format) | (_, format @ Format::Json) => {
            response::oauth_error(&error, Endpoint::Token, format)
        }
        // The endpoint fails to write its errors in another format.
        _ => response::container_error(StatusCode::INTERNAL_SERVER_ERROR, &uri, &headers),
    }
}

const BASIC: &str = r#"Basic realm="oauth2/client""#;

fn issue(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Issued, OAuthError> {
    let params = Params::read(method, uri, headers, body);
    let now = shared.clock.now();
    let mut state = shared.state();
    let id = if !shared.flavours.contains(&Flavour::BasicOnly)
        && let Some(id) = params.get("client_id")
    {
        if !state.is_client(id, params.get("client_secret").unwrap_or_default()) {
            return Err(OAuthError::new(Kind::BadFormCredentials, "Bad client credentials"));
        }
        // A header beside it is checked, too, unless it is of the same key. Then its key counts.
        match basic(headers) {
            Err(error) if error == OAuthError::no_credentials() => id.to_owned(),
            Ok((same, _)) if same == id => same,
            Ok((other, secret)) if state.is_client(&other, &secret) => other,
            Ok(_) => return Err(OAuthError::new(Kind::Unauthorized, "Bad credentials")),
            Err(error) => return Err(error),
        }
    } else {
        let (id, secret) = basic(headers)?;
        if !state.is_client(&id, &secret) {
            return Err(OAuthError::new(Kind::Unauthorized, "Bad credentials"));
        }
        id
    };
    if method != Method::POST {
        return Err(OAuthError::new(Kind::MethodNotAllowed, format!("Request method '{method}' not supported")));
    }
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

/// The id and the secret: UTF-8, separated by the first `:`, not URL-decoded. The rules of `BasicAuthenticationConverter`.
fn basic(headers: &HeaderMap) -> Result<(String, String), OAuthError> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let Some(rest) = strip_scheme(header, "basic") else {
        return Err(OAuthError::no_credentials());
    };
    let bad = |words: &str| OAuthError::new(Kind::Unauthorized, words);
    if rest.is_empty() {
        return Err(bad("Empty basic authentication token"));
    }
    // It takes the character after the scheme for a space.
    let decoded = rest.get(1..).and_then(|encoded| BASE64.decode(encoded).ok());
    let decoded = decoded.ok_or_else(|| bad("Failed to decode basic authentication token"))?;
    let decoded = String::from_utf8_lossy(&decoded);
    let (id, secret) = decoded.split_once(':').ok_or_else(|| bad("Invalid basic authentication token"))?;
    Ok((id.to_owned(), secret.to_owned()))
}

/// Java's decoder needs no padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The part of an `Authorization` header after its scheme. `scheme` is in lower case.
pub(super) fn strip_scheme<'a>(header: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = header.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}
