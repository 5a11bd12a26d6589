//! The invariants of a simulated world, which README.md lists. The world calls these checks when something happens. This file has
//! the data of the checks, and invariants 9 (for flights) and 10.

mod logins;
mod requests;
mod results;

use std::collections::HashMap;

use super::plan::{Disturbance, Plan, StoreFault};
use super::world::{FlightState, World};
use crate::error::{Error, Status};
use crate::secret::Secret;
use crate::session::action::Outcome;
use crate::session::state::State;
use requests::Failures;

/// A violation of an invariant.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) invariant: &'static str,
    pub(super) what: String,
}

fn violated<T>(invariant: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { invariant, what: what.into() })
}

/// What the checks remember about a world. Nothing of it comes from the state of a session.
pub(super) struct Checks {
    /// For each process: its failures in a row.
    failures: HashMap<usize, Failures>,
    /// For each process: when it began its last refresh, by its boot clock.
    asked_at: HashMap<usize, i64>,
    /// For each process: when it began its last successful refresh, by its boot clock.
    refreshed_at: HashMap<usize, i64>,
    /// For each store: when it last lacked the login that the server accepts.
    lacked_login_at: Vec<i64>,
    /// Whether all clocks agree and no store loses or refuses writes. Otherwise two processes can give two changes the same
    /// generation.
    generations_grow: bool,
    /// When a process began the request that fetched a token, by its boot clock.
    fetched: HashMap<(usize, String), i64>,
    /// For each store: when refreshes of rejected tokens succeeded.
    rejected: Vec<Vec<i64>>,
    /// For each store: when refreshes began.
    refreshes: Vec<Vec<i64>>,
}

impl Checks {
    pub(super) fn new(plan: &Plan) -> Checks {
        let stores = plan.stores.len();
        let clocks_agree = plan.machines.iter().all(|machine| machine.wall_offset.abs() <= 50 && machine.drift == 0);
        let forgets = |disturbance: &Disturbance| {
            use StoreFault::{Fails, RefusesSaves};
            matches!(
                disturbance,
                Disturbance::LosesLastWrite(_)
                    | Disturbance::WallStep(..)
                    | Disturbance::Store(_, Fails | RefusesSaves, _)
            )
        };
        Checks {
            failures: HashMap::new(),
            asked_at: HashMap::new(),
            refreshed_at: HashMap::new(),
            lacked_login_at: vec![0; stores],
            generations_grow: clocks_agree && !plan.events.iter().any(|(_, disturbance)| forgets(disturbance)),
            fetched: HashMap::new(),
            rejected: vec![Vec::new(); stores],
            refreshes: vec![Vec::new(); stores],
        }
    }

    pub(super) fn forked(&mut self, parent: usize, child: usize) {
        if let Some(failures) = self.failures.get(&parent).copied() {
            self.failures.insert(child, failures);
        }
        if let Some(at) = self.refreshed_at.get(&parent).copied() {
            self.refreshed_at.insert(child, at);
        }
    }

    /// 9, for flights: if the store refused a clear because its content is newer, the leader must read it.
    pub(super) fn flight_ended(
        process: usize,
        run: &FlightState,
        result: &Result<Outcome, Error>,
    ) -> Result<(), Violation> {
        match result {
            Err(error) if error.status() == Status::LoginRequired && run.clear_refused => violated(
                "9 LOGIN_REQUIRED is correct",
                format!("process {process} did not read the newer content of the store"),
            ),
            _ => Ok(()),
        }
    }

    /// 10: each change has a larger generation.
    pub(super) fn snapshot_published(world: &World, process: usize, before: &State) -> Result<(), Violation> {
        let after = &world.processes[process].state;
        let name = |state: &State| state.current.as_ref().map(|current| current.tokens().access_token().clone());
        let (old, new) = (name(before), name(after));
        if world.checks.generations_grow && old != new && after.generation <= before.generation {
            let name = |name: Option<Secret>| name.map_or("none".to_owned(), |name| name.expose().to_owned());
            return violated(
                "10 generations grow",
                format!("{} {} after {} {}", name(new), after.generation, name(old), before.generation),
            );
        }
        Ok(())
    }
}
