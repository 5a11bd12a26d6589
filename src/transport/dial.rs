//! Reaching a host: its name looked up, its addresses tried in turn, all inside one deadline.
//!
//! This happens on a thread of its own, for the system offers no way to stop waiting for a look-up or for a connection;
//! the caller waits for the thread no longer than its deadline, and not at all once it is told to stop. The thread ends
//! when the system's own patience does. How many there may be, and which look-ups are shared, is settled in `threads`.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::panic::catch_panic;

use super::fault::Fault;
use super::lookup::{Addresses, Lookup, Lookups, Role};
use crate::cancel::{Cancellation, Wait};
use crate::threads::Permit;

/// A host and a port, and when to give up.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// A name, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) deadline: Option<Instant>,
}

impl Target {
    fn ip(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse::<IpAddr>().ok()?, self.port))
    }
}

/// Addresses of a host, whose ports do not count.
type Resolve = fn(&str) -> io::Result<Vec<SocketAddr>>;

fn by_system(host: &str) -> io::Result<Vec<SocketAddr>> {
    (host, 0).to_socket_addrs().map(Iterator::collect)
}

/// Connects to hosts, for calls that `cancellation` ends.
pub(super) struct Dialler<'a> {
    cancellation: &'a Cancellation,
    lookups: Lookups,
    /// How names are looked up; the system's way, except in tests.
    resolve: Resolve,
}

impl<'a> Dialler<'a> {
    pub(super) fn new(cancellation: &'a Cancellation) -> Self {
        Dialler { cancellation, lookups: Lookups::of_this_process(), resolve: by_system }
    }

    /// The addresses of the host; an IP address is its own.
    pub(super) fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Fault> {
        if let Some(address) = target.ip() {
            return Ok(vec![address]);
        }
        let addresses =
            match self.wait(target, || self.lookups.join(&target.host, self.cancellation), Fault::NoPlace)? {
                Role::Follower(lookup) => self.follow(target, &lookup),
                Role::Leader(leader, permit) => {
                    let look_up = self.look_up(target);
                    self.on_thread(target, permit, move || leader.run(look_up))
                }
            };
        addresses.map(|addresses| with_port(addresses, target.port))
    }

    /// A connection to the host, or to the first of `known` addresses that accepts one.
    pub(super) fn connect(&self, target: &Target, known: Vec<SocketAddr>) -> Result<TcpStream, Fault> {
        let (port, deadline) = (target.port, target.deadline);
        let addresses = match target.ip() {
            _ if !known.is_empty() => known,
            Some(address) => vec![address],
            None => match self.wait(target, || self.lookups.join(&target.host, self.cancellation), Fault::NoPlace)? {
                Role::Follower(lookup) => with_port(self.follow(target, &lookup)?, port),
                Role::Leader(leader, permit) => {
                    // Connects on the same thread: to start another one takes longer than most lookups.
                    let (look_up, cancellation) = (self.look_up(target), self.cancellation.clone());
                    return self.on_thread(target, permit, move || {
                        let addresses = with_port(leader.run(look_up)?, port);
                        if cancellation.is_cancelled() {
                            Err(Fault::Stopped)
                        } else {
                            connect_any(&addresses, deadline)
                        }
                    });
                }
            },
        };
        let permit = self.wait(target, || self.lookups.threads().try_permit(self.cancellation), Fault::NoPlace)?;
        self.on_thread(target, permit, move || connect_any(&addresses, deadline))
    }

    fn look_up(&self, target: &Target) -> impl FnOnce() -> Addresses + Send + 'static {
        let (resolve, host) = (self.resolve, target.host.clone());
        move || match resolve(&host) {
            Ok(addresses) if addresses.is_empty() => Err(Fault::look_up(&io::ErrorKind::NotFound.into())),
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(Fault::look_up(&error)),
        }
    }

    fn follow(&self, target: &Target, lookup: &Lookup) -> Addresses {
        self.wait(target, || self.lookups.result(lookup, self.cancellation), Fault::TimeIsUp)?
    }

    /// Runs `job` on a thread and waits for what it gives, until the target's deadline or until told to stop.
    fn on_thread<T: Send + 'static>(
        &self,
        target: &Target,
        permit: Permit,
        job: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let result = Arc::new(Mutex::new(None));
        let (filled, cancellation) = (Arc::clone(&result), self.cancellation.clone());
        thread::Builder::new()
            .name("cmauth-dial".to_owned())
            .spawn(move || {
                let _permit = permit;
                let result = catch_panic(job).unwrap_or_else(|bug| Err(Fault::Bug(bug)));
                *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                cancellation.notify_waiters();
            })
            .map_err(|error| Fault::Connect(format!("no thread could be started: {error}")))?;
        self.wait(target, || result.lock().unwrap_or_else(PoisonError::into_inner).take(), Fault::TimeIsUp)?
    }

    /// Waits until `check` returns a value; fails with `late` at the target's deadline.
    fn wait<T>(&self, target: &Target, check: impl FnMut() -> Option<T>, late: Fault) -> Result<T, Fault> {
        match self.cancellation.wait(target.deadline, check) {
            Wait::Ready(value) => Ok(value),
            Wait::Cancelled => Err(Fault::Stopped),
            Wait::TimedOut => Err(late),
        }
    }
}

fn with_port(mut addresses: Vec<SocketAddr>, port: u16) -> Vec<SocketAddr> {
    for address in &mut addresses {
        address.set_port(port);
    }
    addresses
}

/// Tries the addresses in turn. Each gets at most half of the time left, the last one all of it, so that a dead
/// address does not use up the time of a live one.
fn connect_any(addresses: &[SocketAddr], deadline: Option<Instant>) -> Result<TcpStream, Fault> {
    let mut failure = Fault::look_up(&io::ErrorKind::NotFound.into());
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
            Err(error) => failure = Fault::connect(&error),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::threads::Threads;

    fn target(host: &str, port: u16, patience: Duration) -> Target {
        Target { host: host.to_owned(), port, deadline: Some(Instant::now() + patience) }
    }

    /// A look-up that never ends.
    fn stuck(_: &str) -> io::Result<Vec<SocketAddr>> {
        loop {
            thread::park();
        }
    }

    fn dialler(cancellation: &Cancellation, resolve: Resolve) -> Dialler<'_> {
        Dialler { cancellation, lookups: Lookups::with(Threads::at_most(8)), resolve }
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
        let cancellation = Cancellation::default();
        let failure = dialler(&cancellation, stuck).connect(&target, Vec::new()).unwrap_err();
        assert!(matches!(failure, Fault::TimeIsUp), "{failure:?}");
        let failure = dialler(&cancellation, stuck).addresses(&target).unwrap_err();
        assert!(matches!(failure, Fault::TimeIsUp), "{failure:?}");
        assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_look_up_and_a_connection_end_when_told_to_stop() {
        let dead = Dead::new();
        for (known, resolve) in [(Vec::new(), stuck as Resolve), (vec![dead.address()], by_system)] {
            let cancellation = Cancellation::default();
            let of_test = cancellation.clone();
            let (sender, receiver) = mpsc::channel();
            let caller = thread::spawn(move || {
                sender.send(()).unwrap();
                dialler(&cancellation, resolve).connect(&target("slow.invalid", 443, Duration::from_secs(60)), known)
            });
            receiver.recv().unwrap();
            let begun = Instant::now();
            of_test.cancel();
            assert!(matches!(caller.join().unwrap(), Err(Fault::Stopped)));
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        }
    }

    #[test]
    fn a_name_without_an_address_is_said_to_be_so() {
        for resolve in [(|_| Ok(Vec::new())) as Resolve, |_| Err(io::Error::other("no such name"))] {
            let target = target("nobody.invalid", 443, Duration::from_secs(5));
            let failure = dialler(&Cancellation::default(), resolve).connect(&target, Vec::new()).unwrap_err();
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
        let stream = dialler(&Cancellation::default(), by_system).connect(&target, known).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live.local_addr().unwrap());
        assert!(begun.elapsed() < Duration::from_millis(2000), "{:?}", begun.elapsed());
    }

    /// `localhost` is ::1 and 127.0.0.1, in either order, and a server may listen on one of them only.
    #[test]
    fn localhost_is_reached_by_whichever_family_has_the_server() {
        let reach = |listener: &TcpListener, families: &[&str]| {
            let port = listener.local_addr().unwrap().port();
            let known = families.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect();
            dialler(&Cancellation::default(), stuck).connect(&target("localhost", port, Duration::from_secs(5)), known)
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
        let failure =
            dialler(&Cancellation::default(), by_system).connect(&target, vec![dead.address(); 3]).unwrap_err();
        assert!(matches!(failure, Fault::TimeIsUp), "{failure:?}");
        assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());

        let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = Target { deadline: None, ..target };
        let failure = dialler(&Cancellation::default(), by_system).connect(&target, vec![refused]).unwrap_err();
        assert!(matches!(failure, Fault::Connect(_)), "{failure:?}");
    }

    /// A look-up that ends once it is let go, and how many of it there were.
    struct Gate {
        started: AtomicUsize,
        open: AtomicBool,
    }

    impl Gate {
        const fn closed() -> Gate {
            Gate { started: AtomicUsize::new(0), open: AtomicBool::new(false) }
        }

        fn pass(&self) -> io::Result<Vec<SocketAddr>> {
            self.started.fetch_add(1, Ordering::Relaxed);
            while !self.open.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            Ok(vec!["127.0.0.1:0".parse().unwrap()])
        }
    }

    #[test]
    fn calls_to_one_host_share_one_look_up() {
        static GATE: Gate = Gate::closed();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let [cancellation, second_client, third_client] = [(); 3].map(|()| Cancellation::default());
        let first = dialler(&cancellation, |_| GATE.pass());
        let third = Dialler { lookups: first.lookups.clone(), ..dialler(&third_client, |_| GATE.pass()) };
        let second = Dialler { lookups: first.lookups.clone(), ..dialler(&second_client, |_| GATE.pass()) };
        let hurried = || first.connect(&target("slow.invalid", 443, Duration::from_millis(100)), Vec::new());
        let long = target("slow.invalid", port, Duration::from_secs(60));
        // Each has its own deadline: who began the look-up leaves, and who stays gets what was found.
        assert!(matches!(hurried(), Err(Fault::TimeIsUp)));
        thread::scope(|scope| {
            let patient = scope.spawn(|| second.connect(&long, Vec::new()));
            let cancelled = scope.spawn(|| third.connect(&long, Vec::new()));
            for call in (0..30).map(|_| scope.spawn(hurried)).collect::<Vec<_>>() {
                assert!(matches!(call.join().unwrap(), Err(Fault::TimeIsUp)));
            }
            while !first.lookups.has_waiter(&second_client) || !first.lookups.has_waiter(&third_client) {
                thread::yield_now();
            }
            third_client.cancel();
            assert!(matches!(cancelled.join().unwrap(), Err(Fault::Stopped)));
            GATE.open.store(true, Ordering::Relaxed);
            assert_eq!(patient.join().unwrap().unwrap().peer_addr().unwrap(), listener.local_addr().unwrap());
        });
        assert_eq!(GATE.started.load(Ordering::Relaxed), 1);
        first.connect(&long, Vec::new()).unwrap();
        assert_eq!(GATE.started.load(Ordering::Relaxed), 2, "a result was kept");
    }

    #[test]
    fn at_the_limit_a_call_waits_for_a_place_until_its_deadline() {
        static GATE: Gate = Gate::closed();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cancellation = Cancellation::default();
        let dialler =
            Dialler { lookups: Lookups::with(Threads::at_most(2)), ..dialler(&cancellation, |_| GATE.pass()) };
        let port = listener.local_addr().unwrap().port();
        let call = |host, patience| dialler.connect(&target(host, port, patience), Vec::new());
        thread::scope(|scope| {
            let taken: Vec<_> = ["a.invalid", "b.invalid"]
                .map(|host| scope.spawn(move || call(host, Duration::from_secs(60))))
                .into_iter()
                .collect();
            while GATE.started.load(Ordering::Relaxed) < 2 {
                thread::yield_now();
            }
            for host in ["c.invalid", "127.0.0.1"] {
                let failure = call(host, Duration::from_millis(50)).unwrap_err();
                assert!(matches!(failure, Fault::NoPlace), "{failure:?}");
            }
            let waiting = scope.spawn(|| call("127.0.0.1", Duration::from_secs(60)));
            GATE.open.store(true, Ordering::Relaxed);
            for call in taken.into_iter().chain([waiting]) {
                call.join().unwrap().unwrap();
            }
        });
    }
}
