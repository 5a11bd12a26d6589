//! How a sandbox is set up: the same choices for the library and for the command line.

use std::time::Duration;

use crate::faults::Planned;

/// How a sandbox is set up. [`Options::default`] is the vendor's guide: its API key, tokens of twelve hours, refresh
/// tokens without end, and one user, demo.
///
/// ```
/// let options = cmauth_sandbox::Options { tls: true, ..cmauth_sandbox::Options::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// A second port on 127.0.0.1, for the handles of tests alone, which no fault touches; 0 takes a free one.
    pub control_port: Option<u16>,
    /// What goes wrong from the start; see [`Sandbox::set_faults`](crate::Sandbox::set_faults).
    pub faults: Vec<Planned>,
    /// https, with a certificate authority made at start, instead of http.
    pub tls: bool,
    /// How long an access token lives. A fresh one answers with one second less as its `expires_in`, as the guide
    /// shows (part of the last second has passed). Zero: it never expires, and `expires_in` is left out.
    pub access_token_lifetime: Duration,
    /// How long a refresh token lives. Zero: it never expires.
    pub refresh_token_lifetime: Duration,
    /// A refresh gives a new refresh token and ends the old one. Off in the guide.
    pub rotate_refresh_tokens: bool,
    /// The API keys that may use the server.
    pub clients: Vec<Client>,
    /// The users who can log in. The first one's zone is 10003, as in the guide, the next one's 10004.
    pub users: Vec<Account>,
}

/// An API key, and what it may do.
#[derive(Clone, Debug)]
pub struct Client {
    /// The ID.
    pub id: String,
    /// The SECRET.
    pub secret: String,
    /// The scopes it may ask for; all of them are meant where a request names none. Empty: any.
    pub scopes: Vec<String>,
    /// The grant types it may use. Without `refresh_token` it is given no refresh tokens.
    pub grants: Vec<String>,
    /// The redirect URIs it may use; a query may follow a registered one. Empty: any that starts with http:// or
    /// https://.
    pub redirect_uris: Vec<String>,
}

/// Somebody who can log in.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// The user's password.
    pub password: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            port: 0,
            control_port: None,
            faults: Vec::new(),
            tls: false,
            access_token_lifetime: Duration::from_secs(43_200),
            refresh_token_lifetime: Duration::ZERO,
            rotate_refresh_tokens: false,
            clients: vec![Client::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345")],
            users: vec![Account::new("demo", "demo")],
        }
    }
}

impl Client {
    /// A client with the scopes read and write, login and refresh, and any redirect URI.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Client {
        Client {
            id: id.into(),
            secret: secret.into(),
            scopes: vec!["read".into(), "write".into()],
            grants: vec!["authorization_code".into(), "refresh_token".into()],
            redirect_uris: Vec::new(),
        }
    }
}

impl Account {
    /// A user with this name and password.
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Account {
        Account { name: name.into(), password: password.into() }
    }
}
