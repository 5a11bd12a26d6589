//! Tests of a login that waits for its browser on this machine.

#[path = "../common/mod.rs"]
mod common;
mod connections;
mod redirects;
mod waiting;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cmauth::bindings::interruptible;
use cmauth::{Advice, Client, Config, Error, Loopback, Status, Tokens};
use common::{ID, SECRET, Server, Step, json, response};

const TOKENS: &str =
    r#"{"access_token":"a","token_type":"bearer","refresh_token":"r","expires_in":43199,"scope":"write"}"#;

/// A login that waits on a thread of its own.
struct WaitingLogin {
    server: Server,
    login: Arc<Loopback>,
    thread: Option<JoinHandle<Result<Tokens, Error>>>,
}

impl WaitingLogin {
    fn new(steps: Vec<Step>) -> WaitingLogin {
        let server = Server::start(steps);
        let client = server.client_with(|config| _ = config.set_max_retries(0));
        WaitingLogin::of(server, &client)
    }

    /// The same with a client of another server.
    fn of(server: Server, client: &Client) -> WaitingLogin {
        let login = Arc::new(Loopback::listen(client, 0).unwrap());
        let mut waiting = WaitingLogin { server, login, thread: None };
        waiting.wait();
        waiting
    }

    fn wait(&mut self) {
        let login = self.login.clone();
        self.thread = Some(thread::spawn(move || login.wait(Duration::from_secs(30))));
    }

    fn state(&self) -> String {
        self.login.login().url().rsplit_once("&state=").unwrap().1.to_owned()
    }

    fn redirect(&self) -> String {
        format!("/?code=AbCdEf&state={}", self.state())
    }

    /// Sends a request for this target as a browser does, and returns the response.
    fn get(&self, target: &str) -> String {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.login.port()))
    }

    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.login.port())).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    fn result(&mut self) -> Result<Tokens, Error> {
        self.thread.take().unwrap().join().unwrap()
    }

    fn is_listening(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.login.port())).is_ok()
    }
}
