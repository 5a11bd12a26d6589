//! `/oauth/authorize`: from the link that a program opens to the redirect that ends in it.
//!
//! After Spring's `AuthorizationEndpoint`: login first; then the client and the redirect URI, whose errors are pages,
//! for there is nowhere safe to send the browser; then response type and scope, whose errors are redirected; then
//! approval.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::params::Params;
use super::sessions::set_cookie;
use super::{Shared, pages};
use crate::oauth_error::{Kind, OAuthError};
use crate::random;
use crate::state::{self, Asked};

/// All but the unreserved characters of RFC 3986: whatever bytes a `state` has, they come back.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a request is refused, and how that may be told.
enum Refusal {
    /// On a page: there is nowhere safe to send the browser.
    Page(OAuthError),
    /// At the redirect URI.
    Redirect(String),
}

/// `GET`: a program's link.
pub(super) async fn ask(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    start(&shared, &headers, &Params::read(&uri, &headers, b""))
}

/// `POST`: a program's form, or the answer to the approval page.
pub(super) async fn ask_or_decide(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let params = Params::read(&uri, &headers, &body);
    match params.get("user_oauth_approval") {
        Some(word) => decide(&shared, &headers, &params, word == "true"),
        None => start(&shared, &headers, &params),
    }
}

fn start(shared: &Shared, headers: &HeaderMap, params: &Params) -> Response<Body> {
    let mut sessions = shared.sessions();
    let (id, session) = sessions.find_or_make(headers);
    let Some(user) = session.user.clone() else {
        session.wanted = Some(params.to_query());
        let mut answer = pages::redirect("/login");
        answer.headers_mut().insert(header::SET_COOKIE, set_cookie(&id, shared.tls));
        return answer;
    };
    let echo = params.get("state");
    let mut state = shared.state();
    match examine(&state, params) {
        Err(Refusal::Page(error)) => error_page(&error),
        Err(Refusal::Redirect(target)) => pages::redirect(&target),
        Ok(asked) if state.is_approved(&user, &asked) => {
            let target = asked.redirect_uri.clone();
            pages::redirect(&success(&target, &state.make_code(&user, asked), echo))
        }
        Ok(asked) => {
            let id = random::id();
            let page = pages::approval(&id, &user, &asked);
            session.asked.insert(id, (asked, echo.map(str::to_owned)));
            page
        }
    }
}

fn decide(shared: &Shared, headers: &HeaderMap, params: &Params, approved: bool) -> Response<Body> {
    let mut sessions = shared.sessions();
    let found = sessions.find(headers).and_then(|(_, session)| {
        let (asked, echo) = session.asked.remove(params.get("request")?)?;
        Some((session.user.clone()?, asked, echo))
    });
    let Some((user, asked, echo)) = found else {
        let words = "Cannot approve uninitialized authorization request.";
        return error_page(&OAuthError::new(Kind::InvalidRequest, words));
    };
    if !approved {
        let error = OAuthError::new(Kind::AccessDenied, "User denied access");
        return pages::redirect(&failure(&asked.redirect_uri, &error, echo.as_deref()));
    }
    let mut state = shared.state();
    state.approve(&user, &asked);
    let target = asked.redirect_uri.clone();
    pages::redirect(&success(&target, &state.make_code(&user, asked), echo.as_deref()))
}

fn examine(state: &state::State, params: &Params) -> Result<Asked, Refusal> {
    let echo = params.get("state");
    let client = params.get("client_id").and_then(|id| state.client(id));
    let Some(client) = client else {
        return Err(Refusal::Page(OAuthError::new(Kind::InvalidClient, "Bad client credentials")));
    };
    let sent = params.get("redirect_uri");
    let redirect_uri = state.redirect_uri(client, sent).map_err(Refusal::Page)?;
    let refuse = |error: &OAuthError| Refusal::Redirect(failure(&redirect_uri, error, echo));

    let response_type = params.get("response_type").unwrap_or_default();
    if !response_type.split_whitespace().any(|name| name == "code") {
        let words = format!("Unsupported response types: [{}]", response_type.replace(' ', ", "));
        return Err(refuse(&OAuthError::new(Kind::UnsupportedResponseType, words)));
    }
    let scope = state.scope(client, params.get("scope")).map_err(|error| refuse(&error))?;
    Ok(Asked { client: client.id.clone(), scope, redirect_uri, redirect_uri_was_sent: sent.is_some() })
}

fn error_page(error: &OAuthError) -> Response<Body> {
    let status = StatusCode::from_u16(error.kind.status()).expect("the statuses are valid");
    pages::error(status, error.kind.name(), &error.description)
}

fn success(redirect_uri: &str, code: &str, echo: Option<&str>) -> String {
    let mut pairs = vec![("code", code)];
    pairs.extend(echo.map(|echo| ("state", echo)));
    with_query(redirect_uri, &pairs)
}

fn failure(redirect_uri: &str, error: &OAuthError, echo: Option<&str>) -> String {
    let mut pairs = vec![("error", error.kind.name()), ("error_description", error.description.as_str())];
    pairs.extend(echo.map(|echo| ("state", echo)));
    pairs.extend(error.scope.as_deref().map(|scope| ("scope", scope)));
    with_query(redirect_uri, &pairs)
}

/// The redirect URI with more query: what it has stays, an empty path becomes `/` (as every browser shows it), and a
/// fragment stays at the end.
fn with_query(redirect_uri: &str, pairs: &[(&str, &str)]) -> String {
    let (rest, fragment) = match redirect_uri.split_once('#') {
        Some((rest, fragment)) => (rest, format!("#{fragment}")),
        None => (redirect_uri, String::new()),
    };
    let (base, query) = match rest.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (rest, None),
    };
    let authority = base.split_once("://").map_or(base, |(_, authority)| authority);
    let slash = if authority.contains('/') { "" } else { "/" };
    let mut all: Vec<String> = query.filter(|query| !query.is_empty()).map(str::to_owned).into_iter().collect();
    all.extend(pairs.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, VALUE))));
    let target = format!("{base}{slash}?{}{fragment}", all.join("&"));
    // The redirect URI can be beyond ASCII, a header cannot.
    utf8_percent_encode(&target, CONTROLS).to_string()
}

#[cfg(test)]
mod tests {
    use super::with_query;

    #[test]
    fn a_bare_host_comes_back_with_a_slash() {
        assert_eq!(with_query("https://example.com", &[("code", "AbCdEf")]), "https://example.com/?code=AbCdEf");
    }

    #[test]
    fn a_query_and_a_fragment_are_kept() {
        assert_eq!(with_query("http://h/p?a=1#f", &[("code", "x")]), "http://h/p?a=1&code=x#f");
        assert_eq!(with_query("http://h?a=%20", &[("code", "x")]), "http://h/?a=%20&code=x");
    }

    #[test]
    fn values_are_percent_encoded() {
        let target = with_query("http://h/", &[("state", "a b+c&d=é/\u{0}~")]);
        assert_eq!(target, "http://h/?state=a%20b%2Bc%26d%3D%C3%A9%2F%00~");
    }
}
