//! Tests of a session against the sandbox: it returns valid tokens, refreshes once for all callers, and loses no login.

mod keeper;
mod logging;
mod logins;
mod panics;
mod refreshes;
mod stores;
mod validity;
mod waiting;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cmauth::bindings::interruptible;
use cmauth::{
    Advice, Answer, Cancel, Change, Client, Config, Error, FileStore, LoggedOut, MemoryStore, Secret, Session, Status,
    Store, StoreError, Tokens,
};
use cmauth_sandbox::{Fault, Options, Sandbox};

const REDIRECT_URI: &str = "https://example.com";

fn sandbox() -> Sandbox {
    Sandbox::start(Options::default()).unwrap()
}

fn client(sandbox: &Sandbox, set: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
    config.set_base_url(sandbox.url()).set_proxy(Some("")).set_max_retries(0);
    set(&mut config);
    Client::new(&config).unwrap()
}

fn log_in(sandbox: &Sandbox, client: &Client) -> Tokens {
    client.exchange_code(&sandbox.make_code(REDIRECT_URI), REDIRECT_URI).unwrap()
}

/// A session whose user has just logged in, and the tokens of the login.
fn logged_in_session(sandbox: &Sandbox, store: impl Store + 'static) -> (Session, Tokens) {
    let client = client(sandbox, |_| {});
    let tokens = log_in(sandbox, &client);
    let session = Session::open(&client, store).unwrap();
    session.start(&tokens).unwrap();
    (session, tokens)
}

fn refreshes(sandbox: &Sandbox) -> usize {
    sandbox.requests().iter().filter(|request| request.target.contains("grant_type=refresh_token")).count()
}

fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A record as a session saves it. Its tokens were obtained `age` ms ago, and their refresh is due in `due` ms.
fn record(tokens: &Tokens, generation: u64, age: i64, due: i64) -> Secret {
    let now = unix_ms();
    let json = tokens.to_json();
    let quoted = json.expose().replace('\\', "\\\\").replace('"', "\\\"");
    Secret::new(format!(
        "{{\"cmauth\":1,\"generation\":{generation},\"obtained_at\":{},\"refresh_at\":{},\"tokens\":\"{quoted}\"}}",
        now - age,
        now + due
    ))
}

/// The same tokens with an `expires_at` in the past.
fn expired(tokens: &Tokens) -> Tokens {
    let json = tokens.to_json();
    let at = tokens.expires_at().unwrap();
    Tokens::from_json(&json.expose().replace(&at.to_string(), &(unix_ms() / 1000 - 10).to_string())).unwrap()
}

/// Calls a function on sixteen threads at once.
fn all_at_once<T: Send>(call: impl Fn() -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(16);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    call()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Repeats a call until the back-off has ended, and returns its tokens. Each back-off must be short.
fn after_back_off(mut call: impl FnMut() -> Result<Tokens, Error>) -> Tokens {
    let mut result = None;
    until("the end of the back-off", || match call() {
        Ok(tokens) => result.replace(tokens).is_none(),
        Err(error) => {
            assert!(error.retry_after().is_none_or(|wait| wait <= Duration::from_secs(4)), "{error}");
            false
        }
    });
    result.unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::yield_now();
    }
}

fn expired_tokens() -> Tokens {
    Tokens::from_json(r#"{"access_token":"a:1","refresh_token":"r:1","expires_at":1700000000}"#).unwrap()
}

/// A memory store whose failures a test controls. Checks that writes happen only under the lock.
#[derive(Default)]
struct ScriptedStore {
    memory: MemoryStore,
    refuse_saves: AtomicBool,
    newer: AtomicBool,
    busy: AtomicBool,
    panic_in_load: AtomicBool,
    saves: AtomicU32,
    locked: AtomicU32,
}

impl Store for ScriptedStore {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        if self.panic_in_load.swap(false, Ordering::SeqCst) {
            panic!("the test requests a panic");
        }
        self.memory.load()
    }

    fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError> {
        assert_eq!(self.locked.load(Ordering::SeqCst), 1, "saved without the lock");
        self.saves.fetch_add(1, Ordering::SeqCst);
        if self.refuse_saves.load(Ordering::SeqCst) {
            return Err(StoreError::Failed(format!("no room for {}", record.expose())));
        }
        if self.newer.load(Ordering::SeqCst) {
            return Err(StoreError::Newer);
        }
        self.memory.save(record, generation)
    }

    fn clear(&self, generation: u64) -> Result<(), StoreError> {
        assert_eq!(self.locked.load(Ordering::SeqCst), 1, "cleared without the lock");
        self.memory.clear(generation)
    }

    fn try_lock(&self, hold: Duration) -> Result<bool, StoreError> {
        if self.busy.load(Ordering::SeqCst) || !self.memory.try_lock(hold)? {
            return Ok(false);
        }
        self.locked.fetch_add(1, Ordering::SeqCst);
        Ok(true)
    }

    fn unlock(&self) -> Result<(), StoreError> {
        self.locked.fetch_sub(1, Ordering::SeqCst);
        self.memory.unlock()
    }
}
