//! What the server knows: clients, users, approvals, codes and tokens, and the rules between them.
//!
//! The rules are those of Spring Security OAuth 2 (`TokenEndpoint`, `AuthorizationCodeTokenGranter`,
//! `DefaultRedirectResolver`), in its order of checks. No HTTP in here: `http` reads requests into these types and
//! writes the answers. Time is handed in, so that every rule can be tested without waiting.

mod tokens;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::oauth_error::{Kind, OAuthError};
use crate::options::{Account, Client, Options};
use crate::random;
use tokens::Tokens;
pub(crate) use tokens::{Grant, Issued};

/// The zone of the guide's user: the number behind the `:` of a token.
const FIRST_ZONE: u32 = 10_003;

/// Scopes, sorted as Spring sorts them.
pub(crate) type Scope = BTreeSet<String>;

pub(crate) struct State {
    clients: Vec<Client>,
    users: Vec<Account>,
    /// What each user has allowed each client, scope by scope.
    approvals: HashSet<(String, String, String)>,
    codes: HashMap<String, Code>,
    tokens: Tokens,
}

/// What an authorization code stands for.
struct Code {
    grant: Grant,
    /// Where the code was sent.
    redirect_uri: String,
    /// The request named its redirect URI, so the exchange has to name the same one.
    redirect_uri_was_sent: bool,
}

/// The parameters of a request to the token endpoint; `None` where one was not sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokenRequest<'a> {
    pub(crate) client_id: Option<&'a str>,
    pub(crate) grant_type: Option<&'a str>,
    pub(crate) scope: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
    pub(crate) redirect_uri: Option<&'a str>,
    pub(crate) refresh_token: Option<&'a str>,
}

/// An authorize request that was found good, waiting for the user's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
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

    /// The user's zone; each user has one.
    pub(crate) fn zone(&self, user: &str) -> u32 {
        let place = self.users.iter().position(|known| known.name == user).unwrap_or(0);
        FIRST_ZONE + u32::try_from(place).expect("fewer users than that")
    }

    /// All zones that have a user.
    pub(crate) fn zones(&self) -> impl Iterator<Item = u32> {
        (FIRST_ZONE..).take(self.users.len())
    }

    /// Where to send the user of this client. An error here must not be redirected anywhere.
    pub(crate) fn redirect_uri(&self, client: &Client, asked: Option<&str>) -> Result<String, OAuthError> {
        if !may_use(client, "authorization_code") {
            let words = "A redirect_uri can only be used by implicit or authorization_code grant types.";
            return Err(OAuthError::new(Kind::InvalidGrant, words));
        }
        match (asked, client.redirect_uris.as_slice()) {
            (None, [only]) => Ok(only.clone()),
            (None, []) => Err(OAuthError::new(
                Kind::InvalidRequest,
                "A redirectUri must be either supplied or preconfigured in the ClientDetails",
            )),
            (Some(asked), []) if is_http_url(asked) => Ok(asked.to_owned()),
            (Some(asked), registered) if registered.iter().any(|uri| matches(uri, asked)) => Ok(asked.to_owned()),
            (asked, _) => Err(OAuthError::new(
                Kind::InvalidGrant,
                format!("Invalid redirect: {} does not match one of the registered values.", asked.unwrap_or("null")),
            )),
        }
    }

    /// The scopes meant by a request: the client's own where it names none.
    pub(crate) fn scope(&self, client: &Client, asked: Option<&str>) -> Result<Scope, OAuthError> {
        let mut scope = parse_scope(asked);
        if scope.is_empty() {
            scope.extend(client.scopes.iter().cloned());
        }
        if !client.scopes.is_empty()
            && let Some(unknown) = scope.iter().find(|name| !client.scopes.contains(name))
        {
            return Err(OAuthError::new(Kind::InvalidScope, format!("Invalid scope: {unknown}"))
                .with_scope(client.scopes.join(" ")));
        }
        if scope.is_empty() {
            let words = "Empty scope (either the client or the user is not allowed the requested scopes)";
            return Err(OAuthError::new(Kind::InvalidScope, words));
        }
        Ok(scope)
    }

    /// Whether this user allowed this client all of these scopes before.
    pub(crate) fn is_approved(&self, user: &str, asked: &Asked) -> bool {
        let key = |scope: &String| (user.to_owned(), asked.client.clone(), scope.clone());
        asked.scope.iter().all(|scope| self.approvals.contains(&key(scope)))
    }

    /// Remembers that the user allowed this.
    pub(crate) fn approve(&mut self, user: &str, asked: &Asked) {
        for scope in &asked.scope {
            self.approvals.insert((user.to_owned(), asked.client.clone(), scope.clone()));
        }
    }

    /// A fresh code for what the user allowed. It has no expiry.
    pub(crate) fn make_code(&mut self, user: &str, asked: Asked) -> String {
        let grant = Grant { user: user.to_owned(), client: asked.client, scope: asked.scope };
        let code = random::code();
        self.codes.insert(
            code.clone(),
            Code { grant, redirect_uri: asked.redirect_uri, redirect_uri_was_sent: asked.redirect_uri_was_sent },
        );
        code
    }

    /// A code for the first user at the first client, as if they had just allowed `scope`.
    pub(crate) fn make_first_code(&mut self, redirect_uri: &str, scope: &str) -> String {
        let (user, client) = (self.users[0].name.clone(), self.clients[0].id.clone());
        let scope = parse_scope(Some(scope));
        let asked = Asked { client, scope, redirect_uri: redirect_uri.to_owned(), redirect_uri_was_sent: true };
        self.make_code(&user, asked)
    }

    /// The token endpoint, for a client that has proved who it is.
    pub(crate) fn token(
        &mut self,
        client_id: &str,
        request: TokenRequest<'_>,
        now: Duration,
    ) -> Result<Issued, OAuthError> {
        let bad_credentials = || OAuthError::new(Kind::Unauthorized, "Bad credentials");
        let client = self.client(client_id).ok_or_else(bad_credentials)?.clone();
        match request.client_id {
            None => {}
            // Where Spring also reads credentials from the parameters, it takes this for an id without its secret.
            Some(given) if given == client_id => return Err(bad_credentials()),
            Some(_) => {
                let words = "Given client ID does not match authenticated client";
                return Err(OAuthError::new(Kind::InvalidClient, words));
            }
        }
        // Checked even for a code, whose scope was settled when it was made.
        self.scope(&client, request.scope)?;
        let grant_type = request.grant_type.filter(|name| !name.trim().is_empty());
        let Some(grant_type) = grant_type else {
            return Err(OAuthError::new(Kind::InvalidRequest, "Missing grant type"));
        };
        if grant_type == "refresh_token" && request.refresh_token.is_none_or(str::is_empty) {
            return Err(OAuthError::new(Kind::InvalidRequest, "refresh_token parameter not provided"));
        }
        if !matches!(grant_type, "authorization_code" | "refresh_token") {
            return Err(OAuthError::new(Kind::UnsupportedGrantType, format!("Unsupported grant type: {grant_type}")));
        }
        if !may_use(&client, grant_type) {
            return Err(OAuthError::new(Kind::InvalidClient, format!("Unauthorized grant type: {grant_type}")));
        }
        if grant_type == "authorization_code" {
            let grant = self.consume_code(client_id, request)?;
            let zone = self.zone(&grant.user);
            Ok(self.tokens.log_in(grant, may_use(&client, "refresh_token"), zone, now))
        } else {
            let refresh_token = request.refresh_token.unwrap_or_default();
            let zone = self.tokens.user_of(refresh_token).map_or(FIRST_ZONE, |user| self.zone(user));
            self.tokens.refresh(client_id, refresh_token, parse_scope(request.scope), zone, now)
        }
    }

    /// Whose token this is. An expired one is deleted by looking.
    pub(crate) fn check_access_token(&mut self, token: &str, now: Duration) -> Result<Grant, OAuthError> {
        self.tokens.check(token, now)
    }

    /// The access tokens that live, as the token endpoint would answer them, those that end first first.
    pub(crate) fn live_tokens(&self, now: Duration) -> Vec<Issued> {
        self.tokens.live(now)
    }

    /// Deletes the access token and its refresh token.
    pub(crate) fn log_out(&mut self, access_token: &str) {
        self.tokens.log_out(access_token);
    }

    /// The code goes first and the checks come after: any failure burns it.
    fn consume_code(&mut self, client_id: &str, request: TokenRequest<'_>) -> Result<Grant, OAuthError> {
        let Some(text) = request.code else {
            return Err(OAuthError::new(Kind::InvalidRequest, "An authorization code must be supplied."));
        };
        let Some(code) = self.codes.remove(text) else {
            return Err(OAuthError::new(Kind::InvalidGrant, format!("Invalid authorization code: {text}")));
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

/// Scopes as Spring reads them: apart by white space or `+`.
fn parse_scope(text: Option<&str>) -> Scope {
    let is_gap = |letter: char| letter.is_whitespace() || letter == '+';
    text.unwrap_or_default().split(is_gap).filter(|name| !name.is_empty()).map(str::to_owned).collect()
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

/// A registered redirect URI allows itself, and itself with a query.
fn matches(registered: &str, asked: &str) -> bool {
    asked.strip_prefix(registered).is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
}
