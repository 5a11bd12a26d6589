//! `/login`: the login page. Also the front page, which follows a login without an authorization request.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};

use super::Shared;
use super::pages;
use super::params::Params;
use super::sessions::set_cookie;

pub(super) async fn front_page() -> Response<Body> {
    pages::front()
}

pub(super) async fn show(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response<Body> {
    let mut sessions = shared.sessions();
    let (id, session) = sessions.find_or_make(&headers);
    let mut page = pages::login(StatusCode::OK, &session.csrf, "", None);
    page.headers_mut().insert(header::SET_COOKIE, set_cookie(&id, shared.tls));
    page
}

pub(super) async fn submit(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let params = Params::read(&Method::POST, &uri, &headers, &body);
    let name = params.get("username").unwrap_or_default();
    let password = params.get("password").unwrap_or_default();
    let known = shared.state().is_user(name, password);

    let mut sessions = shared.sessions();
    let (id, session) = sessions.find_or_make(&headers);
    if params.get("_csrf") != Some(&session.csrf) {
        let words = "This page was too old. Please log in again.";
        let mut page = pages::login(StatusCode::FORBIDDEN, &session.csrf, name, Some(words));
        page.headers_mut().insert(header::SET_COOKIE, set_cookie(&id, shared.tls));
        return page;
    }
    if !known {
        let words = "The user name or the password is wrong.";
        return pages::login(StatusCode::OK, &session.csrf, name, Some(words));
    }
    session.user = Some(name.to_owned());
    let target =
        session.pending_query.take().map_or_else(|| "/".to_owned(), |query| format!("/oauth/authorize?{query}"));
    let id = sessions.rename(&id);
    let mut response = pages::redirect(&target);
    response.headers_mut().insert(header::SET_COOKIE, set_cookie(&id, shared.tls));
    response
}
