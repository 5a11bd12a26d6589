//! Writes responses of the API: OAuth errors, errors of the REST API, and the format that `Accept` requests.
//!
//! Headers and bodies are those of Spring's `DefaultWebResponseExceptionTranslator` and `OAuth2AuthenticationEntryPoint`.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use serde::Serialize;

use super::pages;
use crate::oauth_error::{Kind, OAuthError};

const JSON: &str = "application/json;charset=UTF-8";
const XML: &str = "application/xml;charset=UTF-8";

/// The part of the server that responds. It decides the `WWW-Authenticate` header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Token,
    Resource,
}

/// The format of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Xml,
    /// The client accepts neither: 406 without a body.
    None,
}

impl Format {
    /// The first format in `Accept`, in the order of quality. Without `Accept`: JSON.
    pub(crate) fn of(headers: &HeaderMap) -> Format {
        let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let mut wanted: Vec<(String, f32)> = lines.flat_map(|line| line.split(',')).filter_map(media_range).collect();
        if wanted.is_empty() {
            return Format::Json;
        }
        // The sort is stable, so ranges of the same quality keep their order.
        wanted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        wanted.iter().find_map(|(range, _)| format_of(range)).unwrap_or(Format::None)
    }
}

/// Whether the client accepts JSON at all. An endpoint then writes JSON, whatever the client prefers.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let mut wanted = lines.flat_map(|line| line.split(',')).filter_map(media_range).peekable();
    wanted.peek().is_none() || wanted.any(|(range, _)| format_of(&range) == Some(Format::Json))
}

fn media_range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
    (quality > 0.0).then_some((range, quality))
}

fn format_of(range: &str) -> Option<Format> {
    match range {
        "*/*" | "application/*" | "application/json" => Some(Format::Json),
        "application/xml" | "text/xml" | "text/*" => Some(Format::Xml),
        _ if range.starts_with("application/") && range.ends_with("+json") => Some(Format::Json),
        _ if range.starts_with("application/") && range.ends_with("+xml") && range != "application/xhtml+xml" => {
            Some(Format::Xml)
        }
        _ => None,
    }
}

#[derive(Serialize)]
struct OAuthBody<'a> {
    error: &'a str,
    error_description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

/// The response for an OAuth error.
pub(crate) fn oauth_error(error: &OAuthError, endpoint: Endpoint, format: Format) -> Response<Body> {
    let status = StatusCode::from_u16(error.kind.status()).expect("the statuses are valid");
    let mut response = match format {
        Format::Json => with_body(status, JSON, json(&body(error))),
        Format::Xml => with_body(status, XML, xml(error)),
        Format::None => not_acceptable(),
    };
    no_store(&mut response);
    if status == StatusCode::UNAUTHORIZED || error.kind == Kind::InsufficientScope {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge(error, endpoint));
    }
    response
}

/// `value` as JSON that caches must not store.
pub(crate) fn fresh_json(value: &impl Serialize) -> Response<Body> {
    let mut response = with_body(StatusCode::OK, JSON, json(value));
    no_store(&mut response);
    response
}

/// `value` as JSON.
pub(crate) fn plain_json(value: &impl Serialize) -> Response<Body> {
    with_body(StatusCode::OK, JSON, json(value))
}

/// An error of the REST API: `{"code":…,"title":…,"detail":…}`.
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

/// An error of the container, which the framework does not write: the error page of Spring Boot.
pub(crate) fn container_error(status: StatusCode, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
    #[derive(Serialize)]
    struct ErrorBody<'a> {
        timestamp: String,
        status: u16,
        error: &'a str,
        path: &'a str,
    }
    let error = status.canonical_reason().unwrap_or("Error");
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return pages::error(status, error, "The server could not write its response.");
    }
    match Format::of(headers) {
        Format::Json => {
            let now = time::OffsetDateTime::now_utc();
            let (hour, minute, second) = now.to_hms();
            let timestamp = format!("{}T{hour:02}:{minute:02}:{second:02}.{:03}+00:00", now.date(), now.millisecond());
            with_body(
                status,
                "application/json",
                json(&ErrorBody { timestamp, status: status.as_u16(), error, path: uri.path() }),
            )
        }
        _ => self::status(status),
    }
}

/// The response to `OPTIONS`. `methods`: the others.
pub(crate) fn options(methods: &str) -> Response<Body> {
    with_allow(status(StatusCode::OK), &format!("{methods},OPTIONS"))
}

/// `response` with the header `Allow`.
pub(crate) fn with_allow(mut response: Response<Body>, methods: &str) -> Response<Body> {
    let methods = HeaderValue::from_str(methods).expect("methods are letters");
    response.headers_mut().insert(header::ALLOW, methods);
    response
}

/// 406 without a body.
pub(crate) fn not_acceptable() -> Response<Body> {
    status(StatusCode::NOT_ACCEPTABLE)
}

/// A status without a body.
pub(crate) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A status with a body.
pub(crate) fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn no_store(response: &mut Response<Body>) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

fn challenge(error: &OAuthError, endpoint: Endpoint) -> HeaderValue {
    let scheme = match (endpoint, error.kind) {
        (Endpoint::Token, Kind::Unauthorized) => r#"Basic realm="oauth2/client", "#,
        (Endpoint::Token, Kind::BadFormCredentials) => r#"Form realm="oauth2/client", "#,
        (Endpoint::Resource, Kind::InvalidToken | Kind::Unauthorized) => r#"Bearer realm="oauth2-resource", "#,
        _ => "Bearer ",
    };
    let mut text = format!(r#"{scheme}error="{}", error_description="{}""#, error.kind.name(), error.description());
    if let Some(scope) = &error.scope {
        text.push_str(&format!(r#", scope="{scope}""#));
    }
    // The description echoes text of the client, which can contain characters that a header must not.
    // It is written as ISO 8859-1.
    let byte = |letter: char| u8::try_from(letter).ok().filter(|_| !letter.is_control()).unwrap_or(b'?');
    HeaderValue::from_bytes(&text.chars().map(byte).collect::<Vec<u8>>()).expect("no control characters are left")
}

fn body(error: &OAuthError) -> OAuthBody<'_> {
    OAuthBody { error: error.kind.name(), error_description: error.description(), scope: error.scope.as_deref() }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these types have only string keys")
}

fn xml(error: &OAuthError) -> String {
    let element = |name: &str, text: &str| format!("<{name}>{}</{name}>", escape(text));
    let text = element("error", error.kind.name()) + &element("error_description", &error.description());
    format!("<oauth>{text}</oauth>")
}

/// Escapes text for HTML and XML, attributes included.
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

    fn format(accept: &'static str) -> Format {
        Format::of(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
    }

    #[test]
    fn accept_decides_the_format() {
        assert_eq!(Format::of(&HeaderMap::new()), Format::Json);
        assert_eq!(format("application/json"), Format::Json);
        assert_eq!(format("text/html, */*;q=0.1"), Format::Json);
        assert_eq!(format("application/xml"), Format::Xml);
        assert_eq!(format("application/json;q=0.5, application/xml"), Format::Xml);
        assert_eq!(format("text/html"), Format::None);
        assert_eq!(format("application/json;q=0, text/html"), Format::None);
        let accepts = |accept: &'static str| {
            accepts_json(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert!(accepts_json(&HeaderMap::new()));
        assert!(
            accepts("application/xml, application/json")
                && accepts("text/*, application/json;q=0.5")
                && accepts("a/b, */*")
        );
        assert!(!accepts("application/xml") && !accepts("text/html, application/json;q=0"));
    }

    #[test]
    fn echoed_text_cannot_add_a_header() {
        let error = OAuthError::new(Kind::InvalidToken, "Invalid access token: a\r\nSet-Cookie: b");
        let header = challenge(&error, Endpoint::Resource);
        assert!(header.to_str().unwrap().contains("a??Set-Cookie"), "{header:?}");
    }
}
