//! The one place that turns what can go wrong on the way to the server into an [`Error`].
//!
//! Our own connector says what failed as a [`Fault`]; what ureq finds itself is read here too. No text of either is
//! passed on unseen: URLs of this library carry secrets in their query.

use std::fmt;
use std::io;

use ureq::Timeout;

use crate::error::{Error, Status};
use crate::threads::MAX_THREADS;

/// A failure of our own connector, on its way through ureq.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The name was not found, for this reason.
    LookUp(String),
    /// No address accepted a connection, for this reason.
    Connect(String),
    /// The deadline passed.
    TimeIsUp,
    /// The deadline passed before a thread could be started: there were as many as there may be.
    NoPlace,
    /// The client was told to stop.
    Stopped,
    /// A panic, caught.
    Bug(Error),
}

impl Fault {
    pub(super) fn look_up(cause: &io::Error) -> Fault {
        Fault::LookUp(describe(cause))
    }

    pub(super) fn connect(cause: &io::Error) -> Fault {
        Fault::Connect(describe(cause))
    }

    /// As ureq takes it; `reason` is which of its timeouts set the deadline.
    pub(super) fn into_ureq(self, reason: Timeout) -> ureq::Error {
        match self {
            Fault::TimeIsUp => ureq::Error::Timeout(reason),
            other => ureq::Error::Other(Box::new(other)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // For ureq's trait only: `to_error` has the words for people.
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Fault {}

/// Whether a kept connection may simply have been closed by the server before the request came.
pub(super) fn is_connection_lost(error: &ureq::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error, ureq::Error::Io(error) if matches!(
        error.kind(),
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected
    ))
}

/// The error for the caller. `server` names the server and holds no secret.
pub(super) fn to_error(server: &str, error: &ureq::Error) -> Error {
    use ureq::Error as U;
    let again = "check the network, then try again";
    match error {
        U::Other(other) => match other.downcast_ref::<Fault>() {
            Some(Fault::LookUp(cause)) => not_found(server, cause),
            Some(Fault::Connect(cause)) => Error::new(
                Status::Network,
                format!("cannot connect to {server}: {cause}"),
                "check the network and the firewall, then try again",
            ),
            Some(Fault::NoPlace) => Error::new(
                Status::Timeout,
                format!(
                    "no connection to {server} within the timeout: {MAX_THREADS} threads of this library, the most \
                     there may be, already look up names or connect"
                ),
                "check the network and the DNS, then try again",
            ),
            Some(Fault::Bug(bug)) => bug.clone(),
            // The caller knows that it was stopped; time goes by another name.
            Some(Fault::Stopped | Fault::TimeIsUp) | None => not_http(server),
        },
        U::Timeout(Timeout::Connect) => {
            Error::new(Status::Timeout, format!("no connection to {server} within the connect timeout"), again)
        }
        U::Timeout(_) => Error::new(Status::Timeout, format!("{server} did not answer within the timeout"), again),
        U::Io(cause) => match tls_cause(cause) {
            Some(tls) => tls_error(server, tls),
            None => {
                Error::new(Status::Network, format!("the connection to {server} failed: {}", describe(cause)), again)
            }
        },
        U::ConnectProxyFailed(answer) => Error::new(
            Status::Network,
            format!("cannot connect to {server}: {answer}"),
            "check the proxy's address and credentials",
        ),
        U::HostNotFound => not_found(server, "no address"),
        U::ConnectionFailed | U::InvalidProxyUrl => {
            Error::new(Status::Network, format!("cannot connect to {server}"), "check the proxy settings")
        }
        U::LargeResponseHeader(..) => too_large(server),
        _ => not_http(server),
    }
}

/// The error for an answer over the limit.
pub(super) fn too_large(server: &str) -> Error {
    Error::new(
        Status::Protocol,
        format!("the answer of {server} is too large"),
        "check the base URL, and what stands between",
    )
}

fn not_http(server: &str) -> Error {
    Error::new(
        Status::Protocol,
        format!("the answer of {server} is not HTTP"),
        "check the base URL, and what stands between",
    )
}

fn not_found(server: &str, cause: &str) -> Error {
    Error::new(
        Status::Network,
        format!("cannot find the address of {server}: {cause}"),
        "check the name and the DNS, then try again",
    )
}

/// rustls' error inside an I/O error, where it is one of TLS.
fn tls_cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn tls_error(server: &str, error: &rustls::Error) -> Error {
    use rustls::CertificateError as C;
    use rustls::Error as T;
    let (reason, remedy) = match error {
        T::InvalidCertificate(C::UnknownIssuer) => (
            "its certificate comes from an authority that is not trusted here",
            "if your site has its own, give its PEM file as CA file",
        ),
        T::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            ("its certificate has expired", "renew it, or set the clock here if that is wrong")
        }
        T::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            ("its certificate is not valid yet", "set the clock here if that is wrong")
        }
        T::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            ("its certificate is for another host", "check the base URL, and what stands between")
        }
        T::InvalidCertificate(C::Revoked) => ("its certificate has been revoked", "renew it"),
        T::InvalidMessage(_) => ("it does not speak TLS there", "check the base URL's port, and what stands between"),
        T::AlertReceived(rustls::AlertDescription::ProtocolVersion) | T::PeerIncompatible(_) => (
            "it offers no TLS 1.2 or 1.3 with a cipher that is still good",
            "update the server, or what stands between",
        ),
        // rustls' words name things of the protocol and hosts, nothing that was sent.
        other => {
            let what = format!("no safe connection to {server}: {other}");
            return Error::new(Status::Tls, what, "check the certificate and what stands between");
        }
    };
    Error::new(Status::Tls, format!("no safe connection to {server}: {reason}"), remedy)
}

/// An I/O error in words, without the number that std adds.
fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "the other side reset the connection".to_owned(),
        io::ErrorKind::UnexpectedEof => "the other side closed the connection".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Advice;

    #[test]
    fn a_call_that_got_no_thread_says_so_and_may_be_repeated() {
        let error = to_error("https://example.com", &Fault::NoPlace.into_ureq(Timeout::Connect));
        assert_eq!((error.status(), error.advice()), (Status::Timeout, Advice::Retry));
        assert!(error.message().contains("64 threads of this library"), "{error}");
    }
}
