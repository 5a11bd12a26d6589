//! A world before it runs: who is there, and what will dispatch to them. Made from a seed; a failing one is made smaller by
//! leaving parts out.

use super::rng::Rng;

/// How long things dispatch, in milliseconds.
const DISTURBED_FOR: i64 = 150_000;

/// The time that a [`SleepAtAction`](Disturbance::SleepAtAction) waits for its action.
pub(super) const SLEEP_WINDOW: i64 = 60_000;

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// Each refresh gives a new refresh token and ends the old one.
    pub(super) rotates: bool,
    /// Of access tokens, in seconds.
    pub(super) lifetime: i64,
    pub(super) machines: Vec<Machine>,
    pub(super) stores: Vec<StoreKind>,
    pub(super) processes: Vec<Process>,
    /// Sorted by time.
    pub(super) events: Vec<(i64, Disturbance)>,
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// What the wall clock is wrong by at the begin, in ms, and what it gains in a million.
    pub(super) wall_off: i64,
    pub(super) drift: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreKind {
    /// Its lock ends with its holder; on one machine.
    File,
    /// Its lock expires; it keeps generations; for all machines.
    Lease,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Own,
    /// Pointed at the store by mistake.
    OtherKey,
    /// Of another server.
    OtherServer,
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) machine: usize,
    pub(super) store: usize,
    pub(super) key: Key,
    pub(super) callers: usize,
    /// Of a call, in ms.
    pub(super) timeout: i64,
    /// The host logs in again where nobody is logged in.
    pub(super) logs_in: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerFault {
    /// 500: not done.
    Error,
    /// 503 with `Retry-After`, in seconds: not done.
    Busy(i64),
    /// The request is lost, or its answer is.
    Lost,
    /// No answer within any deadline; done in half of the cases.
    Silence,
    /// Done; the answer takes this long.
    Slow(i64),
    /// Done; the access token has ended as it comes.
    EndedTokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreFault {
    Fails,
    RefusesSaves,
    /// Each operation takes this long.
    Slow(i64),
    /// Reads give what no session wrote.
    Garbage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    Server(ServerFault, i64),
    /// The API answers 401 to everything for so long.
    ApiRejects(i64),
    /// The access token is ended at the server, as by a refresh of another installation.
    TokenEnded,
    /// The user logs out elsewhere.
    LoggedOutElsewhere,
    Store(usize, StoreFault, i64),
    /// The store forgets its last write.
    LosesLastWrite(usize),
    WallStep(usize, i64),
    Sleep(usize, i64),
    /// The machine of the process sleeps so long from the so-manieth action of its leader: in the middle of a refresh.
    SleepAtAction(usize, i64, i64),
    Reboot(usize),
    Kill(usize),
    /// Killed at the so-manieth action of its leader from now.
    KillAtAction(usize, i64),
    Fork(usize),
    LogIn(usize),
    LogOut(usize),
    Forget(usize),
}

impl Plan {
    pub(super) fn from_seed(seed: u64) -> Plan {
        let mut rng = Rng::new(seed, 1);
        let machines: Vec<_> = (0..rng.between(1, 3))
            .map(|_| {
                let wall_off = if rng.chance(60) { rng.between(-50, 50) } else { rng.log_uniform(1, 90_000_000) };
                let wall_off = if rng.chance(50) { -wall_off } else { wall_off };
                Machine { wall_off, drift: rng.pick(&[0, 0, 100, -100, 5_000]) }
            })
            .collect();
        // One store, and often a second installation of the same user beside it.
        let shared = if machines.len() > 1 || rng.chance(50) { StoreKind::Lease } else { StoreKind::File };
        let mut stores = vec![shared];
        if rng.chance(25) {
            stores.push(rng.pick(&[StoreKind::File, StoreKind::Lease]));
        }
        let mut processes = Vec::new();
        for _ in 0..rng.between(1, 4) {
            let store = rng.between(0, stores.len() as i64 - 1) as usize;
            let machine = match stores[store] {
                // A file is on one machine.
                StoreKind::File => store.min(machines.len() - 1),
                StoreKind::Lease => rng.between(0, machines.len() as i64 - 1) as usize,
            };
            let key = if processes.is_empty() || rng.chance(88) {
                Key::Own
            } else {
                rng.pick(&[Key::OtherKey, Key::OtherServer])
            };
            let (callers, timeout) = (rng.between(1, 4) as usize, rng.pick(&[1_500, 5_000, 30_000]));
            processes.push(Process { machine, store, key, callers, timeout, logs_in: rng.chance(70) });
        }
        let mut plan = Plan {
            seed,
            rotates: rng.chance(40),
            lifetime: rng.pick(&[3, 6, 20, 60, 600, 43_199]),
            machines,
            stores,
            processes,
            events: Vec::new(),
        };
        // Few kinds of trouble in a world, but these often: that is how two of them meet.
        let kinds: Vec<i64> = (0..rng.between(1, 5)).map(|_| rng.between(0, 18)).collect();
        for _ in 0..rng.between(1, 14) {
            let disturbance = plan.disturbance(&mut rng, &kinds);
            plan.events.push((rng.between(500, DISTURBED_FOR), disturbance));
        }
        plan.events.sort_by_key(|(at, _)| *at);
        plan
    }

    fn disturbance(&self, rng: &mut Rng, kinds: &[i64]) -> Disturbance {
        let process = rng.between(0, self.processes.len() as i64 - 1) as usize;
        let machine = rng.between(0, self.machines.len() as i64 - 1) as usize;
        let store = rng.between(0, self.stores.len() as i64 - 1) as usize;
        let long = rng.log_uniform(200, 60_000);
        match rng.pick(kinds) {
            0 => Disturbance::Server(ServerFault::Error, long),
            1 => Disturbance::Server(ServerFault::Busy(rng.pick(&[1, 7, 120])), long),
            2 => Disturbance::Server(ServerFault::Lost, long),
            3 => Disturbance::Server(ServerFault::Silence, long),
            4 => Disturbance::Server(ServerFault::Slow(rng.log_uniform(300, 20_000)), long),
            5 => Disturbance::ApiRejects(rng.log_uniform(200, 120_000)),
            6 => Disturbance::TokenEnded,
            7 => Disturbance::Store(store, StoreFault::Fails, long),
            8 => Disturbance::Store(store, StoreFault::RefusesSaves, long),
            9 => Disturbance::Store(store, StoreFault::Slow(rng.log_uniform(100, 20_000)), long),
            10 => Disturbance::Store(store, StoreFault::Garbage, long),
            11 => Disturbance::LosesLastWrite(store),
            12 => {
                let by = rng.log_uniform(100, 100_000_000);
                Disturbance::WallStep(machine, if rng.chance(50) { by } else { -by })
            }
            13 => rng.pick(&[Disturbance::Sleep(machine, long), Disturbance::Reboot(machine)]),
            14 => {
                let nth = rng.between(1, 12);
                rng.pick(&[Disturbance::Kill(process), Disturbance::KillAtAction(process, nth)])
            }
            15 => Disturbance::Fork(process),
            16 => Disturbance::Server(ServerFault::EndedTokens, long),
            // Mostly longer than a lease.
            17 => Disturbance::SleepAtAction(process, rng.between(1, 12), rng.between(5_000, 60_000)),
            _ => rng.pick(&[
                Disturbance::LogIn(process),
                Disturbance::LogOut(process),
                Disturbance::Forget(process),
                Disturbance::LoggedOutElsewhere,
            ]),
        }
    }

    /// Whether a store may lose or refuse what it is given.
    pub(super) fn has_store_faults(&self) -> bool {
        self.events.iter().any(|(_, disturbance)| {
            matches!(
                disturbance,
                Disturbance::Store(..) | Disturbance::LosesLastWrite(_) | Disturbance::KillAtAction(..)
            )
        })
    }

    /// When the last trouble is over.
    pub(super) fn calm_at(&self) -> i64 {
        let end = |(at, disturbance): &(i64, Disturbance)| {
            at + match disturbance {
                Disturbance::Server(_, long)
                | Disturbance::ApiRejects(long)
                | Disturbance::Store(_, _, long)
                | Disturbance::Sleep(_, long) => *long,
                // With time for so many actions before.
                Disturbance::SleepAtAction(_, _, long) => *long + SLEEP_WINDOW,
                _ => 0,
            }
        };
        self.events.iter().map(end).max().unwrap_or(0)
    }

    /// How long the world goes on without faults: longer than the longest pause, which the age of rejected tokens sets.
    pub(super) fn calm(&self) -> i64 {
        250_000 + 2 * self.lifetime.min(600) * 1000
    }

    /// The same world without one of its parts, for each of them.
    pub(super) fn smaller(&self) -> Vec<Plan> {
        let mut all = Vec::new();
        for left_out in 0..self.events.len() {
            let mut plan = self.clone();
            plan.events.remove(left_out);
            all.push(plan);
        }
        for process in 0..self.processes.len() {
            if self.processes[process].callers > 1 {
                let mut plan = self.clone();
                plan.processes[process].callers -= 1;
                all.push(plan);
            }
        }
        // The last process only, for the others are named by their numbers.
        let last = self.processes.len() - 1;
        let names_last = |disturbance: &Disturbance| {
            matches!(
                disturbance,
                Disturbance::Kill(process) | Disturbance::KillAtAction(process, _) | Disturbance::Fork(process)
                    | Disturbance::SleepAtAction(process, _, _)
                    | Disturbance::LogIn(process) | Disturbance::LogOut(process) | Disturbance::Forget(process)
                    if *process == last
            )
        };
        if last > 0 && !self.events.iter().any(|(_, disturbance)| names_last(disturbance)) {
            let mut plan = self.clone();
            plan.processes.pop();
            all.push(plan);
        }
        for machine in 0..self.machines.len() {
            if self.machines[machine].wall_off != 0 || self.machines[machine].drift != 0 {
                let mut plan = self.clone();
                plan.machines[machine] = Machine { wall_off: 0, drift: 0 };
                all.push(plan);
            }
        }
        all
    }
}
