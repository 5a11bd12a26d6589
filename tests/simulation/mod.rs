//! A deterministic simulation of sessions on several machines: one seed makes one world. README.md in this folder describes it.
//!
//! It belongs to the library's unit tests because it calls the session's private code for decisions: `Caller`, `Leader`, `State`.

mod act;
mod calls;
mod check;
mod plan;
mod processes;
mod rng;
mod server;
mod store;
mod world;

use std::time::{Duration, Instant};

use check::Violation;
use plan::Plan;
use world::World;

/// Maximum number of worlds, and the time limit if CMAUTH_SIM_SECONDS is not set. `make test` runs the optimized build for one
/// minute, and `make soak` for an hour.
const WORLDS: u64 = 20_000;
const TIME: Duration = Duration::from_secs(5);

fn run(plan: &Plan, traced: bool) -> (Result<(), Violation>, World) {
    let mut world = World::new(plan.clone(), traced);
    (world.run(), world)
}

/// Removes parts of the plan as long as the world still violates the same invariant.
fn minimal(mut plan: Plan, invariant: &str) -> Plan {
    let fails = |plan: &Plan| run(plan, false).0.is_err_and(|violation| violation.invariant == invariant);
    while let Some(smaller) = plan.smaller().into_iter().find(fails) {
        plan = smaller;
    }
    plan
}

fn report(seed: u64, violation: &Violation) -> String {
    let plan = minimal(Plan::from_seed(seed), violation.invariant);
    let (result, world) = run(&plan, true);
    let Violation { invariant, what } = result.expect_err("it failed without its trace");
    let trace = world.trace.unwrap_or_default();
    let last = trace.len().saturating_sub(90);
    format!(
        "seed {seed} violates \"{invariant}\": {what}\nThe smallest such world: {:?}, {:?}, rotates: {}, lifetime: {} s\n\
         {:#?}\nThe end of it:\n{}\nTo replay it: CMAUTH_SIM_SEED={seed} cargo test --package cmauth --lib simulation -- --nocapture",
        plan.machines,
        plan.stores,
        plan.rotates,
        plan.lifetime,
        plan.processes,
        trace[last..].join("\n")
    )
}

#[test]
fn sessions_keep_every_invariant_in_every_world() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let time = number("CMAUTH_SIM_SECONDS").map_or(TIME, Duration::from_secs);
    let (first, count) = match number("CMAUTH_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (number("CMAUTH_SIM_FIRST").unwrap_or(0), number("CMAUTH_SIM_WORLDS").unwrap_or(WORLDS)),
    };
    let (begun, mut worlds, mut steps) = (Instant::now(), 0, 0);
    for seed in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        let (result, world) = run(&Plan::from_seed(seed), false);
        worlds += 1;
        steps += world.steps;
        if let Err(violation) = result {
            // Printed at once, because the search for the smallest such world takes a while. scripts/mutants reads this line.
            println!("simulation: seed {seed} violates \"{}\" after {worlds} worlds", violation.invariant);
            panic!("after {worlds} worlds: {}", report(seed, &violation));
        }
        if begun.elapsed() > time {
            break;
        }
    }
    let ms = begun.elapsed().as_millis();
    println!("simulation: {worlds} worlds, {steps} steps in {ms} ms; none violates an invariant");
    assert!(worlds > 0);
}

#[test]
fn a_seed_makes_the_same_world_each_time() {
    let trace = |seed| {
        let (_, world) = run(&Plan::from_seed(seed), true);
        (world.steps, world.trace)
    };
    for seed in 0..5 {
        assert!(trace(seed) == trace(seed), "seed {seed}");
    }
}
