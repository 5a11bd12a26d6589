//! Many threads of many processes share one user over many short lifetimes, while the server fails now and then: at most
//! one refresh for each lifetime, no login lost, and no ended token used but at the instant of a refresh.
//!
//! 16 threads in each of 4 processes, on one file; some 20 s here, 10 minutes by CMAUTH_SOAK=1.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use cmauth::{Client, Config, FileStore, Session, Status, Tokens};
use cmauth_sandbox::{Fault, Options, Sandbox};

const PROCESSES: usize = 4;
const THREADS: usize = 16;
/// A fresh token answers with a second less, and a part of a second is lost to rounding: 3 to 4 s are counted on.
const LIFETIME: Duration = Duration::from_secs(5);
/// The earliest part of 3 s at which a session refreshes.
const SHORTEST_GAP: Duration = Duration::from_millis(2250);

const WORKER: &str = "CMAUTH_TEST_WORKER";

/// What the threads of one process saw, in the order in which it is printed.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Requests answered with 200.
    good: u64,
    /// Answered with 401, then with 200 with the tokens of `rejected`.
    repaired: u64,
    /// Answered with 401 twice.
    lost: u64,
    /// Calls of the session that failed while the server did: to be tried again.
    passing: u64,
    /// Calls of the session that failed otherwise.
    failed: u64,
}

impl Seen {
    fn numbers(&mut self) -> [&mut u64; 5] {
        [&mut self.good, &mut self.repaired, &mut self.lost, &mut self.passing, &mut self.failed]
    }

    fn add(&mut self, mut other: Seen) {
        for (sum, number) in self.numbers().into_iter().zip(other.numbers()) {
            *sum += *number;
        }
    }
}

fn client(url: &str) -> Client {
    let mut config = Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
    config.set_base_url(url).set_proxy(Some("")).set_max_retries(0).set_timeout(Duration::from_secs(10));
    Client::new(&config).unwrap()
}

/// The status of a request to the API, or none where it failed on the way.
fn ask(agent: &ureq::Agent, url: &str, tokens: &Tokens) -> Option<u16> {
    let bearer = format!("Bearer {}", tokens.access_token().expose());
    let request = agent.get(format!("{url}/rest/v2.0/users/self")).header("Authorization", bearer);
    request.call().ok().map(|answer| answer.status().as_u16())
}

fn work(session: &Session, url: &str, until: Instant) -> Seen {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .new_agent();
    let mut seen = Seen::default();
    let mut first = true;
    while Instant::now() < until {
        let result = session.tokens().and_then(|tokens| match ask(&agent, url, &tokens) {
            Some(200) => {
                seen.good += 1;
                Ok(())
            }
            Some(401) => {
                let others = session.rejected(&tokens)?;
                match ask(&agent, url, &others) {
                    Some(200) => seen.repaired += 1,
                    Some(401) => seen.lost += 1,
                    _ => {}
                }
                Ok(())
            }
            _ => Ok(()),
        });
        match result.map_err(|error| error.status()) {
            Ok(()) => {}
            Err(Status::Network | Status::Server | Status::Timeout) => seen.passing += 1,
            Err(status) => {
                if std::mem::take(&mut first) {
                    eprintln!("failed: {}", status.name());
                }
                seen.failed += 1;
            }
        }
        // A camera does not ask without a pause, either.
        thread::sleep(Duration::from_millis(20));
    }
    seen
}

/// Not a test: one of the processes that the test below starts.
#[test]
fn worker() {
    let Ok(task) = std::env::var(WORKER) else { return };
    let mut task = task.split('|');
    let (url, path, seconds) = (task.next().unwrap(), task.next().unwrap(), task.next().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    let session = Session::open(&client(url), FileStore::new(path)).unwrap();
    let all = Mutex::new(Seen::default());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let seen = work(&session, url, until);
                all.lock().unwrap().add(seen);
            });
        }
    });
    let mut all = all.into_inner().unwrap();
    let numbers: Vec<String> = all.numbers().iter().map(|number| number.to_string()).collect();
    println!("\nseen {}", numbers.join(" "));
}

fn start_worker(task: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "worker", "--nocapture"]).env(WORKER, task).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn result_of(mut child: Child) -> Seen {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Seen::default();
    for line in lines.map(Result::unwrap) {
        if let Some(numbers) = line.strip_prefix("seen ") {
            for (number, text) in seen.numbers().into_iter().zip(numbers.split(' ')) {
                *number = text.parse().unwrap();
            }
        }
    }
    assert!(child.wait().unwrap().success());
    seen
}

#[test]
fn one_user_of_64_threads_in_4_processes() {
    let seconds = if std::env::var_os("CMAUTH_SOAK").is_some() { 600 } else { 20 };
    let sandbox = Sandbox::start(Options { access_token_lifetime: LIFETIME, ..Options::default() }).unwrap();
    let folder = std::env::temp_dir().join(format!("cmauth-proof-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("session");
    let client = client(sandbox.url());
    let session = Session::open(&client, FileStore::new(&path)).unwrap();
    let code = sandbox.make_code("https://example.com");
    session.start(&client.exchange_code(&code, "https://example.com").unwrap()).unwrap();
    let first = session.health().generation;

    let begun = Instant::now();
    let task = format!("{}|{}|{seconds}", sandbox.url(), path.display());
    let workers: Vec<_> = (0..PROCESSES).map(|_| start_worker(&task)).collect();
    // Faults that do not reach the tokens: a refresh that was answered and lost would rightly be sent again.
    let faults = [Fault::Status503, Fault::Close, Fault::ResetBeforeHead, Fault::Html502];
    let mut faulty = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(Duration::from_millis(700));
        sandbox.set_faults(&[faults[faulty % faults.len()].always()]).unwrap();
        thread::sleep(Duration::from_millis(200));
        sandbox.set_faults(&[]).unwrap();
        faulty += 1;
    }
    let mut all = Seen::default();
    for worker in workers {
        all.add(result_of(worker));
    }
    let took = begun.elapsed();

    let session = Session::open(&client, FileStore::new(&path)).unwrap();
    let granted = session.health().generation - first;
    let most = took.as_millis() / SHORTEST_GAP.as_millis() + 1;
    let lifetimes = took.as_millis() / LIFETIME.as_millis();
    let _ = writeln!(
        std::io::stdout(),
        "{granted} refreshes in {took:?} ({lifetimes} lifetimes at least, {most} at most), {faulty} faulty times: {all:?}"
    );
    assert!(u128::from(granted) <= most, "{granted} refreshes, {most} lifetimes");
    assert!(u128::from(granted) >= lifetimes / 2, "{granted} refreshes: it stood still");
    assert_eq!((all.failed, all.lost), (0, 0), "{all:?}");
    assert!(all.good > 1000, "{all:?}");
    // Each thread that just had the old tokens, once a refresh.
    assert!(all.repaired <= granted * (PROCESSES * THREADS) as u64, "{all:?}");
    assert!(session.tokens().is_ok(), "the login is there");
    std::fs::remove_dir_all(&folder).unwrap();
}
