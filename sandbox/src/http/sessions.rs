//! What the server remembers of each browser: who is logged in, and what they were doing. Held together by one cookie.

use std::collections::HashMap;

use axum::http::{HeaderMap, HeaderValue, header};

use crate::random;
use crate::state::Asked;

/// The servlet container's usual name for it.
const COOKIE: &str = "JSESSIONID";

#[derive(Default)]
pub(crate) struct Sessions(HashMap<String, Session>);

/// One browser.
pub(super) struct Session {
    /// Who logged in.
    pub(super) user: Option<String>,
    /// Proves that a login form came from here.
    pub(super) csrf: String,
    /// The query of the authorize request that led to the login page.
    pub(super) wanted: Option<String>,
    /// The approval pages shown and not yet answered, by the id hidden in each, with the `state` to give back. Several:
    /// a browser has several tabs.
    pub(super) asked: HashMap<String, (Asked, Option<String>)>,
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
        let fresh = || Session { user: None, csrf: random::id(), wanted: None, asked: HashMap::new() };
        let session = self.0.entry(id.clone()).or_insert_with(fresh);
        (id, session)
    }

    /// Gives a session another id, as at a login: an id that somebody planted before it is worth nothing after it.
    pub(super) fn rename(&mut self, id: &str) -> String {
        let new = random::id();
        if let Some(session) = self.0.remove(id) {
            self.0.insert(new.clone(), session);
        }
        new
    }
}

/// The `Set-Cookie` that hands out this session.
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
