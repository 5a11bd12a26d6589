//! A client that is cancelled lets go of its calls, wherever they hang.

mod common;

use std::cell::Cell;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use cmauth::bindings::interruptible;
use cmauth::{Advice, Client, Config, Status};
use common::{Server, answer, json};

/// Begins a refresh on a thread, waits until `hangs` says that it hangs, cancels, and holds that it ends at once.
fn assert_cancelled(client: &Client, hangs: impl FnOnce()) {
    let caller = thread::spawn({
        let client = client.clone();
        move || client.refresh("r")
    });
    hangs();
    let begun = Instant::now();
    client.cancel();
    let error = caller.join().unwrap().unwrap_err();
    // 100 ms are promised; the rest is for a machine that is busy with other tests.
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    assert_eq!((error.status(), error.advice()), (Status::Cancelled, Advice::None), "{error}");
    assert_eq!(client.refresh("r").unwrap_err().status(), Status::Cancelled);
    assert_eq!(client.logout("a").unwrap_err().status(), Status::Cancelled);
}

/// A listener whose connections are told of, each after `read` bytes of it were read.
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
fn while_it_waits_for_an_answer() {
    let (address, connections) = silent(10);
    let client = client(&format!("http://{address}"), |_| {});
    let mut connection = None;
    assert_cancelled(&client, || connection = connections.recv().ok());
}

#[test]
fn in_the_tls_handshake() {
    let (address, connections) = silent(10);
    let client = client(&format!("https://{address}"), |_| {});
    let mut connection = None;
    assert_cancelled(&client, || connection = connections.recv().ok());
}

#[test]
fn in_the_proxy_s_answer() {
    let (address, connections) = silent(10);
    let client = client("http://127.0.0.1:9", |config| _ = config.set_proxy(Some(&format!("http://{address}"))));
    let mut connection = None;
    assert_cancelled(&client, || connection = connections.recv().ok());
}

#[test]
fn in_the_pause_before_a_retry() {
    let server = Server::start(vec![answer(503, &["Retry-After: 30"], "")]);
    let client = server.client_with(|config| _ = config.set_timeout(Duration::from_secs(60)));
    assert_cancelled(&client, || {
        while server.requests().is_empty() {
            thread::yield_now();
        }
    });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn before_a_call() {
    let server = Server::start(vec![json(200, "{}")]);
    let client = server.client();
    client.cancel();
    client.cancel();
    assert_eq!(client.refresh("r").unwrap_err().status(), Status::Cancelled);
    assert_eq!(client.exchange_code("c", "https://example.com").unwrap_err().status(), Status::Cancelled);
    assert!(server.requests().is_empty());
}

#[test]
fn an_exchange_that_was_sent_before_says_so() {
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
