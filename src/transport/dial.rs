//! Connects to a host: looks up its name and tries its addresses in turn, all within one deadline.
//!
//! This runs on another thread, because the system offers no way to stop a name lookup or a connect. The caller waits for the
//! thread until its deadline, or until it is cancelled. The thread ends when the system's own timeout does. `threads` limits the
//! number of threads, and calls share lookups through `lookup`.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::panic::catch_panic;

use super::error::ConnectError;
use super::lookup::{Addresses, Lookup, Lookups, Role};
use crate::cancel::{Cancellation, Wait};
use crate::threads::Permit;

#[cfg(test)]
mod tests;

/// A host and a port, and the deadline for a connection.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// A host name, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) deadline: Option<Instant>,
}

impl Target {
    fn ip(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse::<IpAddr>().ok()?, self.port))
    }
}

/// Looks a host up. The ports of the addresses mean nothing.
type Resolve = fn(&str) -> io::Result<Vec<SocketAddr>>;

fn by_system(host: &str) -> io::Result<Vec<SocketAddr>> {
    (host, 0).to_socket_addrs().map(Iterator::collect)
}

/// Connects to hosts, for a call that `cancellation` ends.
pub(super) struct Dialer<'a> {
    cancellation: &'a Cancellation,
    lookups: Lookups,
    /// The system's lookup, except in tests.
    resolve: Resolve,
}

impl<'a> Dialer<'a> {
    pub(super) fn new(cancellation: &'a Cancellation) -> Self {
        Dialer { cancellation, lookups: Lookups::of_this_process(), resolve: by_system }
    }

    /// The addresses of the host. An IP address needs no lookup.
    pub(super) fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Some(address) = target.ip() {
            return Ok(vec![address]);
        }
        let addresses =
            match self.wait(target, || self.lookups.join(&target.host, self.cancellation), ConnectError::NoPermit)? {
                Role::Follower(lookup) => self.follow(target, &lookup),
                Role::Leader(leader, permit) => {
                    let look_up = self.look_up(target);
                    self.on_thread(target, permit, move || leader.run(look_up))
                }
            };
        addresses.map(|addresses| with_port(addresses, target.port))
    }

    /// A connection to the host, or to the first of the `known` addresses that accepts one.
    pub(super) fn connect(&self, target: &Target, known: Vec<SocketAddr>) -> Result<TcpStream, ConnectError> {
        let (port, deadline) = (target.port, target.deadline);
        let addresses = match target.ip() {
            _ if !known.is_empty() => known,
            Some(address) => vec![address],
            None => match self.wait(
                target,
                || self.lookups.join(&target.host, self.cancellation),
                ConnectError::NoPermit,
            )? {
                Role::Follower(lookup) => with_port(self.follow(target, &lookup)?, port),
                Role::Leader(leader, permit) => {
                    // Connects on the same thread: to start another one takes longer than most lookups.
                    let (look_up, cancellation) = (self.look_up(target), self.cancellation.clone());
                    return self.on_thread(target, permit, move || {
                        let addresses = with_port(leader.run(look_up)?, port);
                        if cancellation.is_cancelled() {
                            Err(ConnectError::Cancelled)
                        } else {
                            connect_any(&addresses, deadline)
                        }
                    });
                }
            },
        };
        let permit =
            self.wait(target, || self.lookups.threads().try_permit(self.cancellation), ConnectError::NoPermit)?;
        self.on_thread(target, permit, move || connect_any(&addresses, deadline))
    }

    fn look_up(&self, target: &Target) -> impl FnOnce() -> Addresses + Send + 'static {
        let (resolve, host) = (self.resolve, target.host.clone());
        move || match resolve(&host) {
            Ok(addresses) if addresses.is_empty() => Err(ConnectError::lookup(&io::ErrorKind::NotFound.into())),
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(ConnectError::lookup(&error)),
        }
    }

    fn follow(&self, target: &Target, lookup: &Lookup) -> Addresses {
        self.wait(target, || self.lookups.result(lookup, self.cancellation), ConnectError::TimedOut)?
    }

    /// Runs `job` on another thread and waits for its result, until the target's deadline or until the call is cancelled.
    fn on_thread<T: Send + 'static>(
        &self,
        target: &Target,
        permit: Permit,
        job: impl FnOnce() -> Result<T, ConnectError> + Send + 'static,
    ) -> Result<T, ConnectError> {
        let result = Arc::new(Mutex::new(None));
        let (slot, cancellation) = (Arc::clone(&result), self.cancellation.clone());
        thread::Builder::new()
            .name("cmauth-dial".to_owned())
            .spawn(move || {
                let _permit = permit;
                let result = catch_panic(job).unwrap_or_else(|error| Err(ConnectError::Panic(error)));
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                cancellation.notify_waiters();
            })
            .map_err(|error| ConnectError::Connect(format!("no thread could be started: {error}")))?;
        self.wait(target, || result.lock().unwrap_or_else(PoisonError::into_inner).take(), ConnectError::TimedOut)?
    }

    /// Waits until `check` returns a value; fails with `on_timeout` at the target's deadline.
    fn wait<T>(
        &self,
        target: &Target,
        check: impl FnMut() -> Option<T>,
        on_timeout: ConnectError,
    ) -> Result<T, ConnectError> {
        match self.cancellation.wait(target.deadline, check) {
            Wait::Ready(value) => Ok(value),
            Wait::Cancelled => Err(ConnectError::Cancelled),
            Wait::TimedOut => Err(on_timeout),
        }
    }
}

fn with_port(mut addresses: Vec<SocketAddr>, port: u16) -> Vec<SocketAddr> {
    for address in &mut addresses {
        address.set_port(port);
    }
    addresses
}

/// Tries the addresses in turn. Each gets half of the time left and the last one all of it, so that an unreachable address leaves
/// time for the next.
fn connect_any(addresses: &[SocketAddr], deadline: Option<Instant>) -> Result<TcpStream, ConnectError> {
    let mut failure = ConnectError::lookup(&io::ErrorKind::NotFound.into());
    for (i, address) in addresses.iter().enumerate() {
        let is_last = i + 1 == addresses.len();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let attempt = match left {
            None => TcpStream::connect(address),
            Some(left) if left.is_zero() => return Err(ConnectError::TimedOut),
            Some(left) => TcpStream::connect_timeout(address, if is_last { left } else { left / 2 }),
        };
        match attempt {
            Ok(stream) => {
                // A request is written in one piece, so waiting to fill a packet would only delay it.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => failure = ConnectError::TimedOut,
            Err(error) => failure = ConnectError::connect(&error),
        }
    }
    Err(failure)
}
