//! Invariants 1 (no login is lost) and 2 (tokens stay with their owner).

use super::super::world::World;
use super::{Checks, Violation, violated};
use crate::secret::Secret;

impl Checks {
    /// 1: no login is lost. Called after each step of the world.
    pub(in super::super) fn after_each_step(world: &mut World) -> Result<(), Violation> {
        for number in 0..world.stores.len() {
            let stored = world.stores[number].tokens().map(|(_, refresh_token)| refresh_token);
            let login = world.server.login.as_ref().map(|login| login.refresh_token.as_str());
            if stored.is_none() || stored != login {
                world.checks.lacked_login_at[number] = world.at;
            }
        }
        let Some(login) = world.server.login.as_ref().filter(|login| login.was_stored && login.loss_excused.is_none())
        else {
            return Ok(());
        };
        let refresh_token = &login.refresh_token;
        let held = Self::is_stored(world, refresh_token)
            || (0..world.processes.len()).any(|process| Self::process_has(world, process, refresh_token));
        if held {
            return Ok(());
        }
        violated("1 no login is lost", format!("no process or store has {refresh_token}, which the server accepts"))
    }

    /// 2: a process with another API key or server clears nothing.
    pub(in super::super) fn clear_begins(world: &World, process: usize) -> Result<(), Violation> {
        let state = &world.processes[process];
        let content = &world.stores[state.store].content;
        let owner = content.as_ref().and_then(|record| record.owner.as_ref());
        if owner.is_some_and(|owner| *owner != state.identity.owner) {
            return violated("2 tokens stay with their owner", format!("process {process} clears another key's login"));
        }
        Ok(())
    }

    /// A rotated refresh token may be lost with the only process that had it.
    pub(in super::super) fn process_killed(world: &mut World, process: usize) {
        let Some(refresh_token) = world.server.login.as_ref().map(|login| login.refresh_token.clone()) else { return };
        let others =
            (0..world.processes.len()).any(|other| other != process && Self::process_has(world, other, &refresh_token));
        if !others && !Self::is_stored(world, &refresh_token) && Self::process_has(world, process, &refresh_token) {
            world.excuse_loss(&refresh_token, "its only holder was killed");
        }
    }

    pub(in super::super) fn store_lost_write(world: &mut World) {
        let Some(refresh_token) = world.server.login.as_ref().map(|login| login.refresh_token.clone()) else { return };
        // A process that finds no record, or one of an earlier login, cannot distinguish this from a logout or a login. One
        // that finds an older record of its login can. But if the server rotates refresh tokens, the older record is useless, and
        // the first process that uses it gets an error and clears the store.
        let is_empty = world.stores.iter().all(|store| store.tokens().is_none_or(|(_, has)| has != refresh_token));
        let held = (0..world.processes.len()).any(|process| Self::process_has(world, process, &refresh_token));
        if !Self::is_stored(world, &refresh_token)
            && (is_empty || !held || world.plan.rotates || world.stores.len() > 1)
            && let Some(login) = &mut world.server.login
        {
            login.loss_excused = Some("the store lost it");
        }
    }

    /// A program may start with tokens of a login that has ended meanwhile, or whose refresh token was replaced.
    pub(in super::super) fn program_replaces_login(world: &mut World, by: &str) {
        if let Some(login) = world.server.login.as_mut().filter(|login| login.refresh_token != by) {
            login.loss_excused = Some("the host replaced it");
        }
    }

    /// The same, if the program replaced the login before the refresh whose response comes now.
    pub(in super::super) fn program_replaced_login(world: &mut World, process: usize, refresh_token: &str) {
        let state = &world.processes[process];
        let used = state.state.current.as_ref().map(|current| current.record.login);
        let stored = world.stores[state.store].content.as_ref().map(|record| record.login);
        if used.is_some() && stored.is_some() && used != stored {
            world.excuse_loss(refresh_token, "the host replaced it");
        }
    }

    pub(in super::super) fn program_forgets_login(world: &mut World) {
        if let Some(login) = &mut world.server.login {
            login.loss_excused = Some("the host forgot it");
        }
    }

    /// Whether a process is alive and has the refresh token in memory or in its flight.
    pub(super) fn process_has(world: &World, process: usize, refresh_token: &str) -> bool {
        let state = &world.processes[process];
        let in_memory = state.state.current.as_ref().and_then(|current| current.tokens().refresh_token());
        state.alive
            && (in_memory.map(Secret::expose) == Some(refresh_token)
                || state.flight.as_ref().is_some_and(|run| run.unsaved_refresh_token.as_deref() == Some(refresh_token)))
    }

    pub(super) fn is_stored(world: &World, refresh_token: &str) -> bool {
        world.stores.iter().any(|store| store.tokens().is_some_and(|(_, stored)| stored == refresh_token))
    }
}
