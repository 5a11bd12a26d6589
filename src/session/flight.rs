//! One thread at work for all who wait: who leads, and how the others learn the result.
//!
//! There is no lock: a child of a fork, in which the leading thread does not exist, finds a flight of another process and
//! begins its own.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use crate::client::Client;
use crate::error::{Error, Status};
use crate::tokens::Tokens;

/// One thread at work for all who wait.
pub(super) struct Flight {
    pub(super) process: u32,
    /// Whether its result is what other callers want too, or only its end is awaited.
    pub(super) shared: bool,
    pub(super) result: OnceLock<Result<Option<Tokens>, Error>>,
}

/// Where a session's flights start: at most one is under way in a process.
#[derive(Default)]
pub(super) struct Runway(ArcSwapOption<Flight>);

impl Runway {
    /// Begins a flight, or gives the one under way.
    pub(super) fn take_off<'a>(&'a self, client: &'a Client, shared: bool) -> Result<Lead<'a>, Arc<Flight>> {
        let process = std::process::id();
        let flight = Arc::new(Flight { process, shared, result: OnceLock::new() });
        loop {
            let present = self.0.load();
            if let Some(present) = present.as_ref() {
                // The parent's, in the child of a fork, never lands here.
                if present.process == process && present.result.get().is_none() {
                    return Err(present.clone());
                }
            }
            let was = self.0.compare_and_swap(&present, Some(flight.clone()));
            if was.as_ref().map(Arc::as_ptr) == present.as_ref().map(Arc::as_ptr) {
                return Ok(Lead { runway: self, client, flight });
            }
        }
    }
}

/// The right to lead, and the duty to land: however the leader ends, those who wait are told.
pub(super) struct Lead<'a> {
    runway: &'a Runway,
    client: &'a Client,
    flight: Arc<Flight>,
}

impl Lead<'_> {
    pub(super) fn land(self, result: Result<Option<Tokens>, Error>) {
        let _ = self.flight.result.set(result);
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        // Set already, but where the leader panicked.
        self.flight.result.get_or_init(|| {
            let what = "a bug in libcmauth: the thread that refreshed the tokens for others panicked";
            Err(Error::new(Status::Internal, what, "report this line"))
        });
        // Nobody needs the tokens in it any more but who waits for it.
        let mine = Some(self.flight.clone());
        self.runway.0.compare_and_swap(&mine, None);
        self.client.wake();
    }
}
