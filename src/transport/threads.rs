//! The threads on which names are looked up and connections made: how many there may be, and look-ups that calls share.
//!
//! A process has at most [`MOST_THREADS`] threads of this library at once, those of all clients together: the one of
//! `idle`, and those here. A call that needs one more waits for a free place until its deadline. While a host is looked
//! up, further calls to it wait for that look-up and start no thread; once it has ended, the next call begins a new one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::fault::Fault;
use super::per_process::PerProcess;
use super::stop::Stop;
use crate::panic::catch_panic;

/// Threads of this library that a process has at most.
pub(super) const MOST_THREADS: usize = 64;

/// The threads of this process.
#[derive(Clone)]
pub(super) struct Threads(Arc<Inner>);

struct Inner {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    look_ups: Vec<Arc<LookUp>>,
    /// Clients whose calls wait for a place or for a look-up.
    waiting: Vec<Stop>,
}

/// A look-up under way.
pub(super) struct LookUp {
    host: String,
    found: OnceLock<Found>,
}

pub(super) type Found = Result<Vec<SocketAddr>, Fault>;

/// How a call comes by the addresses of a host.
pub(super) enum Turn {
    /// By the look-up of another call.
    Join(Arc<LookUp>),
    /// By a look-up of its own, on a thread for which there is a place.
    Lead(Lead, Place),
}

impl Threads {
    pub(super) fn of_this_process() -> Threads {
        static THREADS: PerProcess<Threads> = PerProcess::new();
        // One place is that of `idle`.
        Threads::clone(&THREADS.get_or_make(|_| Threads::at_most(MOST_THREADS - 1)))
    }

    pub(super) fn at_most(most: usize) -> Threads {
        Threads(Arc::new(Inner { most, state: Mutex::default() }))
    }

    /// A place for one thread; `None`: all are taken, and `stop` is woken once to ask again.
    pub(super) fn place(&self, stop: &Stop) -> Option<Place> {
        let mut state = self.state();
        let place = self.take_place(&mut state);
        if place.is_none() {
            state.wake_later(stop);
        }
        place
    }

    /// How to come by the addresses of `host`; `None` as for [`place`](Self::place).
    pub(super) fn turn(&self, host: &str, stop: &Stop) -> Option<Turn> {
        let mut state = self.state();
        if let Some(look_up) = state.look_ups.iter().find(|look_up| look_up.host == host) {
            return Some(Turn::Join(look_up.clone()));
        }
        let Some(place) = self.take_place(&mut state) else {
            state.wake_later(stop);
            return None;
        };
        let look_up = Arc::new(LookUp { host: host.to_owned(), found: OnceLock::new() });
        state.look_ups.push(look_up.clone());
        Some(Turn::Lead(Lead { threads: self.clone(), look_up }, place))
    }

    /// The result of a look-up; `None`: it has not ended, and `stop` is woken once to ask again.
    pub(super) fn found(&self, look_up: &LookUp, stop: &Stop) -> Option<Found> {
        let mut state = self.state();
        let found = look_up.found.get().cloned();
        if found.is_none() {
            state.wake_later(stop);
        }
        found
    }

    fn take_place(&self, state: &mut State) -> Option<Place> {
        if state.taken >= self.0.most {
            return None;
        }
        state.taken += 1;
        Some(Place(self.clone()))
    }

    /// Changes the state, and lets all that wait look again.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.state();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        // Not under the lock: who waits takes it while it looks.
        for stop in waiting {
            stop.wake();
        }
    }

    /// Whether a call that `stop` ends waits here.
    #[cfg(test)]
    pub(super) fn is_waiting(&self, stop: &Stop) -> bool {
        self.state().waiting.iter().any(|waiting| waiting.is(stop))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_later(&mut self, stop: &Stop) {
        if !self.waiting.iter().any(|waiting| waiting.is(stop)) {
            self.waiting.push(stop.clone());
        }
    }
}

/// The right to run one thread, which holds it until it ends.
pub(super) struct Place(Threads);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.change(|state| state.taken -= 1);
    }
}

/// The duty to look a host up for all that wait for it. It goes to the thread that looks up, so that the call which began
/// it can end sooner.
pub(super) struct Lead {
    threads: Threads,
    look_up: Arc<LookUp>,
}

impl Lead {
    /// Looks up, and gives what was found to all.
    pub(super) fn run(self, look_up: impl FnOnce() -> Found) -> Found {
        let found = catch_panic(look_up).unwrap_or_else(|bug| Err(Fault::Bug(bug)));
        let _ = self.look_up.found.set(found.clone());
        found
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Set already, unless the thread did not start.
        self.look_up.found.get_or_init(|| Err(Fault::LookUp("no thread could be started".to_owned())));
        self.threads.change(|state| state.look_ups.retain(|look_up| !Arc::ptr_eq(look_up, &self.look_up)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_its_thread_ends() {
        let (threads, stop) = (Threads::at_most(2), Stop::default());
        let first = threads.place(&stop).unwrap();
        let second = threads.turn("a.invalid", &stop);
        assert!(matches!(second, Some(Turn::Lead(..))));
        assert!(threads.place(&stop).is_none());
        assert!(threads.turn("b.invalid", &stop).is_none());
        assert!(matches!(threads.turn("a.invalid", &stop), Some(Turn::Join(_))), "joining needs no place");
        drop(second);
        let third = threads.place(&stop).unwrap();
        assert!(threads.place(&stop).is_none());
        drop((first, third));
        assert!(threads.place(&stop).is_some());
    }

    #[test]
    fn a_look_up_is_joined_until_it_ends_and_its_result_is_not_kept() {
        let (threads, stop) = (Threads::at_most(2), Stop::default());
        let Some(Turn::Lead(lead, _place)) = threads.turn("a.invalid", &stop) else { panic!() };
        let Some(Turn::Join(joined)) = threads.turn("a.invalid", &stop) else { panic!() };
        assert!(threads.found(&joined, &stop).is_none());
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        lead.run(|| Ok(vec![address])).unwrap();
        assert_eq!(threads.found(&joined, &stop).unwrap().unwrap(), [address]);
        let Some(Turn::Lead(lead, _place)) = threads.turn("a.invalid", &stop) else { panic!("kept") };
        let Some(Turn::Join(joined)) = threads.turn("a.invalid", &stop) else { panic!() };
        drop(lead);
        let failure = threads.found(&joined, &stop).unwrap().unwrap_err();
        assert!(matches!(failure, Fault::LookUp(_)), "{failure:?}");
    }
}
