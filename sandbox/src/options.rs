//! The options of a sandbox, for the library and for the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::faults::Planned;

/// The options of a sandbox. [`Options::default`] follows the vendor's guide: its API key, access tokens that live for 12
/// hours, refresh tokens that never expire. There is one user, demo.
///
/// ```
/// let options = cmauth_sandbox::Options { tls: true, ..cmauth_sandbox::Options::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// The port on 127.0.0.1. 0: a free one.
    pub port: u16,
    /// A second port on 127.0.0.1 for the control API, which faults do not affect. 0: a free one.
    pub control_port: Option<u16>,
    /// The faults from the start; see [`Sandbox::set_faults`](crate::Sandbox::set_faults).
    pub faults: Vec<Planned>,
    /// https instead of http, with a new certificate authority, or that of [`ca_dir`](Self::ca_dir).
    pub tls: bool,
    /// With TLS: the folder that keeps the certificate authority (`ca.pem` and its key `ca-key.pem`), so that programs which
    /// trust it survive a restart of the sandbox. The first start makes it.
    pub ca_dir: Option<PathBuf>,
    /// The lifetime of an access token. The `expires_in` of a new token is one second less, as in the guide, because part
    /// of the last second has passed. Zero: it never expires, and the response has no `expires_in`.
    pub access_token_lifetime: Duration,
    /// The lifetime of a refresh token. Zero: it never expires.
    pub refresh_token_lifetime: Duration,
    /// A refresh returns a new refresh token and ends the old one. Not so in the guide.
    pub rotate_refresh_tokens: bool,
    /// The versions and set-ups of the framework to respond like, in addition to the default.
    pub flavours: Vec<Flavour>,
    /// The API keys that the server knows.
    pub clients: Vec<Client>,
    /// The users who can log in. The zone of the first is 10003, as in the guide, that of the next 10004.
    pub users: Vec<Account>,
}

/// A version or set-up of Spring Security OAuth that a client can tell from the default. The default is 2.4, with an entry
/// point that responds to wrong credentials as OAuth requires, and with API keys in the header or in parameters
/// (`allowFormAuthenticationForClients`), because clients of the real server use both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Version 2.5: errors do not quote what was sent, and tokens are not UUIDs.
    V25,
    /// The entry point of the Java configuration: a 401 for wrong credentials has the error page of Spring Boot as its body,
    /// whose `error` is no OAuth code.
    Boot,
    /// An API key can be in the header only. A `client_id` beside it is ignored, or must be the same. By default, it is taken
    /// for an API key without its secret, and refused.
    BasicOnly,
}

impl Flavour {
    /// All flavours with their names on the command line.
    pub const NAMES: [(&'static str, Flavour); 3] =
        [("2.5", Flavour::V25), ("boot", Flavour::Boot), ("basic-only", Flavour::BasicOnly)];
}

/// An API key, and its permissions.
#[derive(Clone, Debug)]
pub struct Client {
    /// The id.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// The scopes that it may request. A request without a scope means all of them. Empty: any scope.
    pub scopes: Vec<String>,
    /// The grant types that it may use. Without `refresh_token`, it gets no refresh tokens.
    pub grants: Vec<String>,
    /// The redirect URIs that it may use, with or without a query after them, those of 127.0.0.1 with any port. Empty: any
    /// that begins with http:// or https://.
    pub redirect_uris: Vec<String>,
}

/// A user who can log in.
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
            ca_dir: None,
            access_token_lifetime: Duration::from_secs(43_200),
            refresh_token_lifetime: Duration::ZERO,
            rotate_refresh_tokens: false,
            flavours: Vec::new(),
            clients: vec![Client::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345")],
            users: vec![Account::new("demo", "demo")],
        }
    }
}

impl Client {
    /// A client with the scopes read and write, the grants of login and refresh, and any redirect URI.
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
