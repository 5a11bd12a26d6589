//! Stores that fail, or whose content the session cannot use.

use super::*;

#[test]
fn tokens_that_the_store_refuses_are_returned_and_saved_later() {
    let lifetime = Duration::from_secs(8);
    let sandbox = Sandbox::start(Options { access_token_lifetime: lifetime, ..Options::default() }).unwrap();
    let store = Arc::new(ScriptedStore::default());
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
    // The older record in the store does not replace them.
    assert_eq!(session.tokens().unwrap(), new);

    store.refuse_saves.store(false, Ordering::SeqCst);
    until("saved", || {
        assert_eq!(session.tokens().unwrap(), new);
        session.health().saved
    });
    assert_eq!(refreshes(&sandbox), 1);
    assert_eq!(Session::open_shared(&client, store).unwrap().tokens().unwrap(), new);
}

#[test]
fn a_damaged_record_is_reported_and_only_forget_removes_it() {
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
fn a_login_of_another_key_or_server_is_neither_sent_nor_cleared_except_by_forget() {
    let (sandbox, elsewhere) = (sandbox(), sandbox());
    let store = Arc::new(MemoryStore::new());
    let owner = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &owner);
    let session = Session::open_shared(&owner, store.clone()).unwrap();
    session.start(&expired(&tokens)).unwrap();
    let kept = store.load().unwrap();
    let mut key = Config::new("another.key", "secret");
    key.set_base_url(sandbox.url()).set_proxy(Some(""));
    for (client, differs) in
        [(Client::new(&key).unwrap(), "\"another.key\""), (client(&elsewhere, |_| {}), elsewhere.url())]
    {
        let other_owner = Session::open_shared(&client, store.clone()).unwrap();
        let errors = [
            other_owner.tokens().unwrap_err(),
            other_owner.rejected(&tokens).unwrap_err(),
            other_owner.start(&tokens).unwrap_err(),
            other_owner.logout().unwrap_err(),
            other_owner.health().last_error.unwrap(),
        ];
        for error in errors {
            assert_eq!((error.status(), error.advice()), (Status::Store, Advice::Fix), "{error}");
            assert!(error.message().contains(differs), "{error}");
        }
    }
    assert_eq!((refreshes(&sandbox), elsewhere.requests().len()), (0, 0));
    assert_eq!(store.load().unwrap(), kept);
    assert_ne!(session.tokens().unwrap(), tokens, "its owner can still use it");

    let other_owner = Session::open_shared(&Client::new(&key).unwrap(), store.clone()).unwrap();
    other_owner.forget().unwrap();
    assert_eq!(store.load().unwrap(), None);
}

#[test]
fn a_record_of_version_0_1_is_used_and_gets_an_owner_at_the_next_save() {
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
fn refused_tokens_give_way_to_stored_ones_of_the_same_generation() {
    let sandbox = sandbox();
    let store = Arc::new(ScriptedStore::default());
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
fn a_session_whose_lock_expired_takes_over_the_newer_record() {
    let sandbox = sandbox();
    let store = Arc::new(ScriptedStore::default());
    let client = client(&sandbox, |_| {});
    let old = log_in(&sandbox, &client);
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&old).unwrap();
    let generation = session.health().generation;
    // The lock expires during the refresh, and another process saves. This store does that from within `save`.
    struct Overtaken(Arc<ScriptedStore>, Mutex<Option<(Secret, u64)>>);
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
        fn unlock(&self) -> Result<(), StoreError> {
            self.0.unlock()
        }
    }
    let theirs = Tokens::from_json(r#"{"access_token":"theirs:1","refresh_token":"r:1","expires_at":99999999999}"#);
    let theirs = theirs.unwrap();
    let text = record(&theirs, generation + 1, 0, 1_000_000);
    let slow = Session::open(&client, Overtaken(store, Mutex::new(Some((text, generation + 1))))).unwrap();
    assert_eq!(slow.rejected(&old).unwrap(), theirs);
    assert_eq!(session.rejected(&old).unwrap(), theirs);
}

/// For example an edited record, or a store of a binding that returned -1.
/// Generations are less than 2^53.
const MAX_GENERATION: u64 = (1 << 53) - 1;

#[test]
fn the_largest_generation_causes_no_failure() {
    struct MaxGenerationStore(MemoryStore, AtomicU64);
    impl Store for MaxGenerationStore {
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
        fn unlock(&self) -> Result<(), StoreError> {
            self.0.unlock()
        }
        fn generation(&self) -> Result<u64, StoreError> {
            Ok(self.1.load(Ordering::SeqCst))
        }
    }
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let store = Arc::new(MaxGenerationStore(MemoryStore::new(), AtomicU64::new(MAX_GENERATION)));
    store.save(&record(&tokens, MAX_GENERATION, 1000, 1_000_000), 1).unwrap();
    let session = Session::open_shared(&client, store.clone()).unwrap();
    let tokens = session.rejected(&tokens).unwrap();
    assert_eq!(session.health().generation, MAX_GENERATION);
    session.start(&tokens).unwrap();
    session.forget().unwrap();
    session.start(&tokens).unwrap();
    assert_eq!(session.logout().unwrap(), LoggedOut::Confirmed);

    // A store that reports a larger one is wrong, and is told so.
    store.1.store(MAX_GENERATION + 1, Ordering::SeqCst);
    for error in [session.start(&tokens).unwrap_err(), session.forget().unwrap_err()] {
        assert_eq!((error.status(), error.advice()), (Status::Store, Advice::Fix));
        assert!(error.message().contains("9007199254740992, which is not below 2^53"), "{error}");
    }
}
