//! Invariants 3 (one refresh at a time), 4 (requests are bounded) and 8 (a late 401 costs no refresh).

use super::super::plan::{Disturbance, Key, ServerFault};
use super::super::world::World;
use super::{Checks, Violation, violated};
use crate::clock::Now;
use crate::error::{Error, Status};
use crate::session::action::Job;
use crate::session::caller::{Purpose, Step};
use crate::session::state::{CurrentTokens, Want};

/// Maximum number of refreshes in a minute because of rejections, for one store. An API that rejects everything causes three.
/// Machines whose clocks differ, or a store that loses writes, cause some more.
const MAX_REJECTED_A_MINUTE: usize = 8;

#[derive(Clone, Copy)]
pub(super) struct Failures {
    in_a_row: u32,
    /// When the process may ask the server again, by its boot clock.
    until: i64,
    /// The same if its tokens have not expired.
    early_until: i64,
}

impl Checks {
    /// 4, for any request: no request during a back-off.
    pub(in super::super) fn request_begins(world: &World, process: usize) -> Result<(), Violation> {
        if world.processes[process].key != Key::Own {
            return violated("2 tokens stay with their owner", format!("process {process} sends another key's tokens"));
        }
        let now = world.now(process);
        let Some(failures) = world.checks.failures.get(&process) else { return Ok(()) };
        let Failures { in_a_row, until, early_until } = *failures;
        let state = &world.processes[process];
        let is_expired = state.state.current.as_ref().is_none_or(|current| current.is_expired(now));
        let wants_valid = state.flight.as_ref().is_some_and(|run| matches!(run.job, Job::Provide(Want::ValidFor(0))));
        let until = if wants_valid && !is_expired { early_until } else { until };
        if now.boot < until {
            let early = until - now.boot;
            let what = format!("process {process} asks {early} ms too early, after {in_a_row} failures");
            return violated("4 requests are bounded", what);
        }
        Ok(())
    }

    pub(in super::super) fn refresh_begins(
        world: &mut World,
        process: usize,
        _refresh_token: &str,
    ) -> Result<(), Violation> {
        Self::request_begins(world, process)?;
        let (at, now) = (world.at, world.now(process));
        let state = &world.processes[process];
        let (Some(run), store) = (&state.flight, &world.stores[state.store]) else { return Ok(()) };
        // 3: one refresh at a time.
        let holder = store.holder(at);
        if holder.is_none_or(|lock| lock.leader != run.id) {
            return violated(
                "3 one refresh at a time",
                format!("process {process} refreshes, {holder:?} has the lock"),
            );
        }
        let current = state.state.current.as_ref();
        let is_expired = current.is_none_or(|current| current.is_expired(now));
        // Tokens that were issued expired.
        let since = world.checks.refreshed_at.get(&process).map_or(i64::MAX, |at| now.boot - at);
        if is_expired && matches!(run.job, Job::Provide(_)) && since < 1_000 {
            return violated("4 requests are bounded", format!("expired tokens are refreshed again after {since} ms"));
        }
        // 11: no early refresh of tokens that a session on the store holds. If clocks differ or change, the end of the hold differs,
        // too.
        let held =
            store.content.as_ref().filter(|stored| current.is_some_and(|our| our.has_same_token(&stored.tokens)));
        let is_held = held.is_some_and(|held| CurrentTokens::new(held.clone(), &state.identity, now).is_held(now));
        let one_clock = world.machines.len() == 1 && world.machines[0].set_at == i64::MIN;
        if one_clock && is_held && !is_expired && matches!(run.job, Job::Provide(Want::ValidFor(_))) {
            return violated("11 a hold is respected", format!("process {process} refreshes tokens that are held"));
        }
        if let Job::Provide(Want::ReplacementFor(rejected)) = &run.job
            && let Some(current) = current
        {
            // 8: a late 401 costs no refresh.
            let rejected = rejected.expose();
            let ours = current.tokens().access_token().expose();
            if ours != rejected && !is_expired {
                return violated("8 a late 401 costs no refresh", format!("{ours} already replaced {rejected}"));
            }
            let stored = store.content.as_ref().filter(|record| record.generation >= state.state.generation);
            let newer = stored.is_some_and(|record| record.tokens.access_token().expose() != rejected);
            if !is_expired && newer && store.has_unexpired_tokens(&state.identity, now) {
                return violated(
                    "8 a late 401 costs no refresh",
                    format!("the store has other tokens than {rejected}"),
                );
            }
        }
        let number = state.store;
        let processes = world.processes.iter().filter(|other| other.store == number).count();
        world.checks.asked_at.insert(process, now.boot);
        let times = &mut world.checks.refreshes[number];
        times.push(at);
        times.retain(|time| *time > at - 60_000);
        let count = times.len();
        // Refreshes because of the lifetime, because of rejections, and the failures of each process. If stores have faults or
        // clocks differ, each process refreshes for itself.
        let alone = if world.plan.has_store_faults() || world.machines.len() > 1 { processes } else { 1 };
        let natural = regular_refreshes(world.plan.lifetime) * alone;
        // If tokens are issued expired, each process refreshes once a second.
        let ended = |disturbance: &Disturbance| matches!(disturbance, Disturbance::Server(ServerFault::EndedTokens, _));
        let each = if world.plan.events.iter().any(|(_, disturbance)| ended(disturbance)) { 60 } else { 12 };
        let most = natural + MAX_REJECTED_A_MINUTE + each * processes;
        if count > most {
            return violated("4 requests are bounded", format!("{count} refreshes in a minute, more than {most}"));
        }
        Ok(())
    }

    /// 4: rejections cause few refreshes. Failed refreshes are counted as failures.
    pub(in super::super) fn refresh_succeeded(world: &mut World, process: usize) -> Result<(), Violation> {
        let (at, now) = (world.at, world.now(process));
        if let Some(asked_at) = world.checks.asked_at.get(&process).copied() {
            world.checks.refreshed_at.insert(process, asked_at);
        }
        let state = &world.processes[process];
        let is_expired = state.state.current.as_ref().is_none_or(|current| current.is_expired(now));
        let is_rejected =
            state.flight.as_ref().is_some_and(|run| matches!(run.job, Job::Provide(Want::ReplacementFor(_))));
        if is_expired || !is_rejected {
            return Ok(());
        }
        let times = &mut world.checks.rejected[state.store];
        times.push(at);
        times.retain(|time| *time > at - 60_000);
        // On machines whose clocks differ, each process learns from a rejection that tokens have expired. If the store loses or
        // refuses writes, each process refreshes for itself.
        let machines = world.machines.len();
        let processes = world.processes.iter().filter(|other| other.store == world.processes[process].store).count();
        let natural = if machines > 1 { (regular_refreshes(world.plan.lifetime) + 1) * processes } else { 0 };
        let most =
            if world.plan.has_store_faults() { MAX_REJECTED_A_MINUTE * processes } else { MAX_REJECTED_A_MINUTE };
        let count = times.len();
        if count > most + natural {
            return violated("4 requests are bounded", format!("{count} refreshes for rejections in a minute"));
        }
        Ok(())
    }

    pub(in super::super) fn request_ended(
        &mut self,
        process: usize,
        current: Option<&CurrentTokens>,
        result: Result<(), &Error>,
        now: Now,
    ) {
        match result {
            Ok(()) => self.reset_failures(process),
            // The server works: it says that the tokens or the login have ended.
            Err(error) if error.status() == Status::LoginRequired => self.reset_failures(process),
            Err(error) if matches!(error.status(), Status::TokenRejected | Status::Cancelled) => {}
            Err(error) => {
                let in_a_row = self.failures.get(&process).map_or(0, |failures| failures.in_a_row) + 1;
                // Half of each back-off is random.
                let doubled = |first: i64, most: i64| (first << (in_a_row - 1).min(20)).min(most) / 2;
                let asked = error.retry_after().map_or(0, |wait| wait.as_millis() as i64).min(3_600_000);
                let pause = doubled(1_000, 60_000).max(asked);
                let (lifetime, left) = current.map_or((0, 0), |current| {
                    let left = current.expires_at.map_or(i64::MAX, |at| at.boot.saturating_sub(now.boot));
                    (current.lifetime(), left)
                });
                let early = doubled(30_000.min(lifetime / 20), 600_000).min(left).max(pause);
                let (until, early_until) = (now.boot + pause, now.boot + early);
                self.failures.insert(process, Failures { in_a_row, until, early_until });
            }
        }
    }

    /// A new login resets the count, because a person needs time for it.
    pub(in super::super) fn logged_in(&mut self, store: usize) {
        self.rejected[store].clear();
    }

    /// A response of the server ends the back-off.
    fn reset_failures(&mut self, process: usize) {
        self.failures.remove(&process);
    }

    /// 4, for flights: followers share a failure. A call that needs the tokens gets the error of its flight.
    pub(in super::super) fn call_waited(
        process: usize,
        purpose: Purpose,
        failure: Option<&Error>,
        step: &Step,
    ) -> Result<(), Violation> {
        match (failure, purpose, step) {
            (Some(error), Purpose::Needed, Step::LeadOrJoin(_)) => {
                violated("4 requests are bounded", format!("a call of process {process} tries again after {error:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// Number of refreshes in a minute because of the lifetime, which is in seconds.
fn regular_refreshes(lifetime: i64) -> usize {
    usize::try_from(60_000 / (lifetime * 700)).unwrap_or(0)
}
