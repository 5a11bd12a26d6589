//! A simulated world: machines, processes, callers, a server and stores, driven by one queue of events. The production code
//! makes the decisions: `Caller` for each call, `Leader` for each flight.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::check::{Checks, Violation};
use super::plan::{Key, Plan, StoreKind};
use super::rng::Rng;
use super::server::{Issued, Server};
use super::store::Store;
use crate::clock::Now;
use crate::error::Error;
use crate::secret::Secret;
use crate::session::action::{Event, Job};
use crate::session::caller::{Caller, Purpose};
use crate::session::leader::Leader;
use crate::session::state::{Identity, State, Want};
use crate::tokens::Tokens;

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) at: i64,
    pub(super) server: Server,
    pub(super) stores: Vec<Store>,
    pub(super) machines: Vec<MachineState>,
    pub(super) processes: Vec<ProcessState>,
    /// For each process of the plan, the index of its current instance in `processes`.
    pub(super) running: Vec<usize>,
    pub(super) queue: BinaryHeap<Reverse<(i64, u64)>>,
    pub(super) scheduled: BTreeMap<u64, Scheduled>,
    pub(super) next: u64,
    pub(super) rng: Rng,
    pub(super) checks: Checks,
    pub(super) trace: Option<Vec<String>>,
    pub(super) steps: u64,
    /// When a user last logged in.
    pub(super) logged_in_at: i64,
}

pub(super) struct MachineState {
    pub(super) wall_offset: i64,
    pub(super) drift: i64,
    pub(super) boots: u32,
    pub(super) asleep_until: i64,
    pub(super) slept_at: i64,
    /// When the wall clock was last set.
    pub(super) set_at: i64,
}

pub(super) struct ProcessState {
    pub(super) plan: usize,
    pub(super) machine: usize,
    pub(super) store: usize,
    pub(super) key: Key,
    pub(super) timeout: i64,
    pub(super) logs_in: bool,
    pub(super) identity: Arc<Identity>,
    pub(super) alive: bool,
    pub(super) state: Arc<State>,
    pub(super) flight: Option<FlightState>,
    pub(super) callers: Vec<CallerState>,
    /// Jobs that wait for the end of the flight in progress.
    pub(super) jobs: Vec<Job>,
    pub(super) login_pending: bool,
    pub(super) kill_at_action: Option<i64>,
    /// After this number of actions the machine sleeps for this time (ms), unless that is later than the third value.
    pub(super) sleep_at_action: Option<(i64, i64, i64)>,
}

pub(super) struct FlightState {
    pub(super) id: u64,
    pub(super) job: Job,
    pub(super) purpose: Purpose,
    pub(super) began: i64,
    /// By the boot clock.
    pub(super) deadline: i64,
    pub(super) leader: Leader,
    pub(super) run_by: RunBy,
    pub(super) waiters: Vec<usize>,
    /// A refresh token that the server has issued and that may not be stored yet.
    pub(super) unsaved_refresh_token: Option<String>,
    /// The store refused a clear, and the leader has not read it since.
    pub(super) clear_refused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RunBy {
    Background,
    Caller(usize),
    Program,
}

#[derive(Default)]
pub(super) struct CallerState {
    /// The call in progress.
    pub(super) call: Option<Call>,
    /// Time and result of the last call: whether the API accepted the tokens.
    pub(super) last: Option<(i64, Result<bool, Error>)>,
    /// When the API last accepted tokens of this caller.
    pub(super) accepted_at: Option<i64>,
    pub(super) calls: u64,
}

#[derive(Clone)]
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) number: u64,
    pub(super) began: i64,
    pub(super) leads: bool,
    /// The call has led a flight before.
    pub(super) led_before: bool,
    /// The caller had unexpired tokens when the call began.
    pub(super) had_fallback: bool,
    /// When the flight that it joined began, by the boot clock.
    pub(super) joined: Option<i64>,
}

pub(super) enum Scheduled {
    Plan(usize),
    Begin(usize, usize),
    Timer { process: usize, caller: usize, call: u64, purpose: Purpose },
    FlightEnded { process: usize, caller: usize, call: u64, purpose: Purpose, result: Result<Option<Tokens>, Error> },
    Api { process: usize, caller: usize, tokens: Tokens, again: bool },
    Leader { process: usize, flight: u64, event: Event },
    Effect { process: usize, flight: u64, operation: super::act::Operation, answer_after: i64 },
    Arrival { process: usize, flight: u64, request: super::act::Request, deadline: i64 },
    Restart(usize),
    Job { process: usize, log_in: bool, log_out: bool },
}

impl World {
    pub(super) fn new(plan: Plan, traced: bool) -> World {
        let machine = |machine: &super::plan::Machine| MachineState {
            wall_offset: machine.wall_offset,
            drift: machine.drift,
            boots: 0,
            asleep_until: 0,
            slept_at: i64::MIN,
            set_at: i64::MIN,
        };
        World {
            at: 0,
            server: Server::new(plan.rotates, plan.lifetime),
            stores: plan.stores.iter().map(|kind| Store::new(*kind)).collect(),
            machines: plan.machines.iter().map(machine).collect(),
            processes: Vec::new(),
            running: vec![usize::MAX; plan.processes.len()],
            queue: BinaryHeap::new(),
            scheduled: BTreeMap::new(),
            next: 0,
            rng: Rng::new(plan.seed, 2),
            checks: Checks::new(&plan),
            trace: traced.then(Vec::new),
            steps: 0,
            logged_in_at: 0,
            plan,
        }
    }

    /// Runs the world to its end, or to the first violation.
    pub(super) fn run(&mut self) -> Result<(), Violation> {
        for number in 0..self.plan.processes.len() {
            self.start_process(number);
            if self.plan.processes[number].key == Key::Own {
                self.schedule(
                    number as i64,
                    Scheduled::Job { process: self.running[number], log_in: true, log_out: false },
                );
            }
        }
        for event in 0..self.plan.events.len() {
            self.schedule(self.plan.events[event].0, Scheduled::Plan(event));
        }
        let end = self.plan.calm_at() + self.plan.calm();
        while let Some(Reverse((at, number))) = self.queue.pop() {
            if at > end {
                break;
            }
            self.at = at;
            self.steps += 1;
            let Some(due) = self.scheduled.remove(&number) else { continue };
            if let Some(wake) = self.asleep(&due) {
                self.scheduled.insert(number, due);
                self.queue.push(Reverse((wake, number)));
                continue;
            }
            self.dispatch(due)?;
            Checks::after_each_step(self)?;
        }
        Checks::at_the_end(self, end)
    }

    /// If the event happens on a machine that sleeps: when the machine wakes up.
    pub(super) fn asleep(&self, due: &Scheduled) -> Option<i64> {
        let process = match due {
            Scheduled::Begin(process, _)
            | Scheduled::Timer { process, .. }
            | Scheduled::FlightEnded { process, .. }
            | Scheduled::Api { process, .. }
            | Scheduled::Leader { process, .. }
            | Scheduled::Job { process, .. } => *process,
            Scheduled::Effect { process, .. }
                if self.stores[self.processes[*process].store].kind == StoreKind::File =>
            {
                *process
            }
            _ => return None,
        };
        let wake = self.machines[self.processes[process].machine].asleep_until;
        (self.at < wake).then_some(wake)
    }

    pub(super) fn dispatch(&mut self, due: Scheduled) -> Result<(), Violation> {
        match due {
            Scheduled::Plan(event) => self.disturb(self.plan.events[event].1),
            Scheduled::Restart(number) => {
                self.start_process(number);
                Ok(())
            }
            Scheduled::Begin(process, caller) if self.processes[process].alive => {
                // A caller to whom held tokens do not last long enough must wait, so holds end with the disturbances.
                if self.rng.between(0, 19) == 0 && self.at < self.plan.calm_at() {
                    let until = self.now(process).wall + self.rng.between(0, 30_000);
                    self.job(process, Job::Hold(until))?;
                }
                // Some calls ask for tokens that last for a part of the lifetime.
                let lifetime = self.plan.lifetime * 1000;
                let min_left = if self.rng.between(0, 9) == 0 { self.rng.between(0, lifetime / 2) } else { 0 };
                self.call(process, caller, Want::ValidFor(min_left))
            }
            Scheduled::Timer { process, caller, call, purpose } => self.waited(process, caller, call, purpose, None),
            Scheduled::FlightEnded { process, caller, call, purpose, result } => {
                self.waited(process, caller, call, purpose, Some(result))
            }
            Scheduled::Api { process, caller, tokens, again } if self.processes[process].alive => {
                self.api(process, caller, &tokens, again)
            }
            Scheduled::Leader { process, flight, event } => self.lead(process, flight, event),
            Scheduled::Effect { process, flight, operation, answer_after } => {
                self.effect(process, flight, operation, answer_after)
            }
            Scheduled::Arrival { process, flight, request, deadline } => {
                self.arrival(process, flight, request, deadline);
                Ok(())
            }
            Scheduled::Job { process, log_in, log_out } if self.processes[process].alive => {
                let job = match (log_in, log_out) {
                    (true, _) => {
                        self.processes[process].login_pending = false;
                        let issued = self.server.log_in(self.at);
                        self.log(process, || {
                            format!("a user logs in: {} {}", issued.access_token, issued.refresh_token)
                        });
                        let now = self.now(process);
                        Job::Start(self.tokens(process, &issued, now))
                    }
                    (_, true) => Job::LogOut,
                    _ => Job::Forget,
                };
                self.job(process, job)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn schedule(&mut self, after: i64, due: Scheduled) {
        self.next += 1;
        self.scheduled.insert(self.next, due);
        self.queue.push(Reverse((self.at + after.max(0), self.next)));
    }

    pub(super) fn now(&self, process: usize) -> Now {
        let machine = &self.machines[self.processes[process].machine];
        let base = 1_700_000_000_000;
        let drift = self.at * machine.drift / 1_000_000;
        // The machines started at different times.
        let started = 1_000_000 * (self.processes[process].machine as i64 + 1);
        Now { boot: started + self.at, wall: base + self.at + drift + machine.wall_offset }
    }

    pub(super) fn tokens(&self, _process: usize, issued: &Issued, begun: Now) -> Tokens {
        Tokens::new(
            Secret::new(issued.access_token.as_str()),
            Some(Secret::new(issued.refresh_token.as_str())),
            "bearer".to_owned(),
            Some("write".to_owned()),
            Some(begun.wall.div_euclid(1000) + issued.expires_in),
        )
    }

    pub(super) fn log(&mut self, process: usize, describe: impl FnOnce() -> String) {
        self.log_if(true, process, describe);
    }

    pub(super) fn log_if(&mut self, logged: bool, process: usize, describe: impl FnOnce() -> String) {
        if logged && self.trace.is_some() {
            let now = self.now(process);
            let line = format!(
                "{:>9} ms  process {process} on machine {} (wall {:+} ms): {}",
                self.at,
                self.processes[process].machine,
                now.wall - 1_700_000_000_000 - self.at,
                describe()
            );
            self.trace.iter_mut().for_each(|trace| trace.push(line.clone()));
        }
    }
}
