//! The beginning and the end of a login, and what the program learns about it.

use super::*;

#[test]
fn no_user_is_logged_in_until_start() {
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
    // Between 75 % and 95 % of 12 hours.
    assert!((end - 43200 / 4 - 2..end - 43200 / 20 + 2).contains(&at), "{at} {end}");
    assert_eq!(refreshes(&sandbox), 0);
}

#[test]
fn a_session_survives_a_restart() {
    let sandbox = sandbox();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    Session::open_shared(&client, store.clone()).unwrap().start(&tokens).unwrap();
    assert_eq!(Session::open_shared(&client, store).unwrap().tokens().unwrap(), tokens);
    assert_eq!(refreshes(&sandbox), 0);
}

#[test]
fn only_a_rejected_refresh_token_ends_the_login_and_clears_the_store() {
    let sandbox = sandbox();
    let store = Arc::new(MemoryStore::new());
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&tokens).unwrap();
    let changes = Arc::new(Mutex::new(Vec::new()));
    session.on_change({
        let changes = changes.clone();
        move |change, generation| changes.lock().unwrap().push((change, generation))
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
    assert_eq!(*changes.lock().unwrap(), [(Change::EndedByServer, generation + 1)]);

    // A new login.
    session.start(&log_in(&sandbox, &client)).unwrap();
    let changes = changes.lock().unwrap();
    assert!(changes.len() == 2 && changes[1].0 == Change::Tokens && changes[1].1 > generation + 1, "{changes:?}");
}

#[test]
fn a_session_without_a_user_finds_a_login_of_another_session() {
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
fn logout_refreshes_expired_tokens_so_that_the_refresh_token_ends_too() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let session = Session::open(&client, MemoryStore::new()).unwrap();
    // Expired by the client's clock, or by the server's clock only.
    for (by_client_clock, advance) in [(true, 0), (false, 50_000)] {
        let tokens = log_in(&sandbox, &client);
        let started_with = if by_client_clock { expired(&tokens) } else { tokens };
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
fn logout_of_a_login_that_the_server_does_not_know_clears_the_store() {
    let sandbox = sandbox();
    let (session, tokens) = logged_in_session(&sandbox, MemoryStore::new());
    client(&sandbox, |_| {}).logout(tokens.access_token().expose()).unwrap();
    assert_eq!(session.logout().unwrap(), LoggedOut::AlreadyGone);
    assert_eq!(session.tokens().unwrap_err().status(), Status::LoginRequired);
}

#[test]
fn after_a_failed_logout_the_login_remains_until_forget() {
    let sandbox = sandbox();
    let (session, tokens) = logged_in_session(&sandbox, MemoryStore::new());
    sandbox.set_faults(&[Fault::Status503.always()]).unwrap();
    assert_eq!(session.logout().unwrap_err().status(), Status::Server);
    assert_eq!(session.tokens().unwrap(), tokens);
    session.forget().unwrap();
    assert_eq!(session.tokens().unwrap_err().status(), Status::LoginRequired);
}

#[test]
fn the_callback_runs_without_locks_and_its_generation_grows() {
    let sandbox = sandbox();
    let (session, old) = logged_in_session(&sandbox, MemoryStore::new());
    let last = Arc::new(AtomicU64::new(session.health().generation));
    session.on_change({
        let (last, session) = (last.clone(), session.clone());
        move |_, generation| {
            assert!(generation > last.swap(generation, Ordering::SeqCst));
            // The callback may call the session.
            session.tokens().unwrap();
        }
    });
    let new = session.rejected(&old).unwrap();
    assert_eq!(last.load(Ordering::SeqCst), session.health().generation);
    assert_eq!(session.tokens().unwrap(), new);
    session.on_change(|_, _| {});
}

#[test]
fn the_callback_says_who_ended_the_login() {
    let sandbox = sandbox();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let client = client(&sandbox, |_| {});
    let [one, two] = [(), ()].map(|()| Session::open_shared(&client, store.clone()).unwrap());
    let changes = Arc::new(Mutex::new(Vec::new()));
    for (name, session) in [("one", &one), ("two", &two)] {
        let changes = changes.clone();
        session.on_change(move |change, _| changes.lock().unwrap().push((name, change)));
    }
    let take = || std::mem::take(&mut *changes.lock().unwrap());
    one.start(&log_in(&sandbox, &client)).unwrap();
    two.tokens().unwrap();
    assert_eq!(take(), [("one", Change::Tokens), ("two", Change::Tokens)]);
    one.logout().unwrap();
    assert_eq!(take(), [("one", Change::EndedHere)]);
    // It is noticed when the store is read.
    let rejected = two.tokens().unwrap();
    two.rejected(&rejected).unwrap_err();
    assert_eq!(take(), [("two", Change::EndedElsewhere)]);
    two.start(&log_in(&sandbox, &client)).unwrap();
    two.forget().unwrap();
    assert_eq!(take(), [("two", Change::Tokens), ("two", Change::EndedHere)]);
}

/// If the store refuses the first of two refreshes of the same tokens, both have the same generation.
#[test]
fn a_change_is_reported_even_if_the_generation_stays_the_same() {
    let sandbox = sandbox();
    let store = Arc::new(ScriptedStore::default());
    let first = log_in(&sandbox, &client(&sandbox, |_| {}));
    let a = Session::open_shared(&client(&sandbox, |_| {}), store.clone()).unwrap();
    a.start(&first).unwrap();
    let changes = Arc::new(AtomicU32::new(0));
    let counted = changes.clone();
    a.on_change(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    store.refuse_saves.store(true, Ordering::SeqCst);
    let second = a.rejected(&first).unwrap();
    assert_eq!((a.health().saved, changes.load(Ordering::SeqCst)), (false, 1));
    store.refuse_saves.store(false, Ordering::SeqCst);
    let b = Session::open_shared(&client(&sandbox, |_| {}), store).unwrap();
    let third = b.rejected(&first).unwrap();
    assert_eq!(a.rejected(&second).unwrap(), third);
    assert_eq!(changes.load(Ordering::SeqCst), 2);
}

#[test]
fn debug_output_and_health_contain_no_token() {
    let sandbox = sandbox();
    let (session, tokens) = logged_in_session(&sandbox, MemoryStore::new());
    let shown = format!("{session:?} {:?} {:?}", session.health(), MemoryStore::new());
    for secret in [tokens.access_token(), tokens.refresh_token().unwrap()] {
        assert!(!shown.contains(secret.expose()), "{shown}");
    }
}
