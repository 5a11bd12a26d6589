//! Carries out the actions of a leader in a simulated world. Operations of a store take time, and their effect happens in
//! between. Requests and responses take time, and can be lost.

use super::check::{Checks, Violation};
use super::plan::{Key, ServerFault, StoreFault, StoreKind};
use super::store::Lock;
use super::world::{Scheduled, World};
use crate::clock::Now;
use crate::error::{Error, Status};
use crate::secret::Secret;
use crate::session::action::{Action, Event, Job};
use crate::store::record::Record;

pub(super) enum Operation {
    Lock,
    Load,
    ReadGeneration,
    Save(Box<Record>),
    Clear(u64),
    Unlock,
}

pub(super) enum Request {
    Refresh { refresh_token: String, begun: Now },
    Revoke { access_token: String },
}

impl World {
    pub(super) fn act(&mut self, process: usize, flight: u64, action: Action) -> Result<(), Violation> {
        let operation = match action {
            Action::Lock => Operation::Lock,
            Action::Load => Operation::Load,
            Action::ReadGeneration => Operation::ReadGeneration,
            Action::Save(record) => Operation::Save(record),
            Action::Clear(generation) => Operation::Clear(generation),
            Action::Unlock => Operation::Unlock,
            Action::Wait(ms) => {
                self.schedule(ms, Scheduled::Leader { process, flight, event: Event::Waited(Ok(())) });
                return Ok(());
            }
            Action::Refresh { refresh_token, scope } => {
                assert_eq!(scope.as_deref(), Some("write"), "the scope that was granted");
                Checks::refresh_begins(self, process, refresh_token.expose())?;
                let begun = self.now(process);
                let request = Request::Refresh { refresh_token: refresh_token.expose().to_owned(), begun };
                return self.send(process, flight, request);
            }
            Action::Revoke { access_token } => {
                Checks::request_begins(self, process)?;
                return self.send(process, flight, Request::Revoke { access_token: access_token.expose().to_owned() });
            }
            Action::Finish(result) => return self.end_flight(process, result),
        };
        let store = &self.stores[self.processes[process].store];
        let (kind, fault) = (store.kind, store.fault(self.at));
        let quick = if kind == StoreKind::File { self.rng.between(0, 1) } else { self.rng.between(0, 6) };
        let took = match fault {
            Some(StoreFault::Slow(ms)) => ms,
            _ => quick,
        };
        if took > 50 {
            let store = &mut self.stores[self.processes[process].store];
            store.slow_until = store.slow_until.max(self.at + took);
        }
        // The effect happens at some time during the operation.
        let before = self.rng.between(0, took);
        self.schedule(before, Scheduled::Effect { process, flight, operation, answer_after: took - before });
        Ok(())
    }

    pub(super) fn effect(
        &mut self,
        process: usize,
        flight: u64,
        operation: Operation,
        answer_after: i64,
    ) -> Result<(), Violation> {
        let (alive, timeout) = (self.processes[process].alive, self.processes[process].timeout);
        let (number, at) = (self.processes[process].store, self.at);
        // An operation can still arrive after its process was killed.
        if !alive && (self.stores[number].kind == StoreKind::File || self.rng.chance(50)) {
            return Ok(());
        }
        if let Operation::Save(record) = &operation
            && let Some(run) = self.processes[process].flight.as_ref().filter(|run| run.id == flight)
            && matches!(run.job, Job::Start(_))
        {
            let refresh_token = record.tokens.refresh_token().map_or("", Secret::expose).to_owned();
            Checks::program_replaces_login(self, &refresh_token);
        }
        if let Operation::Clear(_) = operation {
            Checks::clear_begins(self, process)?;
            let run = self.processes[process].flight.as_ref().filter(|run| run.id == flight);
            if run.is_some_and(|run| matches!(run.job, Job::Forget)) {
                Checks::program_forgets_login(self);
            }
        }
        let store = &mut self.stores[number];
        let event = match operation {
            Operation::Lock => {
                let until = if store.kind == StoreKind::File { i64::MAX } else { at + timeout + 10_000 };
                Event::Locked(store.try_lock(Lock { process, leader: flight, until }, at))
            }
            Operation::Load => Event::Loaded(store.load(at)),
            Operation::ReadGeneration => Event::GenerationRead(store.generation(at)),
            Operation::Save(record) => Event::Saved(store.save(&record, at)),
            Operation::Clear(generation) => Event::Cleared(store.clear(generation, at)),
            Operation::Unlock => {
                store.unlock(flight);
                Event::Unlocked
            }
        };
        self.schedule(answer_after, Scheduled::Leader { process, flight, event });
        Ok(())
    }

    fn send(&mut self, process: usize, flight: u64, request: Request) -> Result<(), Violation> {
        let now = self.now(process);
        let Some(run) = &self.processes[process].flight else { return Ok(()) };
        // The deadline of the call, in true time.
        let deadline = self.at + (run.deadline - now.boot).max(0);
        let travels = self.rng.between(2, 60);
        self.schedule(travels, Scheduled::Arrival { process, flight, request, deadline });
        Ok(())
    }

    pub(super) fn arrival(&mut self, process: usize, flight: u64, request: Request, deadline: i64) {
        let timeout = || Error::new(Status::Timeout, "no answer within the timeout", "try again");
        let fault = self.server_fault();
        let done = match fault {
            None | Some(ServerFault::Slow(_) | ServerFault::EndedTokens) => true,
            Some(ServerFault::Error | ServerFault::Busy(_)) => false,
            Some(ServerFault::Lost | ServerFault::Silence) => self.rng.chance(50),
        };
        let own_key = self.processes[process].key == Key::Own;
        let at = self.at;
        let mut issued_token = None;
        let event = match &request {
            Request::Refresh { refresh_token, begun } => Event::Refreshed(if done {
                let is_only = self.rng.chance(50);
                let issued = match own_key {
                    true => self.server.refresh(refresh_token, at, is_only, fault == Some(ServerFault::EndedTokens)),
                    false => Err(Error::new(Status::ClientRejected, "another key", "fix")),
                };
                issued.map(|issued| {
                    issued_token = Some(issued.refresh_token.clone());
                    Checks::tokens_issued(self, process, &issued, *begun);
                    self.tokens(process, &issued, *begun)
                })
            } else {
                Err(self.refusal(fault))
            }),
            Request::Revoke { access_token } => {
                Event::Revoked(if done { self.server.end_tokens(access_token, at) } else { Err(self.refusal(fault)) })
            }
        };
        let took = match fault {
            Some(ServerFault::Slow(ms)) => ms,
            Some(ServerFault::Silence) => i64::MAX / 4,
            _ => self.rng.between(2, 60),
        };
        if let Some(refresh_token) = &issued_token {
            Checks::program_replaced_login(self, process, refresh_token);
        }
        let lost = fault == Some(ServerFault::Lost);
        if lost || at.saturating_add(took) > deadline {
            if let Some(refresh_token) = &issued_token {
                self.excuse_loss(refresh_token, "the answer was lost");
            }
            let (error, after) = match lost {
                true => (Error::new(Status::Network, "the connection was lost", "try again"), 10),
                false => (timeout(), deadline - at),
            };
            let event = match request {
                Request::Refresh { .. } => Event::Refreshed(Err(error)),
                Request::Revoke { .. } => Event::Revoked(Err(error)),
            };
            self.schedule(after, Scheduled::Leader { process, flight, event });
            return;
        }
        match &mut self.processes[process].flight {
            Some(run) if run.id == flight => run.unsaved_refresh_token = issued_token,
            // The process that sent the request was killed.
            _ => {
                issued_token.iter().for_each(|refresh_token| self.excuse_loss(refresh_token, "its receiver was killed"))
            }
        }
        self.schedule(took, Scheduled::Leader { process, flight, event });
    }

    fn refusal(&self, fault: Option<ServerFault>) -> Error {
        match fault {
            Some(ServerFault::Busy(seconds)) => Error::new(Status::Server, "503", "try again")
                .with_retry_after(Some(std::time::Duration::from_secs(seconds.unsigned_abs()))),
            Some(ServerFault::Error) => Error::new(Status::Server, "500", "try again"),
            _ => Error::new(Status::Network, "the connection was lost", "try again"),
        }
    }

    /// Notes that a login may be lost without a fault of the session. This happens only if the server rotates refresh tokens.
    pub(super) fn excuse_loss(&mut self, refresh_token: &str, why: &'static str) {
        let rotates = self.plan.rotates;
        if let Some(login) = self.server.login.as_mut().filter(|l| rotates && l.refresh_token == refresh_token) {
            login.loss_excused = Some(why);
        }
    }
}

/// Describes an event for the trace.
pub(super) fn describe(event: &Event) -> String {
    match event {
        Event::Loaded(Ok(Some(text))) => match Record::from_text(text) {
            Ok(record) => format!("loaded {}", describe_record(&record)),
            Err(_) => "loaded garbage".to_owned(),
        },
        Event::Refreshed(Ok(tokens)) => format!(
            "refreshed: {} {}",
            tokens.access_token().expose(),
            tokens.refresh_token().map_or("", Secret::expose)
        ),
        other => format!("{other:?}"),
    }
}

pub(super) fn describe_action(action: &Action) -> String {
    match action {
        Action::Save(record) => format!("save {}", describe_record(record)),
        Action::Refresh { refresh_token, .. } => format!("refresh with {}", refresh_token.expose()),
        Action::Revoke { access_token } => format!("end {}", access_token.expose()),
        Action::Finish(Err(error)) => format!("finish: {error:?}"),
        Action::Finish(Ok(_)) => "finish".to_owned(),
        other => format!("{other:?}"),
    }
}

fn describe_record(record: &Record) -> String {
    format!(
        "{} {} of generation {}, {} rejections",
        record.tokens.access_token().expose(),
        record.tokens.refresh_token().map_or("", Secret::expose),
        record.generation,
        record.rejections
    )
}
