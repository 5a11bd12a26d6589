//! Single flight: one thread (the leader) does the work, and the other threads (followers) wait for its result.
//!
//! There is no lock. In the child of a fork the leading thread does not exist: the child finds a flight of another process and
//! begins its own.

use std::sync::Arc;

use super::caller::Purpose;
use crate::client::Client;
use crate::clock::Now;
use crate::error::{Error, Status};
use crate::sync::{ArcSwapOption, OnceLock, process_id};
use crate::tokens::Tokens;

#[cfg(test)]
mod tests;

/// One piece of work in progress, with its result.
pub(super) struct Flight {
    process: u32,
    pub(super) purpose: Purpose,
    /// By the boot clock.
    pub(super) began: i64,
    /// Its tokens. `None` after an [`Exclusive`](Purpose::Exclusive) flight.
    pub(super) result: OnceLock<Result<Option<Tokens>, Error>>,
}

/// The flights of one session. In each process at most one is in progress. Clones share the flights.
#[derive(Clone, Default)]
pub(super) struct SingleFlight(Arc<ArcSwapOption<Flight>>);

impl SingleFlight {
    /// Makes the caller the leader of a new flight (`Ok`), or returns the flight in progress (`Err`).
    pub(super) fn lead_or_join(&self, client: &Client, purpose: Purpose) -> Result<Leadership, Arc<Flight>> {
        let process = process_id();
        let flight = Arc::new(Flight { process, purpose, began: Now::read().boot, result: OnceLock::new() });
        loop {
            let present = self.0.load();
            if let Some(present) = present.as_ref() {
                // In the child of a fork, a flight of the parent never ends.
                if present.process == process && present.result.get().is_none() {
                    return Err(present.clone());
                }
            }
            let was = self.0.compare_and_swap(&present, Some(flight.clone()));
            if was.as_ref().map(Arc::as_ptr) == present.as_ref().map(Arc::as_ptr) {
                return Ok(Leadership { flights: self.clone(), client: client.clone(), flight });
            }
        }
    }
}

/// The right to lead a flight. When it is dropped, also by a panic, the flight ends and the followers are notified.
pub(super) struct Leadership {
    flights: SingleFlight,
    client: Client,
    flight: Arc<Flight>,
}

impl Leadership {
    pub(super) fn flight(&self) -> Arc<Flight> {
        self.flight.clone()
    }

    /// Ends the flight.
    pub(super) fn finish(self, result: Result<Option<Tokens>, Error>) {
        let _ = self.flight.result.set(result);
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        // The result is there already, unless the leader panicked.
        self.flight.result.get_or_init(|| {
            let what = "a bug in libcmauth: the thread that refreshed the tokens for others panicked";
            Err(Error::new(Status::Internal, what, "report this message"))
        });
        // Forget the flight, so that nothing but its followers keeps the tokens in memory.
        let mine = Some(self.flight.clone());
        self.flights.0.compare_and_swap(&mine, None);
        self.client.cancellation().notify_waiters();
    }
}
