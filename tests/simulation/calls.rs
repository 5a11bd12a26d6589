//! The calls of a simulated world: which call leads a flight, which calls wait, and what each caller does with its tokens.

use super::check::{Checks, Violation};
use super::plan::{Key, ServerFault, StoreKind};
use crate::clock::Now;
use crate::error::{Error, Status};
use crate::secret::Secret;
use crate::session::action::{Event, Job, Outcome};
use crate::session::caller::{Caller, FlightInfo, Purpose, Step};
use crate::session::leader::Leader;
use crate::session::state::Want;
use crate::store::StoreError;
use crate::tokens::Tokens;

use super::world::*;

impl World {
    pub(super) fn job(&mut self, process: usize, job: Job) -> Result<(), Violation> {
        if self.processes[process].flight.is_some() {
            self.processes[process].jobs.push(job);
            return Ok(());
        }
        self.begin_flight(process, job, Purpose::Exclusive, RunBy::Program, None)
    }

    pub(super) fn begin_flight(
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
        let leader = Leader::new(job.clone(), state.identity.clone(), limits, state.state.clone());
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
            unsaved_refresh_token: None,
            clear_refused: false,
        });
        self.lead(process, id, Event::Begin)
    }

    /// One step of the leader: handles the event, publishes the snapshot, and carries out the next action.
    pub(super) fn lead(&mut self, process: usize, flight: u64, event: Event) -> Result<(), Violation> {
        let (now, random) = (self.now(process), self.rng.next());
        let is_current = self.processes[process].flight.as_ref().is_some_and(|run| run.id == flight);
        if is_current && self.processes[process].alive && matches!(event, Event::Refreshed(Ok(_))) {
            Checks::refresh_succeeded(self, process)?;
        }
        let state = &mut self.processes[process];
        let Some(run) = state.flight.as_mut().filter(|run| run.id == flight && state.alive) else {
            return Ok(());
        };
        let current = state.state.current.as_ref();
        match &event {
            Event::Cleared(Err(StoreError::Newer)) => run.clear_refused = true,
            Event::Loaded(_) => run.clear_refused = false,
            Event::Refreshed(Err(error)) | Event::Revoked(Err(error)) => {
                self.checks.request_ended(process, current, Err(error), now);
            }
            Event::Refreshed(Ok(_)) | Event::Revoked(Ok(())) => {
                self.checks.request_ended(process, current, Ok(()), now);
            }
            _ => {}
        }
        let is_news = !matches!(event, Event::Locked(Ok(false)) | Event::Waited(Ok(())));
        let description = (is_news && self.trace.is_some()).then(|| super::act::describe(&event));
        let action = run.leader.handle(event, now, random);
        let before = std::mem::replace(&mut state.state, run.leader.state().clone());
        if let Some(description) = description {
            let next = format!("{description}; next: {}", super::act::describe_action(&action));
            self.log(process, || next);
        }
        Checks::snapshot_published(self, process, &before)?;
        if let Some((left, long, until)) = self.processes[process].sleep_at_action.take()
            && self.at < until
        {
            if left <= 1 {
                self.log(process, || format!("its machine sleeps for {long} ms"));
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
        Checks::flight_ended(process, &run, &result)?;
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
            self.schedule(0, Scheduled::FlightEnded { process, caller, call, purpose, result });
        }
        match run.run_by {
            RunBy::Background => {}
            RunBy::Program => self.react_to_job(process, &run.job, &result),
            RunBy::Caller(caller) => {
                let result = shared.map(|tokens| tokens.expect("such a flight gives tokens or an error"));
                let began = run.began;
                let now = self.now(process);
                if let Some(call) = self.processes[process].callers[caller].call.clone() {
                    let state = self.processes[process].state.clone();
                    let step = call.caller.after_leading(result, began, &state, now);
                    if let Some(call) = &mut self.processes[process].callers[caller].call {
                        call.led_before |= call.leads;
                        call.leads = false;
                    }
                    self.continue_call(process, caller, step)?;
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

    pub(super) fn react_to_job(&mut self, process: usize, job: &Job, result: &Result<Outcome, Error>) {
        match (job, result) {
            (Job::Start(tokens), Ok(_)) => {
                self.logged_in_at = self.at;
                self.checks.logged_in(self.processes[process].store);
                let refresh_token = tokens.refresh_token().map_or("", Secret::expose);
                if let Some(login) = self.server.login.as_mut().filter(|l| l.refresh_token == refresh_token) {
                    login.was_stored = true;
                }
            }
            // The program logs in again.
            (Job::Start(_), Err(_)) if !self.processes[process].login_pending => {
                self.processes[process].login_pending = true;
                self.schedule(2_000, Scheduled::Job { process, log_in: true, log_out: false });
            }
            _ => {}
        }
    }

    pub(super) fn call(&mut self, process: usize, caller: usize, want: Want) -> Result<(), Violation> {
        let now = self.now(process);
        let state = &mut self.processes[process];
        let began = now.boot;
        // They must still be valid after the longest time that the call may wait.
        let later = Now { boot: now.boot + 1_200, wall: now.wall + 1_200 };
        let had_fallback = matches!(want, Want::ValidFor(0)) && state.state.unexpired_tokens(later).is_some();
        let of = Caller { want, deadline: now.boot + state.timeout };
        let step = of.next_step(&state.state, now);
        let slot = &mut state.callers[caller];
        slot.calls += 1;
        slot.call = Some(Call {
            caller: of,
            number: slot.calls,
            began,
            leads: false,
            led_before: false,
            had_fallback,
            joined: None,
        });
        self.continue_call(process, caller, step)
    }

    pub(super) fn continue_call(&mut self, process: usize, caller: usize, step: Step) -> Result<(), Violation> {
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
        let until = call.caller.wait_deadline(run.began, &state.state, now);
        let (call, purpose) = (call.number, run.purpose);
        self.schedule(until - now.boot, Scheduled::Timer { process, caller, call, purpose });
        Ok(())
    }

    pub(super) fn waited(
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
        let kind = FlightInfo { purpose, began: call.joined.unwrap_or(now.boot), is_interruptible };
        let failure = result.as_ref().and_then(|result| result.as_ref().err()).cloned();
        let step = call.caller.after_waiting(kind, result, &state.state, now);
        Checks::call_waited(process, purpose, failure.as_ref(), &step)?;
        if let Some(run) = &mut state.flight {
            run.waiters.retain(|waiter| *waiter != caller);
        }
        self.continue_call(process, caller, step)
    }

    pub(super) fn returned(
        &mut self,
        process: usize,
        caller: usize,
        result: Result<Tokens, Error>,
    ) -> Result<(), Violation> {
        let Some(call) = self.processes[process].callers[caller].call.take() else { return Ok(()) };
        let logged = call.joined.is_some() || result.is_err();
        self.log_if(logged, process, || match &result {
            Ok(tokens) => format!("caller {caller} gets {}", tokens.access_token().expose()),
            Err(error) => format!("caller {caller} gets {error:?}"),
        });
        Checks::call_returned(self, process, &call, &result)?;
        let again = matches!(call.caller.want, Want::ReplacementFor(_));
        match result {
            Ok(tokens) => {
                let after = self.rng.between(1, 40);
                self.schedule(after, Scheduled::Api { process, caller, tokens, again });
            }
            Err(error) => {
                if error.status() == Status::LoginRequired
                    && self.processes[process].logs_in
                    && self.processes[process].key == Key::Own
                    && !self.processes[process].login_pending
                {
                    // A person needs time to log in again.
                    self.processes[process].login_pending = true;
                    let after = self.rng.log_uniform(2_000, 40_000);
                    self.schedule(after, Scheduled::Job { process, log_in: true, log_out: false });
                }
                self.cycle_ended(process, caller, Err(error));
            }
        }
        Ok(())
    }

    pub(super) fn api(&mut self, process: usize, caller: usize, tokens: &Tokens, again: bool) -> Result<(), Violation> {
        let access_token = tokens.access_token().expose();
        let accepted = self.server.accepts(access_token, self.at);
        if !accepted {
            self.log(process, || format!("the API answers 401 to {access_token}"));
        }
        if accepted || again {
            self.cycle_ended(process, caller, Ok(accepted));
            return Ok(());
        }
        self.call(process, caller, Want::ReplacementFor(tokens.access_token().clone()))
    }

    pub(super) fn cycle_ended(&mut self, process: usize, caller: usize, result: Result<bool, Error>) {
        let slot = &mut self.processes[process].callers[caller];
        if matches!(result, Ok(true)) {
            slot.accepted_at = Some(self.at);
        }
        slot.last = Some((self.at, result));
        let calm = self.at > self.plan.calm_at() + 5_000;
        let after = if calm { self.rng.between(2_000, 20_000) } else { self.rng.log_uniform(3, 3_000) };
        self.schedule(after, Scheduled::Begin(process, caller));
    }

    /// The fault of the server at this time.
    pub(super) fn server_fault(&self) -> Option<ServerFault> {
        self.server.fault(self.at)
    }
}
