//! The state of the server: clients, users, approvals, codes and tokens, and their rules.
//!
//! The rules and the order of checks are those of Spring Security OAuth 2 (`TokenEndpoint`,
//! `AuthorizationCodeTokenGranter`, `DefaultRedirectResolver`). This module knows no HTTP: `http` reads requests into these
//! types and writes the responses. Callers pass the time, so tests of a rule need not wait.

mod tokens;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::oauth_error::{Kind, OAuthError};
use crate::options::{Account, Client, Flavour, Options};
use crate::random;
use tokens::Tokens;
pub(crate) use tokens::{Grant, Issued};

/// The zone of the guide's user: the number after the `:` of a token.
const FIRST_ZONE: u32 = 10_003;

/// Scopes, sorted as Spring sorts them.
pub(crate) type Scope = BTreeSet<String>;

pub(crate) struct State {
    clients: Vec<Client>,
    users: Vec<Account>,
    /// A user, a client, and a scope that the user allowed the client.
    approvals: HashSet<(String, String, String)>,
    codes: HashMap<String, Code>,
    tokens: Tokens,
    flavours: Vec<Flavour>,
}

/// The data of an authorization code.
struct Code {
    grant: Grant,
    /// The redirect URI to which the code was sent.
    redirect_uri: String,
    /// Whether the authorization request named its redirect URI. Then the exchange must name the same one.
    redirect_uri_was_sent: bool,
}

/// The parameters of a request to the token endpoint. `None`: not sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokenRequest<'a> {
    pub(crate) client_id: Option<&'a str>,
    pub(crate) grant_type: Option<&'a str>,
    pub(crate) scope: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
    pub(crate) redirect_uri: Option<&'a str>,
    pub(crate) refresh_token: Option<&'a str>,
}

/// A valid authorization request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client: String,
    pub(crate) scope: Scope,
    pub(crate) redirect_uri: String,
    pub(crate) redirect_uri_was_sent: bool,
}

impl State {
    pub(crate) fn new(options: &Options) -> State {
        State {
            clients: options.clients.clone(),
            users: options.users.clone(),
            approvals: HashSet::new(),
            codes: HashMap::new(),
            tokens: Tokens::new(options),
            flavours: options.flavours.clone(),
        }
    }

    pub(crate) fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    pub(crate) fn is_client(&self, id: &str, secret: &str) -> bool {
        self.client(id).is_some_and(|client| client.secret == secret)
    }

    pub(crate) fn is_user(&self, name: &str, password: &str) -> bool {
        self.users.iter().any(|user| user.name == name && user.password == password)
    }

    /// The user's zone. Each user has another one.
    pub(crate) fn zone(&self, user: &str) -> u32 {
        let index = self.users.iter().position(|known| known.name == user).unwrap_or(0);
        FIRST_ZONE + u32::try_from(index).expect("fewer users than that")
    }

    /// The zones of all users.
    pub(crate) fn zones(&self) -> impl Iterator<Item = u32> {
        (FIRST_ZONE..).take(self.users.len())
    }

    /// The redirect URI of a request. An error must go to a page, because there is no safe URI to redirect to.
    pub(crate) fn redirect_uri(&self, client: &Client, requested: Option<&str>) -> Result<String, OAuthError> {
        if !may_use(client, "authorization_code") {
            let words = "A redirect_uri can only be used by implicit or authorization_code grant types.";
            return Err(OAuthError::new(Kind::InvalidGrant, words));
        }
        match (requested, client.redirect_uris.as_slice()) {
            (None, [only]) => Ok(only.clone()),
            (None, []) => Err(OAuthError::new(
                Kind::InvalidRequest,
                "A redirectUri must be either supplied or preconfigured in the ClientDetails",
            )),
            (Some(requested), []) if is_http_url(requested) => Ok(requested.to_owned()),
            (Some(requested), registered) if registered.iter().any(|uri| matches(uri, requested)) => {
                Ok(requested.to_owned())
            }
            (requested, _) => Err(OAuthError::new(
                Kind::InvalidGrant,
                format!(
                    "Invalid redirect: {} does not match one of the registered values.",
                    requested.unwrap_or("null")
                ),
            )),
        }
    }

    /// The scopes of a request. Without any, those of the client.
    pub(crate) fn scope(&self, client: &Client, requested: Option<&str>) -> Result<Scope, OAuthError> {
        let mut scope = parse_scope(requested);
        if scope.is_empty() {
            scope.extend(client.scopes.iter().cloned());
        }
        if !client.scopes.is_empty()
            && let Some(unknown) = scope.iter().find(|name| !client.scopes.contains(name))
        {
            return Err(
                OAuthError::about(Kind::InvalidScope, "Invalid scope", unknown).with_scope(client.scopes.join(" "))
            );
        }
        if scope.is_empty() {
            let words = "Empty scope (either the client or the user is not allowed the requested scopes)";
            return Err(OAuthError::new(Kind::InvalidScope, words));
        }
        Ok(scope)
    }

    /// Whether the user has already allowed the client all scopes of the request.
    pub(crate) fn is_approved(&self, user: &str, request: &AuthorizationRequest) -> bool {
        let key = |scope: &String| (user.to_owned(), request.client.clone(), scope.clone());
        request.scope.iter().all(|scope| self.approvals.contains(&key(scope)))
    }

    /// Stores the user's approval.
    pub(crate) fn approve(&mut self, user: &str, request: &AuthorizationRequest) {
        for scope in &request.scope {
            self.approvals.insert((user.to_owned(), request.client.clone(), scope.clone()));
        }
    }

    /// A new code for an approved request. It never expires.
    pub(crate) fn make_code(&mut self, user: &str, request: AuthorizationRequest) -> String {
        let grant = Grant { user: user.to_owned(), client: request.client, scope: request.scope };
        let is_v25 = self.flavours.contains(&Flavour::V25);
        let code = if is_v25 { random::base64url_code() } else { random::code() };
        self.codes.insert(
            code.clone(),
            Code { grant, redirect_uri: request.redirect_uri, redirect_uri_was_sent: request.redirect_uri_was_sent },
        );
        code
    }

    /// A code as if the first user had just allowed the first client `scope`.
    pub(crate) fn make_first_code(&mut self, redirect_uri: &str, scope: &str) -> String {
        let (user, client) = (self.users[0].name.clone(), self.clients[0].id.clone());
        let scope = parse_scope(Some(scope));
        let request =
            AuthorizationRequest { client, scope, redirect_uri: redirect_uri.to_owned(), redirect_uri_was_sent: true };
        self.make_code(&user, request)
    }

    /// The token endpoint, for an authenticated client.
    pub(crate) fn token(
        &mut self,
        client_id: &str,
        request: TokenRequest<'_>,
        now: Duration,
    ) -> Result<Issued, OAuthError> {
        let bad_credentials = || OAuthError::new(Kind::Unauthorized, "Bad credentials");
        let client = self.client(client_id).ok_or_else(bad_credentials)?.clone();
        if request.client_id.is_some_and(|given| given != client_id) {
            let words = "Given client ID does not match authenticated client";
            return Err(OAuthError::new(Kind::InvalidClient, words));
        }
        // Spring checks this also for a code, whose scope is known already.
        self.scope(&client, request.scope)?;
        let grant_type = request.grant_type.filter(|name| !name.trim().is_empty());
        let Some(grant_type) = grant_type else {
            return Err(OAuthError::new(Kind::InvalidRequest, "Missing grant type"));
        };
        if grant_type == "implicit" {
            let words = "Implicit grant type not supported from token endpoint";
            return Err(OAuthError::new(Kind::InvalidGrant, words));
        }
        let is_v25 = self.flavours.contains(&Flavour::V25);
        if is_v25 && grant_type == "refresh_token" && request.refresh_token.is_none_or(str::is_empty) {
            return Err(OAuthError::new(Kind::InvalidRequest, "refresh_token parameter not provided"));
        }
        if !matches!(grant_type, "authorization_code" | "refresh_token" | "client_credentials") {
            return Err(OAuthError::new(Kind::UnsupportedGrantType, "Unsupported grant type"));
        }
        if grant_type == "client_credentials" || !may_use(&client, grant_type) {
            return Err(OAuthError::about(Kind::InvalidClient, "Unauthorized grant type", grant_type));
        }
        if grant_type == "authorization_code" {
            let grant = self.consume_code(client_id, request)?;
            let zone = self.zone(&grant.user);
            Ok(self.tokens.log_in(grant, may_use(&client, "refresh_token"), zone, now))
        } else {
            // A server that keeps its tokens in a database looks up "null". One with tokens in memory fails with a 500.
            let refresh_token = request.refresh_token.unwrap_or("null");
            let zone = self.tokens.user_of(refresh_token).map_or(FIRST_ZONE, |user| self.zone(user));
            self.tokens.refresh(client_id, refresh_token, parse_scope(request.scope), zone, now)
        }
    }

    /// The grant of an access token. This deletes an expired token.
    pub(crate) fn check_access_token(&mut self, token: &str, now: Duration) -> Result<Grant, OAuthError> {
        self.tokens.check(token, now)
    }

    /// The valid access tokens, in the order in which they expire.
    pub(crate) fn valid_tokens(&self, now: Duration) -> Vec<Issued> {
        self.tokens.valid(now)
    }

    /// Deletes the access token and its refresh token.
    pub(crate) fn log_out(&mut self, access_token: &str) {
        self.tokens.log_out(access_token);
    }

    /// Deletes the code before the checks, so a failed exchange uses it up.
    fn consume_code(&mut self, client_id: &str, request: TokenRequest<'_>) -> Result<Grant, OAuthError> {
        let Some(text) = request.code else {
            return Err(OAuthError::new(Kind::InvalidRequest, "An authorization code must be supplied."));
        };
        let Some(code) = self.codes.remove(text) else {
            return Err(OAuthError::about(Kind::InvalidGrant, "Invalid authorization code", text));
        };
        let must_match = request.redirect_uri.is_some() || code.redirect_uri_was_sent;
        if must_match && request.redirect_uri != Some(&code.redirect_uri) {
            return Err(OAuthError::new(Kind::InvalidGrant, "Redirect URI mismatch."));
        }
        if code.grant.client != client_id {
            return Err(OAuthError::new(Kind::InvalidClient, "Client ID mismatch"));
        }
        Ok(code.grant)
    }
}

/// Scopes as Spring reads them: separated by white space or `+`. Before a gap at the begin is the scope "", as Java splits.
fn parse_scope(text: Option<&str>) -> Scope {
    let is_gap = |letter: char| letter.is_whitespace() || letter == '+';
    let text = text.unwrap_or_default();
    if text.trim().is_empty() {
        return Scope::new();
    }
    let names = text.split(is_gap).filter(|name| !name.is_empty());
    text.starts_with(is_gap).then_some("").into_iter().chain(names).map(str::to_owned).collect()
}

fn may_use(client: &Client, grant_type: &str) -> bool {
    client.grants.is_empty() || client.grants.iter().any(|grant| grant == grant_type)
}

fn is_http_url(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#']))
        && !text.contains(|letter: char| letter.is_control() || letter.is_whitespace())
}

/// A registered redirect URI allows the same URI, with or without a query or fragment after it. On 127.0.0.1 the port may
/// differ, because a program that listens there cannot choose it in advance (RFC 8252, section 7.3).
fn matches(registered: &str, requested: &str) -> bool {
    let requested = requested.split(['?', '#']).next().unwrap_or_default();
    requested == registered || without_port(requested).is_some_and(|uri| Some(uri) == without_port(registered))
}

/// A URI on 127.0.0.1 without its port.
fn without_port(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("http://127.0.0.1")?;
    let (port, path) = rest.find('/').map_or((rest, ""), |start| rest.split_at(start));
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    is_port.then(|| path.to_owned())
}
