//! A simulated world: machines, processes, callers, a server and stores, driven by one queue of events. The session's own
//! code decides: `Caller` for each call, `Leader` for each flight.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::check::{Checks, Violation};
use super::plan::{Happening, Key, Plan, SLEEPS_WITHIN, ServerFault, StoreKind};
use super::rng::Rng;
use super::server::{Issued, Server};
use super::store::Store;
use crate::error::{Error, Status};
use crate::secret::Secret;
use crate::session::action::{Event, Job, Outcome};
use crate::session::caller::{Caller, FlightKind, Purpose, Step};
use crate::session::clock::Now;
use crate::session::leader::{Leader, read_record};
use crate::session::state::{Holder, State, Want};
use crate::store::StoreError;
use crate::store::record::Owner;
use crate::tokens::Tokens;

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) at: i64,
    pub(super) server: Server,
    pub(super) stores: Vec<Store>,
    pub(super) machines: Vec<MachineState>,
    pub(super) processes: Vec<ProcessState>,
    /// The process of the plan that each number is now.
    current: Vec<usize>,
    queue: BinaryHeap<Reverse<(i64, u64)>>,
    due: BTreeMap<u64, Due>,
    next: u64,
    pub(super) rng: Rng,
    pub(super) checks: Checks,
    pub(super) trace: Option<Vec<String>>,
    pub(super) steps: u64,
    /// When a user logged in last.
    pub(super) logged_in_at: i64,
}

pub(super) struct MachineState {
    pub(super) wall_off: i64,
    drift: i64,
    boots: u32,
    asleep_until: i64,
    pub(super) slept_at: i64,
    /// When its wall clock was set.
    pub(super) set_at: i64,
}

pub(super) struct ProcessState {
    pub(super) plan: usize,
    pub(super) machine: usize,
    pub(super) store: usize,
    pub(super) key: Key,
    pub(super) timeout: i64,
    pub(super) logs_in: bool,
    pub(super) holder: Arc<Holder>,
    pub(super) alive: bool,
    pub(super) state: Arc<State>,
    pub(super) flight: Option<FlightState>,
    pub(super) callers: Vec<CallerState>,
    /// Jobs that wait for the end of the flight.
    jobs: Vec<Job>,
    login_comes: bool,
    kill_at_action: Option<i64>,
    /// After so many actions its machine sleeps, for so long, if that is before this time.
    sleep_at_action: Option<(i64, i64, i64)>,
}

pub(super) struct FlightState {
    pub(super) id: u64,
    pub(super) job: Job,
    pub(super) purpose: Purpose,
    pub(super) began: i64,
    /// By the boot clock.
    pub(super) deadline: i64,
    pub(super) leader: Leader,
    run_by: RunBy,
    waiters: Vec<usize>,
    /// A refresh token that the server gave, and that may not be stored yet.
    pub(super) holds: Option<String>,
    /// The store refused to clear what it has, and was not read since.
    pub(super) clear_refused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RunBy {
    Background,
    Caller(usize),
    Host,
}

#[derive(Default)]
pub(super) struct CallerState {
    /// Of the call under way.
    pub(super) call: Option<Call>,
    /// What the last call led to: whether the API accepted the tokens. And when it did last.
    pub(super) last: Option<(i64, Result<bool, Error>)>,
    pub(super) accepted_at: Option<i64>,
    calls: u64,
}

#[derive(Clone)]
pub(super) struct Call {
    pub(super) caller: Caller,
    number: u64,
    pub(super) began: i64,
    pub(super) leads: bool,
    /// It has led a flight before.
    pub(super) leads_again: bool,
    /// It could have had tokens when it began; and when the flight began that it joined.
    pub(super) had_spare: bool,
    pub(super) joined: Option<i64>,
}

pub(super) enum Due {
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
            wall_off: machine.wall_off,
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
            current: vec![usize::MAX; plan.processes.len()],
            queue: BinaryHeap::new(),
            due: BTreeMap::new(),
            next: 0,
            rng: Rng::new(plan.seed, 2),
            checks: Checks::new(&plan),
            trace: traced.then(Vec::new),
            steps: 0,
            logged_in_at: 0,
            plan,
        }
    }

    /// Runs it to its end, or to the first violation.
    pub(super) fn run(&mut self) -> Result<(), Violation> {
        for number in 0..self.plan.processes.len() {
            self.start_process(number);
            if self.plan.processes[number].key == Key::Right {
                self.schedule(number as i64, Due::Job { process: self.current[number], log_in: true, log_out: false });
            }
        }
        for event in 0..self.plan.events.len() {
            self.schedule(self.plan.events[event].0, Due::Plan(event));
        }
        let end = self.plan.calm_at() + self.plan.calm();
        while let Some(Reverse((at, number))) = self.queue.pop() {
            if at > end {
                break;
            }
            self.at = at;
            self.steps += 1;
            let Some(due) = self.due.remove(&number) else { continue };
            if let Some(wake) = self.asleep(&due) {
                self.due.insert(number, due);
                self.queue.push(Reverse((wake, number)));
                continue;
            }
            self.happen(due)?;
            Checks::after_each_step(self)?;
        }
        Checks::at_the_end(self, end)
    }

    /// When the machine wakes that this happens on.
    fn asleep(&self, due: &Due) -> Option<i64> {
        let process = match due {
            Due::Begin(process, _)
            | Due::Timer { process, .. }
            | Due::FlightEnded { process, .. }
            | Due::Api { process, .. }
            | Due::Leader { process, .. }
            | Due::Job { process, .. } => *process,
            Due::Effect { process, .. } if self.stores[self.processes[*process].store].kind == StoreKind::File => {
                *process
            }
            _ => return None,
        };
        let wake = self.machines[self.processes[process].machine].asleep_until;
        (self.at < wake).then_some(wake)
    }

    fn happen(&mut self, due: Due) -> Result<(), Violation> {
        match due {
            Due::Plan(event) => self.trouble(self.plan.events[event].1),
            Due::Restart(number) => {
                self.start_process(number);
                Ok(())
            }
            Due::Begin(process, caller) if self.processes[process].alive => self.call(process, caller, Want::Valid),
            Due::Timer { process, caller, call, purpose } => self.waited(process, caller, call, purpose, None),
            Due::FlightEnded { process, caller, call, purpose, result } => {
                self.waited(process, caller, call, purpose, Some(result))
            }
            Due::Api { process, caller, tokens, again } if self.processes[process].alive => {
                self.api(process, caller, &tokens, again)
            }
            Due::Leader { process, flight, event } => self.lead(process, flight, event),
            Due::Effect { process, flight, operation, answer_after } => {
                self.effect(process, flight, operation, answer_after)
            }
            Due::Arrival { process, flight, request, deadline } => {
                self.arrival(process, flight, request, deadline);
                Ok(())
            }
            Due::Job { process, log_in, log_out } if self.processes[process].alive => {
                let job = match (log_in, log_out) {
                    (true, _) => {
                        self.processes[process].login_comes = false;
                        let issued = self.server.log_in(self.at);
                        self.tell(process, || {
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

    pub(super) fn schedule(&mut self, after: i64, due: Due) {
        self.next += 1;
        self.due.insert(self.next, due);
        self.queue.push(Reverse((self.at + after.max(0), self.next)));
    }

    pub(super) fn now(&self, process: usize) -> Now {
        let machine = &self.machines[self.processes[process].machine];
        let base = 1_700_000_000_000;
        let drift = self.at * machine.drift / 1_000_000;
        // Machines started at different times.
        let started = 1_000_000 * (self.processes[process].machine as i64 + 1);
        Now { boot: started + self.at, wall: base + self.at + drift + machine.wall_off }
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

    pub(super) fn tell(&mut self, process: usize, words: impl FnOnce() -> String) {
        self.tell_if(true, process, words);
    }

    fn tell_if(&mut self, told: bool, process: usize, words: impl FnOnce() -> String) {
        if told && self.trace.is_some() {
            let now = self.now(process);
            let line = format!(
                "{:>9} ms  process {process} on machine {} (wall {:+} ms): {}",
                self.at,
                self.processes[process].machine,
                now.wall - 1_700_000_000_000 - self.at,
                words()
            );
            self.trace.iter_mut().for_each(|trace| trace.push(line.clone()));
        }
    }

    // ---- processes

    fn start_process(&mut self, number: usize) {
        let plan = &self.plan.processes[number];
        let owner = Owner {
            client_id: if plan.key == Key::Other { "other.key" } else { "key" }.to_owned(),
            base_url: if plan.key == Key::Elsewhere { "https://other" } else { "https://server" }.to_owned(),
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
            holder: Arc::new(Holder { owner, boot_id }),
            alive: true,
            state: Arc::new(State::nobody(0, Now { boot: 0, wall: 0 })),
            flight: None,
            callers: (0..plan.askers).map(|_| CallerState::default()).collect(),
            jobs: Vec::new(),
            login_comes: false,
            kill_at_action: None,
            sleep_at_action: None,
        };
        self.processes.push(process);
        let id = self.processes.len() - 1;
        self.current[number] = id;
        let now = self.now(id);
        let process = &mut self.processes[id];
        // As `Session::open` does.
        let loaded = self.stores[process.store].load(self.at);
        let state = match loaded.map(|text| read_record(text.as_ref(), &process.holder)) {
            Ok(Ok(Some(record))) => State::of(record, &process.holder, now),
            _ => State::nobody(0, now),
        };
        process.state = Arc::new(state);
        self.tell(id, || "starts".to_owned());
        self.begin_calls(id);
    }

    fn begin_calls(&mut self, process: usize) {
        for caller in 0..self.processes[process].callers.len() {
            let after = self.rng.between(1, 300);
            self.schedule(after, Due::Begin(process, caller));
        }
    }

    fn kill(&mut self, process: usize, why: &str) {
        if !self.processes[process].alive {
            return;
        }
        self.tell(process, || format!("is killed: {why}"));
        Checks::killed(self, process);
        let killed = &mut self.processes[process];
        killed.alive = false;
        killed.flight = None;
        let (store, plan) = (killed.store, killed.plan);
        self.stores[store].holder_died(process);
        if self.current[plan] == process {
            let after = self.rng.spread(50, 5_000);
            self.schedule(after, Due::Restart(plan));
        }
    }

    /// A child has the memory of its parent, but none of its threads.
    fn fork(&mut self, parent: usize) {
        if !self.processes[parent].alive || self.processes.len() > 24 {
            return;
        }
        let from = &self.processes[parent];
        let child = ProcessState {
            plan: from.plan,
            holder: from.holder.clone(),
            state: from.state.clone(),
            callers: from.callers.iter().map(|_| CallerState::default()).collect(),
            flight: None,
            jobs: Vec::new(),
            login_comes: false,
            kill_at_action: None,
            sleep_at_action: None,
            ..*from
        };
        self.processes.push(child);
        let id = self.processes.len() - 1;
        self.tell(id, || format!("is forked from process {parent}"));
        self.checks.forked(parent, id);
        self.begin_calls(id);
    }

    fn trouble(&mut self, happening: Happening) -> Result<(), Violation> {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9} ms  {happening:?}", self.at));
        }
        match happening {
            Happening::Server(fault, long) => self.server.fault = Some((fault, self.at + long)),
            Happening::ApiRejects(long) => self.server.rejects_until = self.at + long,
            Happening::TokenEnded => {
                self.server.login.iter_mut().for_each(|login| login.access_token = None);
            }
            Happening::LoggedOutElsewhere => self.server.login = None,
            Happening::Store(store, fault, long) => self.stores[store].fault = Some((fault, self.at + long)),
            Happening::LosesLastWrite(store) => {
                self.stores[store].lose_last_write();
                Checks::write_lost(self);
            }
            Happening::WallStep(machine, by) => {
                self.machines[machine].wall_off += by;
                self.machines[machine].set_at = self.at;
            }
            Happening::Sleep(machine, long) => self.sleep(machine, long),
            Happening::SleepAtAction(number, nth, long) => {
                let until = self.at + SLEEPS_WITHIN;
                self.processes[self.current[number]].sleep_at_action = Some((nth, long, until));
            }
            Happening::Reboot(machine) => {
                self.machines[machine].boots += 1;
                for process in 0..self.processes.len() {
                    if self.processes[process].machine == machine {
                        self.kill(process, "the machine starts anew");
                    }
                }
            }
            Happening::Kill(number) => self.kill(self.current[number], "by somebody"),
            Happening::KillAtAction(number, nth) => self.processes[self.current[number]].kill_at_action = Some(nth),
            Happening::Fork(number) => self.fork(self.current[number]),
            Happening::LogIn(number) | Happening::LogOut(number) | Happening::Forget(number) => {
                let process = self.current[number];
                if self.processes[process].key == Key::Right {
                    let log_in = matches!(happening, Happening::LogIn(_));
                    let log_out = matches!(happening, Happening::LogOut(_));
                    self.schedule(0, Due::Job { process, log_in, log_out });
                }
            }
        }
        Ok(())
    }

    fn sleep(&mut self, machine: usize, long: i64) {
        self.machines[machine].asleep_until = self.at + long;
        self.machines[machine].slept_at = self.at + long;
    }

    // ---- flights

    fn job(&mut self, process: usize, job: Job) -> Result<(), Violation> {
        if self.processes[process].flight.is_some() {
            self.processes[process].jobs.push(job);
            return Ok(());
        }
        self.begin_flight(process, job, Purpose::Exclusive, RunBy::Host, None)
    }

    fn begin_flight(
        &mut self,
        process: usize,
        job: Job,
        purpose: Purpose,
        run_by: RunBy,
        waiter: Option<usize>,
    ) -> Result<(), Violation> {
        self.next += 1;
        let (id, now) = (self.next, self.now(process));
        let state = &mut self.processes[process];
        let call = match run_by {
            RunBy::Caller(caller) => state.callers[caller].call.as_ref(),
            _ => None,
        };
        let limits = crate::session::action::Limits {
            deadline: call.map_or(now.boot + state.timeout, |call| call.caller.deadline),
            reserve: state.timeout / 4,
        };
        let leader = Leader::new(job.clone(), state.holder.clone(), limits, state.state.clone());
        let waiters = waiter.into_iter().collect();
        state.flight = Some(FlightState {
            id,
            job,
            purpose,
            began: now.boot,
            deadline: limits.deadline,
            leader,
            run_by,
            waiters,
            holds: None,
            clear_refused: false,
        });
        self.lead(process, id, Event::Begin)
    }

    /// A step of the leader: hands it what happened, publishes, carries out what it says.
    fn lead(&mut self, process: usize, flight: u64, event: Event) -> Result<(), Violation> {
        let (now, random) = (self.now(process), self.rng.next());
        let is_current = self.processes[process].flight.as_ref().is_some_and(|run| run.id == flight);
        if is_current && self.processes[process].alive && matches!(event, Event::Refreshed(Ok(_))) {
            Checks::refreshed(self, process)?;
        }
        let state = &mut self.processes[process];
        let Some(run) = state.flight.as_mut().filter(|run| run.id == flight && state.alive) else {
            return Ok(());
        };
        let current = state.state.current.as_ref();
        match &event {
            Event::Cleared(Err(StoreError::Newer)) => run.clear_refused = true,
            Event::Loaded(_) => run.clear_refused = false,
            Event::Refreshed(Err(error)) | Event::TokensEnded(Err(error)) => {
                self.checks.request_ended(process, current, Err(error), now);
            }
            Event::Refreshed(Ok(_)) | Event::TokensEnded(Ok(())) => {
                self.checks.request_ended(process, current, Ok(()), now);
            }
            _ => {}
        }
        let is_news = !matches!(event, Event::Locked(Ok(false)) | Event::Waited(Ok(())));
        let words = (is_news && self.trace.is_some()).then(|| super::act::words(&event));
        let action = run.leader.handle(event, now, random);
        let before = std::mem::replace(&mut state.state, run.leader.state().clone());
        if let Some(words) = words {
            let next = format!("{words}; next: {}", super::act::action_words(&action));
            self.tell(process, || next);
        }
        Checks::published(self, process, &before)?;
        if let Some((left, long, until)) = self.processes[process].sleep_at_action.take()
            && self.at < until
        {
            if left <= 1 {
                self.tell(process, || format!("its machine sleeps for {long} ms"));
                self.sleep(self.processes[process].machine, long);
            } else {
                self.processes[process].sleep_at_action = Some((left - 1, long, until));
            }
        }
        let is_calm = self.at > self.plan.calm_at();
        if let Some(left) = self.processes[process].kill_at_action.as_mut().filter(|_| !is_calm) {
            *left -= 1;
            if *left <= 0 {
                self.kill(process, "between two actions");
                return Ok(());
            }
        }
        self.act(process, flight, action)
    }

    pub(super) fn end_flight(&mut self, process: usize, result: Result<Outcome, Error>) -> Result<(), Violation> {
        let Some(run) = self.processes[process].flight.take() else { return Ok(()) };
        Checks::ended(process, &run, &result)?;
        let shared = match (&result, run.purpose) {
            (Err(error), Purpose::Early | Purpose::Needed) => Err(error.clone()),
            (Ok(Outcome::Tokens(tokens)), _) => Ok(Some(tokens.clone())),
            _ => Ok(None),
        };
        for caller in run.waiters {
            let Some(call) = self.processes[process].callers[caller].call.as_ref().map(|call| call.number) else {
                continue;
            };
            let (purpose, result) = (run.purpose, shared.clone());
            self.schedule(0, Due::FlightEnded { process, caller, call, purpose, result });
        }
        match run.run_by {
            RunBy::Background => {}
            RunBy::Host => self.host(process, &run.job, &result),
            RunBy::Caller(caller) => {
                let result = shared.map(|tokens| tokens.expect("such a flight gives tokens or an error"));
                let began = run.began;
                let now = self.now(process);
                if let Some(call) = self.processes[process].callers[caller].call.clone() {
                    let state = self.processes[process].state.clone();
                    let step = call.caller.led(result, began, &state, now);
                    if let Some(call) = &mut self.processes[process].callers[caller].call {
                        call.leads_again |= call.leads;
                        call.leads = false;
                    }
                    self.go_on(process, caller, step)?;
                }
            }
        }
        let process_state = &mut self.processes[process];
        if process_state.flight.is_none() && !process_state.jobs.is_empty() {
            let job = process_state.jobs.remove(0);
            return self.job(process, job);
        }
        Ok(())
    }

    fn host(&mut self, process: usize, job: &Job, result: &Result<Outcome, Error>) {
        match (job, result) {
            (Job::Start(tokens), Ok(_)) => {
                self.logged_in_at = self.at;
                self.checks.logged_in(self.processes[process].store);
                let refresh_token = tokens.refresh_token().map_or("", Secret::expose);
                if let Some(login) = self.server.login.as_mut().filter(|l| l.refresh_token == refresh_token) {
                    login.kept = true;
                }
            }
            // The host tries again.
            (Job::Start(_), Err(_)) if !self.processes[process].login_comes => {
                self.processes[process].login_comes = true;
                self.schedule(2_000, Due::Job { process, log_in: true, log_out: false });
            }
            _ => {}
        }
    }

    // ---- callers

    fn call(&mut self, process: usize, caller: usize, want: Want) -> Result<(), Violation> {
        let now = self.now(process);
        let state = &mut self.processes[process];
        let began = now.boot;
        // Also after the moment that it may wait.
        let later = Now { boot: now.boot + 1_200, wall: now.wall + 1_200 };
        let had_spare = matches!(want, Want::Valid) && state.state.alive(later).is_some();
        let of = Caller { want, deadline: now.boot + state.timeout };
        let step = of.look(&state.state, now);
        let slot = &mut state.callers[caller];
        slot.calls += 1;
        slot.call = Some(Call {
            caller: of,
            number: slot.calls,
            began,
            leads: false,
            leads_again: false,
            had_spare,
            joined: None,
        });
        self.go_on(process, caller, step)
    }

    fn go_on(&mut self, process: usize, caller: usize, step: Step) -> Result<(), Violation> {
        let purpose = match step {
            Step::Return(result) => return self.returned(process, caller, result),
            Step::LeadOrJoin(purpose) => purpose,
        };
        let now = self.now(process);
        let background = self.stores[self.processes[process].store].kind == StoreKind::File;
        let state = &mut self.processes[process];
        let Some(call) = state.callers[caller].call.as_mut() else { return Ok(()) };
        if state.flight.is_none() {
            let job = Job::Provide(call.caller.want.clone());
            if !background {
                call.leads = true;
                call.joined = Some(now.boot);
                return self.begin_flight(process, job, purpose, RunBy::Caller(caller), None);
            }
            self.begin_flight(process, job, purpose, RunBy::Background, Some(caller))?;
        } else if let Some(run) = &mut state.flight {
            run.waiters.push(caller);
        }
        let state = &mut self.processes[process];
        let (Some(run), Some(call)) = (&state.flight, state.callers[caller].call.as_mut()) else {
            return Ok(());
        };
        call.joined = Some(run.began);
        let until = call.caller.wait_until(run.began, &state.state, now);
        let (call, purpose) = (call.number, run.purpose);
        self.schedule(until - now.boot, Due::Timer { process, caller, call, purpose });
        Ok(())
    }

    fn waited(
        &mut self,
        process: usize,
        caller: usize,
        number: u64,
        purpose: Purpose,
        result: Option<Result<Option<Tokens>, Error>>,
    ) -> Result<(), Violation> {
        let now = self.now(process);
        let state = &mut self.processes[process];
        let Some(call) = state.callers[caller].call.as_ref().filter(|call| call.number == number && state.alive) else {
            return Ok(());
        };
        if call.leads {
            return Ok(());
        }
        let is_interruptible = self.stores[state.store].kind != StoreKind::File;
        let kind = FlightKind { purpose, began: call.joined.unwrap_or(now.boot), is_interruptible };
        let failure = result.as_ref().and_then(|result| result.as_ref().err()).cloned();
        let step = call.caller.waited(kind, result, &state.state, now);
        Checks::waited(process, purpose, failure.as_ref(), &step)?;
        if let Some(run) = &mut state.flight {
            run.waiters.retain(|waiter| *waiter != caller);
        }
        self.go_on(process, caller, step)
    }

    fn returned(&mut self, process: usize, caller: usize, result: Result<Tokens, Error>) -> Result<(), Violation> {
        let Some(call) = self.processes[process].callers[caller].call.take() else { return Ok(()) };
        let told = call.joined.is_some() || result.is_err();
        self.tell_if(told, process, || match &result {
            Ok(tokens) => format!("caller {caller} gets {}", tokens.access_token().expose()),
            Err(error) => format!("caller {caller} gets {error:?}"),
        });
        Checks::returned(self, process, &call, &result)?;
        let again = matches!(call.caller.want, Want::Other(_));
        match result {
            Ok(tokens) => {
                let after = self.rng.between(1, 40);
                self.schedule(after, Due::Api { process, caller, tokens, again });
            }
            Err(error) => {
                if error.status() == Status::LoginRequired
                    && self.processes[process].logs_in
                    && self.processes[process].key == Key::Right
                    && !self.processes[process].login_comes
                {
                    // A person must come to it.
                    self.processes[process].login_comes = true;
                    let after = self.rng.spread(2_000, 40_000);
                    self.schedule(after, Due::Job { process, log_in: true, log_out: false });
                }
                self.cycle_ended(process, caller, Err(error));
            }
        }
        Ok(())
    }

    fn api(&mut self, process: usize, caller: usize, tokens: &Tokens, again: bool) -> Result<(), Violation> {
        let access_token = tokens.access_token().expose();
        let accepted = self.server.accepts(access_token, self.at);
        if !accepted {
            self.tell(process, || format!("the API answers 401 to {access_token}"));
        }
        if accepted || again {
            self.cycle_ended(process, caller, Ok(accepted));
            return Ok(());
        }
        self.call(process, caller, Want::Other(tokens.clone()))
    }

    fn cycle_ended(&mut self, process: usize, caller: usize, result: Result<bool, Error>) {
        let slot = &mut self.processes[process].callers[caller];
        if matches!(result, Ok(true)) {
            slot.accepted_at = Some(self.at);
        }
        slot.last = Some((self.at, result));
        let calm = self.at > self.plan.calm_at() + 5_000;
        let after = if calm { self.rng.between(2_000, 20_000) } else { self.rng.spread(3, 3_000) };
        self.schedule(after, Due::Begin(process, caller));
    }

    /// The fault of the server that meets a request now.
    pub(super) fn server_fault(&self) -> Option<ServerFault> {
        self.server.fault(self.at)
    }
}
