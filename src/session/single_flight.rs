//! Single flight: one thread at work for all who wait. Who leads, and how the others learn the result.
//!
//! There is no lock: a child of a fork, in which the leading thread does not exist, finds a flight of another process and
//! begins its own.

use std::sync::Arc;

use super::caller::Purpose;
use super::clock::Now;
use crate::client::Client;
use crate::error::{Error, Status};
use crate::sync::{ArcSwapOption, OnceLock, process_id};
use crate::tokens::Tokens;

#[cfg(test)]
mod tests;

/// One thread at work, and the others who wait for it.
pub(super) struct Flight {
    process: u32,
    pub(super) purpose: Purpose,
    /// By the boot clock.
    pub(super) began: i64,
    /// The tokens; none after an [`Exclusive`](Purpose::Exclusive) one.
    pub(super) result: OnceLock<Result<Option<Tokens>, Error>>,
}

/// The flights of one session: at most one is under way in a process. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct SingleFlight(Arc<ArcSwapOption<Flight>>);

impl SingleFlight {
    /// Becomes the leader of a new flight, or gives the one under way.
    pub(super) fn lead_or_join(&self, client: &Client, purpose: Purpose) -> Result<Leadership, Arc<Flight>> {
        let process = process_id();
        let flight = Arc::new(Flight { process, purpose, began: Now::read().boot, result: OnceLock::new() });
        loop {
            let present = self.0.load();
            if let Some(present) = present.as_ref() {
                // The parent's, in the child of a fork, never ends here.
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

/// The right to lead a flight, and the duty to end it: however the leader ends, those who wait are told.
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
        // It is there already, unless the leader panicked.
        self.flight.result.get_or_init(|| {
            let what = "a bug in libcmauth: the thread that refreshed the tokens for others panicked";
            Err(Error::new(Status::Internal, what, "report this line"))
        });
        // Only those who wait need its tokens any longer.
        let mine = Some(self.flight.clone());
        self.flights.0.compare_and_swap(&mine, None);
        self.client.cancellation().notify_waiters();
    }
}
