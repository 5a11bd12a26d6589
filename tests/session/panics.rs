//! Stores that panic.

use super::*;

#[test]
fn a_panic_in_a_flight_is_an_error_for_the_waiting_calls_and_blocks_no_later_call() {
    let sandbox = sandbox();
    let store = Arc::new(ScriptedStore::default());
    let client = client(&sandbox, |_| {});
    let session = Session::open_shared(&client, store.clone()).unwrap();
    session.start(&expired(&log_in(&sandbox, &client))).unwrap();
    store.panic_in_load.store(true, Ordering::SeqCst);
    let results = all_at_once(|| cmauth::bindings::catch_panic(|| session.tokens()).and_then(|result| result));
    assert!(results.iter().any(|result| result.as_ref().is_err_and(|error| error.status() == Status::Internal)));
    assert!(!session.tokens().unwrap().access_token().expose().is_empty());
    assert_eq!(store.locked.load(Ordering::SeqCst), 0);
}

/// A store that panics in several methods. A store that unwraps the lock of a mutex does so once the mutex is poisoned.
#[derive(Default)]
struct PanickingStore {
    memory: MemoryStore,
    panic_in_save: AtomicBool,
    panic_in_load: AtomicBool,
    panic_in_unlock: AtomicBool,
}

impl Store for PanickingStore {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        assert!(!self.panic_in_load.load(Ordering::SeqCst), "the test requests a panic");
        self.memory.load()
    }

    fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError> {
        assert!(!self.panic_in_save.load(Ordering::SeqCst), "the test requests a panic");
        self.memory.save(record, generation)
    }

    fn clear(&self, generation: u64) -> Result<(), StoreError> {
        self.memory.clear(generation)
    }

    fn try_lock(&self, hold: Duration) -> Result<bool, StoreError> {
        self.memory.try_lock(hold)
    }

    fn unlock(&self) -> Result<(), StoreError> {
        self.memory.unlock()?;
        assert!(!self.panic_in_unlock.load(Ordering::SeqCst), "the test requests a panic");
        Ok(())
    }
}

#[test]
fn a_panic_in_save_loses_no_login() {
    let sandbox = Sandbox::start(Options { rotate_refresh_tokens: true, ..Options::default() }).unwrap();
    let client = client(&sandbox, |_| {});
    let first = log_in(&sandbox, &client);
    let store = Arc::new(PanickingStore::default());
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
fn a_second_panic_in_unlock_does_not_abort_the_process() {
    let sandbox = sandbox();
    let client = client(&sandbox, |_| {});
    let tokens = log_in(&sandbox, &client);
    let store = Arc::new(PanickingStore::default());
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
