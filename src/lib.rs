//! The CameraManager login: send a user to the login page, turn the code that comes back into tokens, keep the tokens
//! fresh, log out.
//!
//! | idea | what it is |
//! |---|---|
//! | [`Config`] | the API key, the server, and the limits (time, trust, proxy); set up once, by one thread |
//! | [`Client`] | a config made usable; immutable, shared by every thread: `exchange_code`, `refresh`, `logout` |
//! | [`Login`] | one login under way: the page to open, and the check of the redirect that returns |
//! | [`Loopback`] | a login of a desktop program in one call: it waits for the browser on this machine |
//! | [`Tokens`] | what the server gave and until when; immutable, a refresh gives new ones |
//! | [`Session`] | one logged-in user: hands out tokens that are valid now, refreshes once for all who wait |
//! | [`Store`] | where a session's tokens outlive the process: [`MemoryStore`], [`FileStore`], or the host's own |
//! | [`Error`] | a [`Status`] to branch on, an [`Advice`] on what to do, and details for the log; never a secret |
//! | [`Secret`] | a text that is wiped from memory and prints as `[redacted]` |
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
//! - Calls block, each within one deadline ([`Config::set_timeout`]); use a thread where that is too long.
//! - Nothing is printed and no signal handler installed. Threads are started to reach a host (a look-up and a connection
//!   cannot be stopped otherwise), to close connections that nobody uses, and to refresh a session that keeps its tokens in
//!   a file or in memory; at most 64 in a process.
//! - A refresh ends the old access token at once, so refresh in one place, and keep what comes back.
//! - Each request, answer, retry and failure is a line for the `log` crate, target `cmauth`, without secrets. At its trace
//!   level ureq logs URLs, which have tokens in their query: keep `ureq` below trace, or set
//!   [`Config::set_params_in_body`].

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
mod panic;
mod per_process;
mod proxy;
mod random;
mod response;
mod secret;
mod session;
mod store;
mod sync;
mod text;
mod threads;
mod tokens;
mod transport;
mod url;
mod wipe;

pub use client::Client;
pub use config::{Config, DEFAULT_BASE_URL};
pub use error::{Advice, Error, Status};
pub use login::Login;
pub use loopback::Loopback;
pub use secret::Secret;
pub use session::{Health, LoggedOut, Session};
pub use store::{FileStore, MemoryStore, Store, StoreError};
pub use tokens::Tokens;

/// The version of this library: `"0.1.0"`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Internal functions for the fuzz targets.
#[cfg(fuzzing)]
#[allow(missing_docs)]
pub mod fuzz {
    use crate::response::{Call, read_logout, read_tokens};
    use crate::secret::{self, REDACTED};
    use crate::transport::Response;

    pub fn redact(text: &str, secret: &str) {
        let shown = secret::redact(text, &[secret]);
        assert!(shown.len() <= 512 && !shown.contains(char::is_control), "{shown}");
        assert!(!shown.replace(REDACTED, "\0").contains(secret), "{shown}");
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
