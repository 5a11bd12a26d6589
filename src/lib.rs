//! The CameraManager login: send a user to the login page, exchange the authorization code for tokens, refresh the
//! tokens, log out. The calls follow the vendor's guide, "OAuth login panel + refresh token":
//! <https://developer.cameramanager.com/docs/oauth-login-panel-refresh-token>.
//!
//! | Type | What it is |
//! |---|---|
//! | [`Config`] | The API key, the server, timeouts, trusted certificates and proxy. One thread sets it up once. |
//! | [`Client`] | Makes the calls `exchange_code`, `refresh` and `logout`. Immutable; all threads share it. |
//! | [`Login`] | One login in progress: the page to open, and the check of the redirect. |
//! | [`Loopback`] | The login of a desktop program in one call: it waits for the browser on this machine. |
//! | [`Tokens`] | An access token, its expiry and a refresh token. Immutable; a refresh returns new ones. |
//! | [`Session`] | One logged-in user: returns tokens that are valid now, and refreshes them once for all callers. |
//! | [`Store`] | Keeps the tokens of a session: [`MemoryStore`], [`FileStore`], or your own. |
//! | [`User`] | Who a login is of: the ID and the name of the user. |
//! | [`SignedUrl`] | A URL with the access token in its query, as downloads of recordings need it. |
//! | [`Error`] | A [`Status`] to branch on, an [`Advice`] on what to do, and a message for the log. It has no secret. |
//! | [`Secret`] | A text that is wiped from memory and prints as `[redacted]`. |
//!
//! # A login
//!
//! ```no_run
//! # fn browser_came_back_to() -> String { String::new() }
//! # fn main() -> Result<(), cmauth::Error> {
//! let config = cmauth::Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
//! let client = cmauth::Client::new(&config)?;
//!
//! let login = cmauth::Login::new(&client, "https://example.com")?;
//! println!("open {}", login.url());
//! let tokens = login.finish(&browser_came_back_to())?;
//!
//! // Use it: Authorization: Bearer <access token>. When it is about to expire:
//! let tokens = match tokens.refresh_token() {
//!     Some(refresh_token) => client.refresh(refresh_token.expose())?,
//!     None => tokens,
//! };
//! client.logout(tokens.access_token().expose())?;
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//! - Calls block, at most for one timeout ([`Config::set_timeout`]). If that is too long, make them on another thread.
//! - The library prints nothing and installs no signal handler.
//! - The library starts threads: to look a host up and connect to it (which cannot be stopped otherwise), to close idle
//!   connections, and to refresh a session that keeps its tokens in a file or in memory. A process has at most 64 of
//!   them.
//! - A refresh makes the old access token invalid at once. So refresh in one place, and keep the new tokens.
//! - Each request, response, retry and failure is a record in the `log` crate, with target `cmauth` and without
//!   secrets. At the trace level, ureq logs URLs, which have tokens in their query: keep the target `ureq` below trace,
//!   or set [`Config::set_params_in_body`].

#![forbid(unsafe_code)]

pub mod bindings;
mod cancel;
mod client;
mod clock;
mod config;
mod error;
mod escapes;
mod json;
mod logging;
mod login;
mod loopback;
mod no_proxy;
mod origin;
mod panic;
mod per_process;
mod proxy;
mod random;
mod response;
mod secret;
mod session;
mod signed_url;
mod store;
mod sync;
mod text;
mod threads;
mod tokens;
mod transport;
mod url;
mod user;
mod wipe;

pub use cancel::Cancel;
pub use client::Client;
pub use config::{Config, DEFAULT_BASE_URL};
pub use error::{Advice, Error, Status};
pub use login::Login;
pub use loopback::{Loopback, PageText};
pub use secret::Secret;
pub use session::{Answer, Change, Health, LoggedOut, Session};
pub use signed_url::SignedUrl;
pub use store::{FileStore, MemoryStore, Store, StoreError, store_time_left};
pub use tokens::Tokens;
pub use user::User;

/// The version of this library: `"0.1.0"`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Compiles the README's Rust program.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Internal functions for the fuzz targets.
#[cfg(fuzzing)]
#[allow(missing_docs)]
pub mod fuzz {
    use crate::response::{Call, read_logout, read_tokens};
    use crate::secret::{self, REDACTED, vocabulary};
    use crate::transport::Response;

    pub fn redact(text: &str, secret: &str) {
        let shown = secret::redact(text, &[secret]);
        assert!(shown.len() <= 512 && !shown.contains(char::is_control), "{shown}");
        // An ordinary word stays, and so do the letters of a very short secret.
        let can_stay = vocabulary::can_be_ordinary(secret);
        assert!(can_stay || !shown.replace(REDACTED, "\0").contains(secret), "{shown}");
    }

    pub fn response(http_status: u16, body: &[u8]) {
        let secrets = ["AbCdEf", "0f8fad5b-d9cb-469f-a165-70867728950e:10003"];
        let response = Response { http_status, resent: false, retry_after: None, body: body.to_vec().into() };
        let calls = [Call::ExchangeCode, Call::Refresh];
        let errors = calls.map(|call| read_tokens(call, &response, 0, &secrets).err());
        for error in errors.into_iter().chain([read_logout(&response, &secrets).err()]).flatten() {
            let shown = format!("{error:?} {:?} {:?}", error.oauth_error(), error.oauth_description());
            assert!(!error.message().contains(char::is_control), "{shown}");
            for secret in secrets {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}
