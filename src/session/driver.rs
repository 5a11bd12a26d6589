//! Carries out what a [`Leader`] decides: calls the store and the server, waits, publishes. And the callers' side: who
//! leads, who waits, and for how long.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::Inner;
use super::action::{Action, Event, Job, Limits, Outcome};
use super::caller::{Caller, FlightKind, Purpose, Step, too_slow};
use super::clock::Now;
use super::leader::Leader;
use super::single_flight::{Flight, Leadership};
use super::state::{State, Want};
use crate::client::random_bits;
use crate::error::{Error, Status};
use crate::panic::catch_panic;
use crate::store::record::Record;
use crate::store::{Store, StoreError};
use crate::threads::Threads;
use crate::tokens::Tokens;

/// How much longer than a call the store's lock must last: for the store's own operations, generously.
const HOLD_MARGIN: Duration = Duration::from_secs(10);

impl Inner {
    /// Gets tokens, by leading a flight or by waiting for one.
    pub(super) fn provide(self: &Arc<Self>, want: &Want) -> Result<Tokens, Error> {
        let timeout = self.client.timeout();
        let (begun, deadline) = (Now::read(), Instant::now() + timeout);
        let caller = Caller { want: want.clone(), deadline: begun.boot.saturating_add(ms(timeout)) };
        let mut step = caller.look(&self.state.load(), begun);
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
                        // No thread is free. A caller with tokens that have not ended takes those, and does not wait for the server itself.
                        let spare = caller.spare(&self.state.load(), Now::read());
                        if let Some(tokens) = spare.filter(|_| self.store.allows_background()) {
                            leadership.finish(Ok(None));
                            return Ok(tokens);
                        }
                        let began = leadership.flight().began;
                        let result = self.lead(leadership, want, deadline);
                        step = caller.led(result, began, &self.state.load(), Now::read());
                        continue;
                    }
                },
            };
            let now = Now::read();
            let wait = caller.wait_until(flight.began, &self.state.load(), now) - now.boot;
            let until = Instant::now() + Duration::from_millis(wait.max(0).unsigned_abs());
            let result = self.client.cancellation().wait(Some(until), || flight.result.get().cloned()).into_result()?;
            let is_interruptible = !self.store.allows_background();
            let kind = FlightKind { purpose: flight.purpose, began: flight.began, is_interruptible };
            step = caller.waited(kind, result, &self.state.load(), Now::read());
        }
    }

    /// Leads a flight on a thread of its own, so that no caller waits for the store or the server longer than it must.
    fn lead_in_background(self: &Arc<Self>, leadership: Leadership, want: &Want) -> Result<Arc<Flight>, Leadership> {
        if !self.store.allows_background() {
            return Err(leadership);
        }
        let Some(permit) = Threads::of_this_process().try_refresh_permit() else {
            return Err(leadership);
        };
        let flight = leadership.flight();
        let place = Arc::new(std::sync::Mutex::new(Some(leadership)));
        let (inner, want, taken) = (self.clone(), want.clone(), place.clone());
        let work = move || {
            let _permit = permit;
            let Some(leadership) = take(&taken) else { return };
            let deadline = Instant::now() + inner.client.timeout();
            let _ = catch_panic(|| inner.lead(leadership, &want, deadline));
        };
        match thread::Builder::new().name("cmauth-refresh".to_owned()).spawn(work) {
            Ok(_) => Ok(flight),
            // The system gives no thread: the caller does it.
            Err(_) => take(&place).map_or(Ok(flight), Err),
        }
    }

    fn lead(&self, leadership: Leadership, want: &Want, deadline: Instant) -> Result<Tokens, Error> {
        let result = self.run(Job::Provide(want.clone()), deadline).and_then(|outcome| match outcome {
            Outcome::Tokens(tokens) => Ok(tokens),
            _ => Err(Error::new(Status::Internal, "a bug in libcmauth: no tokens", "report this line")),
        });
        leadership.finish(result.clone().map(Some));
        result
    }

    /// Does a job as the only flight: after the one under way, while everybody else waits for its end.
    pub(super) fn alone(&self, job: Job) -> Result<Outcome, Error> {
        let deadline = Instant::now() + self.client.timeout();
        let leadership = loop {
            match self.flights.lead_or_join(&self.client, Purpose::Exclusive) {
                Ok(leadership) => break leadership,
                Err(flight) => {
                    if self
                        .client
                        .cancellation()
                        .wait(Some(deadline), || flight.result.get().map(drop))
                        .into_result()?
                        .is_none()
                    {
                        return Err(too_slow());
                    }
                }
            }
        };
        let result = self.run(job, deadline);
        leadership.finish(Ok(None));
        result
    }

    /// Carries out what a leader decides, until it has finished.
    fn run(&self, job: Job, deadline: Instant) -> Result<Outcome, Error> {
        let timeout = self.client.timeout();
        let hold = timeout + HOLD_MARGIN;
        let left = deadline.saturating_duration_since(Instant::now());
        let limits = Limits { deadline: Now::read().boot.saturating_add(ms(left)), reserve: ms(timeout / 4) };
        let mut leader = Leader::new(job, self.holder.clone(), limits, self.state.load_full());
        let mut lock = None;
        let mut event = Event::Begin;
        loop {
            let action = leader.handle(event, Now::read(), random_bits());
            self.publish(leader.state());
            event = match action {
                Action::Lock => {
                    let result = self.store.try_lock(hold);
                    lock = matches!(result, Ok(true)).then(|| Unlock(&*self.store));
                    Event::Locked(result)
                }
                Action::Wait(ms) => {
                    Event::Waited(self.client.cancellation().sleep(Duration::from_millis(ms.max(0).unsigned_abs())))
                }
                Action::Load => Event::Loaded(self.store.load()),
                Action::ReadGeneration => Event::GenerationRead(self.store.generation()),
                Action::Save(record) => Event::Saved(self.save(&record)),
                Action::Clear(generation) => Event::Cleared(self.store.clear(generation)),
                Action::Refresh { refresh_token, scope } => {
                    let tokens = self.client.refresh_until(refresh_token.expose(), scope.as_deref(), deadline);
                    Event::Refreshed(tokens)
                }
                Action::EndTokens { access_token } => {
                    Event::TokensEnded(self.client.logout_until(access_token.expose(), deadline))
                }
                Action::Unlock => {
                    lock = None;
                    Event::Unlocked
                }
                Action::Finish(result) => {
                    drop(lock);
                    return result;
                }
            };
        }
    }

    /// A panic in it loses no tokens that the server gave: the store counts as one that refused them.
    fn save(&self, record: &Record) -> Result<(), StoreError> {
        let save = || self.store.save(&record.to_text(), record.generation);
        let saved = panic::catch_unwind(AssertUnwindSafe(save));
        saved.unwrap_or_else(|_| Err(StoreError::Failed("it panicked".to_owned())))
    }

    /// Only the leader of the flight publishes.
    fn publish(&self, state: &Arc<State>) {
        let before = self.state.load_full();
        if Arc::ptr_eq(&before, state) {
            return;
        }
        self.state.store(state.clone());
        if before.is_other_than(state) {
            self.changes.fetch_add(1, Ordering::Release);
        }
    }
}

/// Gives the lock back at the end, also after a panic.
struct Unlock<'a>(&'a dyn Store);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // A store that panicked before, and left a mutex of its own poisoned, must not end the process.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| self.0.unlock()));
        } else {
            self.0.unlock();
        }
    }
}

fn take<T>(place: &std::sync::Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
