//! How long a call waits for the server, the store or another call.

use super::*;

#[test]
fn a_caller_with_unexpired_tokens_waits_one_second_for_a_slow_server_and_the_next_caller_does_not_wait() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_timeout(Duration::from_secs(20)));
    let tokens = log_in(&sandbox, &client);
    let store = MemoryStore::new();
    store.save(&record(&tokens, 7, 40_000_000, -1000), 7).unwrap();
    let session = Session::open(&client, store).unwrap();
    sandbox.set_faults(&[Fault::SilenceBeforeHead.once()]).unwrap();
    let start = Instant::now();
    assert!(all_at_once(|| session.tokens().unwrap()).iter().all(|other| *other == tokens));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let again = Instant::now();
    for _ in 0..100 {
        assert_eq!(session.tokens().unwrap(), tokens);
    }
    assert!(again.elapsed() < Duration::from_millis(500), "{:?}", again.elapsed());
    assert_eq!(refreshes(&sandbox), 1);
    client.cancel();
}

#[test]
fn a_lock_that_is_never_released_is_an_error_within_the_timeout() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_timeout(Duration::from_millis(400)));
    let store = Arc::new(ScriptedStore::default());
    let session = Session::open_shared(&client, store.clone()).unwrap();
    store.busy.store(true, Ordering::SeqCst);
    let start = Instant::now();
    for result in all_at_once(|| session.start(&expired_tokens())) {
        let error = result.unwrap_err();
        assert!(matches!(error.status(), Status::Store | Status::Timeout), "{error}");
    }
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
}

#[test]
fn cancel_ends_the_wait_for_a_lock_and_for_another_callers_flight() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_timeout(Duration::from_secs(60)));
    let store = Arc::new(ScriptedStore::default());
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&expired_tokens()).unwrap();
    store.busy.store(true, Ordering::SeqCst);
    let start = thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| session.tokens())).collect();
        until("waiting", || Arc::strong_count(&store) == 2 && store.locked.load(Ordering::SeqCst) == 0);
        let start = Instant::now();
        client.cancel();
        for caller in callers {
            assert_eq!(caller.join().unwrap().unwrap_err().status(), Status::Cancelled);
        }
        start
    });
    // The promise is 100 ms. The rest is a margin for a busy machine.
    assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
}

#[test]
fn after_an_interrupted_leader_another_caller_leads() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_timeout(Duration::from_secs(20)));
    let tokens = log_in(&sandbox, &client);
    // Only the calling threads may call such a store, so one of them leads.
    let session = Session::open(&client, ScriptedStore::default()).unwrap();
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

/// A server that accepts connections and never responds.
fn silent_server() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    url
}

#[test]
fn with_more_sessions_than_threads_no_call_with_unexpired_tokens_waits_for_a_silent_server() {
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
    let start = Instant::now();
    thread::scope(|scope| {
        for session in &sessions {
            scope.spawn(|| session.tokens().unwrap());
        }
    });
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
    client.cancel();
}

#[test]
fn after_a_cancel_every_call_of_the_session_is_cancelled_even_with_valid_tokens() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let session = Session::open(&client, MemoryStore::new()).unwrap();
    session.start(&tokens).unwrap();
    assert!(session.tokens_at_hand().is_some());
    let assert_cancelled = || {
        let errors = [
            ("open", Session::open(&client, MemoryStore::new()).unwrap_err()),
            ("start", session.start(&tokens).unwrap_err()),
            ("tokens", session.tokens().unwrap_err()),
            ("rejected", session.rejected(&tokens).unwrap_err()),
            ("with_tokens", session.with_tokens(|_| Answer::Done(())).unwrap_err()),
            ("logout", session.logout().unwrap_err()),
            ("forget", session.forget().unwrap_err()),
        ];
        for (call, error) in errors {
            assert_eq!((call, error.status()), (call, Status::Cancelled));
        }
        assert!(session.tokens_at_hand().is_none());
        assert!(session.health().logged_in, "nothing has changed");
    };
    let cancel = Cancel::new();
    cancel.cancel();
    cancel.scope(assert_cancelled);
    assert_eq!(session.tokens().unwrap(), tokens);
    client.cancel();
    assert_cancelled();
}

#[test]
fn a_cancel_ends_the_calls_of_its_scope_and_no_others() {
    let sandbox = sandbox();
    let (session, tokens) = logged_in_session(&sandbox, MemoryStore::new());
    sandbox.set_faults(&[Fault::SilenceBeforeHead.once()]).unwrap();
    let cancel = Cancel::new();
    thread::scope(|scope| {
        let logout = scope.spawn(|| cancel.scope(|| session.logout()));
        until("the request", || sandbox.requests().iter().any(|request| request.target.contains("tokens/current")));
        let begun = Instant::now();
        cancel.cancel();
        assert_eq!(logout.join().unwrap().unwrap_err().status(), Status::Cancelled);
        assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    });
    assert_eq!(session.tokens().unwrap(), tokens);
    session.logout().unwrap();
}

/// A store whose `load` takes a while once it is told to.
#[derive(Default)]
struct SlowStore {
    memory: MemoryStore,
    slow: AtomicBool,
    time_left: Mutex<Option<Duration>>,
}

impl Store for SlowStore {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        *self.time_left.lock().unwrap() = cmauth::store_time_left();
        if self.slow.load(Ordering::SeqCst) {
            // No test waits for this: it is the behaviour of the store.
            thread::sleep(Duration::from_millis(600));
        }
        self.memory.load()
    }

    fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError> {
        self.memory.save(record, generation)
    }

    fn clear(&self, generation: u64) -> Result<(), StoreError> {
        self.memory.clear(generation)
    }

    fn try_lock(&self, hold: Duration) -> Result<bool, StoreError> {
        self.memory.try_lock(hold)
    }

    fn unlock(&self) -> Result<(), StoreError> {
        self.memory.unlock()
    }
}

#[test]
fn a_timeout_that_a_slow_store_caused_is_blamed_on_the_store() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_timeout(Duration::from_millis(400)));
    let store = Arc::new(SlowStore::default());
    let session = Session::open_shared(&client, store.clone()).unwrap();
    let left = store.time_left.lock().unwrap().unwrap();
    assert_eq!(left, Duration::from_secs(1), "a short timeout leaves the store a second");
    session.start(&expired_tokens()).unwrap();
    store.slow.store(true, Ordering::SeqCst);
    let error = session.tokens().unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
    assert!(error.message().starts_with("the store's load took 0.6 s"), "{error}");
}

#[test]
fn with_tokens_calls_again_with_other_tokens_after_a_rejection() {
    let sandbox = sandbox();
    let (session, old) = logged_in_session(&sandbox, MemoryStore::new());
    let mut seen = Vec::new();
    let used = session.with_tokens(|tokens| {
        seen.push(tokens.clone());
        if *tokens == old { Answer::Rejected } else { Answer::Done(7) }
    });
    assert_eq!(used.unwrap(), 7);
    assert_eq!(seen, [old, session.tokens().unwrap()]);
    let error = session.with_tokens(|_| Answer::<()>::Rejected).unwrap_err();
    assert_eq!((error.status(), error.advice()), (Status::TokenRejected, Advice::Retry));
}

#[test]
fn a_rejection_needs_the_access_token_only() {
    let sandbox = sandbox();
    let (session, old) = logged_in_session(&sandbox, MemoryStore::new());
    let new = session.rejected_token(old.access_token().expose()).unwrap();
    assert_ne!(new, old);
    assert_eq!(session.rejected_token(old.access_token().expose()).unwrap(), new);
}
