//! Faults on purpose: which there are (`fault`), when one is due (`script`), and how each is done: on the listening
//! socket (`gate`), on the bare connection (`raw`), or in what an answer says (`content`).
//!
//! `accept` asks the script at each connection and each request.

pub(crate) mod content;
mod fault;
pub(crate) mod gate;
pub(crate) mod raw;
mod script;

pub use fault::{Fault, Kind, UnknownFault};
pub use script::Planned;
pub(crate) use script::{Script, Wanted};
