//! The lifetime of tokens: the rules of Spring's `DefaultTokenServices`.
//!
//! There is one pair of tokens for each user, client and scope. A login returns the same pair until the access token
//! expires. A refresh ends the old access token at once. The first use of an expired access token deletes it.

use std::collections::HashMap;
use std::time::Duration;

use super::Scope;
use crate::oauth_error::{Kind, OAuthError};
use crate::options::{Flavour, Options};
use crate::random;

pub(crate) struct Tokens {
    access_token_lifetime: Option<Duration>,
    refresh_token_lifetime: Option<Duration>,
    rotate: bool,
    /// Tokens of version 2.5: 20 random bytes as base64url.
    is_v25: bool,
    access: HashMap<String, AccessToken>,
    refresh: HashMap<String, RefreshToken>,
    /// The access token that a login with this grant returns.
    latest: HashMap<Grant, String>,
}

/// A user, a client, and the scope that the user allowed the client. The key of a pair of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grant {
    pub(crate) user: String,
    pub(crate) client: String,
    pub(crate) scope: Scope,
}

/// The response of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) access_token: String,
    /// `None` if the client may not refresh.
    pub(crate) refresh_token: Option<String>,
    /// The remaining lifetime in whole seconds. `None` if the token never expires.
    pub(crate) expires_in: Option<u64>,
    pub(crate) scope: String,
}

#[derive(Clone)]
struct AccessToken {
    grant: Grant,
    refresh_token: Option<String>,
    expires: Option<Duration>,
}

struct RefreshToken {
    grant: Grant,
    expires: Option<Duration>,
}

impl Tokens {
    pub(crate) fn new(options: &Options) -> Tokens {
        // As in Spring, zero means no limit.
        let limited = |lifetime: Duration| (!lifetime.is_zero()).then_some(lifetime);
        Tokens {
            access_token_lifetime: limited(options.access_token_lifetime),
            refresh_token_lifetime: limited(options.refresh_token_lifetime),
            rotate: options.rotate_refresh_tokens,
            is_v25: options.flavours.contains(&Flavour::V25),
            access: HashMap::new(),
            refresh: HashMap::new(),
            latest: HashMap::new(),
        }
    }

    /// The pair for this grant: the present one, or a new access token with the present refresh token.
    pub(crate) fn log_in(&mut self, grant: Grant, may_refresh: bool, zone: u32, now: Duration) -> Issued {
        let mut refresh_token = None;
        if let Some(text) = self.latest.get(&grant).cloned() {
            let found = self.access[&text].clone();
            if !is_past(found.expires, now) {
                return issued(text, &found, now);
            }
            self.forget_access_token(&text);
            refresh_token = found.refresh_token;
        }
        if let Some(text) = refresh_token.take_if(|text| self.refresh_token_is_invalid(text, now)) {
            self.refresh.remove(&text);
        }
        if refresh_token.is_none() && may_refresh {
            refresh_token = Some(self.make_refresh_token(grant.clone(), zone, now));
        }
        self.make_access_token(grant, refresh_token, zone, now)
    }

    /// The user of this refresh token.
    pub(crate) fn user_of(&self, refresh_token: &str) -> Option<&str> {
        self.refresh.get(refresh_token).map(|found| found.grant.user.as_str())
    }

    /// A new access token for a refresh token. `scope` narrows its scope, unless it is empty.
    pub(crate) fn refresh(
        &mut self,
        client: &str,
        text: &str,
        scope: Scope,
        zone: u32,
        now: Duration,
    ) -> Result<Issued, OAuthError> {
        let Some(found) = self.refresh.get(text) else {
            return Err(OAuthError::about(Kind::InvalidGrant, "Invalid refresh token", text));
        };
        if found.grant.client != client {
            return Err(OAuthError::about(Kind::InvalidGrant, "Wrong client for this refresh token", text));
        }
        if is_past(found.expires, now) {
            self.forget_access_tokens_of(text);
            self.refresh.remove(text);
            return Err(OAuthError::about(Kind::InvalidToken, "Invalid refresh token (expired)", text));
        }
        let mut grant = found.grant.clone();
        if !scope.is_subset(&grant.scope) {
            // Nothing is deleted: for this error, Spring rolls its transaction back.
            let names: Vec<&str> = scope.iter().map(String::as_str).collect();
            let words = "Unable to narrow the scope of the client authentication";
            let error = OAuthError::about(Kind::InvalidScope, words, format!("[{}]", names.join(", ")));
            return Err(error.with_scope(join(&grant.scope)));
        }
        if !scope.is_empty() {
            grant.scope = scope;
        }
        self.forget_access_tokens_of(text);
        let mut refresh_token = text.to_owned();
        if self.rotate {
            self.refresh.remove(text);
            refresh_token = self.make_refresh_token(grant.clone(), zone, now);
        }
        Ok(self.make_access_token(grant, Some(refresh_token), zone, now))
    }

    /// The grant of an access token. This deletes an expired token; its refresh token stays.
    pub(crate) fn check(&mut self, text: &str, now: Duration) -> Result<Grant, OAuthError> {
        let Some(found) = self.access.get(text) else {
            return Err(OAuthError::about(Kind::InvalidToken, "Invalid access token", text));
        };
        if is_past(found.expires, now) {
            self.forget_access_token(text);
            return Err(OAuthError::about(Kind::InvalidToken, "Access token expired", text));
        }
        Ok(found.grant.clone())
    }

    /// The valid access tokens, in the order in which they expire.
    pub(crate) fn valid(&self, now: Duration) -> Vec<Issued> {
        let valid = self.access.iter().filter(|(_, token)| !is_past(token.expires, now));
        let mut tokens: Vec<Issued> = valid.map(|(text, token)| issued(text.clone(), token, now)).collect();
        tokens.sort_by_key(|token| token.expires_in.unwrap_or(u64::MAX));
        tokens
    }

    /// Deletes an access token and its refresh token.
    pub(crate) fn log_out(&mut self, text: &str) {
        if let Some(refresh_token) = self.access.get(text).and_then(|found| found.refresh_token.as_ref()) {
            self.refresh.remove(refresh_token);
        }
        self.forget_access_token(text);
    }

    fn make_token(&self, zone: u32) -> String {
        let text = if self.is_v25 { random::base64url() } else { random::uuid() };
        format!("{text}:{zone}")
    }

    fn make_access_token(&mut self, grant: Grant, refresh_token: Option<String>, zone: u32, now: Duration) -> Issued {
        let text = self.make_token(zone);
        let expires = self.access_token_lifetime.map(|lifetime| now.saturating_add(lifetime));
        let token = AccessToken { grant: grant.clone(), refresh_token, expires };
        let response = issued(text.clone(), &token, now);
        self.access.insert(text.clone(), token);
        self.latest.insert(grant, text);
        response
    }

    fn make_refresh_token(&mut self, grant: Grant, zone: u32, now: Duration) -> String {
        let text = self.make_token(zone);
        let expires = self.refresh_token_lifetime.map(|lifetime| now.saturating_add(lifetime));
        self.refresh.insert(text.clone(), RefreshToken { grant, expires });
        text
    }

    fn refresh_token_is_invalid(&self, text: &str, now: Duration) -> bool {
        self.refresh.get(text).is_none_or(|found| is_past(found.expires, now))
    }

    fn forget_access_token(&mut self, text: &str) {
        if let Some(token) = self.access.remove(text)
            && self.latest.get(&token.grant).is_some_and(|latest| latest == text)
        {
            self.latest.remove(&token.grant);
        }
    }

    fn forget_access_tokens_of(&mut self, refresh_token: &str) {
        let of_it = |(text, token): (&String, &AccessToken)| {
            (token.refresh_token.as_deref() == Some(refresh_token)).then(|| text.clone())
        };
        let texts: Vec<String> = self.access.iter().filter_map(of_it).collect();
        for text in texts {
            self.forget_access_token(&text);
        }
    }
}

fn issued(text: String, token: &AccessToken, now: Duration) -> Issued {
    // Some time passes before the response is written, so a lifetime of 43200 s becomes 43199.
    let moment = Duration::from_nanos(1);
    Issued {
        access_token: text,
        refresh_token: token.refresh_token.clone(),
        expires_in: token.expires.map(|expires| expires.saturating_sub(now.saturating_add(moment)).as_secs()),
        scope: join(&token.grant.scope),
    }
}

fn is_past(expires: Option<Duration>, now: Duration) -> bool {
    expires.is_some_and(|expires| now >= expires)
}

fn join(scope: &Scope) -> String {
    scope.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
