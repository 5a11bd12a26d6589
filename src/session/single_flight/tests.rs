//! The single flight with real threads, in orders that `shuttle` chooses: see `sync::controlled`.

use std::sync::Mutex as Unobserved;
use std::time::{Duration, Instant};

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

use super::*;
use crate::config::Config;
use crate::secret::Secret;
use crate::sync::controlled::{Freezer, enter_process, explore, step};

/// A process that is no other.
const CHILD: u32 = 0;

/// A single flight, and what the threads saw of it.
#[derive(Clone)]
struct World {
    client: Client,
    flights: SingleFlight,
    /// The flights that somebody led.
    led: Arc<Unobserved<Vec<Arc<Flight>>>>,
}

/// What one call came to.
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

    /// As a call for tokens does it: leads, and ends its flight in one of the ways there are, or waits.
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
            // Without a step, since nothing may come between.
            let under_way = |flight: &&Arc<Flight>| flight.process == process_id() && flight.seen().is_none();
            assert_eq!(led.iter().filter(under_way).count(), 0, "another thread leads");
            led.push(flight.clone());
        }
        step();
        if thread_rng().gen_bool(0.75) {
            leadership.finish(Ok(Some(tokens(&flight))));
        } else {
            // As if it had panicked.
            drop(leadership);
        }
        flight
    }

    fn wait(&self, flight: &Arc<Flight>) -> Result<Option<Tokens>, Error> {
        let never = Instant::now() + Duration::from_secs(24 * 3600);
        let result = self.client.cancellation().wait(Some(never), || flight.result.get().cloned()).into_result();
        result.expect("nobody ends the calls").expect("there is time")
    }
}

impl Flight {
    /// The result, without a step.
    fn seen(&self) -> Option<&Result<Option<Tokens>, Error>> {
        self.result.unobserved().get()
    }
}

/// Tokens of no other flight.
fn tokens(flight: &Arc<Flight>) -> Tokens {
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

/// Runs `call` on so many threads at once, and waits for them.
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
fn each_thread_that_waits_gets_the_result_of_the_flight_it_joined_however_that_ends() {
    explore(|| {
        let world = World::new();
        on_threads(4, move || {
            if let Call::Joined(flight, result) = world.call() {
                match result {
                    Ok(given) => {
                        assert!(given.is_some_and(|given| given.access_token() == tokens(&flight).access_token()))
                    }
                    Err(error) => assert_eq!(error.status(), Status::Internal),
                }
            }
        });
    });
}

#[test]
fn a_thread_that_comes_while_a_flight_ends_gets_its_result_or_leads_the_next_one() {
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
fn after_the_end_of_a_flight_its_leader_and_who_joined_it_find_another_and_at_last_none() {
    explore(|| {
        let world = World::new();
        let other = world.clone();
        on_threads(3, move || {
            let (Call::Led(first) | Call::Joined(first, _)) = other.call();
            let (Call::Led(second) | Call::Joined(second, _)) = other.call();
            assert!(!Arc::ptr_eq(&first, &second), "a flight that has ended was joined");
        });
        // Nor are its tokens kept.
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
        // The fork, somewhere among their steps. The child has the memory of its parent, and none of these threads.
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
