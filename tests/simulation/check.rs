//! The invariants: what must hold after each step of a simulated world, and at its end. docs/sessions.md states 1 to 8;
//! README.md has all.

use std::collections::HashMap;

use super::plan::{Disturbance, Key, Plan, ServerFault, StoreFault, StoreKind};
use super::server::Issued;
use super::world::{Call, FlightState, World};
use crate::error::{Error, Status};
use crate::secret::Secret;
use crate::session::action::{Job, Outcome};
use crate::session::caller::{Purpose, Step};
use crate::session::clock::Now;
use crate::session::state::{CurrentTokens, State, Want};
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
    /// Of each process: its failures in a row.
    failures: HashMap<usize, Failures>,
    /// When each process began its last refresh, and its last one that succeeded, by its boot clock.
    asked_at: HashMap<usize, i64>,
    refreshed_at: HashMap<usize, i64>,
    /// Of each store: when it last did not have the login that the server honours.
    lacked_login_at: Vec<i64>,
    /// Whether all clocks agree and no store forgets or refuses what it is given. Otherwise two holders can give two
    /// changes the same generation.
    generations_grow: bool,
    /// When each process fetched a token, by its boot clock as the request began.
    fetched: HashMap<(usize, String), i64>,
    /// Of each store: when refreshes for rejected tokens began, and refreshes at all.
    rejected: Vec<Vec<i64>>,
    refreshes: Vec<Vec<i64>>,
}

#[derive(Clone, Copy)]
struct Failures {
    in_a_row: u32,
    /// When the process may ask the server again, by its boot clock; and when for tokens that have not ended.
    until: i64,
    early_until: i64,
}

/// How long a caller may wait that can have tokens.
const MAX_WAIT_WITH_TOKENS: i64 = 1_000;

/// In a minute, for one store: the refreshes that rejections may cost. A minute of an API that rejects everything costs
/// three; two machines whose clocks disagree, or a store that loses what it keeps, some more.
const MAX_REJECTED_A_MINUTE: usize = 8;

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

    /// Which processes, alive and with the right key, have the refresh token in memory or in their hands.
    fn has(world: &World, process: usize, refresh_token: &str) -> bool {
        let state = &world.processes[process];
        let in_memory = state.state.current.as_ref().and_then(|current| current.tokens().refresh_token());
        state.alive
            && (in_memory.map(Secret::expose) == Some(refresh_token)
                || state.flight.as_ref().is_some_and(|run| run.unsaved_refresh_token.as_deref() == Some(refresh_token)))
    }

    fn is_stored(world: &World, refresh_token: &str) -> bool {
        world.stores.iter().any(|store| store.tokens().is_some_and(|(_, stored)| stored == refresh_token))
    }

    /// 1: no login is lost.
    pub(super) fn after_each_step(world: &mut World) -> Result<(), Violation> {
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
            world.excuse_loss(&refresh_token, "its only holder was killed");
        }
    }

    pub(super) fn write_lost(world: &mut World) {
        let Some(refresh_token) = world.server.login.as_ref().map(|login| login.refresh_token.clone()) else { return };
        // A holder that finds nothing, or an earlier login, cannot log this from a logout or a login; one that finds an older
        // record of its login can. If the server
        // rotates, the older one is worthless, and who uses it first is logged so and clears the store.
        let is_empty = world.stores.iter().all(|store| store.tokens().is_none_or(|(_, has)| has != refresh_token));
        let held = (0..world.processes.len()).any(|process| Self::has(world, process, &refresh_token));
        if !Self::is_stored(world, &refresh_token)
            && (is_empty || !held || world.plan.rotates || world.stores.len() > 1)
            && let Some(login) = &mut world.server.login
        {
            login.loss_excused = Some("the store lost it");
        }
    }

    /// A host may start with the tokens of a login that has ended meanwhile, or whose refresh token has been replaced.
    pub(super) fn replaces(world: &mut World, by: &str) {
        if let Some(login) = world.server.login.as_mut().filter(|login| login.refresh_token != by) {
            login.loss_excused = Some("the host replaced it");
        }
    }

    /// The same, if the host replaced it before the refresh whose answer comes now.
    pub(super) fn replaced(world: &mut World, process: usize, refresh_token: &str) {
        let state = &world.processes[process];
        let used = state.state.current.as_ref().map(|current| current.record.login);
        let stored = world.stores[state.store].content.as_ref().map(|record| record.login);
        if used.is_some() && stored.is_some() && used != stored {
            world.excuse_loss(refresh_token, "the host replaced it");
        }
    }

    pub(super) fn forgotten(world: &mut World) {
        if let Some(login) = &mut world.server.login {
            login.loss_excused = Some("the host forgot it");
        }
    }

    /// 2: tokens go to their own server, with their own API key; nobody else clears them.
    pub(super) fn clears(world: &World, process: usize) -> Result<(), Violation> {
        let state = &world.processes[process];
        let content = &world.stores[state.store].content;
        let owner = content.as_ref().and_then(|record| record.owner.as_ref());
        if owner.is_some_and(|owner| *owner != state.identity.owner) {
            return violated("2 tokens stay with their owner", format!("process {process} clears another key's login"));
        }
        Ok(())
    }

    /// 4, for any request: after a failure the server is left alone.
    pub(super) fn request_begins(world: &World, process: usize) -> Result<(), Violation> {
        if world.processes[process].key != Key::Own {
            return violated("2 tokens stay with their owner", format!("process {process} sends another key's tokens"));
        }
        let now = world.now(process);
        let Some(failures) = world.checks.failures.get(&process) else { return Ok(()) };
        let Failures { in_a_row, until, early_until } = *failures;
        let state = &world.processes[process];
        let is_expired = state.state.current.as_ref().is_none_or(|current| current.is_expired(now));
        let wants_valid = state.flight.as_ref().is_some_and(|run| matches!(run.job, Job::Provide(Want::Valid)));
        let until = if wants_valid && !is_expired { early_until } else { until };
        if now.boot < until {
            let early = until - now.boot;
            let what = format!("process {process} asks {early} ms too early, after {in_a_row} failures");
            return violated("4 requests are bounded", what);
        }
        Ok(())
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
        let is_expired = current.is_none_or(|current| current.is_expired(now));
        // Tokens that end as they come.
        let since = world.checks.refreshed_at.get(&process).map_or(i64::MAX, |at| now.boot - at);
        if is_expired && matches!(run.job, Job::Provide(_)) && since < 1_000 {
            return violated("4 requests are bounded", format!("ended tokens are refreshed again after {since} ms"));
        }
        if let Job::Provide(Want::ReplacementFor(rejected)) = &run.job
            && let Some(current) = current
        {
            // 8: old news costs no refresh.
            let rejected = rejected.access_token().expose();
            let ours = current.tokens().access_token().expose();
            if ours != rejected && !is_expired {
                return violated("8 a late 401 costs no refresh", format!("{rejected} was replaced by {ours} already"));
            }
            let stored = store.content.as_ref().filter(|record| record.generation >= state.state.generation);
            let newer = stored.is_some_and(|record| record.tokens.access_token().expose() != rejected);
            if !is_expired && newer && store.has_unexpired_tokens(&state.identity, now) {
                return violated("8 a late 401 costs no refresh", format!("the store has others than {rejected}"));
            }
        }
        let number = state.store;
        let processes = world.processes.iter().filter(|other| other.store == number).count();
        world.checks.asked_at.insert(process, now.boot);
        let times = &mut world.checks.refreshes[number];
        times.push(at);
        times.retain(|time| *time > at - 60_000);
        let count = times.len();
        // For the lifetimes themselves, for rejections, and for each process its failures. With a faulty store, or clocks that
        // disagree about the end of tokens, each process refreshes for itself.
        let alone = if world.plan.has_store_faults() || world.machines.len() > 1 { processes } else { 1 };
        let natural = regular_refreshes(world.plan.lifetime) * alone;
        // Tokens that end as they come are refreshed once a second by each process.
        let ended = |disturbance: &Disturbance| matches!(disturbance, Disturbance::Server(ServerFault::EndedTokens, _));
        let each = if world.plan.events.iter().any(|(_, disturbance)| ended(disturbance)) { 60 } else { 12 };
        let most = natural + MAX_REJECTED_A_MINUTE + each * processes;
        if count > most {
            return violated("4 requests are bounded", format!("{count} refreshes in a minute, more than {most}"));
        }
        Ok(())
    }

    /// 4: rejections cost few refreshes. Those that fail are counted as failures.
    pub(super) fn refreshed(world: &mut World, process: usize) -> Result<(), Violation> {
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
        // Machines whose clocks disagree learn from a rejection that tokens have ended, and each on its own. With a store that
        // loses or refuses what it is given, each process is alone.
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

    pub(super) fn request_ended(
        &mut self,
        process: usize,
        current: Option<&CurrentTokens>,
        result: Result<(), &Error>,
        now: Now,
    ) {
        match result {
            Ok(()) => self.reset_failures(process),
            // The server is well: it says that tokens, or the login, have ended.
            Err(error) if error.status() == Status::LoginRequired => self.reset_failures(process),
            Err(error) if matches!(error.status(), Status::TokenRejected | Status::Cancelled) => {}
            Err(error) => {
                let in_a_row = self.failures.get(&process).map_or(0, |failures| failures.in_a_row) + 1;
                // Half of each pause is random.
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

    /// A new login begins anew; a person brings it.
    pub(super) fn logged_in(&mut self, store: usize) {
        self.rejected[store].clear();
    }

    /// After an answer of the server.
    fn reset_failures(&mut self, process: usize) {
        self.failures.remove(&process);
    }

    pub(super) fn issued(world: &mut World, process: usize, issued: &Issued, begun: Now) {
        world.checks.fetched.insert((process, issued.access_token.clone()), begun.boot);
    }

    /// 4, for flights: a failure is shared. A call that waited for a flight which it needed gets the error of that flight.
    pub(super) fn waited(
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

    /// 9, for flights: the store has said that it has something newer than what was to be cleared.
    pub(super) fn ended(process: usize, run: &FlightState, result: &Result<Outcome, Error>) -> Result<(), Violation> {
        match result {
            Err(error) if error.status() == Status::LoginRequired && run.clear_refused => {
                violated("9 LOGIN_REQUIRED is correct", format!("process {process} did not look at what is newer"))
            }
            _ => Ok(()),
        }
    }

    /// 10: a change has a larger generation, by which the host learns of it.
    pub(super) fn published(world: &World, process: usize, before: &State) -> Result<(), Violation> {
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

    pub(super) fn returned(
        world: &mut World,
        process: usize,
        call: &Call,
        result: &Result<Tokens, Error>,
    ) -> Result<(), Violation> {
        let now = world.now(process);
        let state = &world.processes[process];
        if let Ok(tokens) = result {
            if state.key != Key::Own {
                return violated("2 tokens stay with their owner", format!("process {process} gets another key's"));
            }
            let access_token = tokens.access_token().expose();
            // 5: an ended token is not handed out, but by the very call that fetched it.
            let fetched = world.checks.fetched.get(&(process, access_token.to_owned()));
            let by_this_call = fetched.zip(call.joined).is_some_and(|(at, began)| *at >= began);
            // What others received on this machine, since it started, says when.
            let record = state
                .state
                .current
                .as_ref()
                .filter(|current| current.has_same_token(tokens))
                .map(|current| &current.record);
            let came = record.and_then(|record| record.obtained_boot.as_ref());
            let came = came.filter(|came| Some(&came.boot_id) == state.identity.boot_id.as_ref()).map(|came| came.at);
            let by_wall = tokens.expires_at().is_some_and(|at| now.wall >= at * 1000);
            let came = if record.is_some() { came } else { fetched.copied() };
            let by_boot = came.is_some_and(|at| now.boot - at >= world.plan.lifetime * 1000);
            if (by_wall || by_boot) && !by_this_call {
                let clock = if by_wall { "wall" } else { "boot" };
                return violated("5 no expired token", format!("{access_token} has ended by the {clock} clock"));
            }
        }
        // 9: LOGIN_REQUIRED is true. The store did not have the login at some time since this call, or the flight that it
        // joined, began.
        if let Err(error) = result
            && error.status() == Status::LoginRequired
        {
            let began = world.at - (now.boot - call.joined.map_or(call.began, |joined| joined.min(call.began)));
            if world.checks.lacked_login_at[state.store] < began {
                return violated("9 LOGIN_REQUIRED is correct", format!("process {process}: the store has the login"));
            }
        }
        // 6: nobody waits longer than their own deadline, or than a moment where they have tokens.
        let machine = &world.machines[state.machine];
        let took = now.boot - call.began;
        let slept = machine.slept_at >= world.at - took;
        // A store's own code cannot be left: its time is its own.
        let is_slow = world.stores[state.store].slow_until >= world.at - took;
        if slept || ((call.leads || call.led_before) && is_slow) {
            return Ok(());
        }
        if took > state.timeout + 100 {
            return violated(
                "6 no caller waits too long",
                format!("{took} ms, with a timeout of {} ms", state.timeout),
            );
        }
        if let (Ok(_), true, false) = (result, call.had_fallback, call.leads || call.led_before) {
            let moment = call.joined.map_or(0, |began| (began + MAX_WAIT_WITH_TOKENS - call.began).max(0));
            // A wall clock that was set may have ended them.
            let had_fallback = machine.set_at < world.at - took;
            if had_fallback && took > moment + 100 && world.stores[state.store].kind == StoreKind::File {
                return violated("6 no caller waits too long", format!("{took} ms, with tokens at hand"));
            }
        }
        Ok(())
    }

    /// 7: when the faults stop, every caller has valid tokens, or the login has really ended.
    pub(super) fn at_the_end(world: &mut World, end: i64) -> Result<(), Violation> {
        let installations = world.stores.len();
        for (number, state) in world.processes.iter().enumerate() {
            if !state.alive || state.key != Key::Own {
                continue;
            }
            let store = &world.stores[state.store];
            for caller in &state.callers {
                let Some((at, last)) = &caller.last else {
                    return violated(
                        "7 every caller recovers",
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
                        Status::LoginRequired => store.content.is_none() || *at <= world.logged_in_at,
                        Status::TokenRejected | Status::Server => installations > 1,
                        _ => false,
                    },
                };
                if !well || !recently(*at) {
                    return violated(
                        "7 every caller recovers",
                        format!("process {number} got {last:?} at last, {} s before the end", (end - at) / 1000),
                    );
                }
            }
        }
        let stays = world.server.login.as_ref().filter(|login| login.was_stored && login.loss_excused.is_none());
        if let Some(login) = stays
            && !Self::is_stored(world, &login.refresh_token)
            && !world.processes.iter().any(|state| {
                state
                    .flight
                    .as_ref()
                    .is_some_and(|run| run.unsaved_refresh_token.as_ref() == Some(&login.refresh_token))
            })
        {
            return violated("1 no login is lost", format!("{} is in no store at the end", login.refresh_token));
        }
        Ok(())
    }
}

/// In a minute, of tokens that live for so many seconds.
fn regular_refreshes(lifetime: i64) -> usize {
    usize::try_from(60_000 / (lifetime * 700)).unwrap_or(0)
}
