//! The store as one flight calls it. Each call knows the deadline of the flight, and the slowest one is remembered, so that an
//! error can say where the time went: neither a timeout nor a cancel ends a call of the store.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::error::{Error, Status};
use crate::logging;
use crate::store::{Store, with_deadline};

pub(super) struct TimedStore<'a> {
    store: &'a dyn Store,
    timeout: Duration,
    deadline: Instant,
    slowest: Cell<Option<(Duration, &'static str)>>,
}

impl<'a> TimedStore<'a> {
    pub(super) fn new(store: &'a dyn Store, timeout: Duration, deadline: Instant) -> TimedStore<'a> {
        TimedStore { store, timeout, deadline, slowest: Cell::new(None) }
    }

    /// Calls the store. `name` is the name of its method.
    pub(super) fn call<T>(&self, name: &'static str, call: impl FnOnce(&dyn Store) -> T) -> T {
        let begun = Instant::now();
        let result = with_deadline(self.deadline, || call(self.store));
        let took = begun.elapsed();
        if self.slowest.get().is_none_or(|(slowest, _)| took > slowest) {
            self.slowest.set(Some((took, name)));
        }
        if took > self.timeout {
            logging::warning!("session: {}", self.slow(took, name));
        }
        result
    }

    /// The error of the flight. If it is a timeout, and most of the time went to one call of the store, the message says so.
    pub(super) fn blame(&self, error: Error) -> Error {
        match self.slowest.get() {
            Some((took, name)) if error.status() == Status::Timeout && took >= self.timeout / 2 => {
                let remedy = "make the store faster, give it a timeout of its own, or set a longer timeout";
                Error::new(Status::Timeout, self.slow(took, name), remedy)
            }
            _ => error,
        }
    }

    fn slow(&self, took: Duration, name: &str) -> String {
        let (took, timeout) = (took.as_secs_f64(), self.timeout.as_secs_f64());
        format!("the store's {name} took {took:.1} s, and the timeout of the whole call is {timeout} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, store_time_left};

    #[test]
    fn a_call_of_the_store_knows_its_deadline_and_at_least_a_second() {
        let store = MemoryStore::new();
        let left = |timeout: Duration| {
            let timed = TimedStore::new(&store, timeout, Instant::now() + timeout);
            timed.call("load", |_| store_time_left()).unwrap()
        };
        assert!((Duration::from_secs(59)..=Duration::from_secs(60)).contains(&left(Duration::from_secs(60))));
        assert_eq!(left(Duration::ZERO), Duration::from_secs(1));
        assert_eq!(store_time_left(), None);
    }

    #[test]
    fn a_timeout_that_the_store_caused_names_the_store_and_other_errors_stay() {
        let store = MemoryStore::new();
        let error = || Error::new(Status::Timeout, "the server did not answer", "try again");
        let timed = TimedStore::new(&store, Duration::from_secs(2), Instant::now());
        assert!(timed.blame(error()).message().starts_with("the server"));
        timed.slowest.set(Some((Duration::from_millis(900), "save")));
        assert!(timed.blame(error()).message().starts_with("the server"));
        timed.slowest.set(Some((Duration::from_millis(10_040), "load")));
        let blamed = timed.blame(error());
        assert_eq!(blamed.status(), Status::Timeout);
        let expected = "the store's load took 10.0 s, and the timeout of the whole call is 2 s; ";
        assert!(blamed.message().starts_with(expected), "{blamed}");
        assert!(timed.blame(Error::new(Status::Server, "HTTP 500", "")).message().starts_with("HTTP 500"));
    }
}
