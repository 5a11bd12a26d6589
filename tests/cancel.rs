//! A cancel ends the calls of a client, wherever they wait.

mod common;

use std::cell::Cell;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use cmauth::bindings::interruptible;
use cmauth::{Advice, Client, Config, Status};
use common::{Server, json, response};

/// Begins a refresh on a thread, calls `wait_until_blocked`, cancels the client, and checks that the refresh ends at
/// once.
fn assert_cancelled(client: &Client, wait_until_blocked: impl FnOnce()) {
    let caller = thread::spawn({
        let client = client.clone();
        move || client.refresh("r")
    });
    wait_until_blocked();
    let begun = Instant::now();
    client.cancel();
    let error = caller.join().unwrap().unwrap_err();
    // The promise is 100 ms. The rest is for a machine that is busy with other tests.
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    assert_eq!((error.status(), error.advice()), (Status::Cancelled, Advice::None), "{error}");
    assert_eq!(client.refresh("r").unwrap_err().status(), Status::Cancelled);
    assert_eq!(client.logout("a").unwrap_err().status(), Status::Cancelled);
}

/// A listener that never responds. The receiver gets each connection after the listener has read `read` bytes of it.
fn silent(read: usize) -> (String, mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            stream.read_exact(&mut vec![0; read]).unwrap();
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn client(url: &str, set: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::new("id", "secret");
    config.set_base_url(url).set_proxy(Some("")).set_timeout(Duration::from_secs(60));
    set(&mut config);
    Client::new(&config).unwrap()
}

#[test]
fn a_cancel_ends_a_call_that_waits_for_a_response() {
    let (address, connections) = silent(10);
    let client = client(&format!("http://{address}"), |_| {});
    let mut connection = None;
    assert_cancelled(&client, || connection = connections.recv().ok());
}

#[test]
fn a_cancel_ends_a_call_in_the_tls_handshake() {
    let (address, connections) = silent(10);
    let client = client(&format!("https://{address}"), |_| {});
    let mut connection = None;
    assert_cancelled(&client, || connection = connections.recv().ok());
}

#[test]
fn a_cancel_ends_a_call_that_waits_for_the_proxy() {
    let (address, connections) = silent(10);
    let client = client("http://127.0.0.1:9", |config| _ = config.set_proxy(Some(&format!("http://{address}"))));
    let mut connection = None;
    assert_cancelled(&client, || connection = connections.recv().ok());
}

#[test]
fn a_cancel_ends_the_wait_before_a_retry() {
    let server = Server::start(vec![response(503, &["Retry-After: 30"], "")]);
    let client = server.client_with(|config| _ = config.set_timeout(Duration::from_secs(60)));
    assert_cancelled(&client, || {
        while server.requests().is_empty() {
            thread::yield_now();
        }
    });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_call_after_a_cancel_fails_and_sends_nothing() {
    let server = Server::start(vec![json(200, "{}")]);
    let client = server.client();
    client.cancel();
    client.cancel();
    assert_eq!(client.refresh("r").unwrap_err().status(), Status::Cancelled);
    assert_eq!(client.exchange_code("c", "https://example.com").unwrap_err().status(), Status::Cancelled);
    assert!(server.requests().is_empty());
}

#[test]
fn the_error_of_a_cancelled_exchange_says_that_it_was_sent() {
    let (address, connections) = silent(10);
    let client = client(&format!("http://{address}"), |_| {});
    let caller = thread::spawn({
        let client = client.clone();
        move || client.exchange_code("c", "https://example.com").unwrap_err()
    });
    let _connection = connections.recv().unwrap();
    client.cancel();
    let error = caller.join().unwrap();
    assert_eq!((error.status(), error.request_sent()), (Status::Cancelled, true));
}

#[test]
fn an_interrupted_exchange_reports_its_own_progress_if_the_interruption_check_makes_a_call() {
    let (address, connections) = silent(10);
    let client = client(&format!("http://{address}"), |_| {});
    let unreachable = self::client("http://127.0.0.1:1", |config| _ = config.set_max_retries(0));
    let received = Cell::new(false);
    let is_nested = Cell::new(false);
    let is_interrupted = move || {
        if is_nested.replace(true) {
            return false;
        }
        let inner = unreachable.refresh("r").unwrap_err();
        assert_eq!((inner.status(), inner.request_sent()), (Status::Network, false), "{inner}");
        is_nested.set(false);
        received.get() || connections.try_recv().inspect(|_| received.set(true)).is_ok()
    };
    let error = interruptible(is_interrupted, || client.exchange_code("c", "https://example.com").unwrap_err());
    assert_eq!((error.status(), error.request_sent()), (Status::Cancelled, true), "{error}");
}
