//! The errors of the way to the server: the one place that turns them into an [`Error`].
//!
//! Our own connector reports a [`ConnectError`]. This module also reads ureq's errors. No text of either goes into a
//! message unread: the URLs of this library have secrets in their query.

use std::fmt;
use std::io;

use ureq::Timeout;

use crate::error::{CHECK_BASE_URL, Error, Status};
use crate::threads::MAX_THREADS;
use crate::transport::issuer::UntrustedIssuer;

/// An error of our own connector, on its way through ureq.
#[derive(Clone, Debug)]
pub(super) enum ConnectError {
    /// The name lookup failed, for this reason.
    Lookup(String),
    /// No address accepted a connection, for this reason.
    Connect(String),
    /// The deadline passed.
    TimedOut,
    /// The deadline passed while the call waited for a thread permit.
    NoPermit,
    /// The client was cancelled, or the call was interrupted.
    Cancelled,
    /// A caught panic.
    Panic(Error),
}

impl ConnectError {
    pub(super) fn lookup(cause: &io::Error) -> ConnectError {
        ConnectError::Lookup(describe(cause))
    }

    pub(super) fn connect(cause: &io::Error) -> ConnectError {
        ConnectError::Connect(describe(cause))
    }

    /// The error for ureq; `reason` is the timeout of ureq's that set the deadline.
    pub(super) fn into_ureq(self, reason: Timeout) -> ureq::Error {
        match self {
            ConnectError::TimedOut => ureq::Error::Timeout(reason),
            other => ureq::Error::Other(Box::new(other)),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // ureq needs it. Users see the message of `to_error`.
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for ConnectError {}

/// Whether the connection was lost. A pooled connection may then have been stale.
pub(super) fn is_connection_lost(error: &ureq::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error, ureq::Error::Io(error) if matches!(
        error.kind(),
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected
    ))
}

const CHECK_NETWORK: &str = "check the network, then try again";

/// The error for the caller. `server` names the server and holds no secret.
pub(super) fn to_error(server: &str, error: &ureq::Error) -> Error {
    use ureq::Error as U;
    match error {
        U::Other(other) => match other.downcast_ref::<ConnectError>() {
            Some(ConnectError::Lookup(cause)) => lookup_failed(server, cause),
            Some(ConnectError::Connect(cause)) => Error::new(
                Status::Network,
                format!("cannot connect to {server}: {cause}"),
                "check the network and the firewall, then try again",
            ),
            Some(ConnectError::NoPermit) => Error::new(
                Status::Timeout,
                format!(
                    "no connection to {server} within the timeout: all {MAX_THREADS} threads of this library are busy \
                     with name lookups and connections"
                ),
                "check the network and the DNS, then try again",
            ),
            Some(ConnectError::Panic(error)) => error.clone(),
            // `send` reports a cancelled call before this, and `into_ureq` makes another error of a timeout.
            Some(ConnectError::Cancelled | ConnectError::TimedOut) | None => not_http(server),
        },
        U::Timeout(Timeout::Connect) => {
            Error::new(Status::Timeout, format!("no connection to {server} within the connect timeout"), CHECK_NETWORK)
        }
        U::Timeout(_) => {
            Error::new(Status::Timeout, format!("{server} did not respond within the timeout"), CHECK_NETWORK)
        }
        U::Io(cause) => match tls_cause(cause) {
            Some(tls) => tls_error(server, tls),
            None => Error::new(
                Status::Network,
                format!("the connection to {server} failed: {}", describe(cause)),
                CHECK_NETWORK,
            ),
        },
        U::ConnectProxyFailed(response) => Error::new(
            Status::Network,
            format!("cannot connect to {server}: {response}"),
            "check the proxy's address and credentials",
        ),
        U::HostNotFound => lookup_failed(server, "no address"),
        U::ConnectionFailed | U::InvalidProxyUrl => {
            Error::new(Status::Network, format!("cannot connect to {server}"), "check the proxy settings")
        }
        U::LargeResponseHeader(..) => too_large(server),
        _ => not_http(server),
    }
}

/// The error for a response over the limit.
pub(super) fn too_large(server: &str) -> Error {
    Error::new(Status::Protocol, format!("the response of {server} is too large"), CHECK_BASE_URL)
}

fn not_http(server: &str) -> Error {
    Error::new(Status::Protocol, format!("the response of {server} is not valid HTTP"), CHECK_BASE_URL)
}

fn lookup_failed(server: &str, cause: &str) -> Error {
    Error::new(
        Status::Network,
        format!("cannot find the address of {server}: {cause}"),
        "check the host name and the DNS, then try again",
    )
}

/// The TLS error inside an I/O error, if there is one.
fn tls_cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn tls_error(server: &str, error: &rustls::Error) -> Error {
    use rustls::CertificateError as C;
    use rustls::Error as T;
    use rustls::OtherError;
    let untrusted = |name: String| {
        let reason = format!("no secure connection to {server}: the issuer of its certificate{name} is not trusted");
        let remedy = "if it is the certificate authority of your site, or of a firewall there that inspects TLS, set its \
                      PEM file as a CA file";
        Error::new(Status::Tls, reason, remedy)
    };
    let (reason, remedy) = match error {
        T::InvalidCertificate(C::UnknownIssuer) => return untrusted(String::new()),
        T::InvalidCertificate(C::Other(OtherError(other))) if other.is::<UntrustedIssuer>() => {
            let name = other.downcast_ref().map(|UntrustedIssuer(name)| format!(", \"{name}\","));
            return untrusted(name.unwrap_or_default());
        }
        T::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            ("its certificate has expired", "renew it, or correct this system's clock")
        }
        T::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            ("its certificate is not valid yet", "correct this system's clock")
        }
        T::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            ("its certificate is for another host name", CHECK_BASE_URL)
        }
        T::InvalidCertificate(C::Revoked) => ("its certificate has been revoked", "renew it"),
        T::InvalidMessage(_) => {
            ("it does not speak TLS on this port", "check the base URL's port, and any proxy or firewall on the way")
        }
        T::AlertReceived(rustls::AlertDescription::ProtocolVersion) | T::PeerIncompatible(_) => (
            "it offers no TLS 1.2 or 1.3 with a secure cipher suite",
            "update the server, or the proxy or firewall on the way",
        ),
        // rustls' texts name parts of the protocol and hosts, and nothing that was sent.
        other => {
            let what = format!("no secure connection to {server}: {other}");
            return Error::new(Status::Tls, what, "check the certificate, and any proxy or firewall on the way");
        }
    };
    Error::new(Status::Tls, format!("no secure connection to {server}: {reason}"), remedy)
}

/// The text of an I/O error, without the number that std adds.
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
    fn the_error_of_a_call_that_got_no_thread_names_the_limit_and_advises_to_retry() {
        let error = to_error("https://example.com", &ConnectError::NoPermit.into_ureq(Timeout::Connect));
        assert_eq!((error.status(), error.advice()), (Status::Timeout, Advice::Retry));
        assert!(error.message().contains("64 threads of this library"), "{error}");
    }
}
