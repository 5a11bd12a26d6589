//! A stand-in for the CameraManager login server, for tests of libcmauth and of programs that use it.
//!
//! It does what the vendor's guide says, and for the rest what Spring Security OAuth 2 does, which the vendor's answers
//! point to. [`Sandbox::start`] runs one inside a test; the program `cmauth-sandbox` is the same for other languages.
//! [`user::log_in`] plays the person in front of the browser.
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
//! The floors, from the top: `sandbox` · `accept`, `tls` · `http`, `faults` · `state` · `options`, `clock`, `random`. `user` stands
//! apart: it knows the server only by its pages.

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
pub use options::{Account, Client, Options};
pub use sandbox::Sandbox;
