//! The plan of a world: its parts, and what will happen when. A seed determines the plan. The plan of a failing world is made
//! smaller by removing parts.

use super::rng::Rng;

/// How long disturbances begin, in milliseconds.
const DISTURBED_FOR: i64 = 150_000;

/// How long a [`SleepAtAction`](Disturbance::SleepAtAction) waits for its action, in milliseconds.
pub(super) const SLEEP_WINDOW: i64 = 60_000;

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// Each refresh issues a new refresh token and ends the old one.
    pub(super) rotates: bool,
    /// Lifetime of access tokens, in seconds.
    pub(super) lifetime: i64,
    pub(super) machines: Vec<Machine>,
    pub(super) stores: Vec<StoreKind>,
    pub(super) processes: Vec<Process>,
    /// Sorted by time.
    pub(super) events: Vec<(i64, Disturbance)>,
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Error of the wall clock at the beginning, in ms, and its drift, in parts per million.
    pub(super) wall_offset: i64,
    pub(super) drift: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreKind {
    /// Its lock ends with its process. It can be used on one machine only.
    File,
    /// Its lock expires. It tracks generations, and all machines can use it.
    Lease,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Own,
    /// Another API key, configured for this store by mistake.
    Foreign,
    /// The same for another server.
    OtherServer,
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) machine: usize,
    pub(super) store: usize,
    pub(super) key: Key,
    pub(super) callers: usize,
    /// Timeout of a call, in ms.
    pub(super) timeout: i64,
    /// The program logs in again when no user is logged in.
    pub(super) logs_in: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerFault {
    /// 500; the server does nothing.
    Error,
    /// 503 with `Retry-After`, in seconds; the server does nothing.
    Busy(i64),
    /// The request or its response is lost.
    Lost,
    /// No response before any deadline. In half of the cases the server carries out the request.
    Silence,
    /// The server carries out the request, but the response takes this long, in ms.
    Slow(i64),
    /// The server issues an access token that has already expired.
    EndedTokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreFault {
    Fails,
    RefusesSaves,
    /// Each operation takes this long, in ms.
    Slow(i64),
    /// Reads return a text that no session wrote.
    Garbage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    Server(ServerFault, i64),
    /// The API answers every request with 401 for this time, in ms.
    ApiRejects(i64),
    /// The server ends the access token, as after a refresh by another installation.
    TokenEnded,
    /// The user logs out in another program.
    LoggedOutElsewhere,
    Store(usize, StoreFault, i64),
    /// The store loses its last write.
    LosesLastWrite(usize),
    WallStep(usize, i64),
    Sleep(usize, i64),
    /// The machine of the process sleeps from the n-th action of its leader on, for this time: in the middle of a refresh.
    SleepAtAction(usize, i64, i64),
    Reboot(usize),
    Kill(usize),
    /// The process is killed at the n-th action of its leader.
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
                let wall_offset = if rng.chance(60) { rng.between(-50, 50) } else { rng.log_uniform(1, 90_000_000) };
                let wall_offset = if rng.chance(50) { -wall_offset } else { wall_offset };
                Machine { wall_offset, drift: rng.pick(&[0, 0, 100, -100, 5_000]) }
            })
            .collect();
        // One store, and often a second installation of the same user with its own store.
        let shared = if machines.len() > 1 || rng.chance(50) { StoreKind::Lease } else { StoreKind::File };
        let mut stores = vec![shared];
        if rng.chance(25) {
            stores.push(rng.pick(&[StoreKind::File, StoreKind::Lease]));
        }
        let mut processes = Vec::new();
        for _ in 0..rng.between(1, 4) {
            let store = rng.between(0, stores.len() as i64 - 1) as usize;
            let machine = match stores[store] {
                // A file can be used on one machine only.
                StoreKind::File => store.min(machines.len() - 1),
                StoreKind::Lease => rng.between(0, machines.len() as i64 - 1) as usize,
            };
            let key = if processes.is_empty() || rng.chance(88) {
                Key::Own
            } else {
                rng.pick(&[Key::Foreign, Key::OtherServer])
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
        // Few kinds of disturbances in a world, but often, so that two of them coincide.
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
            // Usually longer than a lease.
            17 => Disturbance::SleepAtAction(process, rng.between(1, 12), rng.between(5_000, 60_000)),
            _ => rng.pick(&[
                Disturbance::LogIn(process),
                Disturbance::LogOut(process),
                Disturbance::Forget(process),
                Disturbance::LoggedOutElsewhere,
            ]),
        }
    }

    /// Whether a store may lose or refuse writes.
    pub(super) fn has_store_faults(&self) -> bool {
        self.events.iter().any(|(_, disturbance)| {
            matches!(
                disturbance,
                Disturbance::Store(..) | Disturbance::LosesLastWrite(_) | Disturbance::KillAtAction(..)
            )
        })
    }

    /// When the last disturbance is over.
    pub(super) fn calm_at(&self) -> i64 {
        let end = |(at, disturbance): &(i64, Disturbance)| {
            at + match disturbance {
                Disturbance::Server(_, long)
                | Disturbance::ApiRejects(long)
                | Disturbance::Store(_, _, long)
                | Disturbance::Sleep(_, long) => *long,
                // Includes the time until the action.
                Disturbance::SleepAtAction(_, _, long) => *long + SLEEP_WINDOW,
                _ => 0,
            }
        };
        self.events.iter().map(end).max().unwrap_or(0)
    }

    /// How long the world goes on without disturbances: longer than the longest wait, the minimum age of rejected tokens.
    pub(super) fn calm(&self) -> i64 {
        250_000 + 2 * self.lifetime.min(600) * 1000
    }

    /// All plans that lack one part of this plan.
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
        // Only the last process can be removed, because disturbances refer to processes by their index.
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
            if self.machines[machine].wall_offset != 0 || self.machines[machine].drift != 0 {
                let mut plan = self.clone();
                plan.machines[machine] = Machine { wall_offset: 0, drift: 0 };
                all.push(plan);
            }
        }
        all
    }
}
