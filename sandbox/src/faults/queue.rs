//! The queue of [`Planned`] faults. Only its first entry can happen, so faults happen in the order of the queue.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use serde::Deserialize;

use super::fault::{Fault, Kind};
use super::listener::{State, StateSender};

/// A fault, and how often it is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The fault.
    pub fault: Fault,
    /// How often it happens. `None`: until faults are set again or cleared.
    pub times: Option<u32>,
}

impl Fault {
    /// Plans the fault once. A fault of the listener lasts until it is cleared.
    pub fn once(self) -> Planned {
        Planned { fault: self, times: if self.kind() == Kind::Listener { None } else { Some(1) } }
    }

    /// Plans the fault `times` times.
    pub fn times(self, times: u32) -> Planned {
        Planned { fault: self, times: Some(times) }
    }

    /// Plans the fault until faults are set again or cleared.
    pub fn always(self) -> Planned {
        Planned { fault: self, times: None }
    }
}

/// The faults that are to happen. All connections share it.
pub(crate) struct FaultQueue {
    tls: bool,
    pending: Mutex<VecDeque<Planned>>,
    listener: StateSender,
}

impl FaultQueue {
    pub(crate) fn new(tls: bool, listener: StateSender) -> FaultQueue {
        FaultQueue { tls, pending: Mutex::default(), listener }
    }

    /// Replaces the queue. The listener calls `done` when its state fits the new queue.
    pub(crate) fn set(&self, planned: &[Planned], done: impl FnOnce() + Send + 'static) -> Result<(), String> {
        for entry in planned {
            self.check(*entry)?;
        }
        let mut pending = self.pending.lock().expect("no panic in the queue");
        *pending = planned.iter().filter(|entry| entry.times != Some(0)).copied().collect();
        self.listener.set(listener_state(&pending), done);
        Ok(())
    }

    /// Takes the first fault, if it is of one of these kinds.
    pub(crate) fn take(&self, kinds: &[Kind]) -> Option<Fault> {
        let mut pending = self.pending.lock().expect("no panic in the queue");
        let first = pending.front_mut().filter(|entry| kinds.contains(&entry.fault.kind()))?;
        let fault = first.fault;
        if let Some(times) = &mut first.times {
            *times -= 1;
            if *times == 0 {
                pending.pop_front();
                if listener_state(&pending) != State::Open {
                    self.listener.set(listener_state(&pending), || {});
                }
            }
        }
        Some(fault)
    }

    /// The faults in the queue.
    pub(crate) fn pending(&self) -> Vec<Planned> {
        self.pending.lock().expect("no panic in the queue").iter().copied().collect()
    }

    fn check(&self, planned: Planned) -> Result<(), String> {
        let Planned { fault, times } = planned;
        if fault.needs_tls() && !self.tls {
            return Err(format!("{fault} needs a sandbox with TLS"));
        }
        if fault.kind() == Kind::Listener && times.is_some() {
            return Err(format!("{fault} lasts until it is cleared: leave \"times\" out or give null"));
        }
        Ok(())
    }
}

fn listener_state(pending: &VecDeque<Planned>) -> State {
    match pending.front().map(|entry| entry.fault) {
        Some(Fault::Refuse) => State::Closed,
        Some(Fault::SilenceInConnect) => State::Full,
        _ => State::Open,
    }
}

/// The body of `POST /sandbox/faults`: `"close"`, or a list of names and of `{"fault": "close", "times": 2}`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum FaultsBody {
    One(Entry),
    Many(Vec<Entry>),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Entry {
    Name(String),
    Counted(Counted),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counted {
    fault: String,
    /// Without it: as [`Fault::once`]. Null: as [`Fault::always`].
    #[serde(default, deserialize_with = "present")]
    times: Option<Option<u32>>,
}

fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl FaultsBody {
    pub(crate) fn plan(self) -> Result<Vec<Planned>, String> {
        let entries = match self {
            FaultsBody::One(entry) => vec![entry],
            FaultsBody::Many(entries) => entries,
        };
        let plan = |entry| match entry {
            Entry::Name(name) => Ok(name.parse::<Fault>()?.once()),
            Entry::Counted(Counted { fault, times }) => {
                let fault: Fault = fault.parse()?;
                Ok(times.map_or(fault.once(), |times| Planned { fault, times }))
            }
        };
        entries.into_iter().map(plan).collect::<Result<_, super::UnknownFault>>().map_err(|error| error.to_string())
    }
}

impl fmt::Debug for FaultQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultQueue").field("pending", &self.pending()).finish_non_exhaustive()
    }
}
