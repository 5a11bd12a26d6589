//! Our resolver and connector for ureq: they look a name up only for a new connection, keep one deadline, and add TLS.
//!
//! ureq's own resolver looks a name up for every call, also for a call on a pooled connection.

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Instant;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, ShutdownHandle, Transport, TransportAdapter,
};

use super::buffers::WipedBuffers;
use super::connection::{Connection, Stream};
use super::dial::{Dialer, Target};
use super::error::ConnectError;
use super::idle;
use super::process::Process;
use super::progress::Progress;
use super::socket::Socket;
use crate::cancel::Cancellation;

/// Looks nothing up for a direct connection: [`ServerConnector`] does that. ureq's proxy connectors expect an address,
/// so for them it looks the name up.
pub(super) struct LazyResolver {
    pub(super) cancellation: Cancellation,
}

impl Resolver for LazyResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        let direct = config.proxy().is_none_or(|proxy| proxy.uri() != uri && proxy.is_no_proxy(uri));
        if !direct {
            let target = target(uri, deadline(timeout));
            let addresses = Dialer::new(&self.cancellation).addresses(&target);
            for address in addresses.map_err(|error| error.into_ureq(timeout.reason))?.into_iter().take(16) {
                found.push(address);
            }
        }
        Ok(found)
    }
}

impl fmt::Debug for LazyResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyResolver").finish_non_exhaustive()
    }
}

/// The URL of a request that only makes ureq close the expired connections of its pool.
pub(super) const PRUNE_URL: &str = "http://prune-idle-connections.invalid/";

/// The first connector of the chain. ureq calls it if its pool has no connection. It notes that and makes nothing.
#[derive(Debug)]
pub(super) struct PoolMiss;

impl Connector<()> for PoolMiss {
    type Out = ();

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<()>, ureq::Error> {
        if *details.uri == PRUNE_URL {
            return Err(ureq::Error::ConnectionFailed);
        }
        Progress::set_new_connection();
        Ok(None)
    }
}

/// Makes a [`Connection`] over a new TCP connection, or over the tunnel of a proxy connector before it in the chain.
pub(super) struct ServerConnector {
    /// The agent has a proxy. ureq then connects to the proxy by the same chain, with a config that has no proxy.
    pub(super) has_proxy: bool,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) cancellation: Cancellation,
    /// The owner of the connections.
    pub(super) process: Weak<Process>,
    /// Each connection holds a clone. So `process` knows whether one is open.
    pub(super) open: Arc<()>,
}

impl<In: Transport> Connector<In> for ServerConnector {
    type Out = Connection;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Connection>, ureq::Error> {
        let deadline = deadline(details.timeout);
        let to_ureq = |error: ConnectError| error.into_ureq(details.timeout.reason);
        let stream = match chained {
            Some(tunnel) => {
                let tunnel: Box<dyn Transport> = Box::new(tunnel);
                Stream::Tunnel(TransportAdapter::new(tunnel, details.current_time.clone()))
            }
            None => {
                let target = target(details.uri, deadline);
                let known = details.addrs.iter().copied().collect();
                let stream = Dialer::new(&self.cancellation).connect(&target, known).map_err(to_ureq)?;
                let stream = Arc::new(stream);
                let handle: Weak<dyn ShutdownHandle> = Arc::downgrade(&stream) as _;
                (details.register_shutdown)(handle)?;
                Stream::Socket(Socket::new(stream))
            }
        };
        let tls = match &self.tls {
            Some(config) if details.needs_tls() => {
                let name = ServerName::try_from(host_without_brackets(details.uri).to_owned())
                    .map_err(|error| to_ureq(ConnectError::Lookup(error.to_string())))?;
                let tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                Some(Box::new(tls))
            }
            _ => None,
        };
        let buffers = WipedBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        let mut left = details.timeout;
        if let Some(at) = deadline {
            left.after = at.saturating_duration_since(Instant::now()).into();
        }
        let to_proxy = self.has_proxy && details.config.proxy().is_none();
        let connection = Connection::open(stream, tls, buffers, left, !to_proxy, self.open.clone())?;
        idle::watch(&self.process);
        if !to_proxy {
            Progress::set_connected();
        }
        Ok(Some(connection))
    }
}

impl fmt::Debug for ServerConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConnector").finish_non_exhaustive()
    }
}

/// The deadline of a timeout of ureq's; `None`: there is no deadline. A connection needs it because ureq does not shorten
/// the timeout after each step.
fn deadline(timeout: NextTimeout) -> Option<Instant> {
    if timeout.after.is_not_happening() { None } else { Instant::now().checked_add(*timeout.after) }
}

fn target(uri: &Uri, deadline: Option<Instant>) -> Target {
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => 1080,
    });
    Target { host: host_without_brackets(uri).to_owned(), port, deadline }
}

fn host_without_brackets(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}
