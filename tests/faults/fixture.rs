//! A sandbox for one thread, and calls to it with a fault.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cmauth::{Client, Config, Error, Tokens};
use cmauth_sandbox::{Fault, Flavour, Kind, Options, Sandbox};

use crate::table::Expected;
use crate::thread_log::ThreadLog;

const ID: &str = "cameramanager.test";
const SECRET: &str = "qwertyuiopasdfghjklzxcvbnm12345";
const BASIC: &str = "Y2FtZXJhbWFuYWdlci50ZXN0OnF3ZXJ0eXVpb3Bhc2RmZ2hqa2x6eGN2Ym5tMTIzNDU=";
pub const REDIRECT_URI: &str = "https://example.com";

const TIMEOUT: Duration = Duration::from_millis(600);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);
/// How long a call may take: 1.2 times its timeout, and some time for a busy machine.
pub const MAX_TIME: Duration = Duration::from_millis(600 * 12 / 10 + 150);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Exchange,
    Refresh,
    Logout,
}
use Call::{Exchange, Logout, Refresh};

pub const CALLS: [Call; 3] = [Exchange, Refresh, Logout];

/// A sandbox, the file of its certificate authority, and a client for calls without faults.
pub struct Fixture {
    pub sandbox: Sandbox,
    ca_file: Option<PathBuf>,
    client_without_faults: Client,
}

impl Fixture {
    pub fn new(tls: bool) -> Fixture {
        Fixture::with_flavours(tls, &[])
    }

    /// A sandbox that responds like another version or set-up of the server's framework.
    pub fn with_flavours(tls: bool, flavours: &[Flavour]) -> Fixture {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let sandbox =
            Sandbox::start(Options { tls, control_port: Some(0), flavours: flavours.to_vec(), ..Options::default() })
                .unwrap();
        let ca_file = sandbox.ca_pem().map(|pem| {
            let name = format!("faults-{}-{}.pem", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            fs::write(&file, pem).unwrap();
            file
        });
        let client_without_faults =
            client(&sandbox, ca_file.as_deref(), |config| _ = config.set_timeout(Duration::from_secs(30)));
        Fixture { sandbox, ca_file, client_without_faults }
    }

    pub fn both() -> [Fixture; 2] {
        [Fixture::new(false), Fixture::new(true)]
    }

    pub fn tls(&self) -> bool {
        self.ca_file.is_some()
    }

    /// Whether the fault can happen here.
    pub fn has(&self, fault: Fault) -> bool {
        self.tls() || !fault.needs_tls()
    }

    pub fn client(&self, retries: u32) -> Client {
        self.client_with(|config| {
            config.set_timeout(TIMEOUT).set_connect_timeout(CONNECT_TIMEOUT).set_max_retries(retries);
        })
    }

    pub fn client_with(&self, set: impl FnOnce(&mut Config)) -> Client {
        client(&self.sandbox, self.ca_file.as_deref(), set)
    }

    pub fn code(&self) -> String {
        self.sandbox.make_code(REDIRECT_URI)
    }

    /// Valid tokens.
    pub fn tokens(&self) -> Tokens {
        self.sandbox.set_faults(&[]).unwrap();
        self.client_without_faults.exchange_code(&self.code(), REDIRECT_URI).unwrap()
    }

    /// The valid tokens, as the sandbox lists them.
    pub fn valid_tokens(&self) -> String {
        let address = self.sandbox.control_url().unwrap().strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        let request = format!("GET /sandbox/tokens HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).unwrap();
        response
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(file) = &self.ca_file {
            let _ = fs::remove_file(file);
        }
    }
}

fn client(sandbox: &Sandbox, ca_file: Option<&Path>, set: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::new(ID, SECRET);
    config.set_base_url(sandbox.url()).set_proxy(Some(""));
    if let Some(file) = ca_file {
        config.set_ca_file(file);
    }
    set(&mut config);
    Client::new(&config).unwrap()
}

/// What one call did.
pub struct Outcome {
    pub result: Result<Option<Tokens>, Error>,
    pub took: Duration,
    /// All lines that its thread logged.
    pub logged: String,
    /// The secrets of its request and its response.
    pub secrets: Vec<String>,
    pub requests: usize,
    pub connections: usize,
}

impl Outcome {
    pub fn failure(&self) -> Expected {
        self.result.as_ref().err().map(|error| (error.status(), error.advice()))
    }
}

/// Makes a call with `fault` on each request. A fault of an idle connection is on the connection that the call takes
/// from the pool.
pub fn call(fixture: &Fixture, fault: Fault, call: Call, retries: u32) -> Outcome {
    let tokens = fixture.tokens();
    let (access, refresh) = (tokens.access_token().expose(), tokens.refresh_token().unwrap().expose());
    let code = fixture.code();
    let client = fixture.client(retries);
    let mut refreshed = None;
    if fault.kind() == Kind::Idle {
        fixture.sandbox.set_faults(&[fault.once()]).unwrap();
        refreshed = Some(client.refresh(refresh).unwrap());
        thread::sleep(Duration::from_millis(100));
    } else {
        fixture.sandbox.set_faults(&[fault.always()]).unwrap();
    }
    let access = refreshed.as_ref().map_or(access, |tokens| tokens.access_token().expose());
    let (requests, connections) = (fixture.sandbox.requests().len(), fixture.sandbox.connections());
    ThreadLog::begin();
    let begun = Instant::now();
    let result = match call {
        Exchange => client.exchange_code(&code, REDIRECT_URI).map(Some),
        Refresh => client.refresh(refresh).map(Some),
        Logout => client.logout(access).map(|()| None),
    };
    let took = begun.elapsed();
    let logged = ThreadLog::take();
    // The sandbox records a request before it responds. A request without a response may need a moment.
    thread::sleep(Duration::from_millis(2));
    let valid_tokens = fixture.valid_tokens();
    let valid_tokens = valid_tokens.split('"').filter(|word| word.ends_with(":10003")).map(str::to_owned);
    let mut secrets: Vec<String> = [SECRET, BASIC, &code, access, refresh].map(str::to_owned).into();
    secrets.extend(valid_tokens);
    let requests = fixture.sandbox.requests().len() - requests;
    let connections = fixture.sandbox.connections() - connections;
    fixture.sandbox.set_faults(&[]).unwrap();
    Outcome { result, took, logged, secrets, requests, connections }
}

/// Says which secret the outcome prints or its call logged. `None` if there is none.
pub fn leak(outcome: &Outcome) -> Option<String> {
    let printed = match &outcome.result {
        Ok(tokens) => format!("{tokens:?} {tokens:#?}"),
        Err(error) => format!(
            "{error} {error:?} {error:#?} {} {:?} {:?}",
            error.message(),
            error.oauth_error(),
            error.oauth_description()
        ),
    };
    let printed = format!("{printed}\n{}", outcome.logged);
    // Half of a token is secret, too. A code of six letters has no halves.
    let pieces = |secret: &String| match secret.len() {
        0..16 => vec![secret.clone()],
        length => vec![secret[..length / 2].to_owned(), secret[length / 2..].to_owned()],
    };
    let found = outcome.secrets.iter().flat_map(pieces).find(|piece| printed.contains(piece))?;
    Some(format!("{found:?} is in {printed}"))
}

/// Runs `check` for each fault and call, with and without TLS, on several threads. `check` returns what is wrong, or
/// `None`.
pub fn for_each_fault(check: impl Fn(&Fixture, Fault, Call) -> Option<String> + Sync) {
    for_each_fault_of(&[], check);
}

/// As [`for_each_fault`], with sandboxes of these flavours.
pub fn for_each_fault_of(flavours: &[Flavour], check: impl Fn(&Fixture, Fault, Call) -> Option<String> + Sync) {
    let work: Vec<(Fault, Call)> = Fault::ALL.iter().flat_map(|&fault| CALLS.map(|call| (fault, call))).collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let fixtures = [false, true].map(|tls| Fixture::with_flavours(tls, flavours));
                while let Some(&(fault, call)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for fixture in fixtures.iter().filter(|fixture| fixture.has(fault)) {
                        if let Some(failure) = check(fixture, fault, call) {
                            let scheme = if fixture.tls() { "TLS" } else { "plain" };
                            failures.lock().unwrap().push(format!("{fault} {call:?} ({scheme}): {failure}"));
                        }
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}
