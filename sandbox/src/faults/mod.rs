//! Fault injection: the list of faults (`fault`), the queue of those that are due (`queue`), and their effects: on the
//! listening socket (`listener`), on the bytes of a connection (`raw`), or on the content of a response (`content`).
//!
//! `accept` asks the queue at each connection and each request.

pub(crate) mod content;
mod fault;
pub(crate) mod listener;
mod queue;
pub(crate) mod raw;

pub use fault::{Fault, Kind, UnknownFault};
pub use queue::Planned;
pub(crate) use queue::{FaultQueue, FaultsBody};
