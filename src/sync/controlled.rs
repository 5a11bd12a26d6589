//! The types of `sync` for unit tests. In a test that uses [`explore`], `shuttle` runs one thread at a time, and before each
//! operation on these types it chooses the thread that runs next. In other tests they behave like the types of `std` and
//! `arc-swap`.
//!
//! An operation of `arc-swap` or of a `OnceLock` is one step, because shuttle cannot look inside. A wait with a timeout never
//! times out, so a lost wake-up is a deadlock, which shuttle reports. All memory is sequentially consistent.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::sync::{Arc, LockResult, PoisonError};
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

/// Number of orders that each of the two schedulers tries.
const ORDERS: usize = 2000;

/// Depth of the bugs that the PCT scheduler finds: the number of its priority changes, plus one.
const DEPTH: usize = 4;

shuttle::thread_local! {
    static PROCESS: Cell<Option<u32>> = Cell::new(None);
    static FREEZER: RefCell<Option<Freezer>> = RefCell::new(None);
}

/// Runs `test` in several thousand random orders of its threads. The test spawns them with `shuttle::thread`. If it fails,
/// shuttle prints the order, and `shuttle::replay` repeats it.
pub(crate) fn explore(test: impl Fn() + Send + Sync + 'static) {
    let test = Arc::new(test);
    let mut config = Config::new();
    // The default is too small for making a client in a build without optimization.
    config.stack_size = 256 * 1024;
    config.silence_warnings = true;
    let (random, pct) = (test.clone(), test);
    Runner::new(RandomScheduler::new(ORDERS), config.clone()).run(move || random());
    Runner::new(PctScheduler::new(DEPTH, ORDERS), config).run(move || pct());
}

/// Simulates that this thread belongs to another process from now on.
pub(crate) fn enter_process(id: u32) {
    PROCESS.with(|process| process.set(Some(id)));
}

pub(crate) fn process_id() -> u32 {
    let simulated = if is_explored() { PROCESS.try_with(Cell::get).ok().flatten() } else { None };
    simulated.unwrap_or_else(std::process::id)
}

fn is_explored() -> bool {
    shuttle::current::try_get_current_task().is_some()
}

/// A point at which another thread may run. Not `yield_now`: the PCT scheduler would give this thread the lowest priority.
pub(crate) fn step() {
    if is_explored() {
        shuttle::thread::sleep(Duration::ZERO);
        if let Some(freezer) = FREEZER.try_with(|freezer| freezer.borrow().clone()).ok().flatten() {
            freezer.pass();
        }
    }
}

/// Stops threads for a while. Clones share the same state.
#[derive(Clone, Default)]
pub(crate) struct Freezer(Arc<(shuttle::sync::Mutex<bool>, shuttle::sync::Condvar)>);

impl Freezer {
    /// From now on this freezer can stop this thread at each of its steps.
    pub(crate) fn enter(&self) {
        FREEZER.with(|freezer| *freezer.borrow_mut() = Some(self.clone()));
    }

    pub(crate) fn freeze(&self) {
        *self.0.0.lock().unwrap() = true;
    }

    pub(crate) fn thaw(&self) {
        *self.0.0.lock().unwrap() = false;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let frozen = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(frozen, |frozen| *frozen).unwrap());
    }
}

/// An `ArcSwapOption` whose every operation is a step.
pub(crate) struct ArcSwapOption<T>(arc_swap::ArcSwapOption<T>);

impl<T> ArcSwapOption<T> {
    pub(crate) const fn const_empty() -> Self {
        ArcSwapOption(arc_swap::ArcSwapOption::const_empty())
    }
}

/// Used by `store::lock` only.
#[cfg(unix)]
impl<T> ArcSwapOption<T> {
    pub(crate) fn from_pointee(value: T) -> Self {
        ArcSwapOption(arc_swap::ArcSwapOption::from_pointee(value))
    }

    /// As in `arc-swap`: two operations, and more if another thread runs in between.
    pub(crate) fn rcu(&self, mut edit: impl FnMut(&Option<Arc<T>>) -> Option<Arc<T>>) -> Option<Arc<T>> {
        use arc_swap::{AsRaw, Guard};
        let mut present = self.load();
        loop {
            let was = self.compare_and_swap(&*present, edit(&present));
            if was.as_raw() == present.as_raw() {
                return Guard::into_inner(was);
            }
            present = was;
        }
    }
}

impl<T> Default for ArcSwapOption<T> {
    fn default() -> Self {
        Self::const_empty()
    }
}

impl<T> Deref for ArcSwapOption<T> {
    type Target = arc_swap::ArcSwapOption<T>;

    fn deref(&self) -> &Self::Target {
        step();
        &self.0
    }
}

/// A `OnceLock` whose every operation is a step.
pub(crate) struct OnceLock<T>(std::sync::OnceLock<T>);

impl<T> OnceLock<T> {
    pub(crate) const fn new() -> Self {
        OnceLock(std::sync::OnceLock::new())
    }

    /// For assertions of a test: no step.
    pub(crate) fn unobserved(&self) -> &std::sync::OnceLock<T> {
        &self.0
    }
}

impl<T> Deref for OnceLock<T> {
    type Target = std::sync::OnceLock<T>;

    fn deref(&self) -> &Self::Target {
        step();
        &self.0
    }
}

/// A mutex of shuttle if it was made in a test that explores, otherwise one of `std`.
pub(crate) enum Mutex<T> {
    Real(std::sync::Mutex<T>),
    Explored(shuttle::sync::Mutex<T>),
}

pub(crate) enum MutexGuard<'a, T> {
    Real(std::sync::MutexGuard<'a, T>),
    Explored(shuttle::sync::MutexGuard<'a, T>),
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        if is_explored() { Mutex::Explored(Default::default()) } else { Mutex::Real(Default::default()) }
    }
}

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        match self {
            Mutex::Real(mutex) => wrap(mutex.lock(), MutexGuard::Real),
            Mutex::Explored(mutex) => wrap(mutex.lock(), MutexGuard::Explored),
        }
    }
}

/// A condition variable of shuttle or of `std`, as for [`Mutex`].
pub(crate) enum Condvar {
    Real(std::sync::Condvar),
    Explored(shuttle::sync::Condvar),
}

impl Default for Condvar {
    fn default() -> Self {
        if is_explored() { Condvar::Explored(Default::default()) } else { Condvar::Real(Default::default()) }
    }
}

impl Condvar {
    pub(crate) fn notify_all(&self) {
        match self {
            Condvar::Real(condvar) => condvar.notify_all(),
            Condvar::Explored(condvar) => condvar.notify_all(),
        }
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        match (self, guard) {
            (Condvar::Real(condvar), MutexGuard::Real(guard)) => {
                wrap(condvar.wait_timeout(guard, timeout), |(guard, waited)| {
                    (MutexGuard::Real(guard), waited.timed_out())
                })
            }
            (Condvar::Explored(condvar), MutexGuard::Explored(guard)) => {
                wrap(condvar.wait_timeout(guard, timeout), |(guard, waited)| {
                    (MutexGuard::Explored(guard), waited.timed_out())
                })
            }
            _ => panic!("a condition variable and a mutex that were not made in the same place"),
        }
    }
}

fn wrap<T, U>(result: LockResult<T>, wrap: impl Fn(T) -> U) -> LockResult<U> {
    match result {
        Ok(guard) => Ok(wrap(guard)),
        Err(poisoned) => Err(PoisonError::new(wrap(poisoned.into_inner()))),
    }
}
