//! Lookups and connections that block, fail or are cancelled.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::threads::Threads;

fn target(host: &str, port: u16, timeout: Duration) -> Target {
    Target { host: host.to_owned(), port, deadline: Some(Instant::now() + timeout) }
}

/// A lookup that never ends.
fn stuck(_: &str) -> io::Result<Vec<SocketAddr>> {
    loop {
        thread::park();
    }
}

fn dialer(cancellation: &Cancellation, resolve: Resolve) -> Dialer<'_> {
    Dialer { cancellation, lookups: Lookups::with(Threads::at_most(8)), resolve }
}

/// An address that neither accepts nor refuses a connection: the queue of its listener is full.
struct Unresponsive {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Unresponsive {
    fn new() -> Unresponsive {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let timeout = Duration::from_millis(100);
        let queued = std::iter::from_fn(|| TcpStream::connect_timeout(&address, timeout).ok()).collect();
        Unresponsive { listener, _queued: queued }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

#[test]
fn a_lookup_that_takes_too_long_ends_at_the_deadline() {
    let begun = Instant::now();
    let target = target("slow.invalid", 443, Duration::from_millis(150));
    let cancellation = Cancellation::default();
    let failure = dialer(&cancellation, stuck).connect(&target, Vec::new()).unwrap_err();
    assert!(matches!(failure, ConnectError::TimedOut), "{failure:?}");
    let failure = dialer(&cancellation, stuck).addresses(&target).unwrap_err();
    assert!(matches!(failure, ConnectError::TimedOut), "{failure:?}");
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}

#[test]
fn a_lookup_and_a_connection_end_when_they_are_cancelled() {
    let unresponsive = Unresponsive::new();
    for (known, resolve) in [(Vec::new(), stuck as Resolve), (vec![unresponsive.address()], by_system)] {
        let cancellation = Cancellation::default();
        let of_test = cancellation.clone();
        let (sender, receiver) = mpsc::channel();
        let caller = thread::spawn(move || {
            sender.send(()).unwrap();
            dialer(&cancellation, resolve).connect(&target("slow.invalid", 443, Duration::from_secs(60)), known)
        });
        receiver.recv().unwrap();
        let begun = Instant::now();
        of_test.cancel();
        assert!(matches!(caller.join().unwrap(), Err(ConnectError::Cancelled)));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

#[test]
fn a_name_without_an_address_is_a_lookup_error() {
    for resolve in [(|_| Ok(Vec::new())) as Resolve, |_| Err(io::Error::other("no such name"))] {
        let target = target("nobody.invalid", 443, Duration::from_secs(5));
        let failure = dialer(&Cancellation::default(), resolve).connect(&target, Vec::new()).unwrap_err();
        assert!(matches!(failure, ConnectError::Lookup(_)), "{failure:?}");
    }
}

#[test]
fn an_address_that_refuses_or_does_not_respond_leaves_time_for_the_next() {
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unresponsive = Unresponsive::new();
    let live = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = target("several.invalid", 443, Duration::from_millis(2000));
    let known = vec![refused, unresponsive.address(), live.local_addr().unwrap()];
    let begun = Instant::now();
    let stream = dialer(&Cancellation::default(), by_system).connect(&target, known).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), live.local_addr().unwrap());
    assert!(begun.elapsed() < Duration::from_millis(2000), "{:?}", begun.elapsed());
}

/// `localhost` is ::1 and 127.0.0.1, in either order, and a server may listen on one of them only.
#[test]
fn localhost_is_reached_by_the_address_family_that_the_server_has() {
    let reach = |listener: &TcpListener, families: &[&str]| {
        let port = listener.local_addr().unwrap().port();
        let known = families.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect();
        dialer(&Cancellation::default(), stuck).connect(&target("localhost", port, Duration::from_secs(5)), known)
    };
    let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
    for families in [&["127.0.0.1"][..], &["::1", "127.0.0.1"], &["127.0.0.1", "::1"]] {
        assert!(reach(&v4, families).is_ok(), "{families:?}");
    }
    // No server listens there, or this machine has no IPv6: an error at once, not a wait.
    let begun = Instant::now();
    let failure = reach(&v4, &["::1"]).unwrap_err();
    assert!(matches!(failure, ConnectError::Connect(_)), "{failure:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    match TcpListener::bind("[::1]:0") {
        Err(error) => eprintln!("SKIPPED: this machine has no IPv6: {error}"),
        Ok(v6) => {
            for families in [&["::1"][..], &["::1", "127.0.0.1"], &["127.0.0.1", "::1"]] {
                assert!(reach(&v6, families).is_ok(), "{families:?}");
            }
        }
    }
}

#[test]
fn unresponsive_addresses_end_at_the_deadline_and_refusing_ones_at_once() {
    let unresponsive = Unresponsive::new();
    let target = target("unresponsive.invalid", 443, Duration::from_millis(200));
    let begun = Instant::now();
    let failure =
        dialer(&Cancellation::default(), by_system).connect(&target, vec![unresponsive.address(); 3]).unwrap_err();
    assert!(matches!(failure, ConnectError::TimedOut), "{failure:?}");
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());

    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = Target { deadline: None, ..target };
    let failure = dialer(&Cancellation::default(), by_system).connect(&target, vec![refused]).unwrap_err();
    assert!(matches!(failure, ConnectError::Connect(_)), "{failure:?}");
}

/// A lookup that blocks until it is released, and how often it was started.
struct BlockedLookup {
    started: AtomicUsize,
    released: AtomicBool,
}

impl BlockedLookup {
    const fn new() -> BlockedLookup {
        BlockedLookup { started: AtomicUsize::new(0), released: AtomicBool::new(false) }
    }

    fn run(&self) -> io::Result<Vec<SocketAddr>> {
        self.started.fetch_add(1, Ordering::Relaxed);
        while !self.released.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        Ok(vec!["127.0.0.1:0".parse().unwrap()])
    }
}

#[test]
fn calls_to_one_host_share_one_lookup() {
    static LOOKUP: BlockedLookup = BlockedLookup::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let [cancellation, second_client, third_client] = [(); 3].map(|()| Cancellation::default());
    let first = dialer(&cancellation, |_| LOOKUP.run());
    let third = Dialer { lookups: first.lookups.clone(), ..dialer(&third_client, |_| LOOKUP.run()) };
    let second = Dialer { lookups: first.lookups.clone(), ..dialer(&second_client, |_| LOOKUP.run()) };
    let short_call = || first.connect(&target("slow.invalid", 443, Duration::from_millis(100)), Vec::new());
    let long = target("slow.invalid", port, Duration::from_secs(60));
    // Each call has its own deadline: the leader times out, and the followers get the result.
    assert!(matches!(short_call(), Err(ConnectError::TimedOut)));
    thread::scope(|scope| {
        let follower = scope.spawn(|| second.connect(&long, Vec::new()));
        let cancelled = scope.spawn(|| third.connect(&long, Vec::new()));
        for call in (0..30).map(|_| scope.spawn(short_call)).collect::<Vec<_>>() {
            assert!(matches!(call.join().unwrap(), Err(ConnectError::TimedOut)));
        }
        while !first.lookups.has_waiter(&second_client) || !first.lookups.has_waiter(&third_client) {
            thread::yield_now();
        }
        third_client.cancel();
        assert!(matches!(cancelled.join().unwrap(), Err(ConnectError::Cancelled)));
        LOOKUP.released.store(true, Ordering::Relaxed);
        assert_eq!(follower.join().unwrap().unwrap().peer_addr().unwrap(), listener.local_addr().unwrap());
    });
    assert_eq!(LOOKUP.started.load(Ordering::Relaxed), 1);
    first.connect(&long, Vec::new()).unwrap();
    assert_eq!(LOOKUP.started.load(Ordering::Relaxed), 2, "the result was cached");
}

#[test]
fn at_the_limit_a_call_waits_for_a_permit_until_its_deadline() {
    static LOOKUP: BlockedLookup = BlockedLookup::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let cancellation = Cancellation::default();
    let dialer = Dialer { lookups: Lookups::with(Threads::at_most(2)), ..dialer(&cancellation, |_| LOOKUP.run()) };
    let port = listener.local_addr().unwrap().port();
    let call = |host, timeout| dialer.connect(&target(host, port, timeout), Vec::new());
    thread::scope(|scope| {
        let running: Vec<_> = ["a.invalid", "b.invalid"]
            .map(|host| scope.spawn(move || call(host, Duration::from_secs(60))))
            .into_iter()
            .collect();
        while LOOKUP.started.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        for host in ["c.invalid", "127.0.0.1"] {
            let failure = call(host, Duration::from_millis(50)).unwrap_err();
            assert!(matches!(failure, ConnectError::NoPermit), "{failure:?}");
        }
        let waiting = scope.spawn(|| call("127.0.0.1", Duration::from_secs(60)));
        LOOKUP.released.store(true, Ordering::Relaxed);
        for call in running.into_iter().chain([waiting]) {
            call.join().unwrap().unwrap();
        }
    });
}
