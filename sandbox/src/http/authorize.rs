//! `/oauth/authorize`: from the link that a program opens to the redirect that comes back to it.
//!
//! The order is that of Spring's `AuthorizationEndpoint`. The user logs in first. The server then checks the client and the
//! redirect URI; their errors are pages, because there is no safe URI to redirect to. It then checks the response type and
//! the scope; it redirects their errors. The user approves last.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::params::Params;
use super::sessions::set_cookie;
use super::{Shared, pages};
use crate::oauth_error::{Kind, OAuthError};
use crate::random;
use crate::state::{self, AuthorizationRequest};

/// All characters except the unreserved ones of RFC 3986, so any bytes of a `state` come back.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Error of a request, and where the server may show it.
enum Rejection {
    /// On a page, because there is no safe URI to redirect to.
    Page(OAuthError),
    /// At the redirect URI. This is the URL of the redirect.
    Redirect(String),
}

/// `GET`: the link of a program.
pub(super) async fn get(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    start(&shared, &headers, &Params::read(&Method::GET, &uri, &headers, b""))
}

/// `POST`: the form of a program, or the decision on the approval page.
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let params = Params::read(&Method::POST, &uri, &headers, &body);
    match params.get("user_oauth_approval") {
        Some(word) => decide(&shared, &headers, &params, word == "true"),
        None => start(&shared, &headers, &params),
    }
}

fn start(shared: &Shared, headers: &HeaderMap, params: &Params) -> Response<Body> {
    let mut sessions = shared.sessions();
    let (id, session) = sessions.find_or_make(headers);
    let Some(user) = session.user.clone() else {
        session.pending_query = Some(params.to_query());
        let mut response = pages::redirect("/login");
        response.headers_mut().insert(header::SET_COOKIE, set_cookie(&id, shared.tls));
        return response;
    };
    let echo = params.get("state");
    let mut state = shared.state();
    match check(shared, &state, params) {
        Err(Rejection::Page(error)) => error_page(&error),
        Err(Rejection::Redirect(target)) => pages::redirect(&target),
        Ok(request) if state.is_approved(&user, &request) => {
            let target = request.redirect_uri.clone();
            pages::redirect(&success(&target, &state.make_code(&user, request), echo))
        }
        Ok(request) => {
            let id = random::id();
            let page = pages::approval(&id, &user, &request);
            session.approvals.insert(id, (request, echo.map(str::to_owned)));
            page
        }
    }
}

fn decide(shared: &Shared, headers: &HeaderMap, params: &Params, approved: bool) -> Response<Body> {
    let mut sessions = shared.sessions();
    let found = sessions.find(headers).and_then(|(_, session)| {
        let (request, echo) = session.approvals.remove(params.get("request")?)?;
        Some((session.user.clone()?, request, echo))
    });
    let Some((user, request, echo)) = found else {
        let words = "Cannot approve uninitialized authorization request.";
        return error_page(&OAuthError::new(Kind::InvalidRequest, words));
    };
    if !approved {
        let error = OAuthError::new(Kind::AccessDenied, "User denied access");
        return pages::redirect(&failure(&request.redirect_uri, &error, echo.as_deref()));
    }
    let mut state = shared.state();
    state.approve(&user, &request);
    let target = request.redirect_uri.clone();
    pages::redirect(&success(&target, &state.make_code(&user, request), echo.as_deref()))
}

fn check(shared: &Shared, state: &state::State, params: &Params) -> Result<AuthorizationRequest, Rejection> {
    let echo = params.get("state");
    let client = params.get("client_id").and_then(|id| state.client(id));
    let Some(client) = client else {
        return Err(Rejection::Page(OAuthError::new(Kind::InvalidClient, "Bad client credentials")));
    };
    let sent = params.get("redirect_uri");
    let redirect_uri = state.redirect_uri(client, sent).map_err(Rejection::Page)?;
    let reject = |error: OAuthError| Rejection::Redirect(failure(&redirect_uri, &error.of(&shared.flavours), echo));

    let response_type = params.get("response_type").unwrap_or_default();
    if response_type.split_whitespace().any(|name| name == "token") {
        let error = OAuthError::about(Kind::InvalidClient, "Unauthorized grant type", "implicit");
        let error = state.scope(client, params.get("scope")).err().unwrap_or(error);
        return Err(Rejection::Redirect(in_fragment(&redirect_uri, &error.of(&shared.flavours), echo)));
    }
    if !response_type.split_whitespace().any(|name| name == "code") {
        let types = format!("[{}]", response_type.replace(' ', ", "));
        let error = OAuthError::about(Kind::UnsupportedResponseType, "Unsupported response types", types);
        return Err(reject(error));
    }
    let scope = state.scope(client, params.get("scope")).map_err(reject)?;
    Ok(AuthorizationRequest { client: client.id.clone(), scope, redirect_uri, redirect_uri_was_sent: sent.is_some() })
}

fn error_page(error: &OAuthError) -> Response<Body> {
    let status = StatusCode::from_u16(error.kind.status()).expect("the statuses are valid");
    pages::error(status, error.kind.name(), &error.description())
}

fn success(redirect_uri: &str, code: &str, echo: Option<&str>) -> String {
    let mut pairs = vec![("code", code)];
    pairs.extend(echo.map(|echo| ("state", echo)));
    with_query(redirect_uri, &pairs)
}

fn failure(redirect_uri: &str, error: &OAuthError, echo: Option<&str>) -> String {
    let description = error.description();
    let mut pairs = vec![("error", error.kind.name()), ("error_description", description.as_str())];
    pairs.extend(echo.map(|echo| ("state", echo)));
    pairs.extend(error.scope.as_deref().map(|scope| ("scope", scope)));
    with_query(redirect_uri, &pairs)
}

/// The redirect of an error of the implicit flow, which has its parameters in the fragment.
fn in_fragment(redirect_uri: &str, error: &OAuthError, echo: Option<&str>) -> String {
    let target = failure(redirect_uri, error, echo);
    let start = target.rfind("error=").expect("the error is in the query");
    format!("{}#{}", &target[..start - 1], &target[start..])
}

/// Adds to the query of a redirect URI. An empty path becomes `/`, as in browsers; a fragment is dropped.
fn with_query(redirect_uri: &str, pairs: &[(&str, &str)]) -> String {
    let rest = redirect_uri.split('#').next().unwrap_or_default();
    let (base, query) = match rest.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (rest, None),
    };
    let authority = base.split_once("://").map_or(base, |(_, authority)| authority);
    let slash = if authority.contains('/') { "" } else { "/" };
    let mut all: Vec<String> = query.filter(|query| !query.is_empty()).map(str::to_owned).into_iter().collect();
    all.extend(pairs.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, VALUE))));
    let target = format!("{base}{slash}?{}", all.join("&"));
    // A redirect URI can contain characters beyond ASCII; a header cannot.
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
    fn a_query_is_kept_and_a_fragment_is_not() {
        assert_eq!(with_query("http://h/p?a=1#f", &[("code", "x")]), "http://h/p?a=1&code=x");
        assert_eq!(with_query("http://h?a=%20", &[("code", "x")]), "http://h/?a=%20&code=x");
    }

    #[test]
    fn values_are_percent_encoded() {
        let target = with_query("http://h/", &[("state", "a b+c&d=é/\u{0}~")]);
        assert_eq!(target, "http://h/?state=a%20b%2Bc%26d%3D%C3%A9%2F%00~");
    }
}
