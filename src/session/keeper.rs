//! The keeper: one thread of a process that calls [`Session::tokens`] in time, for the sessions that want it.
//!
//! So a program that streams for hours is told of the next tokens before the old ones expire. The keeper decides nothing: when
//! a refresh is due, and how long to back off, is decided by the session. The thread runs only while a session is kept. A forked
//! child has no keeper until it asks for one.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::{Inner, Session};
use crate::panic::catch_panic;
use crate::per_process::{Owned, PerProcess};

static KEEPER: PerProcess<Keeper> = PerProcess::new();

/// The shortest time between two calls for one session. The session's back-off is longer; this is for a server that does not
/// respond, for which a session with unexpired tokens does not wait.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The longest sleep of the thread. It sleeps by a clock that stops while the machine is suspended.
const MAX_SLEEP: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_running: bool,
    kept: Vec<Kept>,
    /// Counts the changes that can make a session due earlier.
    changes: u64,
}

#[derive(Clone)]
struct Kept {
    session: Weak<Inner>,
    not_before: Instant,
}

/// Keeps the tokens of a session fresh. Returns whether the thread runs.
pub(super) fn keep(session: &Arc<Inner>) -> bool {
    let keeper = KEEPER.get_or_make(|_| Keeper::default());
    let mut state = keeper.state();
    if !state.is_running {
        let thread = keeper.clone();
        let started = thread::Builder::new().name("cmauth-keeper".to_owned()).spawn(move || {
            if catch_panic(|| run(&thread)).is_err() {
                thread.state().is_running = false;
            }
        });
        state.is_running = started.is_ok();
    }
    if state.is_running {
        state.kept.retain(|kept| kept.session.as_ptr() != Arc::as_ptr(session));
        state.kept.push(Kept { session: Arc::downgrade(session), not_before: Instant::now() });
        keeper.wake(state);
        return true;
    }
    false
}

/// Ends what [`keep`] began. A call in progress goes on.
pub(super) fn release(session: *const Inner) {
    if let Some(keeper) = KEEPER.get() {
        let mut state = keeper.state();
        state.kept.retain(|kept| kept.session.as_ptr() != session);
        keeper.wake(state);
    }
}

/// Makes the thread look at the sessions again: one of them has changed.
pub(super) fn notify() {
    if let Some(keeper) = KEEPER.get() {
        keeper.wake(keeper.state());
    }
}

fn run(keeper: &Owned<Keeper>) {
    loop {
        let mut state = keeper.state();
        state.kept.retain(|kept| kept.session.strong_count() > 0);
        if state.kept.is_empty() {
            state.is_running = false;
            return;
        }
        let (all, changes) = (state.kept.clone(), state.changes);
        // Without the lock: the calls run callbacks, which may call `keep` and `release`.
        drop(state);
        let mut sleep = MAX_SLEEP;
        for kept in all {
            let Some(inner) = kept.session.upgrade() else { continue };
            let session = Session(inner);
            if session.0.client.is_cancelled() {
                session.keep_fresh(false);
                continue;
            }
            let Some(due) = session.next_action() else { continue };
            let left = due.max(kept.not_before.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                #[cfg(test)]
                tests::CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                // The session remembers a failure and shows it in its health.
                let _ = catch_panic(|| session.tokens());
                let again = Instant::now() + MIN_INTERVAL;
                let mut state = keeper.state();
                let mine = state.kept.iter_mut().find(|other| other.session.ptr_eq(&kept.session));
                mine.into_iter().for_each(|kept| kept.not_before = again);
                sleep = Duration::ZERO;
            }
            sleep = sleep.min(left);
        }
        let state = keeper.state();
        if !sleep.is_zero() && state.changes == changes {
            let _ = keeper.changed.wait_timeout(state, sleep);
        }
    }
}

impl Keeper {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        state.changes += 1;
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::{Client, Config, MemoryStore, Secret, Store};

    /// How often the keeper asked a session for tokens.
    pub(super) static CALLS: AtomicU32 = AtomicU32::new(0);

    #[test]
    fn a_session_whose_server_is_silent_is_asked_once_a_second() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::new("key", "secret");
        config.set_base_url(&format!("http://{}", listener.local_addr().unwrap())).set_proxy(Some(""));
        config.set_timeout(Duration::from_millis(2500)).set_max_retries(0);
        let client = Client::new(&config).unwrap();
        let now = crate::clock::unix_now();
        let tokens = format!(r#"{{\"access_token\":\"a:1\",\"refresh_token\":\"r:1\",\"expires_at\":{}}}"#, now + 3600);
        let (obtained_at, refresh_at) = ((now - 36_000) * 1000, (now - 1) * 1000);
        let record = format!(
            r#"{{"cmauth":1,"generation":1,"obtained_at":{obtained_at},"refresh_at":{refresh_at},"tokens":"{tokens}"}}"#
        );
        let store = MemoryStore::new();
        store.save(&Secret::new(record), 1).unwrap();
        let session = Session::open(&client, store).unwrap();
        session.keep_fresh(true);
        let begun = Instant::now();
        while session.health().failures == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20));
            thread::yield_now();
        }
        let (calls, most) = (CALLS.load(Ordering::Relaxed), 2 + begun.elapsed().as_secs());
        assert!((1..=most).contains(&u64::from(calls)), "{calls}");
        drop(session);
    }
}
