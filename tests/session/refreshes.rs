//! Refreshes: once for all callers, and not too often.

use super::*;

#[test]
fn expired_tokens_are_refreshed_once_for_all_callers() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let old = log_in(&sandbox, &client);
    let session = Session::open(&client, MemoryStore::new()).unwrap();
    session.start(&expired(&old)).unwrap();
    let all = all_at_once(|| session.tokens().unwrap());
    assert!(all.iter().all(|tokens| *tokens == all[0] && tokens.access_token() != old.access_token()));
    assert_eq!(refreshes(&sandbox), 1);
    // The server keeps the refresh token.
    assert_eq!(all[0].refresh_token(), old.refresh_token());
}

#[test]
fn rejected_tokens_are_refreshed_once_for_all_callers_and_replaced_ones_never() {
    let sandbox = sandbox();
    let (session, old) = logged_in_session(&sandbox, MemoryStore::new());
    let all = all_at_once(|| session.rejected(&old).unwrap());
    assert!(all.iter().all(|tokens| *tokens == all[0] && tokens.access_token() != old.access_token()));
    assert_eq!(refreshes(&sandbox), 1);
    assert_eq!(session.rejected(&old).unwrap(), all[0]);
    assert_eq!(refreshes(&sandbox), 1);
}

/// The cause can be an API that answers 401 to everything, or another installation that ends the access tokens.
#[test]
fn rejected_tokens_below_the_minimum_age_are_not_refreshed() {
    let sandbox = sandbox();
    let store = Arc::new(MemoryStore::new());
    let client = client(&sandbox, |_| {});
    let mut tokens = log_in(&sandbox, &client);
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&tokens).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
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
    // The count is in the store, so another session or a restarted program knows it too.
    let again = Session::open_shared(&client, store).unwrap();
    assert_eq!(again.rejected(&tokens).unwrap_err().status(), Status::TokenRejected);
    assert_eq!(again.tokens().unwrap(), tokens, "they may be valid for other requests");
    assert_eq!(refreshes(&sandbox), 1);
}

#[test]
fn two_installations_with_a_store_each_cause_few_refreshes() {
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
fn retry_after_of_a_failed_server_also_applies_to_expired_and_rejected_tokens() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.set_max_retries(2));
    let old = log_in(&sandbox, &client);
    let sessions = [true, false].map(|has_expired| {
        let session = Session::open(&client, MemoryStore::new()).unwrap();
        session.start(&if has_expired { expired(&old) } else { old.clone() }).unwrap();
        session
    });
    sandbox.set_faults(&[Fault::RetryAfterSeconds.always()]).unwrap();
    for (session, has_expired) in sessions.iter().zip([true, false]) {
        let before = refreshes(&sandbox);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while start.elapsed() < Duration::from_millis(1500) {
                        let result = if has_expired { session.tokens() } else { session.rejected(&old) };
                        let error = result.unwrap_err();
                        assert_eq!(error.status(), Status::Server, "{error}");
                        assert!(error.retry_after().unwrap() <= Duration::from_secs(120));
                        thread::yield_now();
                    }
                });
            }
        });
        // Only one request: its retries would be earlier than Retry-After.
        assert_eq!(refreshes(&sandbox) - before, 1, "has_expired: {has_expired}");
    }
}

#[test]
fn sessions_on_one_store_use_tokens_that_another_refreshed() {
    let sandbox = sandbox();
    let folder = std::env::temp_dir().join(format!("cmauth-holders-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("session");
    let (one, old) = logged_in_session(&sandbox, FileStore::new(&path));
    let client = client(&sandbox, |_| {});
    let others: Vec<_> = (0..4).map(|_| Session::open(&client, FileStore::new(&path)).unwrap()).collect();
    let new = one.rejected(&old).unwrap();
    assert_eq!(others[0].tokens().unwrap(), old, "it has not read the store since");
    // All at once, on four stores of the same file.
    let next = AtomicU32::new(0);
    let all = all_at_once(|| others[next.fetch_add(1, Ordering::SeqCst) as usize % 4].rejected(&old).unwrap());
    assert!(all.iter().all(|tokens| *tokens == new));
    assert_eq!(refreshes(&sandbox), 1);
    // A logout ends the login for all sessions.
    assert_eq!(one.logout().unwrap(), LoggedOut::Confirmed);
    assert_eq!(others[0].rejected(&new).unwrap_err().status(), Status::LoginRequired);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn after_a_failed_early_refresh_unexpired_tokens_are_returned() {
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
    assert_eq!(refreshes(&sandbox), 1, "the next attempt waits");
    let health = session.health();
    assert_eq!((health.failures, health.generation), (1, 7));
    assert_eq!(health.last_error.unwrap().status(), Status::Server);
    assert!(health.next_refresh.unwrap() >= unix_ms() / 1000);
    // Rejected tokens are not returned again.
    assert_eq!(session.rejected(&tokens).unwrap_err().status(), Status::Server);
    assert_eq!(refreshes(&sandbox), 1, "the back-off applies to them too");
    sandbox.set_faults(&[]).unwrap();
    let new = after_back_off(|| session.rejected(&tokens));
    assert_ne!(new, tokens);
    let health = session.health();
    assert_eq!((health.failures, health.generation, health.last_error.is_none()), (0, 8, true));
}

#[test]
fn a_failed_refresh_of_expired_tokens_fails_all_waiting_calls() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let session = Session::open(&client, MemoryStore::new()).unwrap();
    session.start(&expired(&log_in(&sandbox, &client))).unwrap();
    sandbox.set_faults(&[Fault::Status503.always()]).unwrap();
    for result in all_at_once(|| session.tokens()) {
        assert_eq!(result.unwrap_err().status(), Status::Server);
    }
    assert_eq!(refreshes(&sandbox), 1);
    sandbox.set_faults(&[]).unwrap();
    after_back_off(|| session.tokens());
    assert!(session.health().logged_in);
}

#[test]
fn a_session_refreshes_with_the_granted_scope() {
    let sandbox = sandbox();
    // The user granted less than requested. The server would reject a refresh with the requested scope.
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
fn tokens_that_are_issued_expired_cause_at_most_one_refresh_per_call() {
    let lifetime = Duration::from_secs(1);
    let sandbox = Sandbox::start(Options { access_token_lifetime: lifetime, ..Options::default() }).unwrap();
    let (session, _) = logged_in_session(&sandbox, MemoryStore::new());
    for calls in 1..=3 {
        session.tokens().unwrap();
        assert!(refreshes(&sandbox) <= calls);
    }
    assert!(refreshes(&sandbox) > 0);
}
