//! State that belongs to one process. A forked child inherits the memory of its parent but none of the other threads, so it makes
//! its own state.
//!
//! There is no lock: a child never waits for a lock that a thread of its parent held. The child does not change or drop the
//! state of its parent, because such a thread may have been changing it at the fork.

use std::ops::Deref;
use std::sync::Arc;

use crate::sync::{ArcSwapOption, process_id};

/// A state, and the process that made it.
pub(crate) struct Owned<T> {
    process: u32,
    value: T,
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Holds the state of this process, which is made at the first use.
pub(crate) struct PerProcess<T>(ArcSwapOption<Owned<T>>);

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        PerProcess(ArcSwapOption::const_empty())
    }

    /// The state of this process, if there is one already.
    pub(crate) fn get(&self) -> Option<Arc<Owned<T>>> {
        self.get_of(process_id())
    }

    fn get_of(&self, process: u32) -> Option<Arc<Owned<T>>> {
        self.0.load_full().filter(|present| present.process == process)
    }

    /// The state of this process. All threads get the same one: if `make` runs in several threads, one result wins. `make` gets
    /// the state of the parent, if that had one.
    pub(crate) fn get_or_make(&self, make: impl FnMut(Option<&T>) -> T) -> Arc<Owned<T>> {
        self.get_or_make_of(process_id(), make)
    }

    fn get_or_make_of(&self, process: u32, mut make: impl FnMut(Option<&T>) -> T) -> Arc<Owned<T>> {
        loop {
            let present = self.0.load_full();
            if let Some(present) = &present
                && present.process == process
            {
                return Arc::clone(present);
            }
            let made = Arc::new(Owned { process, value: make(present.as_deref().map(|owned| &owned.value)) });
            let before = self.0.compare_and_swap(&present, Some(Arc::clone(&made)));
            if before.as_ref().map(Arc::as_ptr) == present.as_ref().map(Arc::as_ptr) {
                std::mem::forget(present);
                return made;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn all_threads_of_a_process_get_the_same_state() {
        for _ in 0..50 {
            let (state, made) = (PerProcess::new(), AtomicUsize::new(0));
            assert!(state.get().is_none());
            let make = |_: Option<&usize>| made.fetch_add(1, Ordering::Relaxed);
            let got: Vec<usize> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| **state.get_or_make(make))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let winner: usize = **state.get().unwrap();
            assert!(got.iter().all(|got| *got == winner), "{got:?}");
        }
    }

    #[test]
    fn a_child_makes_its_state_from_its_parent_s_and_does_not_drop_that() {
        struct State {
            depth: u32,
            _alive: Arc<()>,
        }
        let (state, alive) = (PerProcess::new(), Arc::new(()));
        let make = |parent: Option<&State>| State {
            depth: parent.map_or(1, |parent| parent.depth + 1),
            _alive: alive.clone(),
        };
        assert_eq!(state.get_or_make_of(100, make).depth, 1);
        assert_eq!(state.get_or_make_of(100, make).depth, 1);
        assert!(state.get_of(101).is_none());
        assert_eq!(state.get_or_make_of(101, make).depth, 2);
        assert_eq!(state.get_of(101).unwrap().depth, 2);
        assert_eq!(Arc::strong_count(&alive), 3, "the state of the parent is not dropped");
    }
}
