//! The single flight with threads whose order `shuttle` chooses. See `sync::controlled`.

use std::sync::Mutex as Unobserved;
use std::time::{Duration, Instant};

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

use super::*;
use crate::config::Config;
use crate::secret::Secret;
use crate::sync::controlled::{Freezer, enter_process, explore, step};

/// A process ID that no real process has.
const CHILD: u32 = 0;

/// A single flight, and the flights that its threads led.
#[derive(Clone)]
struct World {
    client: Client,
    flights: SingleFlight,
    /// All flights that were led.
    led: Arc<Unobserved<Vec<Arc<Flight>>>>,
}

/// Result of one call.
enum Call {
    Led(Arc<Flight>),
    Joined(Arc<Flight>, Result<Option<Tokens>, Error>),
}

impl World {
    fn new() -> World {
        let mut config = Config::new("id", "secret");
        config.set_base_url("http://127.0.0.1:1").set_proxy(Some(""));
        World { client: Client::new(&config).unwrap(), flights: SingleFlight::default(), led: Arc::default() }
    }

    /// Acts like a call for tokens: leads a flight and ends it with a result or a panic, or waits for a flight.
    fn call(&self) -> Call {
        match self.flights.lead_or_join(&self.client, Purpose::Needed) {
            Ok(leadership) => Call::Led(self.lead(leadership)),
            Err(flight) => Call::Joined(flight.clone(), self.wait(&flight)),
        }
    }

    fn lead(&self, leadership: Leadership) -> Arc<Flight> {
        let flight = leadership.flight();
        {
            let mut led = self.led.lock().unwrap();
            // Without a step, so that no other thread runs in between.
            let in_progress = |flight: &&Arc<Flight>| flight.process == process_id() && flight.seen().is_none();
            assert_eq!(led.iter().filter(in_progress).count(), 0, "another thread leads");
            led.push(flight.clone());
        }
        step();
        if thread_rng().gen_bool(0.75) {
            leadership.finish(Ok(Some(tokens_of(&flight))));
        } else {
            // As after a panic of the leader.
            drop(leadership);
        }
        flight
    }

    fn wait(&self, flight: &Arc<Flight>) -> Result<Option<Tokens>, Error> {
        let never = Instant::now() + Duration::from_secs(24 * 3600);
        let result = self.client.cancellation().wait(Some(never), || flight.result.get().cloned()).into_result();
        result.expect("no call is cancelled").expect("there is time")
    }
}

impl Flight {
    /// The result, read without a step.
    fn seen(&self) -> Option<&Result<Option<Tokens>, Error>> {
        self.result.unobserved().get()
    }
}

/// Tokens that no other flight has.
fn tokens_of(flight: &Arc<Flight>) -> Tokens {
    let name = format!("{:p}", Arc::as_ptr(flight));
    Tokens::new(Secret::new(name), None, "Bearer".to_owned(), None, None)
}

fn spawn(threads: usize, call: impl Fn() + Clone + Send + 'static) -> Vec<JoinHandle<()>> {
    (0..threads).map(|_| thread::spawn(call.clone())).collect()
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Runs `call` on this number of threads at once and waits for them.
fn on_threads(threads: usize, call: impl Fn() + Clone + Send + 'static) {
    join(spawn(threads, call));
}

#[test]
fn at_most_one_thread_leads_at_a_time() {
    explore(|| {
        let world = World::new();
        // `lead` asserts it.
        on_threads(3, {
            let world = world.clone();
            move || {
                world.call();
                world.call();
            }
        });
        assert!(!world.led.lock().unwrap().is_empty());
    });
}

#[test]
fn each_follower_gets_the_result_of_its_flight_also_after_a_panic() {
    explore(|| {
        let world = World::new();
        on_threads(4, move || {
            if let Call::Joined(flight, result) = world.call() {
                match result {
                    Ok(tokens) => {
                        assert!(tokens.is_some_and(|tokens| tokens.access_token() == tokens_of(&flight).access_token()))
                    }
                    Err(error) => assert_eq!(error.status(), Status::Internal),
                }
            }
        });
    });
}

#[test]
fn a_thread_that_arrives_while_a_flight_ends_gets_its_result_or_leads_the_next_one() {
    explore(|| {
        let world = World::new();
        let leadership = world.flights.lead_or_join(&world.client, Purpose::Needed).ok().unwrap();
        let first = leadership.flight();
        let other = world.clone();
        let joins = thread::spawn(move || match other.call() {
            Call::Led(flight) | Call::Joined(flight, _) => flight,
        });
        world.lead(leadership);
        let flight = joins.join().unwrap();
        let led: Vec<_> = world.led.lock().unwrap().iter().map(Arc::as_ptr).collect();
        assert!(Arc::ptr_eq(&flight, &first) || led == [Arc::as_ptr(&first), Arc::as_ptr(&flight)]);
    });
}

#[test]
fn no_thread_joins_a_flight_that_has_ended() {
    explore(|| {
        let world = World::new();
        let other = world.clone();
        on_threads(3, move || {
            let (Call::Led(first) | Call::Joined(first, _)) = other.call();
            let (Call::Led(second) | Call::Joined(second, _)) = other.call();
            assert!(!Arc::ptr_eq(&first, &second), "a flight that has ended was joined");
        });
        // The session does not keep the flight and its tokens in memory.
        assert!(world.flights.0.load().is_none());
        assert!(world.flights.lead_or_join(&world.client, Purpose::Needed).is_ok());
    });
}

#[test]
fn the_child_of_a_fork_never_waits_for_a_flight_or_a_lock_of_its_parent() {
    explore(|| {
        let world = World::new();
        let parent = Freezer::default();
        let parents = spawn(2, {
            let (world, parent) = (world.clone(), parent.clone());
            move || {
                parent.enter();
                world.call();
            }
        });
        // The fork happens somewhere among their steps. The child has the memory of its parent but none of these threads.
        parent.freeze();
        let child = World { flights: SingleFlight::default(), ..world.clone() };
        child.flights.0.store(world.flights.0.load_full());
        let children = spawn(3, move || {
            enter_process(CHILD);
            let (Call::Led(flight) | Call::Joined(flight, _)) = child.call();
            assert_eq!(flight.process, CHILD);
        });
        join(children);
        parent.thaw();
        join(parents);
    });
}
