//! The invariants: what must hold after each step of a simulated world, and at its end. docs/sessions.md states them.

use std::collections::HashMap;

use super::plan::{Happening, Key, StoreKind};
use super::server::Issued;
use super::world::{Call, World};
use crate::error::{Error, Status};
use crate::secret::Secret;
use crate::session::action::Job;
use crate::session::clock::Now;
use crate::session::policy::MOMENT;
use crate::session::state::Want;
use crate::tokens::Tokens;

/// An invariant that does not hold.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) invariant: &'static str,
    pub(super) what: String,
}

fn violated<T>(invariant: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { invariant, what: what.into() })
}

/// What the checks remember; all that is needed to judge, none of it from the session's own books.
pub(super) struct Checks {
    /// Of each process: failures in a row, and when it may ask the server again, by its boot clock.
    failures: HashMap<usize, (u32, i64)>,
    /// When each process fetched a token, by its boot clock as the request began.
    fetched: HashMap<(usize, String), i64>,
    /// Of each store: when refreshes for rejected tokens began, and refreshes at all.
    rejected: Vec<Vec<i64>>,
    refreshes: Vec<Vec<i64>>,
}

/// In a minute, for one store: the refreshes that rejections may cost. A minute of an API that rejects everything costs
/// three; two machines whose clocks disagree, or a store that loses what it keeps, some more.
const MAX_REJECTED_A_MINUTE: usize = 8;

impl Checks {
    pub(super) fn new(stores: usize) -> Checks {
        Checks {
            failures: HashMap::new(),
            fetched: HashMap::new(),
            rejected: vec![Vec::new(); stores],
            refreshes: vec![Vec::new(); stores],
        }
    }

    pub(super) fn forked(&mut self, parent: usize, child: usize) {
        if let Some(failures) = self.failures.get(&parent).copied() {
            self.failures.insert(child, failures);
        }
    }

    /// Which processes, alive and with the right key, have the refresh token in memory or in their hands.
    fn has(world: &World, process: usize, refresh_token: &str) -> bool {
        let state = &world.processes[process];
        let in_memory = state.state.current.as_ref().and_then(|current| current.tokens().refresh_token());
        state.alive
            && (in_memory.map(Secret::expose) == Some(refresh_token)
                || state.flight.as_ref().is_some_and(|run| run.holds.as_deref() == Some(refresh_token)))
    }

    fn is_stored(world: &World, refresh_token: &str) -> bool {
        world.stores.iter().any(|store| store.tokens().is_some_and(|(_, stored)| stored == refresh_token))
    }

    /// 1: no login is lost.
    pub(super) fn after_each_step(world: &mut World) -> Result<(), Violation> {
        let Some(login) = world.server.login.as_ref().filter(|login| login.kept && login.excused.is_none()) else {
            return Ok(());
        };
        let refresh_token = &login.refresh_token;
        let held = Self::is_stored(world, refresh_token)
            || (0..world.processes.len()).any(|process| Self::has(world, process, refresh_token));
        if held {
            return Ok(());
        }
        violated("1 no login is lost", format!("nobody has {refresh_token}, which the server honours"))
    }

    /// The last copy of a rotated refresh token may die with its holder.
    pub(super) fn killed(world: &mut World, process: usize) {
        let Some(refresh_token) = world.server.login.as_ref().map(|login| login.refresh_token.clone()) else { return };
        let others =
            (0..world.processes.len()).any(|other| other != process && Self::has(world, other, &refresh_token));
        if !others && !Self::is_stored(world, &refresh_token) && Self::has(world, process, &refresh_token) {
            world.excuse(&refresh_token, "its only holder was killed");
        }
    }

    pub(super) fn write_lost(world: &mut World) {
        let Some(refresh_token) = world.server.login.as_ref().map(|login| login.refresh_token.clone()) else { return };
        // A holder that finds nothing, or an earlier login, cannot tell this from a logout or a login; one that finds an older
        // record of its login can. If the server
        // rotates, the older one is worthless, and who uses it first is told so and clears the store.
        let is_empty = world.stores.iter().all(|store| store.tokens().is_none_or(|(_, has)| has != refresh_token));
        let held = (0..world.processes.len()).any(|process| Self::has(world, process, &refresh_token));
        if !Self::is_stored(world, &refresh_token)
            && (is_empty || !held || world.plan.rotates || world.stores.len() > 1)
            && let Some(login) = &mut world.server.login
        {
            login.excused = Some("the store lost it");
        }
    }

    /// A host may start with the tokens of a login that others have refreshed since: where the server rotates, these are
    /// worthless.
    pub(super) fn replaces(world: &mut World, process: usize, by: &str) {
        let Some((_, stored)) = world.stores[world.processes[process].store].tokens() else { return };
        let stored = stored.to_owned();
        if stored != by {
            world.excuse(&stored, "the host replaced it");
        }
    }

    pub(super) fn forgotten(world: &mut World) {
        if let Some(login) = &mut world.server.login {
            login.excused = Some("the host forgot it");
        }
    }

    /// 2: tokens go to their own server, with their own API key; nobody else clears them.
    pub(super) fn clears(world: &World, process: usize) -> Result<(), Violation> {
        let state = &world.processes[process];
        let content = &world.stores[state.store].content;
        let owner = content.as_ref().and_then(|record| record.owner.as_ref());
        if owner.is_some_and(|owner| *owner != state.holder.owner) {
            return violated("2 tokens stay with their owner", format!("process {process} clears another key's login"));
        }
        Ok(())
    }

    /// 4, for any request: after a failure the server is left alone.
    pub(super) fn request_begins(world: &World, process: usize) -> Result<(), Violation> {
        if world.processes[process].key != Key::Right {
            return violated("2 tokens stay with their owner", format!("process {process} sends another key's tokens"));
        }
        let now = world.now(process);
        match world.checks.failures.get(&process) {
            Some((failures, until)) if now.boot < *until => violated(
                "4 requests are bounded",
                format!("process {process} asks {} ms too early, after {failures} failures", until - now.boot),
            ),
            _ => Ok(()),
        }
    }

    pub(super) fn refresh_begins(world: &mut World, process: usize, _refresh_token: &str) -> Result<(), Violation> {
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
        let is_over = current.is_none_or(|current| current.is_over(now));
        if let Job::Provide(Want::Other(rejected)) = &run.job
            && let Some(current) = current
        {
            // 8: old news costs no refresh.
            let rejected = rejected.access_token().expose();
            let ours = current.tokens().access_token().expose();
            if ours != rejected && !is_over {
                return violated("8 old news costs no refresh", format!("{rejected} was replaced by {ours} already"));
            }
            let stored = store.content.as_ref().filter(|record| record.generation >= state.state.generation);
            let newer = stored.is_some_and(|record| record.tokens.access_token().expose() != rejected);
            if !is_over && newer && store.is_alive(&state.holder, now) {
                return violated("8 old news costs no refresh", format!("the store has others than {rejected}"));
            }
        }
        let number = state.store;
        let processes = world.processes.iter().filter(|other| other.store == number).count();
        let times = &mut world.checks.refreshes[number];
        times.push(at);
        times.retain(|time| *time > at - 60_000);
        let count = times.len();
        // For the lifetimes themselves, for rejections, and for each process its failures.
        let natural = natural_refreshes(world.plan.lifetime) * world.machines.len();
        let most = natural + MAX_REJECTED_A_MINUTE + 12 * processes;
        if count > most {
            return violated("4 requests are bounded", format!("{count} refreshes in a minute, more than {most}"));
        }
        Ok(())
    }

    /// 4: rejections cost few refreshes. Those that fail are counted as failures.
    pub(super) fn refreshed(world: &mut World, process: usize) -> Result<(), Violation> {
        let (at, now) = (world.at, world.now(process));
        let state = &world.processes[process];
        let is_over = state.state.current.as_ref().is_none_or(|current| current.is_over(now));
        let is_rejected = state.flight.as_ref().is_some_and(|run| matches!(run.job, Job::Provide(Want::Other(_))));
        if is_over || !is_rejected {
            return Ok(());
        }
        let times = &mut world.checks.rejected[state.store];
        times.push(at);
        times.retain(|time| *time > at - 60_000);
        // Machines whose clocks disagree learn from a rejection that tokens have ended, and each on its own. With a store that
        // loses or refuses what it is given, each process is alone.
        let machines = world.machines.len();
        let processes = world.processes.iter().filter(|other| other.store == world.processes[process].store).count();
        let natural = if machines > 1 { natural_refreshes(world.plan.lifetime) * machines + processes } else { 0 };
        let is_faulty = world.plan.events.iter().any(|(_, happening)| {
            matches!(happening, Happening::Store(..) | Happening::LosesLastWrite(_) | Happening::KillAtAction(..))
        });
        let most = if is_faulty { MAX_REJECTED_A_MINUTE * processes } else { MAX_REJECTED_A_MINUTE };
        let count = times.len();
        if count > most + natural {
            return violated("4 requests are bounded", format!("{count} refreshes for rejections in a minute"));
        }
        Ok(())
    }

    pub(super) fn request_ended(&mut self, process: usize, result: Result<(), &Error>, now: Now) {
        match result {
            Ok(()) => self.begins_anew(process),
            // The server is well: it says that tokens, or the login, have ended.
            Err(error) if error.status() == Status::LoginRequired => self.begins_anew(process),
            Err(error) if matches!(error.status(), Status::TokenRejected | Status::Cancelled) => {}
            Err(error) => {
                let failures = self.failures.get(&process).map_or(0, |(failures, _)| *failures) + 1;
                let pause = (500 << (failures - 1).min(6)).min(30_000);
                let asked = error.retry_after().map_or(0, |wait| wait.as_millis() as i64).min(3_600_000);
                self.failures.insert(process, (failures, now.boot + pause.max(asked)));
            }
        }
    }

    /// After an answer of the server.
    fn begins_anew(&mut self, process: usize) {
        self.failures.remove(&process);
    }

    pub(super) fn issued(world: &mut World, process: usize, issued: &Issued, begun: Now) {
        world.checks.fetched.insert((process, issued.access_token.clone()), begun.boot);
    }

    pub(super) fn returned(
        world: &mut World,
        process: usize,
        call: &Call,
        result: &Result<Tokens, Error>,
    ) -> Result<(), Violation> {
        let now = world.now(process);
        let state = &world.processes[process];
        if let Ok(tokens) = result {
            if state.key != Key::Right {
                return violated("2 tokens stay with their owner", format!("process {process} gets another key's"));
            }
            let access_token = tokens.access_token().expose();
            // 5: an ended token is not handed out, but by the very call that fetched it.
            let fetched = world.checks.fetched.get(&(process, access_token.to_owned()));
            let by_this_call = fetched.zip(call.joined).is_some_and(|(at, began)| *at >= began);
            // What others received on this machine, since it started, says when.
            let record =
                state.state.current.as_ref().filter(|current| current.is(tokens)).map(|current| &current.record);
            let came = record.and_then(|record| record.obtained_boot.as_ref());
            let came = came.filter(|came| Some(&came.boot_id) == state.holder.boot_id.as_ref()).map(|came| came.at);
            let by_wall = tokens.expires_at().is_some_and(|at| now.wall >= at * 1000);
            let came = if record.is_some() { came } else { fetched.copied() };
            let by_boot = came.is_some_and(|at| now.boot - at >= world.plan.lifetime * 1000);
            if (by_wall || by_boot) && !by_this_call {
                let clock = if by_wall { "wall" } else { "boot" };
                return violated("5 no ended token", format!("{access_token} has ended by the {clock} clock"));
            }
        }
        // 6: nobody waits longer than their own deadline, or than a moment where they have tokens.
        let machine = &world.machines[state.machine];
        let took = now.boot - call.began;
        let slept = machine.slept_at >= world.at - took;
        // A store's own code cannot be left: its time is its own.
        let is_slow = world.stores[state.store].slow_until >= world.at - took;
        if slept || ((call.leads || call.leads_again) && is_slow) {
            return Ok(());
        }
        if took > state.timeout + 100 {
            return violated("6 nobody waits too long", format!("{took} ms, with a timeout of {} ms", state.timeout));
        }
        if let (Ok(_), true, false) = (result, call.had_spare, call.leads || call.leads_again) {
            let moment = call.joined.map_or(0, |began| (began + MOMENT - call.began).max(0));
            if took > moment + 100 && world.stores[state.store].kind == StoreKind::File {
                return violated("6 nobody waits too long", format!("{took} ms, with tokens at hand"));
            }
        }
        Ok(())
    }

    /// 7: when the faults stop, every caller has valid tokens, or the login has really ended.
    pub(super) fn at_the_end(world: &mut World, end: i64) -> Result<(), Violation> {
        let installations = world.stores.len();
        for (number, state) in world.processes.iter().enumerate() {
            if !state.alive || state.key != Key::Right {
                continue;
            }
            let store = &world.stores[state.store];
            for caller in &state.callers {
                let Some((at, last)) = &caller.last else {
                    return violated(
                        "7 everybody recovers",
                        format!("a caller of process {number} never got an answer"),
                    );
                };
                let recently = |at: i64| at > end - 120_000;
                let well = match last {
                    // Two installations can refresh each other's tokens away, or meet at the server; machines whose clocks
                    // disagree learn from a rejection that tokens have ended.
                    _ if caller.accepted_at.is_some_and(recently) => {
                        installations > 1 || world.machines.len() > 1 || matches!(last, Ok(true))
                    }
                    Ok(_) => installations > 1,
                    Err(error) => match error.status() {
                        // Or a user has logged in since.
                        Status::LoginRequired => store.content.is_none() || *at < world.logged_in_at,
                        Status::TokenRejected => installations > 1,
                        _ => false,
                    },
                };
                if !well || !recently(*at) {
                    return violated(
                        "7 everybody recovers",
                        format!("process {number} got {last:?} at last, {} s before the end", (end - at) / 1000),
                    );
                }
            }
        }
        let stays = world.server.login.as_ref().filter(|login| login.kept && login.excused.is_none());
        if let Some(login) = stays
            && !Self::is_stored(world, &login.refresh_token)
            && !world
                .processes
                .iter()
                .any(|state| state.flight.as_ref().is_some_and(|run| run.holds.as_ref() == Some(&login.refresh_token)))
        {
            return violated("1 no login is lost", format!("{} is in no store at the end", login.refresh_token));
        }
        Ok(())
    }
}

/// In a minute, of tokens that live for so many seconds.
fn natural_refreshes(lifetime: i64) -> usize {
    usize::try_from(60_000 / (lifetime * 700)).unwrap_or(0)
}
