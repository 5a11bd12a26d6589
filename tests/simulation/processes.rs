//! The processes of a simulated world: their start, fork and end, and the effects of disturbances.

use std::sync::Arc;

use super::check::{Checks, Violation};
use super::plan::{Disturbance, Key, SLEEP_WINDOW};
use crate::clock::Now;
use crate::session::leader::read_record;
use crate::session::state::{Identity, State};
use crate::store::record::Owner;

use super::world::*;

impl World {
    pub(super) fn start_process(&mut self, number: usize) {
        let plan = &self.plan.processes[number];
        let owner = Owner {
            client_id: if plan.key == Key::Foreign { "other.key" } else { "key" }.to_owned(),
            base_url: if plan.key == Key::OtherServer { "https://other" } else { "https://server" }.to_owned(),
        };
        let boots = self.machines[plan.machine].boots;
        let boot_id = Some(format!("machine {} boot {boots}", plan.machine));
        let process = ProcessState {
            plan: number,
            machine: plan.machine,
            store: plan.store,
            key: plan.key,
            timeout: plan.timeout,
            logs_in: plan.logs_in,
            identity: Arc::new(Identity { owner, boot_id }),
            alive: true,
            state: Arc::new(State::logged_out(0, Now { boot: 0, wall: 0 })),
            flight: None,
            callers: (0..plan.callers).map(|_| CallerState::default()).collect(),
            jobs: Vec::new(),
            login_pending: false,
            kill_at_action: None,
            sleep_at_action: None,
        };
        self.processes.push(process);
        let id = self.processes.len() - 1;
        self.running[number] = id;
        let now = self.now(id);
        let process = &mut self.processes[id];
        // The same as `Session::open`.
        let loaded = self.stores[process.store].load(self.at);
        let state = match loaded.map(|text| read_record(text.as_ref(), &process.identity)) {
            Ok(Ok(Some(record))) => State::from_record(record, &process.identity, now),
            _ => State::logged_out(0, now),
        };
        process.state = Arc::new(state);
        self.log(id, || "starts".to_owned());
        self.begin_calls(id);
    }

    pub(super) fn begin_calls(&mut self, process: usize) {
        for caller in 0..self.processes[process].callers.len() {
            let after = self.rng.between(1, 300);
            self.schedule(after, Scheduled::Begin(process, caller));
        }
    }

    pub(super) fn kill(&mut self, process: usize, why: &str) {
        if !self.processes[process].alive {
            return;
        }
        self.log(process, || format!("is killed: {why}"));
        Checks::process_killed(self, process);
        let killed = &mut self.processes[process];
        killed.alive = false;
        killed.flight = None;
        let (store, plan) = (killed.store, killed.plan);
        self.stores[store].holder_died(process);
        if self.running[plan] == process {
            let after = self.rng.log_uniform(50, 5_000);
            self.schedule(after, Scheduled::Restart(plan));
        }
    }

    /// A forked child has the memory of its parent but none of its threads.
    pub(super) fn fork(&mut self, parent: usize) {
        if !self.processes[parent].alive || self.processes.len() > 24 {
            return;
        }
        let from = &self.processes[parent];
        let child = ProcessState {
            plan: from.plan,
            identity: from.identity.clone(),
            state: from.state.clone(),
            callers: from.callers.iter().map(|_| CallerState::default()).collect(),
            flight: None,
            jobs: Vec::new(),
            login_pending: false,
            kill_at_action: None,
            sleep_at_action: None,
            ..*from
        };
        self.processes.push(child);
        let id = self.processes.len() - 1;
        self.log(id, || format!("is forked from process {parent}"));
        self.checks.forked(parent, id);
        self.begin_calls(id);
    }

    pub(super) fn disturb(&mut self, disturbance: Disturbance) -> Result<(), Violation> {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9} ms  {disturbance:?}", self.at));
        }
        match disturbance {
            Disturbance::Server(fault, long) => self.server.fault = Some((fault, self.at + long)),
            Disturbance::ApiRejects(long) => self.server.rejects_until = self.at + long,
            Disturbance::TokenEnded => {
                self.server.login.iter_mut().for_each(|login| login.access_token = None);
            }
            Disturbance::LoggedOutElsewhere => self.server.login = None,
            Disturbance::Store(store, fault, long) => self.stores[store].fault = Some((fault, self.at + long)),
            Disturbance::LosesLastWrite(store) => {
                self.stores[store].lose_last_write();
                Checks::store_lost_write(self);
            }
            Disturbance::WallStep(machine, by) => {
                self.machines[machine].wall_offset += by;
                self.machines[machine].set_at = self.at;
            }
            Disturbance::Sleep(machine, long) => self.sleep(machine, long),
            Disturbance::SleepAtAction(number, nth, long) => {
                let until = self.at + SLEEP_WINDOW;
                self.processes[self.running[number]].sleep_at_action = Some((nth, long, until));
            }
            Disturbance::Reboot(machine) => {
                self.machines[machine].boots += 1;
                for process in 0..self.processes.len() {
                    if self.processes[process].machine == machine {
                        self.kill(process, "the machine starts anew");
                    }
                }
            }
            Disturbance::Kill(number) => self.kill(self.running[number], "by a disturbance"),
            Disturbance::KillAtAction(number, nth) => self.processes[self.running[number]].kill_at_action = Some(nth),
            Disturbance::Fork(number) => self.fork(self.running[number]),
            Disturbance::LogIn(number) | Disturbance::LogOut(number) | Disturbance::Forget(number) => {
                let process = self.running[number];
                if self.processes[process].key == Key::Own {
                    let log_in = matches!(disturbance, Disturbance::LogIn(_));
                    let log_out = matches!(disturbance, Disturbance::LogOut(_));
                    self.schedule(0, Scheduled::Job { process, log_in, log_out });
                }
            }
        }
        Ok(())
    }

    pub(super) fn sleep(&mut self, machine: usize, long: i64) {
        self.machines[machine].asleep_until = self.at + long;
        self.machines[machine].slept_at = self.at + long;
    }
}
