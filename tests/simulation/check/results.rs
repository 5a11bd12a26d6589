//! Invariants 5 (no expired token), 6 (no caller waits too long), 7 (every caller recovers) and 9 (LOGIN_REQUIRED is correct).

use super::super::plan::{Key, StoreKind};
use super::super::server::Issued;
use super::super::world::{Call, World};
use super::{Checks, Violation, violated};
use crate::clock::Now;
use crate::error::{Error, Status};
use crate::tokens::Tokens;

/// How long a caller with unexpired tokens may wait, in ms.
const MAX_WAIT_WITH_TOKENS: i64 = 1_000;

impl Checks {
    pub(in super::super) fn tokens_issued(world: &mut World, process: usize, issued: &Issued, begun: Now) {
        world.checks.fetched.insert((process, issued.access_token.clone()), begun.boot);
    }

    pub(in super::super) fn call_returned(
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
            // 5: an expired token is returned only by the call that fetched it.
            let fetched = world.checks.fetched.get(&(process, access_token.to_owned()));
            let by_this_call = fetched.zip(call.joined).is_some_and(|(at, began)| *at >= began);
            // If tokens were obtained on this machine since its last start, the record has the time of its boot clock.
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
                return violated("5 no expired token", format!("{access_token} has expired by the {clock} clock"));
            }
        }
        // 9: LOGIN_REQUIRED is correct: the store lacked the login at some time since this call began, or since the flight began
        // that it joined.
        if let Err(error) = result
            && error.status() == Status::LoginRequired
        {
            let began = world.at - (now.boot - call.joined.map_or(call.began, |joined| joined.min(call.began)));
            if world.checks.lacked_login_at[state.store] < began {
                return violated("9 LOGIN_REQUIRED is correct", format!("process {process}: the store has the login"));
            }
        }
        // 6: no caller waits longer than its timeout, or than a second if it has unexpired tokens.
        let machine = &world.machines[state.machine];
        let took = now.boot - call.began;
        let slept = machine.slept_at >= world.at - took;
        // A call that leads must wait for the store's own code.
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
            // A change of the wall clock may have made them expire.
            let had_fallback = machine.set_at < world.at - took;
            if had_fallback && took > moment + 100 && world.stores[state.store].kind == StoreKind::File {
                return violated("6 no caller waits too long", format!("{took} ms, with unexpired tokens"));
            }
        }
        Ok(())
    }

    /// 7: after the disturbances, every caller gets valid tokens, or the login has ended.
    pub(in super::super) fn at_the_end(world: &mut World, end: i64) -> Result<(), Violation> {
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
                        format!("a caller of process {number} never got a result"),
                    );
                };
                let recently = |at: i64| at > end - 120_000;
                let well = match last {
                    // Two installations can end each other's access tokens, or send requests at the same time. On machines whose
                    // clocks differ, a process learns from a rejection that tokens have expired.
                    _ if caller.accepted_at.is_some_and(recently) => {
                        installations > 1 || world.machines.len() > 1 || matches!(last, Ok(true))
                    }
                    Ok(_) => installations > 1,
                    Err(error) => match error.status() {
                        // Or a user has logged in after the call.
                        Status::LoginRequired => store.content.is_none() || *at <= world.logged_in_at,
                        Status::TokenRejected | Status::Server => installations > 1,
                        _ => false,
                    },
                };
                if !well || !recently(*at) {
                    return violated(
                        "7 every caller recovers",
                        format!("process {number} last got {last:?}, {} s before the end", (end - at) / 1000),
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
