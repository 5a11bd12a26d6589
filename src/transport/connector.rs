//! ureq's resolver and connector, in our way: names looked up only for a new connection, one deadline, TLS on top.
//!
//! ureq itself looks a name up for every call, also for one that goes out on a kept connection.

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
use super::dial::{Dialler, Target};
use super::fault::Fault;
use super::idle;
use super::link::{Link, Wire};
use super::process::Process;
use super::progress::Progress;
use super::socket::Socket;
use crate::cancel::Cancellation;

/// Looks up nothing for a direct connection, which [`LinkConnector`] does itself; for ureq's proxy connectors it
/// looks names up as they expect.
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
            let addresses = Dialler::new(&self.cancellation).addresses(&target);
            for address in addresses.map_err(|fault| fault.into_ureq(timeout.reason))?.into_iter().take(16) {
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

/// The URL of a request that only makes ureq look through its kept connections.
pub(super) const NOWHERE: &str = "http://kept-connections.invalid/";

/// The first of the chain: makes nothing, and notes that ureq has no kept connection.
#[derive(Debug)]
pub(super) struct NewConnection;

impl Connector<()> for NewConnection {
    type Out = ();

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<()>, ureq::Error> {
        if *details.uri == NOWHERE {
            return Err(ureq::Error::ConnectionFailed);
        }
        Progress::set_dialled();
        Ok(None)
    }
}

/// Makes a [`Link`] over a new TCP connection, or over the tunnel that a proxy connector made before it in the chain.
pub(super) struct LinkConnector {
    /// The agent has a proxy. ureq then makes the connection to the proxy itself by the same chain, without it.
    pub(super) has_proxy: bool,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) cancellation: Cancellation,
    /// What the connections are part of.
    pub(super) process: Weak<Process>,
    /// Each of them holds it.
    pub(super) open: Arc<()>,
}

impl<In: Transport> Connector<In> for LinkConnector {
    type Out = Link;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Link>, ureq::Error> {
        let deadline = deadline(details.timeout);
        let to_ureq = |fault: Fault| fault.into_ureq(details.timeout.reason);
        let wire = match chained {
            Some(tunnel) => {
                let tunnel: Box<dyn Transport> = Box::new(tunnel);
                Wire::Tunnel(TransportAdapter::new(tunnel, details.current_time.clone()))
            }
            None => {
                let target = target(details.uri, deadline);
                let known = details.addrs.iter().copied().collect();
                let stream = Dialler::new(&self.cancellation).connect(&target, known).map_err(to_ureq)?;
                let stream = Arc::new(stream);
                let handle: Weak<dyn ShutdownHandle> = Arc::downgrade(&stream) as _;
                (details.register_shutdown)(handle)?;
                Wire::Socket(Socket::new(stream))
            }
        };
        let tls = match &self.tls {
            Some(config) if details.needs_tls() => {
                let name = ServerName::try_from(bare_host(details.uri).to_owned())
                    .map_err(|error| to_ureq(Fault::LookUp(error.to_string())))?;
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
        let link = Link::open(wire, tls, buffers, left, !to_proxy, self.open.clone())?;
        idle::watch(&self.process);
        if !to_proxy {
            Progress::set_connected();
        }
        Ok(Some(link))
    }
}

impl fmt::Debug for LinkConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkConnector").finish_non_exhaustive()
    }
}

/// When a timeout of ureq's ends; `None`: never. ureq gives every step of a connection the time left at the first.
fn deadline(timeout: NextTimeout) -> Option<Instant> {
    if timeout.after.is_not_happening() { None } else { Instant::now().checked_add(*timeout.after) }
}

fn target(uri: &Uri, deadline: Option<Instant>) -> Target {
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => 1080,
    });
    Target { host: bare_host(uri).to_owned(), port, deadline }
}

fn bare_host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}
