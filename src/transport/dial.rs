//! Reaching a host: its name looked up, its addresses tried in turn, all inside one deadline.
//!
//! This happens on a thread of its own, for the system offers no way to stop waiting for a look-up or for a connection;
//! the caller waits for the thread no longer than its deadline, and not at all once it is told to stop. The thread ends
//! when the system's own patience does.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::panic::catch_panic;

use super::fault::Fault;
use super::stop::{Stop, Waited};

/// A host and a port, and when to give up.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// A name, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) deadline: Option<Instant>,
}

/// How names are looked up; the system's way, except in tests.
pub(super) type LookUp = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

pub(super) fn system_look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

/// The addresses of the host; an IP address is its own.
pub(super) fn addresses(target: &Target, look_up: LookUp, stop: &Stop) -> Result<Vec<SocketAddr>, Fault> {
    if let Ok(ip) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, target.port)]);
    }
    let job = target.clone();
    on_thread(target, stop, move || found(look_up(&job.host, job.port)))
}

/// A connection to the host, or to the first of `known` addresses that accepts one.
pub(super) fn connect(
    target: &Target,
    known: Vec<SocketAddr>,
    look_up: LookUp,
    stop: &Stop,
) -> Result<TcpStream, Fault> {
    let job = target.clone();
    on_thread(target, stop, move || {
        let addresses = match job.host.parse::<IpAddr>() {
            _ if !known.is_empty() => known,
            Ok(ip) => vec![SocketAddr::new(ip, job.port)],
            Err(_) => found(look_up(&job.host, job.port))?,
        };
        connect_any(&addresses, job.deadline)
    })
}

fn found(answer: io::Result<Vec<SocketAddr>>) -> Result<Vec<SocketAddr>, Fault> {
    match answer {
        Ok(addresses) if addresses.is_empty() => Err(Fault::LookUp(io::ErrorKind::NotFound.into())),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(Fault::LookUp(error)),
    }
}

/// Tries the addresses in turn. Each gets at most half of the time left, the last one all of it, so that a dead
/// address does not use up the time of a live one.
fn connect_any(addresses: &[SocketAddr], deadline: Option<Instant>) -> Result<TcpStream, Fault> {
    let mut failure = Fault::LookUp(io::ErrorKind::NotFound.into());
    for (i, address) in addresses.iter().enumerate() {
        let is_last = i + 1 == addresses.len();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let attempt = match left {
            None => TcpStream::connect(address),
            Some(left) if left.is_zero() => return Err(Fault::TimeIsUp),
            Some(left) => TcpStream::connect_timeout(address, if is_last { left } else { left / 2 }),
        };
        match attempt {
            Ok(stream) => {
                // Requests are written whole: waiting to fill a packet could only cost time.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => failure = Fault::TimeIsUp,
            Err(error) => failure = Fault::Connect(error),
        }
    }
    Err(failure)
}

/// Runs `job` on a thread and waits for what it gives, until the target's deadline or until told to stop.
fn on_thread<T: Send + 'static>(
    target: &Target,
    stop: &Stop,
    job: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let place = Arc::new(Mutex::new(None));
    let (filled, waker) = (Arc::clone(&place), stop.clone());
    thread::Builder::new()
        .name("cmauth-dial".to_owned())
        .spawn(move || {
            let result = catch_panic(job).unwrap_or_else(|bug| Err(Fault::Bug(bug)));
            *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            waker.wake();
        })
        .map_err(Fault::Connect)?;
    match stop.wait(target.deadline, || place.lock().unwrap_or_else(PoisonError::into_inner).take()) {
        Waited::Found(result) => result,
        Waited::Stopped => Err(Fault::Stopped),
        Waited::TimeIsUp => Err(Fault::TimeIsUp),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn target(host: &str, port: u16, patience: Duration) -> Target {
        Target { host: host.to_owned(), port, deadline: Some(Instant::now() + patience) }
    }

    /// A look-up that never ends.
    fn stuck(_: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        loop {
            thread::park();
        }
    }

    /// An address that takes no connection and refuses none: its queue is full.
    struct Dead {
        listener: TcpListener,
        _queued: Vec<TcpStream>,
    }

    impl Dead {
        fn new() -> Dead {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let patience = Duration::from_millis(100);
            let queued = std::iter::from_fn(|| TcpStream::connect_timeout(&address, patience).ok()).collect();
            Dead { listener, _queued: queued }
        }

        fn address(&self) -> SocketAddr {
            self.listener.local_addr().unwrap()
        }
    }

    #[test]
    fn a_look_up_that_takes_too_long_ends_at_the_deadline() {
        let begun = Instant::now();
        let target = target("slow.invalid", 443, Duration::from_millis(150));
        let failure = connect(&target, Vec::new(), stuck, &Stop::default()).unwrap_err();
        assert!(matches!(failure, Fault::TimeIsUp), "{failure:?}");
        let failure = addresses(&target, stuck, &Stop::default()).unwrap_err();
        assert!(matches!(failure, Fault::TimeIsUp), "{failure:?}");
        assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_look_up_and_a_connection_end_when_told_to_stop() {
        let dead = Dead::new();
        for (known, look_up) in [(Vec::new(), stuck as LookUp), (vec![dead.address()], system_look_up)] {
            let stop = Stop::default();
            let switch = stop.clone();
            let (sender, receiver) = mpsc::channel();
            let caller = thread::spawn(move || {
                sender.send(()).unwrap();
                connect(&target("slow.invalid", 443, Duration::from_secs(60)), known, look_up, &stop)
            });
            receiver.recv().unwrap();
            let begun = Instant::now();
            switch.set();
            assert!(matches!(caller.join().unwrap(), Err(Fault::Stopped)));
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        }
    }

    #[test]
    fn a_name_without_an_address_is_said_to_be_so() {
        for look_up in [(|_, _| Ok(Vec::new())) as LookUp, |_, _| Err(io::Error::other("no such name"))] {
            let target = target("nobody.invalid", 443, Duration::from_secs(5));
            let failure = connect(&target, Vec::new(), look_up, &Stop::default()).unwrap_err();
            assert!(matches!(failure, Fault::LookUp(_)), "{failure:?}");
        }
    }

    #[test]
    fn an_address_that_refuses_or_is_dead_leaves_time_for_the_next() {
        let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dead = Dead::new();
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = target("several.invalid", 443, Duration::from_millis(2000));
        let known = vec![refused, dead.address(), live.local_addr().unwrap()];
        let begun = Instant::now();
        let stream = connect(&target, known, system_look_up, &Stop::default()).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live.local_addr().unwrap());
        assert!(begun.elapsed() < Duration::from_millis(2000), "{:?}", begun.elapsed());
    }

    /// `localhost` is ::1 and 127.0.0.1, in either order, and a server may listen on one of them only.
    #[test]
    fn localhost_is_reached_by_whichever_family_has_the_server() {
        let reach = |listener: &TcpListener, families: &[&str]| {
            let port = listener.local_addr().unwrap().port();
            let known = families.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect();
            connect(&target("localhost", port, Duration::from_secs(5)), known, stuck, &Stop::default())
        };
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        for families in [&["127.0.0.1"][..], &["::1", "127.0.0.1"], &["127.0.0.1", "::1"]] {
            assert!(reach(&v4, families).is_ok(), "{families:?}");
        }
        // Nobody is there, or this machine has no IPv6 at all: an error at once, not a wait.
        let begun = Instant::now();
        let failure = reach(&v4, &["::1"]).unwrap_err();
        assert!(matches!(failure, Fault::Connect(_)), "{failure:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        match TcpListener::bind("[::1]:0") {
            Err(error) => eprintln!("SKIPPED: this machine has no IPv6 to listen on: {error}"),
            Ok(v6) => {
                for families in [&["::1"][..], &["::1", "127.0.0.1"], &["127.0.0.1", "::1"]] {
                    assert!(reach(&v6, families).is_ok(), "{families:?}");
                }
            }
        }
    }

    #[test]
    fn dead_addresses_end_at_the_deadline_and_refusing_ones_at_once() {
        let dead = Dead::new();
        let target = target("dead.invalid", 443, Duration::from_millis(200));
        let begun = Instant::now();
        let failure = connect(&target, vec![dead.address(); 3], system_look_up, &Stop::default()).unwrap_err();
        assert!(matches!(failure, Fault::TimeIsUp), "{failure:?}");
        assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());

        let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = Target { deadline: None, ..target };
        let failure = connect(&target, vec![refused], system_look_up, &Stop::default()).unwrap_err();
        assert!(matches!(failure, Fault::Connect(_)), "{failure:?}");
    }
}
