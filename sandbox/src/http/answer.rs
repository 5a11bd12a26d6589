//! How answers of the API are written: OAuth errors, the REST API's own error shape, and what `Accept` asks for.
//!
//! Headers and bodies are those of Spring's `DefaultWebResponseExceptionTranslator` and `OAuth2AuthenticationEntryPoint`.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::oauth_error::{Kind, OAuthError};

const JSON: &str = "application/json;charset=UTF-8";
const XML: &str = "application/xml;charset=UTF-8";

/// Which part of the server answers; its `WWW-Authenticate` tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Token,
    Resource,
}

/// The forms an answer can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Xml,
    /// The client accepts neither: 406, and nothing in it.
    None,
}

impl Form {
    /// The first form that `Accept` allows, in its order of quality; JSON where it says nothing.
    pub(crate) fn of(headers: &HeaderMap) -> Form {
        let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let mut wanted: Vec<(String, f32)> = lines.flat_map(|line| line.split(',')).filter_map(media_range).collect();
        if wanted.is_empty() {
            return Form::Json;
        }
        // A stable sort: ranges of the same quality keep their order.
        wanted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        wanted.iter().find_map(|(range, _)| form_of(range)).unwrap_or(Form::None)
    }
}

fn media_range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
    (quality > 0.0).then_some((range, quality))
}

fn form_of(range: &str) -> Option<Form> {
    match range {
        "*/*" | "application/*" | "application/json" => Some(Form::Json),
        "application/xml" | "text/xml" | "text/*" => Some(Form::Xml),
        _ if range.starts_with("application/") && range.ends_with("+json") => Some(Form::Json),
        _ if range.starts_with("application/") && range.ends_with("+xml") && range != "application/xhtml+xml" => {
            Some(Form::Xml)
        }
        _ => None,
    }
}

#[derive(Serialize)]
struct OAuthBody<'a> {
    error: &'a str,
    error_description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

/// An OAuth error with its status, headers and body.
pub(crate) fn oauth_error(error: &OAuthError, endpoint: Endpoint, form: Form) -> Response<Body> {
    let status = StatusCode::from_u16(error.kind.status()).expect("the statuses are valid");
    let mut answer = match form {
        Form::Json => with_body(status, JSON, json(&body(error))),
        Form::Xml => with_body(status, XML, xml(error)),
        Form::None => not_acceptable(),
    };
    no_store(&mut answer);
    if status == StatusCode::UNAUTHORIZED || error.kind == Kind::InsufficientScope {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge(error, endpoint));
    }
    answer
}

/// `value` as JSON that no cache keeps.
pub(crate) fn fresh_json(value: &impl Serialize) -> Response<Body> {
    let mut answer = with_body(StatusCode::OK, JSON, json(value));
    no_store(&mut answer);
    answer
}

/// `value` as JSON.
pub(crate) fn plain_json(value: &impl Serialize) -> Response<Body> {
    with_body(StatusCode::OK, JSON, json(value))
}

/// The second error shape, that of the REST API: `{"code":…,"title":…,"detail":…}`.
pub(crate) fn rest_error(status: StatusCode, detail: Option<&str>) -> Response<Body> {
    #[derive(Serialize)]
    struct RestBody<'a> {
        code: u16,
        title: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
    }
    let title = status.canonical_reason().unwrap_or("Error");
    with_body(status, JSON, json(&RestBody { code: status.as_u16(), title, detail }))
}

/// 406, with nothing in it.
pub(crate) fn not_acceptable() -> Response<Body> {
    status(StatusCode::NOT_ACCEPTABLE)
}

/// A status, with nothing in it.
pub(crate) fn status(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// A status with a body of this type.
pub(crate) fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn no_store(answer: &mut Response<Body>) {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

fn challenge(error: &OAuthError, endpoint: Endpoint) -> HeaderValue {
    let scheme = match (endpoint, error.kind) {
        (Endpoint::Token, Kind::Unauthorized) => r#"Basic realm="oauth2/client", "#,
        (Endpoint::Resource, Kind::InvalidToken | Kind::Unauthorized) => r#"Bearer realm="oauth2-resource", "#,
        _ => "Bearer ",
    };
    let mut text = format!(r#"{scheme}error="{}", error_description="{}""#, error.kind.name(), error.description);
    if let Some(scope) = &error.scope {
        text.push_str(&format!(r#", scope="{scope}""#));
    }
    // The description echoes what the client sent, which can be anything; a header cannot.
    let text: String = text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    HeaderValue::from_bytes(text.as_bytes()).expect("no control characters are left")
}

fn body(error: &OAuthError) -> OAuthBody<'_> {
    OAuthBody { error: error.kind.name(), error_description: &error.description, scope: error.scope.as_deref() }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these types have only string keys")
}

fn xml(error: &OAuthError) -> String {
    let element = |name: &str, text: &str| format!("<{name}>{}</{name}>", escape(text));
    let mut text = element("error", error.kind.name()) + &element("error_description", &error.description);
    if let Some(scope) = &error.scope {
        text += &element("scope", scope);
    }
    format!("<oauth>{text}</oauth>")
}

/// Makes text harmless inside HTML and XML, attributes included.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &'static str) -> Form {
        Form::of(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
    }

    #[test]
    fn accept_decides_the_form() {
        assert_eq!(Form::of(&HeaderMap::new()), Form::Json);
        assert_eq!(form("application/json"), Form::Json);
        assert_eq!(form("text/html, */*;q=0.1"), Form::Json);
        assert_eq!(form("application/xml"), Form::Xml);
        assert_eq!(form("application/json;q=0.5, application/xml"), Form::Xml);
        assert_eq!(form("text/html"), Form::None);
        assert_eq!(form("application/json;q=0, text/html"), Form::None);
    }

    #[test]
    fn what_is_echoed_into_a_header_cannot_break_out_of_it() {
        let error = OAuthError::new(Kind::InvalidToken, "Invalid access token: a\r\nSet-Cookie: b");
        let header = challenge(&error, Endpoint::Resource);
        assert!(header.to_str().unwrap().contains("a??Set-Cookie"), "{header:?}");
    }
}
