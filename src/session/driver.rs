//! Carries out what a [`Leader`] and a [`Caller`] decide. For a caller: leads a flight or waits for one. For a leader: calls the
//! store and the server, waits, and publishes the snapshots.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::action::{Action, Event, Job, Limits, Outcome};
use super::caller::{Caller, FlightInfo, Purpose, Step};
use super::leader::Leader;
use super::single_flight::{Flight, Leadership};
use super::state::{CurrentTokens, State, Want};
use super::timed_store::TimedStore;
use super::{Inner, keeper};
use crate::clock::Now;
use crate::error::{Error, Status};
use crate::logging;
use crate::panic::catch_panic;
use crate::random::random_bits;
use crate::store::record::Record;
use crate::store::{Store, StoreError};
use crate::threads::Threads;
use crate::tokens::Tokens;

/// How much longer than a call the store's lock must last. It is ample time for the store's own operations.
const HOLD_MARGIN: Duration = Duration::from_secs(10);

impl Inner {
    /// Gets tokens by leading a flight or by waiting for one.
    pub(super) fn provide(self: &Arc<Self>, want: &Want) -> Result<Tokens, Error> {
        let timeout = self.client.timeout();
        let (begun, deadline) = (Now::read(), Instant::now() + timeout);
        let caller = Caller { want: want.clone(), deadline: begun.boot.saturating_add(ms(timeout)) };
        let mut step = caller.next_step(&self.state.load(), begun);
        loop {
            let purpose = match step {
                Step::Return(result) => return result,
                Step::LeadOrJoin(purpose) => purpose,
            };
            let flight = match self.flights.lead_or_join(&self.client, purpose) {
                Err(flight) => flight,
                Ok(leadership) => match self.lead_in_background(leadership, want) {
                    Ok(flight) => flight,
                    Err(leadership) => {
                        // No thread is available. A caller that has unexpired tokens returns those instead of waiting for the
                        // server itself.
                        let fallback = caller.fallback_tokens(&self.state.load(), Now::read());
                        if let Some(tokens) = fallback.filter(|_| self.store.allows_background()) {
                            leadership.finish(Ok(None));
                            return Ok(tokens);
                        }
                        let began = leadership.flight().began;
                        let result = self.lead(leadership, want, deadline);
                        step = caller.after_leading(result, began, &self.state.load(), Now::read());
                        continue;
                    }
                },
            };
            let now = Now::read();
            let wait = caller.wait_deadline(flight.began, &self.state.load(), now) - now.boot;
            let until = Instant::now() + Duration::from_millis(wait.max(0).unsigned_abs());
            let result = self.client.cancellation().wait(Some(until), || flight.result.get().cloned()).into_result()?;
            let is_interruptible = !self.store.allows_background();
            let info = FlightInfo { purpose: flight.purpose, began: flight.began, is_interruptible };
            step = caller.after_waiting(info, result, &self.state.load(), Now::read());
        }
    }

    /// Leads a flight on its own thread, so that no caller waits for the store or the server longer than necessary.
    fn lead_in_background(self: &Arc<Self>, leadership: Leadership, want: &Want) -> Result<Arc<Flight>, Leadership> {
        if !self.store.allows_background() {
            return Err(leadership);
        }
        let Some(permit) = Threads::of_this_process().try_refresh_permit() else {
            return Err(leadership);
        };
        let flight = leadership.flight();
        let slot = Arc::new(std::sync::Mutex::new(Some(leadership)));
        let (inner, want, slot_in_thread) = (self.clone(), want.clone(), slot.clone());
        let work = move || {
            let _permit = permit;
            let Some(leadership) = take(&slot_in_thread) else { return };
            let deadline = Instant::now() + inner.client.timeout();
            let _ = catch_panic(|| inner.client.logged(|| inner.lead(leadership, &want, deadline)));
        };
        match thread::Builder::new().name("cmauth-refresh".to_owned()).spawn(work) {
            Ok(_) => Ok(flight),
            // The system could not create a thread: the caller leads.
            Err(_) => take(&slot).map_or(Ok(flight), Err),
        }
    }

    fn lead(&self, leadership: Leadership, want: &Want, deadline: Instant) -> Result<Tokens, Error> {
        let result = self.run(Job::Provide(want.clone()), deadline).and_then(|outcome| match outcome {
            Outcome::Tokens(tokens) => Ok(tokens),
            _ => Err(Error::new(Status::Internal, "a bug in libcmauth: no tokens", "report this message")),
        });
        leadership.finish(result.clone().map(Some));
        result
    }

    /// Runs a job as an exclusive flight: it begins after the flight in progress, and other callers wait until it has ended.
    pub(super) fn run_exclusive(&self, job: Job) -> Result<Outcome, Error> {
        let deadline = Instant::now() + self.client.timeout();
        let leadership = loop {
            match self.flights.lead_or_join(&self.client, Purpose::Exclusive) {
                Ok(leadership) => break leadership,
                Err(flight) => {
                    let ended = || flight.result.get().map(drop);
                    let wait = self.client.cancellation().wait(Some(deadline), ended);
                    if wait.into_result()?.is_none() {
                        let what = "another call of the session was still in progress at the timeout";
                        return Err(Error::new(Status::Timeout, what, "try again later"));
                    }
                }
            }
        };
        let result = self.run(job, deadline);
        leadership.finish(Ok(None));
        result
    }

    /// Carries out the actions of a leader until it has finished.
    fn run(&self, job: Job, deadline: Instant) -> Result<Outcome, Error> {
        let timeout = self.client.timeout();
        let hold = timeout + HOLD_MARGIN;
        let left = deadline.saturating_duration_since(Instant::now());
        let limits = Limits { deadline: Now::read().boot.saturating_add(ms(left)), reserve: ms(timeout / 4) };
        let mut leader = Leader::new(job, self.identity.clone(), limits, self.state.load_full());
        let store = TimedStore::new(&*self.store, timeout, deadline);
        let mut lock = None;
        let mut event = Event::Begin;
        loop {
            let action = leader.handle(event, Now::read(), random_bits());
            self.publish(leader.state());
            event = match action {
                Action::Lock => {
                    let result = store.call("try_lock", |store| store.try_lock(hold));
                    lock = matches!(result, Ok(true)).then(|| UnlockGuard { inner: self, store: &store });
                    Event::Locked(result)
                }
                Action::Wait(ms) => {
                    Event::Waited(self.client.cancellation().sleep(Duration::from_millis(ms.max(0).unsigned_abs())))
                }
                Action::Load => Event::Loaded(store.call("load", |store| store.load())),
                Action::ReadGeneration => Event::GenerationRead(store.call("generation", |store| store.generation())),
                Action::Save(record) => Event::Saved(store.call("save", |store| save(store, &record))),
                Action::Clear(generation) => Event::Cleared(store.call("clear", |store| store.clear(generation))),
                Action::Refresh { refresh_token, scope } => {
                    let tokens = self.client.refresh_until(refresh_token.expose(), scope.as_deref(), deadline);
                    Event::Refreshed(tokens)
                }
                Action::Revoke { access_token } => {
                    Event::Revoked(self.client.logout_until(access_token.expose(), deadline))
                }
                Action::Unlock => {
                    lock = None;
                    Event::Unlocked
                }
                Action::Finish(result) => {
                    drop(lock);
                    return result.map_err(|error| store.blame(error));
                }
            };
        }
    }

    /// Publishes a snapshot. Only the leader of the flight calls this.
    fn publish(&self, state: &Arc<State>) {
        let before = self.state.load_full();
        if Arc::ptr_eq(&before, state) {
            return;
        }
        self.state.store(state.clone());
        if before.differs_from(state) {
            self.changes.fetch_add(1, Ordering::Release);
            if self.is_kept() {
                keeper::notify();
            }
        }
    }
}

/// Saves a record. A panic in the store's `save` must not lose tokens that the server has issued, so it counts as a refused save.
fn save(store: &dyn Store, record: &Record) -> Result<(), StoreError> {
    let saved = panic::catch_unwind(AssertUnwindSafe(|| store.save(&record.to_text(), record.generation)));
    saved.unwrap_or_else(|_| Err(StoreError::Failed("its save panicked".to_owned())))
}

/// Releases the store's lock when dropped, also after a panic.
struct UnlockGuard<'a> {
    inner: &'a Inner,
    store: &'a TimedStore<'a>,
}

impl Drop for UnlockGuard<'_> {
    fn drop(&mut self) {
        let unlock = || {
            if let Err(failure) = self.store.call("unlock", |store| store.unlock()) {
                let state = self.inner.state.load();
                let secrets = state.current.as_ref().map(CurrentTokens::secrets).unwrap_or_default();
                logging::warning!("session: {}", failure.to_error("be unlocked", &secrets));
            }
        };
        if thread::panicking() {
            // The store has panicked before, and a mutex of its own may be poisoned. A second panic would end the process.
            let _ = panic::catch_unwind(AssertUnwindSafe(unlock));
        } else {
            unlock();
        }
    }
}

fn take<T>(slot: &std::sync::Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
