//! Reads a response into [`Tokens`] or an [`Error`]: the one place that decides what a response means.
//!
//! The HTTP status decides first. The body matters only in a 2xx, and if it names a known `error`. Descriptions are
//! redacted and shown to people; they decide nothing. The cases are those of the vendor's guide and of Spring Security
//! OAuth 2, which its server uses.

use serde_json::Value;

use crate::error::{Advice, CHECK_BASE_URL, Error, Status};
use crate::json::{NotText, Wiped};
use crate::secret::{Secret, redact};
use crate::text::{MAX_TEXT_LEN, fits_header};
use crate::tokens::{Parts, Tokens};
use crate::transport::Response;
use crate::user::User;
use crate::wipe::Zeroizing;

/// The call that a response belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Step 4 of the guide.
    ExchangeCode,
    /// Step 5.
    Refresh,
    /// Step 6.
    Logout,
    /// The API's description of the user.
    User,
}

/// Reads a response of the token endpoint (RFC 6749, section 5). `now` is the Unix time in seconds before the request
/// was sent. `secrets` are those of the request.
pub(crate) fn read_tokens(call: Call, response: &Response, now: i64, secrets: &[&str]) -> Result<Tokens, Error> {
    if (200..300).contains(&response.http_status) {
        return parse_tokens(&response.body, now).map_err(|problem| {
            Error::new(
                Status::Protocol,
                format!("the response has no usable tokens (HTTP {}): {problem}", response.http_status),
                CHECK_BASE_URL,
            )
            .with_http_status(response.http_status)
        });
    }
    Err(read_error(call, response, secrets))
}

/// Reads the response to a logout. Any 2xx is a success, whatever its body.
pub(crate) fn read_logout(response: &Response, secrets: &[&str]) -> Result<(), Error> {
    if (200..300).contains(&response.http_status) {
        return Ok(());
    }
    Err(read_error(Call::Logout, response, secrets))
}

/// Reads the API's description of the user.
pub(crate) fn read_user(response: &Response, secrets: &[&str]) -> Result<User, Error> {
    if (200..300).contains(&response.http_status) {
        return User::parse(&response.body).map_err(|problem| {
            let what = format!("the response has no user (HTTP {}): {problem}", response.http_status);
            Error::new(Status::Protocol, what, CHECK_BASE_URL).with_http_status(response.http_status)
        });
    }
    Err(read_error(Call::User, response, secrets))
}

/// Tokens from the body of a 2xx. The error says what is wrong with the body and quotes nothing of it.
fn parse_tokens(body: &[u8], now: i64) -> Result<Tokens, &'static str> {
    let mut body = Wiped::parse(body).ok_or("it is not JSON")?;
    if !body.0.is_object() {
        return Err("it is not a JSON object");
    }

    let not_text = |_: NotText| "a field has a value of the wrong type";
    let access_token = body.take_text("access_token").map_err(not_text)?;
    let refresh_token = body.take_text("refresh_token").map_err(not_text)?;
    let token_type = body.take_text("token_type").map_err(not_text)?;
    // The scope only informs, so an unreadable one does not make the tokens unusable.
    let scope = body.take_text("scope").unwrap_or(None);

    let access_token = access_token.filter(|token| !token.is_empty()).ok_or("it has no access token")?;
    let refresh_token = refresh_token.filter(|token| !token.is_empty());
    let token_type = token_type.ok_or("it has no token type")?;
    if !token_type.eq_ignore_ascii_case("bearer") {
        return Err("the token type is not bearer");
    }
    let too_long = |token: &str| token.len() > MAX_TEXT_LEN;
    if too_long(&access_token) || refresh_token.as_deref().is_some_and(|token| too_long(token)) {
        return Err("a token is longer than 8 KiB, and no request could carry it");
    }
    if !fits_header(&access_token) {
        return Err("the access token has a character that is not allowed in an HTTP header");
    }
    if refresh_token.as_deref().is_some_and(|token| token.chars().any(char::is_control)) {
        return Err("the refresh token has a control character");
    }
    Ok(Tokens::from(Parts {
        access_token: Secret::from(access_token),
        refresh_token: refresh_token.map(Secret::from),
        token_type: token_type.to_string(),
        scope: scope
            .filter(|scope| !scope.is_empty() && !scope.chars().any(char::is_control))
            .map(|scope| scope.to_string()),
        expires_at: lifetime(body.0.get("expires_in")).map(|seconds| now.saturating_add(seconds)),
    }))
}

/// `expires_in` in whole seconds; `None`: the token never expires. This server sends a number, and leaves it out for a
/// token that never expires. Other servers send digits in a string. If it is unreadable, the token counts as one that
/// never expires: the API answers 401 when it does.
fn lifetime(expires_in: Option<&Value>) -> Option<i64> {
    let seconds = match expires_in? {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64))?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    Some(seconds.max(0))
}

/// The body of an error: RFC 6749's `error` and `error_description`, the REST API's `title` and `detail`, or the
/// `message` of Spring Boot's error page.
#[derive(Default)]
struct ErrorBody {
    code: Option<String>,
    description: Option<String>,
}

impl ErrorBody {
    fn parse(body: &[u8], secrets: &[&str]) -> ErrorBody {
        let Some(mut body) = Wiped::parse(body) else {
            return ErrorBody::default();
        };
        let mut text = |key: &str| body.take_text(key).ok().flatten().filter(|text| !text.is_empty());
        let code = text("error").filter(|code| is_oauth_code(code));
        let description = text("error_description").or_else(|| match (text("title"), text("detail")) {
            (Some(title), Some(detail)) => Some(Zeroizing::new(format!("{}: {}", *title, *detail))),
            (title, detail) => title.or(detail).or_else(|| text("message")),
        });
        let redacted = |text: Zeroizing<String>| Some(redact(&text, secrets)).filter(|shown| !shown.is_empty());
        let (code, description) = (code.and_then(redacted), description.and_then(redacted));
        ErrorBody { code, description }
    }
}

/// Whether an `error` can be an OAuth code, which is in lower case. `"error": "Unauthorized"` of Spring Boot is not one.
pub(crate) fn is_oauth_code(error: &str) -> bool {
    (1..=64).contains(&error.len()) && error.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn read_error(call: Call, response: &Response, secrets: &[&str]) -> Error {
    let http_status = response.http_status;
    let body = ErrorBody::parse(&response.body, secrets);
    let code = body.code.as_deref();
    let status = match (call, http_status) {
        (_, 429 | 500..=599) => Status::Server,
        (_, 403) => Status::AccessDenied,
        (Call::Logout | Call::User, 401) => Status::TokenRejected,
        (_, 401) if code == Some("invalid_token") => Status::LoginRequired,
        (_, 401) => Status::ClientRejected,
        (Call::ExchangeCode | Call::Refresh, 400) if code == Some("invalid_grant") => Status::LoginRequired,
        (_, 400..=499) => Status::RequestRejected,
        _ => Status::Protocol,
    };

    let (what, remedy) = match status {
        Status::Server => ("the server has a problem", "try again later"),
        Status::AccessDenied => ("the server denied access", "check the permissions of the API key and of the user"),
        Status::TokenRejected => {
            let remedy = if call == Call::User { "refresh, then try again" } else { "refresh, then log out" };
            ("the server does not know the access token, or the token has expired", remedy)
        }
        Status::LoginRequired if call == Call::ExchangeCode => (
            "the authorization code is invalid or used up, or the redirect URI differs from that of the login page",
            "log in again",
        ),
        Status::LoginRequired => ("the refresh token is no longer valid", "log in again"),
        Status::ClientRejected => ("the server rejected the API key", "check client ID and secret"),
        Status::RequestRejected => ("the server rejected the request", "check scope, base URL and settings"),
        _ => ("the CameraManager API sends no such response", CHECK_BASE_URL),
    };
    let quoted = match (&body.code, &body.description) {
        (Some(code), Some(description)) => format!(" {code}: {description}"),
        (Some(one), None) | (None, Some(one)) => format!(" {one}"),
        (None, None) => String::new(),
    };
    Error::new(status, format!("{what} (HTTP {http_status}{quoted})"), remedy)
        .with_http_status(http_status)
        .with_oauth(body.code, body.description)
        .with_retry_after(response.retry_after)
}

/// The error of an exchange whose request may have reached the server. The code is then used up, so a retry cannot
/// succeed.
pub(crate) fn after_sent_exchange(error: Error) -> Error {
    match error.advice() {
        Advice::Retry => error.with_advice(Advice::LogIn, "the code may be used up: log in again"),
        _ => error,
    }
}
