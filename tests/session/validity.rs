//! Tokens that last for a job: a minimum validity, holds, and signed URLs.

use super::*;

/// A session with tokens that have `left` seconds left.
fn session_with(sandbox: &Sandbox, left: i64, store: &Arc<MemoryStore>) -> Session {
    let client = client(sandbox, |_| {});
    let tokens = log_in(sandbox, &client);
    let (json, at) = (tokens.to_json(), tokens.expires_at().unwrap());
    let short = json.expose().replace(&at.to_string(), &(unix_ms() / 1000 + left).to_string());
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&Tokens::from_json(&short).unwrap()).unwrap();
    session
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn tokens_that_end_too_early_are_refreshed_once_for_all_callers() {
    let sandbox = sandbox();
    let session = session_with(&sandbox, 1800, &Arc::default());
    let old = session.tokens_for(HOUR / 4).unwrap();
    assert_eq!(refreshes(&sandbox), 0, "they last long enough");
    let all = all_at_once(|| session.tokens_for(HOUR).unwrap());
    assert!(all.iter().all(|tokens| *tokens == all[0] && *tokens != old));
    assert!(all[0].expires_in().unwrap() > 3600);
    assert_eq!(refreshes(&sandbox), 1);
    assert_eq!(session.tokens_for(10 * HOUR).unwrap(), all[0]);
    assert_eq!(refreshes(&sandbox), 1);
}

#[test]
fn more_than_a_lifetime_is_refused_with_the_most_that_can_be_asked_for_and_costs_one_refresh() {
    let sandbox = sandbox();
    let store = Arc::default();
    let session = session_with(&sandbox, 1800, &store);
    let again = Session::open_shared(&client(&sandbox, |_| {}), store).unwrap();
    for session in [&session, &session, &again, &again] {
        // Almost the whole lifetime of 43199 s: it would end the tokens of all others again and again.
        for min_validity in [43_300, 86_400, i64::MAX as u64] {
            let error = session.tokens_for(Duration::from_secs(min_validity)).unwrap_err();
            assert_eq!((error.status(), error.advice()), (Status::InvalidArgument, Advice::Fix), "{error}");
            assert!(error.message().contains("at most 388"), "{error}");
        }
        // Whoever gets new tokens knows that their lifetime is the longest.
        assert_eq!(refreshes(&sandbox), 1);
    }
    let at_hand = session.tokens().unwrap();
    assert_eq!(session.tokens_for(Duration::from_secs(43_000)).unwrap(), at_hand, "these last long enough");
}

#[test]
fn a_failure_of_the_server_is_an_error_only_for_callers_whose_tokens_end_too_early() {
    let sandbox = sandbox();
    let session = session_with(&sandbox, 1800, &Arc::default());
    sandbox.set_faults(&[Fault::Status503.always()]).unwrap();
    let error = session.tokens_for(HOUR).unwrap_err();
    assert_eq!((error.status(), error.advice()), (Status::Server, Advice::Retry));
    assert!(error.retry_after().is_some());
    assert!(session.tokens_for(HOUR / 4).is_ok());
    assert!(session.tokens().is_ok());
    assert_eq!(refreshes(&sandbox), 1, "the back-off holds");
}

#[test]
fn a_hold_keeps_early_refreshes_of_all_sessions_on_the_store_away() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let store = Arc::new(MemoryStore::new());
    // The refresh is due.
    store.save(&record(&tokens, 1, 10_000_000, -1000), 1).unwrap();
    let changes = Arc::new(AtomicU32::new(0));
    let [session, other] = [(); 2].map(|()| Session::open_shared(&client, store.clone()).unwrap());
    for session in [&session, &other] {
        let changes = changes.clone();
        session.on_change(move |_, _| _ = changes.fetch_add(1, Ordering::SeqCst));
    }
    // The hold of a session whose refresh is due begins with a refresh, so that the tokens last.
    let held = session.hold(unix_ms() / 1000 + 3600).unwrap();
    assert_eq!(refreshes(&sandbox), 1);
    assert_eq!(changes.load(Ordering::SeqCst), 1, "for the refresh; a hold changes no tokens");
    let until = session.health().held_until.unwrap();
    assert!((unix_ms() / 1000 + 3590..=unix_ms() / 1000 + 3600).contains(&until), "{until}");

    // Now the time of the refresh is made to pass.
    let due = store.load().unwrap().unwrap().expose().to_owned();
    let at = due.split("\"refresh_at\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let past = due.replace(&at, &(unix_ms() - 1000).to_string()).replace("\"generation\":", "\"generation\":9");
    store.save(&Secret::new(past), 9).unwrap();
    let [session, other] = [(); 2].map(|()| Session::open_shared(&client, store.clone()).unwrap());
    for session in [&session, &other] {
        assert_eq!(session.rejected(&tokens).unwrap(), held);
        assert_eq!(session.tokens().unwrap(), held);
        assert_eq!(session.health().held_until, Some(until), "all sessions know the hold");
        assert_eq!(session.health().next_refresh, Some(until));
    }
    assert_eq!(refreshes(&sandbox), 1);
    // A rejection ends it: the tokens are worth nothing any more.
    let fresh = other.rejected(&held).unwrap();
    assert_eq!(refreshes(&sandbox), 2);
    assert_eq!(other.health().held_until, None);
    assert_ne!(fresh, held);
}

#[test]
fn a_hold_ends_with_the_tokens_and_a_shorter_one_does_not_shorten_it() {
    let sandbox = sandbox();
    let session = session_with(&sandbox, 1800, &Arc::default());
    let now = unix_ms() / 1000;
    let held = session.hold(now + 1000).unwrap();
    assert_eq!(session.hold(now + 100).unwrap(), held);
    assert_eq!(session.health().held_until, Some(now + 1000));
    // A caller to whom the held tokens do not last long enough is told when the hold ends.
    let error = session.tokens_for(HOUR).unwrap_err();
    assert_eq!((error.status(), error.advice()), (Status::TokenRejected, Advice::Retry), "{error}");
    let wait = error.retry_after().unwrap();
    assert!(wait > Duration::from_secs(900) && wait <= Duration::from_secs(1000), "{wait:?}");
    session.hold(i64::MAX).unwrap();
    assert_eq!(session.health().held_until, held.expires_at());
    assert_eq!(refreshes(&sandbox), 0);
    // A login that returns the tokens that are held keeps the hold; other tokens are not held.
    session.start(&held).unwrap();
    assert_eq!(session.health().held_until, held.expires_at());
    session.rejected(&held).unwrap();
    assert_eq!(session.health().held_until, None);
    session.logout().unwrap();
    assert_eq!(session.hold(now + 1000).unwrap_err().status(), Status::LoginRequired);
}

#[test]
fn a_hold_that_the_store_refuses_is_an_error_and_changes_nothing() {
    let sandbox = sandbox();
    let folder = std::env::temp_dir().join(format!("cmauth-hold-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (session, tokens) = logged_in_session(&sandbox, FileStore::new(folder.join("session")));
    std::fs::create_dir(folder.join("session.tmp")).unwrap();
    let error = session.hold(unix_ms() / 1000 + 1000).unwrap_err();
    assert_eq!(error.status(), Status::Store, "{error}");
    assert!(error.message().contains("save the hold"), "{error}");
    assert_eq!(session.health().held_until, None);
    assert_eq!(session.tokens().unwrap(), tokens);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_signed_url_has_the_encoded_token_and_only_for_allowed_origins() {
    let sandbox = sandbox();
    let client = client(&sandbox, |config| _ = config.allow_origin("https://media.example:8443"));
    let session = Session::open(&client, MemoryStore::new()).unwrap();
    let own = sandbox.url().to_owned() + "/rest/v2.4/recordings?begin=2026-01-01T00:00:00%2B0000&access_token=old";
    assert_eq!(session.sign_url(&own).unwrap_err().status(), Status::LoginRequired);
    let tokens = log_in(&sandbox, &client);
    session.start(&tokens).unwrap();
    let token = tokens.access_token().expose();
    let signed = session.sign_url(&own).unwrap();
    let expected = own.replace("old", &token.replace(':', "%3A"));
    assert_eq!(signed.url().expose(), expected);
    assert_eq!(signed.expires_at(), tokens.expires_at());
    assert!(!format!("{signed:?}").contains(&token[..8]), "{signed:?}");
    assert!(session.sign_url("https://media.example:8443/a").is_ok());
    for url in ["https://media.example/a", "http://media.example:8443/a", "https://evil.example/?x=secret", "/a", ""] {
        let error = session.sign_url(url).unwrap_err();
        assert_eq!((error.status(), error.advice()), (Status::InvalidArgument, Advice::Fix), "{url}");
        assert!(error.message().starts_with("url: ") && !error.message().contains("secret"), "{error}");
    }
}

#[test]
fn the_user_of_an_access_token_is_asked_from_the_server() {
    let sandbox = sandbox();
    let (session, tokens) = logged_in_session(&sandbox, MemoryStore::new());
    let user = session.client().user(tokens.access_token().expose()).unwrap();
    assert_eq!((user.name.as_deref(), user.email.as_deref()), (Some("demo"), Some("demo@example.com")));
    assert!(!user.id.is_empty());
    let request = sandbox.requests().pop().unwrap();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/rest/v2.0/users/self"));
    assert_eq!(request.header("accept"), Some("application/json"));
    let error = session.client().user("no-token").unwrap_err();
    assert_eq!((error.status(), error.advice()), (Status::TokenRejected, Advice::Refresh));
    assert!(!error.message().contains("no-token"), "{error}");
}
