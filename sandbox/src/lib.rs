//! The sandbox: a mock CameraManager login server, for tests of libcmauth and of programs that use it.
//!
//! It behaves as the vendor's guide says ("OAuth login panel + refresh token",
//! <https://developer.cameramanager.com/docs/oauth-login-panel-refresh-token>). Where the guide says nothing, it behaves as
//! Spring Security OAuth 2, because the vendor's responses suggest that the real server uses it.
//!
//! [`Sandbox::start`] runs a server inside a test. For other languages, the program `cmauth-sandbox` does the same.
//! [`user::log_in`] is a scripted user, who logs in.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cmauth_sandbox::{Options, Sandbox, user};
//!
//! let sandbox = Sandbox::start(Options::default())?;
//! let page = format!(
//!     "{}/oauth/authorize?response_type=code&client_id=cameramanager.test&scope=write&redirect_uri=https://example.com",
//!     sandbox.url()
//! );
//! let redirected = user::log_in(&page, &user::User::default())?;
//! assert!(redirected.starts_with("https://example.com/?code="));
//! # Ok(())
//! # }
//! ```
//!
//! A module uses only modules below its own: `sandbox` · `accept`, `tls` · `http`, `faults` · `state` · `options`, `clock`,
//! `random`. `user` uses none of them: it reads the pages of the server.

mod accept;
mod clock;
mod faults;
mod http;
mod oauth_error;
mod options;
mod random;
mod sandbox;
mod state;
mod tls;
pub mod user;

pub use faults::{Fault, Kind, Planned, UnknownFault};
pub use http::Received;
pub use options::{Account, Client, Flavour, Options};
pub use sandbox::Sandbox;
