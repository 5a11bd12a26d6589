//! Reads what the server answered into [`Tokens`] or an [`Error`]. The one place that decides what an answer means.
//!
//! The HTTP status decides first; the body matters only in a 2xx and where it names a known `error`. Descriptions are
//! shown to people, redacted, and never decide anything. The cases are those of the vendor's guide and of Spring
//! Security OAuth 2, which stands behind it.

use serde_json::Value;

use crate::config::LONGEST_TEXT;
use crate::error::{Advice, Error, Status};
use crate::json::{NotText, Wiped};
use crate::secret::{Secret, redact};
use crate::tokens::{Parts, Tokens};
use crate::transport::Response;
use crate::wipe::Zeroizing;

/// Which call an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Step 4 of the guide.
    ExchangeCode,
    /// Step 5.
    Refresh,
    /// Step 6.
    Logout,
}

/// An answer of the token endpoint (RFC 6749, section 5). `now` is when the request was about to be sent, in Unix
/// seconds; `secrets` are those that were in it.
pub(crate) fn read_tokens(call: Call, answer: &Response, now: i64, secrets: &[&str]) -> Result<Tokens, Error> {
    if (200..300).contains(&answer.http_status) {
        return parse_tokens(&answer.body, now).map_err(|problem| {
            Error::new(
                Status::Protocol,
                format!("the server answered HTTP {} but {problem}", answer.http_status),
                "check the base URL, and what stands between",
            )
            .with_http_status(answer.http_status)
        });
    }
    Err(read_error(call, answer, secrets))
}

/// An answer to a logout: any 2xx is good, its body does not matter.
pub(crate) fn read_logout(answer: &Response, secrets: &[&str]) -> Result<(), Error> {
    if (200..300).contains(&answer.http_status) {
        return Ok(());
    }
    Err(read_error(Call::Logout, answer, secrets))
}

/// Tokens from the body of a 2xx, or what is wrong with it, in words that quote nothing.
fn parse_tokens(body: &[u8], now: i64) -> Result<Tokens, &'static str> {
    let mut body = Wiped::parse(body).ok_or("not with JSON")?;
    if !body.0.is_object() {
        return Err("not with a JSON object");
    }

    let not_text = |_: NotText| "a field that must be a text is not";
    let access_token = body.take_text("access_token").map_err(not_text)?;
    let refresh_token = body.take_text("refresh_token").map_err(not_text)?;
    let token_type = body.take_text("token_type").map_err(not_text)?;
    // Scopes are told for information; one that cannot be read costs nobody the tokens.
    let scope = body.take_text("scope").unwrap_or(None);

    let access_token = access_token.filter(|token| !token.is_empty()).ok_or("without an access token")?;
    let refresh_token = refresh_token.filter(|token| !token.is_empty());
    let token_type = token_type.ok_or("without a token type")?;
    if !token_type.eq_ignore_ascii_case("bearer") {
        return Err("with a token type other than bearer");
    }
    let too_long = |token: &str| token.len() > LONGEST_TEXT;
    if too_long(&access_token) || refresh_token.as_deref().is_some_and(|token| too_long(token)) {
        return Err("with a token longer than 8 KiB, which could not be sent back");
    }
    let in_header = |token: &str| token.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if !in_header(&access_token) {
        return Err("with an access token that no header can carry");
    }
    if refresh_token.as_deref().is_some_and(|token| token.chars().any(char::is_control)) {
        return Err("with a control character in the refresh token");
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

/// `expires_in` in whole seconds; `None`: never. It is a number here, left out for a token that never expires; other
/// servers send digits in a text. One that cannot be read is no reason to lose the tokens: they count as never
/// expiring, and the API's 401 will tell.
fn lifetime(expires_in: Option<&Value>) -> Option<i64> {
    let seconds = match expires_in? {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64))?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    Some(seconds.max(0))
}

/// What the body of an error says: RFC 6749's `error` and `error_description`, the REST API's `title` and `detail`, or
/// the `message` of Spring Boot's error page.
#[derive(Default)]
struct Said {
    code: Option<String>,
    description: Option<String>,
}

impl Said {
    fn read(body: &[u8], secrets: &[&str]) -> Said {
        let Some(mut body) = Wiped::parse(body) else {
            return Said::default();
        };
        let mut text = |key: &str| body.take_text(key).ok().flatten().filter(|text| !text.is_empty());
        let code = text("error").filter(|code| is_oauth_code(code));
        let description = text("error_description").or_else(|| match (text("title"), text("detail")) {
            (Some(title), Some(detail)) => Some(Zeroizing::new(format!("{}: {}", *title, *detail))),
            (title, detail) => title.or(detail).or_else(|| text("message")),
        });
        let shown = |text: Zeroizing<String>| Some(redact(&text, secrets)).filter(|shown| !shown.is_empty());
        let (code, description) = (code.and_then(shown), description.and_then(shown));
        Said { code, description }
    }
}

/// Whether an `error` can be an OAuth code: those are lower case. `"error": "Unauthorized"` of Spring Boot is none, and
/// neither is what only looks like a text.
pub(crate) fn is_oauth_code(error: &str) -> bool {
    (1..=64).contains(&error.len()) && error.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn read_error(call: Call, answer: &Response, secrets: &[&str]) -> Error {
    let http_status = answer.http_status;
    let said = Said::read(&answer.body, secrets);
    let code = said.code.as_deref();
    let status = match (call, http_status) {
        (_, 429 | 500..=599) => Status::Server,
        (_, 403) => Status::AccessDenied,
        (Call::Logout, 401) => Status::TokenRejected,
        (_, 401) if code == Some("invalid_token") => Status::LoginRequired,
        (_, 401) => Status::ClientRejected,
        (Call::ExchangeCode | Call::Refresh, 400) if code == Some("invalid_grant") => Status::LoginRequired,
        (_, 400..=499) => Status::RequestRejected,
        _ => Status::Protocol,
    };

    let (what, remedy) = match status {
        Status::Server => ("the server has a problem", "try again later"),
        Status::AccessDenied => ("the server does not allow this", "check what the API key and the user may do"),
        Status::TokenRejected => {
            ("the server does not know the access token, or it has expired", "refresh, then log out")
        }
        Status::LoginRequired if call == Call::ExchangeCode => (
            "the authorization code is not good, or the redirect URI is not the one of the login page, to the byte",
            "log in again",
        ),
        Status::LoginRequired => ("the refresh token is no longer good", "log in again"),
        Status::ClientRejected => ("the server refused the API key", "check client id and secret"),
        Status::RequestRejected => ("the server refused the request", "check scope, base URL and settings"),
        _ => ("the answer is not one of this API", "check the base URL, and what stands between"),
    };
    let quoted = match (&said.code, &said.description) {
        (Some(code), Some(description)) => format!(" {code}: {description}"),
        (Some(one), None) | (None, Some(one)) => format!(" {one}"),
        (None, None) => String::new(),
    };
    Error::new(status, format!("{what} (HTTP {http_status}{quoted})"), remedy)
        .with_http_status(http_status)
        .with_oauth(said.code, said.description)
        .with_retry_after(answer.retry_after)
}

/// A failed exchange whose request may have arrived has used up its code: trying again cannot help.
pub(crate) fn after_sent_exchange(error: Error) -> Error {
    match error.advice() {
        Advice::Retry => error.with_advice(Advice::LogIn, "the code may be used up: log in again"),
        _ => error,
    }
}
