//! When a fault is due: the script, a queue of [`Planned`] faults. Only its first entry is looked at, so faults come in
//! the order they were given.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use serde::Deserialize;

use super::fault::{Fault, Kind};
use super::gate::{Gate, State};

/// A fault, and how often it is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which.
    pub fault: Fault,
    /// How often; `None`: until the faults are set anew or cleared.
    pub times: Option<u32>,
}

impl Fault {
    /// To happen once; a fault of the listener until it is cleared.
    pub fn once(self) -> Planned {
        Planned { fault: self, times: if self.kind() == Kind::Listener { None } else { Some(1) } }
    }

    /// To happen so many times.
    pub fn times(self, times: u32) -> Planned {
        Planned { fault: self, times: Some(times) }
    }

    /// To happen until the faults are set anew or cleared.
    pub fn always(self) -> Planned {
        Planned { fault: self, times: None }
    }
}

/// What is to come, shared by all connections.
pub(crate) struct Script {
    tls: bool,
    pending: Mutex<VecDeque<Planned>>,
    gate: Gate,
}

impl Script {
    pub(crate) fn new(tls: bool, gate: Gate) -> Script {
        Script { tls, pending: Mutex::default(), gate }
    }

    /// Puts these in place of what was to come. `done` is called when the listener does as they say.
    pub(crate) fn set(&self, planned: &[Planned], done: impl FnOnce() + Send + 'static) -> Result<(), String> {
        for entry in planned {
            self.check(*entry)?;
        }
        let mut pending = self.pending.lock().expect("no panic in the script");
        *pending = planned.iter().filter(|entry| entry.times != Some(0)).copied().collect();
        self.gate.set(state(&pending), done);
        Ok(())
    }

    /// The next fault, if it is of one of these kinds; it is counted as done.
    pub(crate) fn take(&self, kinds: &[Kind]) -> Option<Fault> {
        let mut pending = self.pending.lock().expect("no panic in the script");
        let first = pending.front_mut().filter(|entry| kinds.contains(&entry.fault.kind()))?;
        let fault = first.fault;
        if let Some(times) = &mut first.times {
            *times -= 1;
            if *times == 0 {
                pending.pop_front();
                if state(&pending) != State::Open {
                    self.gate.set(state(&pending), || {});
                }
            }
        }
        Some(fault)
    }

    /// What is still to come.
    pub(crate) fn pending(&self) -> Vec<Planned> {
        self.pending.lock().expect("no panic in the script").iter().copied().collect()
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

fn state(pending: &VecDeque<Planned>) -> State {
    match pending.front().map(|entry| entry.fault) {
        Some(Fault::Refuse) => State::Closed,
        Some(Fault::SilenceInConnect) => State::Full,
        _ => State::Open,
    }
}

/// What `POST /sandbox/faults` takes: `"close"`, or a list of names and of `{"fault": "close", "times": 2}`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Wanted {
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
    /// Left out: as [`Fault::once`]; null: as [`Fault::always`].
    #[serde(default, deserialize_with = "there")]
    times: Option<Option<u32>>,
}

fn there<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl Wanted {
    pub(crate) fn read(self) -> Result<Vec<Planned>, String> {
        let entries = match self {
            Wanted::One(entry) => vec![entry],
            Wanted::Many(entries) => entries,
        };
        let read = |entry| match entry {
            Entry::Name(name) => Ok(name.parse::<Fault>()?.once()),
            Entry::Counted(Counted { fault, times }) => {
                let fault: Fault = fault.parse()?;
                Ok(times.map_or(fault.once(), |times| Planned { fault, times }))
            }
        };
        entries.into_iter().map(read).collect::<Result<_, super::UnknownFault>>().map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("pending", &self.pending()).finish_non_exhaustive()
    }
}
