//! A session hands out tokens that are valid now, refreshes once for all who ask, and loses no login.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cmauth::bindings::interruptible;
use cmauth::{
    Advice, Client, Config, Error, FileStore, LoggedOut, MemoryStore, Secret, Session, Status, Store, StoreError,
    Tokens,
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

/// A session with a user who has just logged in.
fn started(sandbox: &Sandbox, store: impl Store + 'static) -> (Session, Tokens) {
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

/// A record as sessions keep it, of tokens that came `age` ago, are due `due` from now, and end as they say.
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

/// The tokens, ended by their own account.
fn ended(tokens: &Tokens) -> Tokens {
    let json = tokens.to_json();
    let at = tokens.expires_at().unwrap();
    Tokens::from_json(&json.expose().replace(&at.to_string(), &(unix_ms() / 1000 - 10).to_string())).unwrap()
}

/// Sixteen threads at once.
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

/// What a call gives once the server may be asked again. Such pauses are short.
fn after_pauses(mut call: impl FnMut() -> Result<Tokens, Error>) -> Tokens {
    let mut result = None;
    until("the end of the pause", || match call() {
        Ok(tokens) => result.replace(tokens).is_none(),
        Err(error) => {
            assert!(error.retry_after().is_none_or(|wait| wait <= Duration::from_secs(4)), "{error}");
            false
        }
    });
    result.unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::yield_now();
    }
}

/// A memory store that does what a test tells it.
#[derive(Default)]
struct Told {
    memory: MemoryStore,
    refuse_saves: AtomicBool,
    newer: AtomicBool,
    busy: AtomicBool,
    panic_in_load: AtomicBool,
    saves: AtomicU32,
    locked: AtomicU32,
}

impl Store for Told {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        if self.panic_in_load.swap(false, Ordering::SeqCst) {
            panic!("told to");
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

    fn unlock(&self) {
        self.locked.fetch_sub(1, Ordering::SeqCst);
        self.memory.unlock();
    }
}

#[test]
fn nobody_is_logged_in_until_a_login_starts_it() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let session = Session::open(&client, MemoryStore::new()).unwrap();
    assert_eq!(session.tokens().unwrap_err().status(), Status::LoginRequired);
    assert!(!session.health().logged_in);
    assert_eq!(session.logout().unwrap(), LoggedOut::AlreadyGone);

    let tokens = log_in(&sandbox, &client);
    session.start(&tokens).unwrap();
    assert_eq!(session.tokens().unwrap(), tokens);
    let health = session.health();
    assert!(health.logged_in && health.saved && health.generation > 0 && health.failures == 0);
    let (at, end) = (health.next_refresh.unwrap(), tokens.expires_at().unwrap());
    // The last part of 12 hours.
    assert!((end - 43200 / 4 - 2..end - 43200 / 20 + 2).contains(&at), "{at} {end}");
    assert_eq!(refreshes(&sandbox), 0);
}

#[test]
fn a_session_is_there_again_after_a_restart() {
    let sandbox = sandbox();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    Session::open_shared(&client, store.clone()).unwrap().start(&tokens).unwrap();
    assert_eq!(Session::open_shared(&client, store).unwrap().tokens().unwrap(), tokens);
    assert_eq!(refreshes(&sandbox), 0);
}

#[test]
fn tokens_that_ended_are_refreshed_once_for_all_who_ask() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let old = log_in(&sandbox, &client);
    let session = Session::open(&client, MemoryStore::new()).unwrap();
    session.start(&ended(&old)).unwrap();
    let all = all_at_once(|| session.tokens().unwrap());
    assert!(all.iter().all(|tokens| *tokens == all[0] && tokens.access_token() != old.access_token()));
    assert_eq!(refreshes(&sandbox), 1);
    // The answer had no new refresh token in it but the one it always has.
    assert_eq!(all[0].refresh_token(), old.refresh_token());
}

#[test]
fn rejected_tokens_are_refreshed_once_for_all_cameras_and_old_ones_never() {
    let sandbox = sandbox();
    let (session, old) = started(&sandbox, MemoryStore::new());
    let all = all_at_once(|| session.rejected(&old).unwrap());
    assert!(all.iter().all(|tokens| *tokens == all[0] && tokens.access_token() != old.access_token()));
    assert_eq!(refreshes(&sandbox), 1);
    assert_eq!(session.rejected(&old).unwrap(), all[0]);
    assert_eq!(refreshes(&sandbox), 1);
}

/// An API that answers 401 to everything, or another installation that refreshes these tokens away.
#[test]
fn young_tokens_that_are_rejected_again_are_not_refreshed_again() {
    let sandbox = sandbox();
    let store = Arc::new(MemoryStore::new());
    let client = client(&sandbox, |_| {});
    let mut tokens = log_in(&sandbox, &client);
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&tokens).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        match session.rejected(&tokens) {
            Ok(other) => tokens = other,
            Err(error) => {
                assert_eq!((error.status(), error.advice()), (Status::TokenRejected, Advice::Retry), "{error}");
                let wait = error.retry_after().unwrap();
                assert!(wait > Duration::from_secs(10) && wait <= Duration::from_secs(15), "{wait:?}");
            }
        }
    }
    assert_eq!(refreshes(&sandbox), 1);
    // Another session of the store, or the same program started again, knows it too.
    let again = Session::open_shared(&client, store).unwrap();
    assert_eq!(again.rejected(&tokens).unwrap_err().status(), Status::TokenRejected);
    assert_eq!(again.tokens().unwrap(), tokens, "others may still be able to use them");
    assert_eq!(refreshes(&sandbox), 1);
}

#[test]
fn two_installations_of_one_user_with_a_store_each_settle() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let open = || {
        let tokens = log_in(&sandbox, &client);
        let session = Session::open(&client, MemoryStore::new()).unwrap();
        session.start(&tokens).unwrap();
        session
    };
    let sessions = [open(), open()];
    sessions[0].rejected(&sessions[0].tokens().unwrap()).unwrap();
    for request in 0..20 {
        let session = &sessions[request % 2];
        let tokens = session.tokens().unwrap();
        if !sandbox.accepts(tokens.access_token().expose()) {
            let _ = session.rejected(&tokens);
        }
    }
    assert!(refreshes(&sandbox) <= 3, "{}", refreshes(&sandbox));
}

#[test]
fn a_server_that_failed_is_left_alone_as_long_as_it_asked_also_for_ended_and_rejected_tokens() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_max_retries(2));
    let old = log_in(&sandbox, &client);
    let sessions = [true, false].map(|has_ended| {
        let session = Session::open(&client, MemoryStore::new()).unwrap();
        session.start(&if has_ended { ended(&old) } else { old.clone() }).unwrap();
        session
    });
    sandbox.set_faults(&[Fault::RetryAfterSeconds.always()]).unwrap();
    for (session, has_ended) in sessions.iter().zip([true, false]) {
        let before = refreshes(&sandbox);
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while begun.elapsed() < Duration::from_millis(1500) {
                        let result = if has_ended { session.tokens() } else { session.rejected(&old) };
                        let error = result.unwrap_err();
                        assert_eq!(error.status(), Status::Server, "{error}");
                        assert!(error.retry_after().unwrap() <= Duration::from_secs(120));
                        thread::yield_now();
                    }
                });
            }
        });
        // One request: its retries would come before the server wants them.
        assert_eq!(refreshes(&sandbox) - before, 1, "has_ended: {has_ended}");
    }
}

#[test]
fn holders_of_one_store_use_what_another_refreshed() {
    let sandbox = sandbox();
    let folder = std::env::temp_dir().join(format!("cmauth-holders-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("session");
    let (one, old) = started(&sandbox, FileStore::new(&path));
    let client = client(&sandbox, |_| {});
    let others: Vec<_> = (0..4).map(|_| Session::open(&client, FileStore::new(&path)).unwrap()).collect();
    let new = one.rejected(&old).unwrap();
    assert_eq!(others[0].tokens().unwrap(), old, "it cannot know");
    // All at once, and each with a lock file of its own.
    let next = AtomicU32::new(0);
    let all = all_at_once(|| others[next.fetch_add(1, Ordering::SeqCst) as usize % 4].rejected(&old).unwrap());
    assert!(all.iter().all(|tokens| *tokens == new));
    assert_eq!(refreshes(&sandbox), 1);
    // One's logout is everybody's.
    assert_eq!(one.logout().unwrap(), LoggedOut::Confirmed);
    assert_eq!(others[0].rejected(&new).unwrap_err().status(), Status::LoginRequired);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_early_refresh_that_fails_hands_out_what_is_still_good_and_waits() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let store = MemoryStore::new();
    store.save(&record(&tokens, 7, 40_000_000, -1000), 7).unwrap();
    let session = Session::open(&client, store).unwrap();
    sandbox.set_faults(&[Fault::Status503.always()]).unwrap();
    for _ in 0..100 {
        assert_eq!(session.tokens().unwrap(), tokens);
    }
    assert_eq!(refreshes(&sandbox), 1, "the next try waits");
    let health = session.health();
    assert_eq!((health.failures, health.generation), (1, 7));
    assert_eq!(health.last_error.unwrap().status(), Status::Server);
    assert!(health.next_refresh.unwrap() >= unix_ms() / 1000);
    // What the API rejected is not handed out again.
    assert_eq!(session.rejected(&tokens).unwrap_err().status(), Status::Server);
    assert_eq!(refreshes(&sandbox), 1, "the server is left alone for them, too");
    sandbox.set_faults(&[]).unwrap();
    let new = after_pauses(|| session.rejected(&tokens));
    assert_ne!(new, tokens);
    let health = session.health();
    assert_eq!((health.failures, health.generation, health.last_error.is_none()), (0, 8, true));
}

#[test]
fn ended_tokens_that_cannot_be_refreshed_are_an_error_for_all_who_wait() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let session = Session::open(&client, MemoryStore::new()).unwrap();
    session.start(&ended(&log_in(&sandbox, &client))).unwrap();
    sandbox.set_faults(&[Fault::Status503.always()]).unwrap();
    for result in all_at_once(|| session.tokens()) {
        assert_eq!(result.unwrap_err().status(), Status::Server);
    }
    assert_eq!(refreshes(&sandbox), 1);
    sandbox.set_faults(&[]).unwrap();
    after_pauses(|| session.tokens());
    assert!(session.health().logged_in);
}

#[test]
fn only_a_definite_answer_ends_the_login_and_clears_the_store() {
    let sandbox = sandbox();
    let store = Arc::new(MemoryStore::new());
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&tokens).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    session.on_change({
        let (told, session) = (told.clone(), session.clone());
        move |generation| told.lock().unwrap().push((generation, session.health().logged_in))
    });
    let generation = session.health().generation;

    sandbox.set_faults(&[Fault::Status503.once()]).unwrap();
    session.rejected(&tokens).unwrap_err();
    assert!(store.load().unwrap().is_some());

    // Another installation of this user logs out.
    client.logout(tokens.access_token().expose()).unwrap();
    until("the end of the login", || session.rejected(&tokens).unwrap_err().status() == Status::LoginRequired);
    assert_eq!(store.load().unwrap(), None);
    assert_eq!(session.tokens().unwrap_err().status(), Status::LoginRequired);
    assert_eq!(*told.lock().unwrap(), [(generation + 1, false)]);

    // And begins anew.
    session.start(&log_in(&sandbox, &client)).unwrap();
    // The callback has a clone of the session, which would keep itself alive.
    session.on_change(|_| {});
    let told = told.lock().unwrap();
    assert!(told.len() == 2 && told[1].0 > generation + 1 && told[1].1, "{told:?}");
}

#[test]
fn a_session_that_nobody_was_logged_in_to_finds_the_login_of_another() {
    let sandbox = sandbox();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let client = client(&sandbox, |_| {});
    let waiting = Session::open_shared(&client, store.clone()).unwrap();
    waiting.tokens().unwrap_err();
    let tokens = log_in(&sandbox, &client);
    Session::open_shared(&client, store).unwrap().start(&tokens).unwrap();
    assert_eq!(waiting.tokens().unwrap(), tokens);
}

#[test]
fn logout_refreshes_tokens_that_ended_so_that_the_refresh_token_dies_too() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let session = Session::open(&client, MemoryStore::new()).unwrap();
    // By our clock, and by the server's alone.
    for (by_our_clock, advance) in [(true, 0), (false, 50_000)] {
        let tokens = log_in(&sandbox, &client);
        let started_with = if by_our_clock { ended(&tokens) } else { tokens };
        session.start(&started_with).unwrap();
        sandbox.advance(Duration::from_secs(advance));
        assert_eq!(session.logout().unwrap(), LoggedOut::Confirmed);
        let refresh_token = started_with.refresh_token().unwrap();
        assert_eq!(client.refresh(refresh_token.expose()).unwrap_err().status(), Status::LoginRequired);
        assert!(!session.health().logged_in);
    }
    assert_eq!(session.logout().unwrap(), LoggedOut::AlreadyGone);
}

#[test]
fn logout_of_a_login_that_the_server_knows_no_more_clears_it() {
    let sandbox = sandbox();
    let (session, tokens) = started(&sandbox, MemoryStore::new());
    client(&sandbox, |_| {}).logout(tokens.access_token().expose()).unwrap();
    assert_eq!(session.logout().unwrap(), LoggedOut::AlreadyGone);
    assert_eq!(session.tokens().unwrap_err().status(), Status::LoginRequired);
}

#[test]
fn a_logout_that_the_server_could_not_be_told_of_keeps_the_login_until_it_is_forgotten() {
    let sandbox = sandbox();
    let (session, tokens) = started(&sandbox, MemoryStore::new());
    sandbox.set_faults(&[Fault::Status503.always()]).unwrap();
    assert_eq!(session.logout().unwrap_err().status(), Status::Server);
    assert_eq!(session.tokens().unwrap(), tokens);
    session.forget().unwrap();
    assert_eq!(session.tokens().unwrap_err().status(), Status::LoginRequired);
}

#[test]
fn tokens_that_the_store_refuses_are_handed_out_and_saved_later() {
    let lifetime = Duration::from_secs(8);
    let sandbox = Sandbox::start(Options { access_token_lifetime: lifetime, ..Options::default() }).unwrap();
    let store = Arc::new(Told::default());
    let client = client(&sandbox, |_| {});
    let old = log_in(&sandbox, &client);
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&old).unwrap();
    store.refuse_saves.store(true, Ordering::SeqCst);
    let new = session.rejected(&old).unwrap();
    assert_ne!(new, old);
    let health = session.health();
    assert!(!health.saved);
    let error = health.last_error.unwrap();
    assert_eq!(error.status(), Status::Store);
    assert!(error.message().contains("no room for"), "{error}");
    for secret in [old.access_token(), new.access_token(), new.refresh_token().unwrap()] {
        assert!(!error.message().contains(secret.expose()), "{error}");
    }
    // What is in the store is older, and is not taken for newer.
    assert_eq!(session.tokens().unwrap(), new);

    store.refuse_saves.store(false, Ordering::SeqCst);
    until("saved again", || {
        assert_eq!(session.tokens().unwrap(), new);
        session.health().saved
    });
    assert_eq!(refreshes(&sandbox), 1);
    assert_eq!(Session::open_shared(&client, store).unwrap().tokens().unwrap(), new);
}

#[test]
fn a_damaged_record_is_reported_and_given_up_only_by_forget() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let store = Arc::new(MemoryStore::new());
    let session = Session::open_shared(&client, store.clone()).unwrap();
    let damaged = Secret::new("{\"cmauth\":1,");
    store.save(&damaged, 1).unwrap();
    let reopened = Session::open_shared(&client, store.clone()).unwrap();
    let health = reopened.health();
    assert!(!health.logged_in && health.last_error.unwrap().message().contains("call forget"));
    assert_eq!(reopened.tokens().unwrap_err().status(), Status::Store);
    for error in [session.start(&tokens).unwrap_err(), session.tokens().unwrap_err(), session.logout().unwrap_err()] {
        assert_eq!(error.status(), Status::Store, "{error}");
        assert!(error.message().contains("call forget"), "{error}");
    }
    assert_eq!(store.load().unwrap(), Some(damaged));
    reopened.forget().unwrap();
    reopened.start(&tokens).unwrap();
    assert_eq!(reopened.tokens().unwrap(), tokens);
}

#[test]
fn a_login_of_another_key_or_server_is_neither_sent_nor_cleared_and_can_be_given_up() {
    let (sandbox, elsewhere) = (sandbox(), sandbox());
    let store = Arc::new(MemoryStore::new());
    let owner = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &owner);
    let session = Session::open_shared(&owner, store.clone()).unwrap();
    session.start(&ended(&tokens)).unwrap();
    let kept = store.load().unwrap();
    let mut key = Config::new("another.key", "secret");
    key.set_base_url(sandbox.url()).set_proxy(Some(""));
    for (client, differs) in
        [(Client::new(&key).unwrap(), "\"another.key\""), (client(&elsewhere, |_| {}), elsewhere.url())]
    {
        let stranger = Session::open_shared(&client, store.clone()).unwrap();
        let errors = [
            stranger.tokens().unwrap_err(),
            stranger.rejected(&tokens).unwrap_err(),
            stranger.start(&tokens).unwrap_err(),
            stranger.logout().unwrap_err(),
            stranger.health().last_error.unwrap(),
        ];
        for error in errors {
            assert_eq!((error.status(), error.advice()), (Status::Store, Advice::Fix), "{error}");
            assert!(error.message().contains(differs), "{error}");
        }
    }
    assert_eq!((refreshes(&sandbox), elsewhere.requests().len()), (0, 0));
    assert_eq!(store.load().unwrap(), kept);
    assert_ne!(session.tokens().unwrap(), tokens, "its owner goes on");

    let stranger = Session::open_shared(&Client::new(&key).unwrap(), store.clone()).unwrap();
    stranger.forget().unwrap();
    assert_eq!(store.load().unwrap(), None);
}

#[test]
fn a_record_of_0_1_is_used_and_gains_its_owner_at_the_next_save() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let store = Arc::new(MemoryStore::new());
    store.save(&record(&tokens, 7, 0, 1_000_000), 7).unwrap();
    let session = Session::open_shared(&client, store.clone()).unwrap();
    assert_eq!(session.tokens().unwrap(), tokens);
    session.rejected(&tokens).unwrap();
    let kept = store.load().unwrap().unwrap();
    assert!(kept.expose().contains("\"client_id\":\"cameramanager.test\""), "the record names its owner");
    assert!(kept.expose().contains(sandbox.url()), "the record names its server");
}

#[test]
fn a_session_refreshes_with_the_scope_that_was_granted() {
    let sandbox = sandbox();
    // Asked for more than what the user allowed: such a scope at a refresh would be refused, and end the login.
    for configured in ["read write", "write"] {
        let client = client(&sandbox, |config| _ = config.set_scope(configured));
        let granted = client.exchange_code(&sandbox.make_code_with_scope(REDIRECT_URI, "read"), REDIRECT_URI).unwrap();
        assert_eq!(granted.scope(), Some("read"));
        let session = Session::open(&client, MemoryStore::new()).unwrap();
        session.start(&granted).unwrap();
        assert_eq!(session.rejected(&granted).unwrap().scope(), Some("read"));
        session.logout().unwrap();
    }
}

#[test]
fn who_can_have_tokens_that_have_not_ended_waits_a_moment_for_a_slow_server_and_the_next_not_at_all() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_timeout(Duration::from_secs(20)));
    let tokens = log_in(&sandbox, &client);
    let store = MemoryStore::new();
    store.save(&record(&tokens, 7, 40_000_000, -1000), 7).unwrap();
    let session = Session::open(&client, store).unwrap();
    sandbox.set_faults(&[Fault::SilenceBeforeHead.once()]).unwrap();
    let begun = Instant::now();
    assert!(all_at_once(|| session.tokens().unwrap()).iter().all(|given| *given == tokens));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let again = Instant::now();
    for _ in 0..100 {
        assert_eq!(session.tokens().unwrap(), tokens);
    }
    assert!(again.elapsed() < Duration::from_millis(500), "{:?}", again.elapsed());
    assert_eq!(refreshes(&sandbox), 1);
    client.cancel();
}

#[test]
fn a_save_that_the_disk_refused_gives_way_to_one_of_the_same_generation() {
    let sandbox = sandbox();
    let store = Arc::new(Told::default());
    let client = client(&sandbox, |_| {});
    let old = log_in(&sandbox, &client);
    let (first, second) =
        (Session::open_shared(&client, store.clone()).unwrap(), Session::open_shared(&client, store.clone()).unwrap());
    first.start(&old).unwrap();
    store.refuse_saves.store(true, Ordering::SeqCst);
    let lost = first.rejected(&old).unwrap();
    store.refuse_saves.store(false, Ordering::SeqCst);
    let newer = second.rejected(&old).unwrap();
    assert_eq!(first.health().generation, second.health().generation);
    assert_eq!(first.rejected(&lost).unwrap(), newer);
    assert_eq!(refreshes(&sandbox), 2);
}

#[test]
fn a_holder_that_slept_through_its_lock_takes_what_is_newer() {
    let sandbox = sandbox();
    let store = Arc::new(Told::default());
    let client = client(&sandbox, |_| {});
    let old = log_in(&sandbox, &client);
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&old).unwrap();
    let generation = session.health().generation;
    // While this one is refreshing, its lock expires and another holder saves: here, from within the save.
    struct Overtaken(Arc<Told>, Mutex<Option<(Secret, u64)>>);
    impl Store for Overtaken {
        fn load(&self) -> Result<Option<Secret>, StoreError> {
            self.0.load()
        }
        fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError> {
            match self.1.lock().unwrap().take() {
                None => self.0.save(record, generation),
                Some((theirs, their_generation)) => {
                    self.0.memory.save(&theirs, their_generation)?;
                    Err(StoreError::Newer)
                }
            }
        }
        fn clear(&self, generation: u64) -> Result<(), StoreError> {
            self.0.clear(generation)
        }
        fn try_lock(&self, hold: Duration) -> Result<bool, StoreError> {
            self.0.try_lock(hold)
        }
        fn unlock(&self) {
            self.0.unlock();
        }
    }
    let theirs = Tokens::from_json(r#"{"access_token":"theirs:1","refresh_token":"r:1","expires_at":99999999999}"#);
    let theirs = theirs.unwrap();
    let text = record(&theirs, generation + 1, 0, 1_000_000);
    let slow = Session::open(&client, Overtaken(store, Mutex::new(Some((text, generation + 1))))).unwrap();
    assert_eq!(slow.rejected(&old).unwrap(), theirs);
    assert_eq!(session.rejected(&old).unwrap(), theirs);
}

#[test]
fn a_lock_that_somebody_keeps_is_an_error_within_the_deadline() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_timeout(Duration::from_millis(400)));
    let store = Arc::new(Told::default());
    let session = Session::open_shared(&client, store.clone()).unwrap();
    store.busy.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    for result in all_at_once(|| session.start(&ended(&log_in_json()))) {
        let error = result.unwrap_err();
        assert!(matches!(error.status(), Status::Store | Status::Timeout), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}

fn log_in_json() -> Tokens {
    Tokens::from_json(r#"{"access_token":"a:1","refresh_token":"r:1","expires_at":1700000000}"#).unwrap()
}

#[test]
fn cancel_ends_the_wait_for_a_lock_and_for_somebody_else_s_refresh() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_timeout(Duration::from_secs(60)));
    let store = Arc::new(Told::default());
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&ended(&log_in_json())).unwrap();
    store.busy.store(true, Ordering::SeqCst);
    let begun = thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| session.tokens())).collect();
        until("waiting", || Arc::strong_count(&store) == 2 && store.locked.load(Ordering::SeqCst) == 0);
        let begun = Instant::now();
        client.cancel();
        for caller in callers {
            assert_eq!(caller.join().unwrap().unwrap_err().status(), Status::Cancelled);
        }
        begun
    });
    // 100 ms are promised; the rest is for a machine that is busy with other tests.
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
}

#[test]
fn a_leader_who_is_interrupted_leaves_the_others_to_go_on() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_timeout(Duration::from_secs(20)));
    let tokens = log_in(&sandbox, &client);
    // Such a store is called by the threads that call the session alone: one of them leads.
    let session = Session::open(&client, Told::default()).unwrap();
    session.start(&tokens).unwrap();
    sandbox.set_faults(&[Fault::SilenceBeforeHead.once()]).unwrap();
    let (stop, stopped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    thread::scope(|scope| {
        let leader = scope.spawn({
            let (session, tokens, stop) = (session.clone(), tokens.clone(), stop.clone());
            move || interruptible(move || stop.load(Ordering::Acquire), || session.rejected(&tokens))
        });
        until("the leader's request", || refreshes(&sandbox) == 1);
        let other = scope.spawn(|| {
            stopped.store(true, Ordering::Release);
            session.rejected(&tokens)
        });
        until("the other thread", || stopped.load(Ordering::Acquire));
        stop.store(true, Ordering::Release);
        assert_eq!(leader.join().unwrap().unwrap_err().status(), Status::Cancelled);
        assert_ne!(other.join().unwrap().unwrap().access_token(), tokens.access_token());
    });
    assert_eq!(session.health().failures, 0);
}

#[test]
fn a_panic_in_a_flight_is_told_to_those_who_wait_and_wedges_nothing() {
    let sandbox = sandbox();
    let store = Arc::new(Told::default());
    let client = client(&sandbox, |_| {});
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&ended(&log_in(&sandbox, &client))).unwrap();
    store.panic_in_load.store(true, Ordering::SeqCst);
    let results = all_at_once(|| cmauth::bindings::catch_panic(|| session.tokens()).and_then(|result| result));
    assert!(results.iter().any(|result| result.as_ref().is_err_and(|error| error.status() == Status::Internal)));
    assert!(!session.tokens().unwrap().access_token().expose().is_empty());
    assert_eq!(store.locked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_change_is_told_outside_all_locks_with_a_growing_generation() {
    let sandbox = sandbox();
    let (session, old) = started(&sandbox, MemoryStore::new());
    let last = Arc::new(AtomicU64::new(session.health().generation));
    session.on_change({
        let (last, session) = (last.clone(), session.clone());
        move |generation| {
            assert!(generation > last.swap(generation, Ordering::SeqCst));
            // It may use the session, even to change it.
            session.tokens().unwrap();
        }
    });
    let new = session.rejected(&old).unwrap();
    assert_eq!(last.load(Ordering::SeqCst), session.health().generation);
    assert_eq!(session.tokens().unwrap(), new);
    session.on_change(|_| {});
}

#[test]
fn tokens_of_no_lifetime_at_all_are_refreshed_at_each_call_and_no_more() {
    let lifetime = Duration::from_secs(1);
    let sandbox = Sandbox::start(Options { access_token_lifetime: lifetime, ..Options::default() }).unwrap();
    let (session, _) = started(&sandbox, MemoryStore::new());
    for calls in 1..=3 {
        session.tokens().unwrap();
        assert!(refreshes(&sandbox) <= calls);
    }
    assert!(refreshes(&sandbox) > 0);
}

#[test]
fn nothing_about_a_session_shows_a_token() {
    let sandbox = sandbox();
    let (session, tokens) = started(&sandbox, MemoryStore::new());
    let shown = format!("{session:?} {:?} {:?}", session.health(), MemoryStore::new());
    for secret in [tokens.access_token(), tokens.refresh_token().unwrap()] {
        assert!(!shown.contains(secret.expose()), "{shown}");
    }
}

/// A server that takes connections and answers nothing.
fn silent_server() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    url
}

#[test]
fn of_more_sessions_than_there_are_threads_none_waits_for_a_silent_server_while_its_tokens_live() {
    let mut config = Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
    config.set_base_url(&silent_server()).set_proxy(Some("")).set_timeout(Duration::from_secs(5));
    let client = Client::new(&config).unwrap();
    let sessions: Vec<_> = (0..100)
        .map(|_| {
            let (refresh, ends) = (Some(Secret::new("r:1")), Some(unix_ms() / 1000 + 3600));
            let tokens = Tokens::new(Secret::new("a:1"), refresh, "bearer".to_owned(), None, ends);
            let store = MemoryStore::new();
            store.save(&record(&tokens, 1, 10_000_000, -1000), 1).unwrap();
            Session::open(&client, store).unwrap()
        })
        .collect();
    let begun = Instant::now();
    thread::scope(|scope| {
        for session in &sessions {
            scope.spawn(|| session.tokens().unwrap());
        }
    });
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    client.cancel();
}

/// Two refreshes from the same tokens, of which the store refused the first, have the same generation.
#[test]
fn a_change_is_told_also_where_the_generation_stays() {
    let sandbox = sandbox();
    let store = Arc::new(Told::default());
    let first = log_in(&sandbox, &client(&sandbox, |_| {}));
    let a = Session::open_shared(&client(&sandbox, |_| {}), store.clone()).unwrap();
    a.start(&first).unwrap();
    let told = Arc::new(AtomicU32::new(0));
    let counted = told.clone();
    a.on_change(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    store.refuse_saves.store(true, Ordering::SeqCst);
    let second = a.rejected(&first).unwrap();
    assert_eq!((a.health().saved, told.load(Ordering::SeqCst)), (false, 1));
    store.refuse_saves.store(false, Ordering::SeqCst);
    let b = Session::open_shared(&client(&sandbox, |_| {}), store).unwrap();
    let third = b.rejected(&first).unwrap();
    assert_eq!(a.rejected(&second).unwrap(), third);
    assert_eq!(told.load(Ordering::SeqCst), 2);
}

/// A record that somebody edited, and a store that answers -1.
#[test]
fn the_largest_generation_there_is_ends_no_call() {
    #[derive(Default)]
    struct Odd(MemoryStore);
    impl Store for Odd {
        fn load(&self) -> Result<Option<Secret>, StoreError> {
            self.0.load()
        }
        fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError> {
            self.0.save(record, generation)
        }
        fn clear(&self, generation: u64) -> Result<(), StoreError> {
            self.0.clear(generation)
        }
        fn try_lock(&self, hold: Duration) -> Result<bool, StoreError> {
            self.0.try_lock(hold)
        }
        fn unlock(&self) {
            self.0.unlock();
        }
        fn generation(&self) -> Result<u64, StoreError> {
            Ok(u64::MAX)
        }
    }
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let store = Arc::new(Odd::default());
    store.save(&record(&tokens, u64::MAX, 1000, 1_000_000), 1).unwrap();
    let session = Session::open_shared(&client, store).unwrap();
    let tokens = session.rejected(&tokens).unwrap();
    assert_eq!(session.health().generation, u64::MAX);
    session.start(&tokens).unwrap();
    session.forget().unwrap();
    session.start(&tokens).unwrap();
    assert_eq!(session.logout().unwrap(), LoggedOut::Confirmed);
}

/// As a store does whose methods lock a mutex and unwrap: a panic under it poisons it, and so the next method panics, too.
#[derive(Default)]
struct Poisoned {
    memory: MemoryStore,
    panic_in_save: AtomicBool,
    panic_in_load: AtomicBool,
    panic_in_unlock: AtomicBool,
}

impl Store for Poisoned {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        assert!(!self.panic_in_load.load(Ordering::SeqCst), "told to");
        self.memory.load()
    }

    fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError> {
        assert!(!self.panic_in_save.load(Ordering::SeqCst), "told to");
        self.memory.save(record, generation)
    }

    fn clear(&self, generation: u64) -> Result<(), StoreError> {
        self.memory.clear(generation)
    }

    fn try_lock(&self, hold: Duration) -> Result<bool, StoreError> {
        self.memory.try_lock(hold)
    }

    fn unlock(&self) {
        self.memory.unlock();
        assert!(!self.panic_in_unlock.load(Ordering::SeqCst), "told to");
    }
}

#[test]
fn a_store_that_panics_in_a_save_loses_no_login() {
    let sandbox = Sandbox::start(Options { rotate_refresh_tokens: true, ..Options::default() }).unwrap();
    let client = client(&sandbox, |_| {});
    let first = log_in(&sandbox, &client);
    let store = Arc::new(Poisoned::default());
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&first).unwrap();
    store.panic_in_save.store(true, Ordering::SeqCst);
    let second = session.rejected(&first).unwrap();
    assert!(sandbox.accepts(second.access_token().expose()) && !session.health().saved);
    store.panic_in_save.store(false, Ordering::SeqCst);
    until("saved", || session.tokens().is_ok() && session.health().saved);
    assert_eq!(Session::open_shared(&client, store).unwrap().tokens().unwrap(), second);
}

#[test]
fn a_store_that_panics_in_its_unlock_after_another_panic_ends_no_process() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let store = Arc::new(Poisoned::default());
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&tokens).unwrap();
    store.panic_in_load.store(true, Ordering::SeqCst);
    store.panic_in_unlock.store(true, Ordering::SeqCst);
    let call = std::panic::AssertUnwindSafe(|| session.rejected(&tokens));
    assert!(std::panic::catch_unwind(call).is_err());
    store.panic_in_load.store(false, Ordering::SeqCst);
    store.panic_in_unlock.store(false, Ordering::SeqCst);
    assert_ne!(session.rejected(&tokens).unwrap(), tokens);
}
