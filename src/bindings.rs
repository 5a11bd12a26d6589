//! Functions for the bindings to other languages. A Rust program needs none of them.
//!
//! The C library and the Python package are built on the public API and on these items:
//! - [`catch_panic`] keeps a panic from crossing into another language.
//! - [`interruptible`] lets an interpreter interrupt a blocking call, for example with Ctrl-C.
//! - [`set_cancel_scope`] is [`Cancel::scope`](crate::Cancel::scope) for a language without closures.
//! - [`invalid_argument`], [`reject_setting`] and [`reject_page`] report values that only a binding sees: NULL, bad UTF-8, a negative
//!   time.
//! - [`already_logged_out`] is the error for a binding that reports
//!   [`LoggedOut::AlreadyGone`](crate::LoggedOut::AlreadyGone) as a status.
//! - [`Origins`], [`check_url`] and [`sign_url`] allow origins for one use of a session, in addition to those of its client.
//! - [`proxy_url`] is for a program that tells its user which proxy is used.
//! - [`set_store_time_left`] is for a binding that calls a store's method on a thread of its own.
//! - [`redact`] is for a binding that prints tokens in its own way.
//! - [`with_tokens_at_hand`] reads a session's tokens without a reference count that threads share.
//!
//! Their signatures may change in any version.

use std::fmt;
use std::time::Duration;

pub use crate::cancel::{interruptible, set_cancel_scope};
pub use crate::panic::catch_panic;

use crate::client::Client;
use crate::config::Config;
use crate::error::{Error, Status};
use crate::loopback::Loopback;
use crate::origin::Origin;
use crate::secret::{self, Secret};
use crate::session::Session;
use crate::signed_url::SignedUrl;
use crate::store;
use crate::tokens::Tokens;

/// The error for a bad argument: the name of the argument, and what is wrong with it or how to correct it.
///
/// The error has [`Status::InvalidArgument`].
pub fn invalid_argument(name: &str, problem: impl fmt::Display) -> Error {
    Error::invalid_argument(name, problem)
}

/// Records that the value for `setting` is bad. [`Client::new`](crate::Client::new) reports the first recorded problem.
pub fn reject_setting(config: &mut Config, setting: &str, problem: impl fmt::Display) {
    config.reject(setting, problem);
}

/// Records that a value for the page of a login is bad. [`Loopback::wait`](crate::Loopback::wait) reports the first recorded problem.
pub fn reject_page(login: &Loopback, name: &str, problem: &str) {
    login.reject(name, problem);
}

/// Sets what [`store_time_left`](crate::store_time_left) returns on this thread, for a binding that calls a store's method on another
/// thread than the session's call. `None`: no session calls a store here.
pub fn set_store_time_left(left: Option<Duration>) {
    store::set_store_time_left(left);
}

/// A text of the server as it can be printed: without the secrets and without control characters, and not longer than 512 bytes.
pub fn redact(text: &str, secrets: &[&Secret]) -> String {
    let secrets: Vec<&str> = secrets.iter().map(|secret| secret.expose()).collect();
    secret::redact(text, &secrets)
}

/// The error for a logout that found no login to end.
///
/// The error has [`Status::LoginRequired`].
pub fn already_logged_out() -> Error {
    Error::new(Status::LoginRequired, "the login was gone already", "nothing is left to log out")
}

/// Origins that may get the access token, in addition to those of [`Config::allow_origin`].
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// Adds an origin.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`]: it is none, or neither https nor of a loopback host.
    pub fn add(&mut self, origin: &str) -> Result<(), Error> {
        self.0.push(Origin::parse(origin).map_err(|problem| invalid_argument("allow", problem))?);
        Ok(())
    }
}

/// [`Client::check_url`] with further origins.
///
/// # Errors
/// As for [`Client::check_url`].
pub fn check_url(client: &Client, url: &str, allowed: &Origins) -> Result<(), Error> {
    client.check_url_or(url, &allowed.0)
}

/// The URL of the proxy that a client's requests go through, as its settings or the environment name it. It can contain a password.
pub fn proxy_url(client: &Client) -> Option<Secret> {
    client.proxy_url()
}

/// [`Session::sign_url`] with further origins.
///
/// # Errors
/// As for [`Session::sign_url`].
pub fn sign_url(session: &Session, url: &str, allowed: &Origins) -> Result<SignedUrl, Error> {
    session.sign_url_or(url, &allowed.0)
}

/// Calls `read` with the tokens that [`Session::tokens_at_hand`] would return; `None` if it would return `None`.
///
/// Threads that call this at the same time write no shared memory: a clone of [`Tokens`] would change a reference
/// count.
pub fn with_tokens_at_hand<T>(session: &Session, read: impl FnOnce(&Tokens) -> T) -> Option<T> {
    session.with_tokens_at_hand(read)
}
