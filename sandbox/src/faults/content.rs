//! Faults in the content of a response: canned responses in place of the server's own, and changes to a good one.

use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::fault::Fault;
use crate::http::Received;

const JSON: &str = "application/json;charset=UTF-8";
const HTML: &str = "text/html;charset=UTF-8";

/// The canned response to a request. Some responses echo the request.
pub(crate) fn canned(fault: Fault, request: &Received) -> Response<Bytes> {
    let echo = Echo::of(request);
    let oauth = |status, error: &str, description: String| {
        let mut response =
            response(status, JSON, json!({"error": error, "error_description": description}).to_string());
        no_store(&mut response);
        if status == 401 {
            let words = format!("Bearer error=\"{error}\", error_description=\"{description}\"");
            if let Ok(value) = HeaderValue::from_str(&words) {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
            }
        }
        response
    };
    let scope = |status, error: &str, description: &str, scope: &str| {
        let body = json!({"error": error, "error_description": description, "scope": scope});
        response(status, JSON, body.to_string())
    };
    let page = |status, words: &str| {
        let body =
            format!("<!DOCTYPE html><html><head><title>{words}</title></head><body><h1>{words}</h1></body></html>");
        response(status, HTML, body)
    };
    match fault {
        Fault::Status300 => redirect(300, request),
        Fault::Status301 => redirect(301, request),
        Fault::Status302 => redirect(302, request),
        Fault::Status303 => redirect(303, request),
        Fault::Status305 => redirect(305, request),
        Fault::Status307 => redirect(307, request),
        Fault::Status308 => redirect(308, request),
        Fault::Status204 => bare(204),
        Fault::Status304 => bare(304),
        Fault::Status400 => bare(400),
        Fault::Status401 => bare(401),
        Fault::Status403 => bare(403),
        Fault::Status404 => bare(404),
        Fault::Status405 => bare(405),
        Fault::Status406 => bare(406),
        Fault::Status407 => bare(407),
        Fault::Status408 => bare(408),
        Fault::Status429 => bare(429),
        Fault::Status500 => bare(500),
        Fault::Status501 => bare(501),
        Fault::Status502 => bare(502),
        Fault::Status503 => bare(503),
        Fault::Status504 => bare(504),
        Fault::Status600 => bare(600),
        Fault::RetryAfterSeconds => retry_after(503, "120"),
        Fault::RetryAfterDate => retry_after(429, &http_date(SystemTime::now() + Duration::from_secs(120))),
        Fault::RetryAfterWord => retry_after(503, "soon"),
        Fault::Html200 => page(200, "Welcome to the hotel's network"),
        Fault::Html400 => page(400, "400 Bad Request"),
        Fault::Html401 => page(401, "HTTP Status 401 - Bad credentials"),
        Fault::Html502 => page(502, "502 Bad Gateway"),
        Fault::Html503 => page(503, "Down for maintenance"),
        Fault::Empty200 => bare(200),
        Fault::JsonNull => response(200, JSON, "null"),
        Fault::JsonArray => response(200, JSON, "[1,2,3]"),
        Fault::JsonNumber => response(200, JSON, "43199"),
        Fault::JsonNest => response(200, JSON, "[".repeat(10_000)),
        Fault::Error200 => oauth(200, "invalid_grant", format!("Invalid refresh token: {}", echo.secret)),
        Fault::NoCredentials => {
            oauth(401, "unauthorized", "Full authentication is required to access this resource".into())
        }
        Fault::BadCredentials => oauth(401, "unauthorized", "Bad credentials".into()),
        Fault::ClientDiffers => {
            oauth(401, "invalid_client", "Given client ID does not match authenticated client".into())
        }
        Fault::GrantNotAllowed => oauth(401, "invalid_client", format!("Unauthorized grant type: {}", echo.grant_type)),
        Fault::OtherClientsCode => oauth(401, "invalid_client", "Client ID mismatch".into()),
        Fault::MethodNotAllowed => {
            let mut response = oauth(405, "method_not_allowed", "Request method 'GET' not supported".into());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            response
        }
        Fault::NoGrantType => oauth(400, "invalid_request", "Missing grant type".into()),
        Fault::UnknownGrantType => oauth(400, "unsupported_grant_type", "Unsupported grant type: x".into()),
        Fault::UnknownScope => scope(400, "invalid_scope", "Invalid scope: x", "read write"),
        Fault::NoCode => oauth(400, "invalid_request", "An authorization code must be supplied.".into()),
        Fault::UnknownCode => oauth(400, "invalid_grant", format!("Invalid authorization code: {}", echo.secret)),
        Fault::RedirectMismatch => oauth(400, "invalid_grant", "Redirect URI mismatch.".into()),
        Fault::UnknownRefreshToken => oauth(400, "invalid_grant", format!("Invalid refresh token: {}", echo.secret)),
        Fault::ExpiredRefreshToken => {
            oauth(401, "invalid_token", format!("Invalid refresh token (expired): {}", echo.secret))
        }
        Fault::OtherClientsRefreshToken => {
            oauth(400, "invalid_grant", format!("Wrong client for this refresh token: {}", echo.secret))
        }
        Fault::WiderScope => {
            let words = "Unable to narrow the scope of the client authentication to [write].";
            scope(400, "invalid_scope", words, "read")
        }
        Fault::ServerError => oauth(500, "server_error", "Internal Server Error".into()),
        Fault::UnknownAccessToken => oauth(401, "invalid_token", format!("Invalid access token: {}", echo.secret)),
        Fault::ExpiredAccessToken => oauth(401, "invalid_token", format!("Access token expired: {}", echo.secret)),
        Fault::ScopeTooSmall => scope(403, "insufficient_scope", "Insufficient scope for this resource", "write"),
        Fault::Forbidden => oauth(403, "access_denied", "Access is denied".into()),
        Fault::Container401 => {
            let path = request.target.split('?').next();
            let words = "Bad credentials";
            let body = json!({"timestamp": 1_700_000_000_000_u64, "status": 401, "error": "Unauthorized", "message": words, "path": path});
            response(401, JSON, body.to_string())
        }
        Fault::Rest406 => response(406, JSON, r#"{"code":406,"title":"Not Acceptable","detail":"No such form"}"#),
        Fault::Rest500 => response(500, JSON, r#"{"code":500,"title":"Internal Server Error"}"#),
        Fault::Xml400 => {
            let words = format!("Invalid authorization code: {}", echo.secret);
            let body =
                format!("<oauth><error>invalid_grant</error><error_description>{words}</error_description></oauth>");
            response(400, "application/xml;charset=UTF-8", body)
        }
        Fault::Echo400 => {
            let all = format!("{} {} {:?}", request.method, request.target, request.headers);
            let html = echo.secret.replace('&', "&amp;").replace(':', "&#58;");
            let words =
                format!("{} / {} / {} / {html} / a\r\nb\0c / {all}", echo.secret, echo.credentials, echo.client_secret);
            oauth(400, "invalid_request", words)
        }
        Fault::ErrorOfWrongTypes => response(400, JSON, r#"{"error":["invalid_grant"],"error_description":{"a":1}}"#),
        other => unreachable!("{other} has no canned response"),
    }
}

/// Changes a good token response. Any other response stays as it is.
pub(crate) fn edit(fault: Fault, good: Response<Bytes>) -> Response<Bytes> {
    let read: Option<Map<String, Value>> =
        if good.status() == StatusCode::OK { serde_json::from_slice(good.body()).ok() } else { None };
    let Some(mut fields) = read.filter(|fields| fields.contains_key("access_token")) else {
        return good;
    };
    let (mut head, body) = good.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    let body: Vec<u8> = match fault {
        Fault::JsonCut => body[..body.len() / 2].to_vec(),
        Fault::JsonBehind => [&body, &b" and text"[..]].concat(),
        Fault::JsonTwice => [br#"{"access_token":"another","#, &body[1..]].concat(),
        Fault::JsonDeep => {
            let nest = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
            [format!(r#"{{"more":{nest},"#).as_bytes(), &body[1..]].concat()
        }
        Fault::JsonUtf16 => String::from_utf8_lossy(&body).encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Fault::JsonBom => [b"\xef\xbb\xbf", &body[..]].concat(),
        Fault::JsonLatin1 => [b"{\"name\":\"Andr\xe9\",", &body[1..]].concat(),
        Fault::JsonLarge => [format!(r#"{{"more":"{}","#, "x".repeat(64 * 1024)).as_bytes(), &body[1..]].concat(),
        Fault::JsonAsText => Value::from(String::from_utf8_lossy(&body)).to_string().into_bytes(),
        Fault::JsonAsHtml => {
            head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
            body.to_vec()
        }
        other => {
            change(other, &mut fields);
            Value::Object(fields).to_string().into_bytes()
        }
    };
    Response::from_parts(head, Bytes::from(body))
}

fn change(fault: Fault, fields: &mut Map<String, Value>) {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let append = |key: &str, end: &str| Some(Value::from(text(key) + end));
    let line = "\r\nX-Injected: yes";
    let (key, value) = match fault {
        Fault::NoAccessToken => ("access_token", None),
        Fault::EmptyAccessToken => ("access_token", Some("".into())),
        Fault::NullAccessToken => ("access_token", Some(Value::Null)),
        Fault::NumberAccessToken => ("access_token", Some(5.into())),
        Fault::ObjectAccessToken => ("access_token", Some(json!({"value": text("access_token")}))),
        Fault::NulInAccessToken => ("access_token", append("access_token", "\0")),
        Fault::CrLfInAccessToken => ("access_token", append("access_token", line)),
        Fault::SpaceInAccessToken => ("access_token", append("access_token", " x")),
        Fault::NonAsciiAccessToken => ("access_token", append("access_token", "é")),
        Fault::NoRefreshToken => ("refresh_token", None),
        Fault::EmptyRefreshToken => ("refresh_token", Some("".into())),
        Fault::NullRefreshToken => ("refresh_token", Some(Value::Null)),
        Fault::NumberRefreshToken => ("refresh_token", Some(5.into())),
        Fault::NulInRefreshToken => ("refresh_token", append("refresh_token", "\0")),
        Fault::CrLfInRefreshToken => ("refresh_token", append("refresh_token", line)),
        Fault::NoTokenType => ("token_type", None),
        Fault::OtherTokenType => ("token_type", Some("mac".into())),
        Fault::NumberTokenType => ("token_type", Some(5.into())),
        Fault::UpperTokenType => ("token_type", Some("BEARER".into())),
        Fault::NoExpiresIn => ("expires_in", None),
        Fault::ZeroExpiresIn => ("expires_in", Some(0.into())),
        Fault::NegativeExpiresIn => ("expires_in", Some((-5).into())),
        Fault::HugeExpiresIn => ("expires_in", Some(9e99.into())),
        Fault::FractionExpiresIn => ("expires_in", Some(43_199.9.into())),
        Fault::TextExpiresIn => ("expires_in", Some("43199".into())),
        Fault::WordExpiresIn => ("expires_in", Some("soon".into())),
        Fault::NoScope => ("scope", None),
        Fault::NumberScope => ("scope", Some(5.into())),
        Fault::CrLfInScope => ("scope", append("scope", line)),
        Fault::ExtraFields => ("more", Some(json!([null, true, 1.5, "text", {"a": []}]))),
        other => unreachable!("{other} changes nothing"),
    };
    match value {
        Some(value) => fields.insert(key.to_owned(), value),
        None => fields.remove(key),
    };
}

/// The parts of a request that responses echo.
struct Echo {
    /// The code, the refresh token or the access token.
    secret: String,
    grant_type: String,
    /// The part of the `Authorization` header after its scheme.
    credentials: String,
    client_secret: String,
}

impl Echo {
    fn of(request: &Received) -> Echo {
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        let params: Vec<(String, String)> = [query, &request.body]
            .iter()
            .flat_map(|text| form_urlencoded::parse(text.as_bytes()))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let param = |name: &str| params.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
        let authorization = request.header("authorization").unwrap_or_default();
        let credentials = authorization.split_once(' ').map_or("", |(_, rest)| rest).to_owned();
        let decoded = BASE64_STANDARD.decode(&credentials).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let client_secret = decoded.and_then(|text| Some(text.split_once(':')?.1.to_owned())).unwrap_or_default();
        let secret = param("code").or_else(|| param("refresh_token")).unwrap_or_else(|| credentials.clone());
        Echo { secret, grant_type: param("grant_type").unwrap_or_default(), credentials, client_secret }
    }
}

fn response(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).expect("from 100 to 999");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn bare(status: u16) -> Response<Bytes> {
    let mut response = response(status, JSON, "");
    response.headers_mut().clear();
    response
}

fn redirect(status: u16, request: &Received) -> Response<Bytes> {
    let mut response = bare(status);
    if let Ok(value) = HeaderValue::from_str(&request.target) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

fn retry_after(status: u16, value: &str) -> Response<Bytes> {
    let mut response = bare(status);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_str(value).expect("digits or a date"));
    response
}

fn no_store(response: &mut Response<Bytes>) {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

/// A time in the format of HTTP (RFC 9110, section 5.6.7).
fn http_date(moment: SystemTime) -> String {
    let at = time::OffsetDateTime::from(moment);
    let (day, month) = (at.weekday().to_string(), at.month().to_string());
    let (hour, minute, second) = at.to_hms();
    let (day, month) = (&day[..3], &month[..3]);
    format!("{day}, {:02} {month} {} {hour:02}:{minute:02}:{second:02} GMT", at.day(), at.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_format_of_http() {
        assert_eq!(
            http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
    }

    #[test]
    fn every_canned_response_and_every_edit_exists() {
        use crate::faults::Kind;
        let request = Received {
            method: "POST".into(),
            target: "/oauth/token?code=c".into(),
            headers: vec![],
            body: String::new(),
        };
        let good = || {
            response(
                200,
                JSON,
                r#"{"access_token":"a","refresh_token":"r","token_type":"bearer","expires_in":1,"scope":"write"}"#,
            )
        };
        for &fault in Fault::ALL {
            match fault.kind() {
                Kind::Canned => _ = canned(fault, &request),
                Kind::Edit => assert_ne!(format!("{:?}", edit(fault, good())), format!("{:?}", good()), "{fault}"),
                _ => {}
            }
        }
    }
}
