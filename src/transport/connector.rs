//! Making connections: names looked up only when one is needed, every address tried inside one deadline, TLS on top.
//!
//! Stands where ureq's own resolver and connectors would: ureq looks a name up for every call, also for one that goes
//! out on a kept connection.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::fault::Fault;
use super::link::{Link, Progress, Socket, Wire};

/// Looks up nothing for a direct connection, which [`LinkConnector`] does itself; for ureq's proxy connectors it
/// looks names up as they expect.
#[derive(Debug)]
pub(super) struct LazyResolver;

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
            let deadline = Deadline::new(timeout);
            for address in look_up(uri, &deadline)?.into_iter().take(16) {
                found.push(address);
            }
        }
        Ok(found)
    }
}

/// Makes a [`Link`] over a new TCP connection, or over the tunnel that a proxy connector made before it in the chain.
pub(super) struct LinkConnector {
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl LinkConnector {
    pub(super) fn new(tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        LinkConnector { tls }
    }
}

impl<In: Transport> Connector<In> for LinkConnector {
    type Out = Link;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Link>, ureq::Error> {
        let deadline = Deadline::new(details.timeout);
        let wire = match chained {
            Some(tunnel) => {
                let tunnel: Box<dyn Transport> = Box::new(tunnel);
                Wire::Tunnel(TransportAdapter::new(tunnel, details.current_time.clone()))
            }
            None if details.addrs.is_empty() => {
                let addresses = look_up(details.uri, &deadline)?;
                Wire::Socket(Socket::new(connect_any(&addresses, &deadline)?))
            }
            None => Wire::Socket(Socket::new(connect_any(&details.addrs, &deadline)?)),
        };
        let tls = match &self.tls {
            Some(config) if details.needs_tls() => {
                let host = bare_host(details.uri);
                let name =
                    ServerName::try_from(host.to_owned()).map_err(|error| Fault::Lookup(io::Error::other(error)))?;
                let tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                Some(Box::new(tls))
            }
            _ => None,
        };
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        let link = Link::open(wire, tls, buffers, deadline.left_as_timeout())?;
        Progress::set_connected();
        Ok(Some(link))
    }
}

impl fmt::Debug for LinkConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkConnector").finish_non_exhaustive()
    }
}

/// One deadline for all steps of a connection; ureq gives each step the time that was left at the first.
struct Deadline {
    timeout: NextTimeout,
    at: Option<Instant>,
}

impl Deadline {
    fn new(timeout: NextTimeout) -> Self {
        let at = if timeout.after.is_not_happening() { None } else { Instant::now().checked_add(*timeout.after) };
        Deadline { timeout, at }
    }

    /// The time left, `None` for ever; an error when it is up.
    fn left(&self) -> Result<Option<Duration>, ureq::Error> {
        let left = self.at.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(ureq::Error::Timeout(self.timeout.reason));
        }
        Ok(left)
    }

    fn left_as_timeout(&self) -> NextTimeout {
        let mut timeout = self.timeout;
        if let Some(at) = self.at {
            timeout.after = at.saturating_duration_since(Instant::now()).into();
        }
        timeout
    }
}

fn bare_host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// The addresses of a URL's host. A name is looked up on a thread of its own, for the system offers no other way to
/// stop waiting; the thread ends when the system's own patience does.
fn look_up(uri: &Uri, deadline: &Deadline) -> Result<Vec<SocketAddr>, ureq::Error> {
    let host = bare_host(uri);
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => 1080,
    });
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }

    let (sender, receiver) = mpsc::sync_channel(1);
    let target = (host.to_owned(), port);
    thread::Builder::new()
        .name("cmauth-lookup".to_owned())
        .spawn(move || {
            // Nobody receives when the deadline has passed.
            let _ = sender.send(target.to_socket_addrs().map(Iterator::collect));
        })
        .map_err(Fault::Lookup)?;
    let found: io::Result<Vec<SocketAddr>> = match deadline.left()? {
        None => receiver.recv().unwrap_or_else(|_| Err(io::ErrorKind::NotFound.into())),
        Some(left) => receiver.recv_timeout(left).map_err(|_| ureq::Error::Timeout(deadline.timeout.reason))?,
    };
    match found {
        Ok(addresses) if addresses.is_empty() => Err(Fault::Lookup(io::ErrorKind::NotFound.into()).into()),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(Fault::Lookup(error).into()),
    }
}

/// Tries the addresses in turn. Each gets at most half of the time left, the last one all of it, so that a dead
/// address does not use up the time of a live one.
fn connect_any(addresses: &[SocketAddr], deadline: &Deadline) -> Result<TcpStream, ureq::Error> {
    let mut last = None;
    for (i, address) in addresses.iter().enumerate() {
        let is_last = i + 1 == addresses.len();
        let attempt = match deadline.left()? {
            None => TcpStream::connect(address),
            Some(left) if is_last => TcpStream::connect_timeout(address, left),
            Some(left) => TcpStream::connect_timeout(address, left / 2),
        };
        match attempt {
            Ok(stream) => {
                // Requests are written whole: waiting to fill a packet could only cost time.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    deadline.left()?;
    let last = last.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    if last.kind() == io::ErrorKind::TimedOut {
        return Err(ureq::Error::Timeout(deadline.timeout.reason));
    }
    Err(Fault::Connect(last).into())
}
