//! The lines of a session go to the log of its client, also those of the library's threads.

use super::*;

type Lines = Arc<Mutex<Vec<String>>>;

fn logged(sandbox: &Sandbox) -> (Client, Lines) {
    let lines = Lines::default();
    let collected = lines.clone();
    let client = client(sandbox, |config| {
        config.set_log(log::LevelFilter::Info, move |level, line| {
            collected.lock().unwrap().push(format!("{level} {line}"));
        });
    });
    (client, lines)
}

#[test]
fn two_clients_have_two_logs() {
    let sandbox = sandbox();
    let ((one, of_one), (two, of_two)) = (logged(&sandbox), logged(&sandbox));
    let tokens = log_in(&sandbox, &one);
    let session = Session::open(&one, MemoryStore::new()).unwrap();
    session.start(&tokens).unwrap();
    // A thread of the library refreshes.
    session.rejected(&tokens).unwrap();
    let lines = of_one.lock().unwrap().clone();
    for part in ["INFO exchange_code: done", "INFO session: logged in", "INFO refresh: done", "INFO session: refreshed"]
    {
        assert!(lines.iter().any(|line| line.starts_with(part)), "{part} is not in {lines:#?}");
    }
    assert!(of_two.lock().unwrap().is_empty());
    cmauth::Login::new(&two, REDIRECT_URI).unwrap().finish("https://example.com/?code=c&state=s").unwrap_err();
    assert_eq!(of_two.lock().unwrap().len(), 1);
    assert!(of_two.lock().unwrap()[0].starts_with("WARN login: STATE_MISMATCH"));
    assert_eq!(*of_one.lock().unwrap(), lines);
}

/// A memory store whose lock cannot be released in the end.
#[derive(Default)]
struct StuckStore(MemoryStore, Mutex<String>);

impl Store for StuckStore {
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
        self.0.unlock()?;
        Err(StoreError::Failed(format!("the database is away: {}", self.1.lock().unwrap())))
    }
}

#[test]
fn a_failed_unlock_is_a_warning_without_secrets() {
    let sandbox = sandbox();
    let (client, lines) = logged(&sandbox);
    let tokens = log_in(&sandbox, &client);
    let store = StuckStore::default();
    *store.1.lock().unwrap() = format!("what is {}?", tokens.access_token().expose());
    Session::open(&client, store).unwrap().start(&tokens).unwrap();
    let lines = lines.lock().unwrap();
    let warning = "WARN session: the store could not be unlocked: the database is away";
    assert!(lines.iter().any(|line| line.starts_with(warning)), "{lines:#?}");
    assert!(!lines.join("\n").contains(tokens.access_token().expose()));
}
