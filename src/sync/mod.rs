//! Synchronization types for code whose correctness depends on the order in which threads run. They are the types of `std` and
//! `arc-swap`; in the unit tests of this crate they are those of `controlled`, so that a test can choose the order.

#[cfg(test)]
pub(crate) mod controlled;

#[cfg(not(test))]
pub(crate) use std::process::id as process_id;
#[cfg(not(test))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};

#[cfg(not(test))]
pub(crate) use arc_swap::ArcSwapOption;

#[cfg(test)]
pub(crate) use controlled::{ArcSwapOption, Condvar, Mutex, MutexGuard, OnceLock, process_id};
