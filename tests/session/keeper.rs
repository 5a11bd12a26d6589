//! The keeper refreshes the tokens without a call of the program.

use super::*;

/// A record of tokens that are due now, and expire in an hour.
fn due_record(tokens: &Tokens) -> Secret {
    record(tokens, 7, 40_000_000, -1000)
}

#[test]
fn kept_sessions_get_new_tokens_in_time_and_the_callback_is_called() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let sessions: Vec<_> = (0..3)
        .map(|i| {
            let tokens = log_in(&sandbox, &client);
            // The last one is a store that may not be called from the background.
            let memory = MemoryStore::new();
            memory.save(&due_record(&tokens), 7).unwrap();
            let scripted = ScriptedStore { memory, ..ScriptedStore::default() };
            let session = if i == 2 {
                Session::open(&client, scripted).unwrap()
            } else {
                Session::open(&client, scripted.memory).unwrap()
            };
            (session, tokens)
        })
        .collect();
    let changed = Arc::new(AtomicU32::new(0));
    for (session, _) in &sessions {
        let changed = changed.clone();
        session.on_change(move |change, _| {
            assert_eq!(change, Change::Tokens);
            changed.fetch_add(1, Ordering::SeqCst);
        });
        assert!(!session.health().kept_fresh);
        session.keep_fresh(true);
        assert!(session.health().kept_fresh);
    }
    until("all are refreshed", || changed.load(Ordering::SeqCst) == 3);
    assert_eq!(refreshes(&sandbox), 3);
    for (session, old) in &sessions {
        assert_ne!(session.tokens_at_hand().unwrap().access_token(), old.access_token());
        session.keep_fresh(false);
        assert!(!session.health().kept_fresh);
    }
}

#[test]
fn a_login_wakes_the_keeper() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let session = Session::open(&client, MemoryStore::new()).unwrap();
    session.keep_fresh(true);
    // Such tokens are refreshed at once.
    let tokens = expired(&log_in(&sandbox, &client));
    session.start(&tokens).unwrap();
    until("the refresh", || session.tokens_at_hand().is_some_and(|new| new.access_token() != tokens.access_token()));
}

#[test]
fn the_keeper_asks_a_failing_server_and_a_silent_one_rarely() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_timeout(Duration::from_millis(1500)));
    let tokens = log_in(&sandbox, &client);
    let store = MemoryStore::new();
    store.save(&due_record(&tokens), 7).unwrap();
    sandbox.set_faults(&[Fault::SilenceBeforeHead.always()]).unwrap();
    let session = Session::open(&client, store).unwrap();
    session.keep_fresh(true);
    until("a failure", || session.health().failures > 0);
    assert!(refreshes(&sandbox) <= 2, "{}", refreshes(&sandbox));
    assert_eq!(session.tokens().unwrap(), tokens);
    client.cancel();
    until("the end of the keeping", || !session.health().kept_fresh);
}

#[test]
fn the_keeper_holds_no_session_that_the_program_has_freed() {
    let sandbox = sandbox();
    let store = Arc::new(ScriptedStore::default());
    let session = Session::open_shared(&client(&sandbox, |_| {}), store.clone()).unwrap();
    session.start(&log_in(&sandbox, &client(&sandbox, |_| {}))).unwrap();
    session.keep_fresh(true);
    drop(session);
    until("nothing else has the store", || Arc::strong_count(&store) == 1);
}
