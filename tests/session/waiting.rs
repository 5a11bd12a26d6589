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
