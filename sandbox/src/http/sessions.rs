//! The sessions of browsers, each identified by a cookie: the logged-in user, and the requests in progress.

use std::collections::HashMap;

use axum::http::{HeaderMap, HeaderValue, header};

use crate::random;
use crate::state::AuthorizationRequest;

/// The usual name in servlet containers.
const COOKIE: &str = "JSESSIONID";

#[derive(Default)]
pub(crate) struct Sessions(HashMap<String, Session>);

/// The session of a browser.
pub(super) struct Session {
    /// The logged-in user.
    pub(super) user: Option<String>,
    /// The hidden value that a login form must send back.
    pub(super) csrf: String,
    /// The query of the authorization request that led to the login page.
    pub(super) pending_query: Option<String>,
    /// The approval pages that are open, by the id hidden in each, with the `state` of the request. A browser can have
    /// several tabs.
    pub(super) approvals: HashMap<String, (AuthorizationRequest, Option<String>)>,
}

impl Sessions {
    /// The session of a request, if its cookie names one.
    pub(super) fn find(&mut self, headers: &HeaderMap) -> Option<(String, &mut Session)> {
        let id = cookie(headers)?;
        let session = self.0.get_mut(id)?;
        Some((id.to_owned(), session))
    }

    /// The session of a request, or a new one.
    pub(super) fn find_or_make(&mut self, headers: &HeaderMap) -> (String, &mut Session) {
        let known = cookie(headers).filter(|id| self.0.contains_key(*id));
        let id = known.map_or_else(random::id, str::to_owned);
        let new = || Session { user: None, csrf: random::id(), pending_query: None, approvals: HashMap::new() };
        let session = self.0.entry(id.clone()).or_insert_with(new);
        (id, session)
    }

    /// Changes the id of a session, as at a login. An id that an attacker set before the login is then invalid.
    pub(super) fn rename(&mut self, id: &str) -> String {
        let new = random::id();
        if let Some(session) = self.0.remove(id) {
            self.0.insert(new.clone(), session);
        }
        new
    }
}

/// The `Set-Cookie` header of a session.
pub(super) fn set_cookie(id: &str, tls: bool) -> HeaderValue {
    let secure = if tls { "; Secure" } else { "" };
    let text = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).expect("an id is hexadecimal")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find_map(|(name, value)| (name == COOKIE).then_some(value))
}
