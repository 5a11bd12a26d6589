//! Many threads of several processes share one user with short token lifetimes, while the server fails from time to time.
//! Expected: at most one refresh for each lifetime, no lost login, and a 401 only at the time of a refresh.
//!
//! 16 threads in each of 4 processes use one file. The test takes 20 s, or 10 minutes with CMAUTH_SOAK=1.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use cmauth::{Client, Config, FileStore, Session, Status, Tokens};
use cmauth_sandbox::{Fault, Options, Sandbox};

const PROCESSES: usize = 4;
const THREADS: usize = 16;
/// Lifetime at the server. The client sees 3 to 4 s, because of `expires_in` and rounding.
const LIFETIME: Duration = Duration::from_secs(5);
/// The earliest time of a refresh: 75 % of 3 s.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_millis(2250);

const WORKER: &str = "CMAUTH_TEST_WORKER";

/// Results of the threads of one process.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    /// Requests that got 200.
    ok: u64,
    /// Requests that got 401, and 200 with the tokens of `rejected`.
    ok_after_401: u64,
    /// Requests that got 401 twice.
    rejected_twice: u64,
    /// Calls of the session that failed because of a fault of the server.
    transient: u64,
    /// Calls of the session that failed for another reason.
    failed: u64,
}

impl Counts {
    fn numbers(&mut self) -> [&mut u64; 5] {
        [&mut self.ok, &mut self.ok_after_401, &mut self.rejected_twice, &mut self.transient, &mut self.failed]
    }

    fn add(&mut self, mut other: Counts) {
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

/// The status of a request to the API, or `None` if the connection failed.
fn request_status(agent: &ureq::Agent, url: &str, tokens: &Tokens) -> Option<u16> {
    let bearer = format!("Bearer {}", tokens.access_token().expose());
    let request = agent.get(format!("{url}/rest/v2.0/users/self")).header("Authorization", bearer);
    request.call().ok().map(|response| response.status().as_u16())
}

fn work(session: &Session, url: &str, until: Instant) -> Counts {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .new_agent();
    let mut counts = Counts::default();
    let mut first = true;
    while Instant::now() < until {
        let result = session.tokens().and_then(|tokens| match request_status(&agent, url, &tokens) {
            Some(200) => {
                counts.ok += 1;
                Ok(())
            }
            Some(401) => {
                let others = session.rejected(&tokens)?;
                match request_status(&agent, url, &others) {
                    Some(200) => counts.ok_after_401 += 1,
                    Some(401) => counts.rejected_twice += 1,
                    _ => {}
                }
                Ok(())
            }
            _ => Ok(()),
        });
        match result.map_err(|error| error.status()) {
            Ok(()) => {}
            Err(Status::Network | Status::Server | Status::Timeout) => counts.transient += 1,
            Err(status) => {
                if std::mem::take(&mut first) {
                    eprintln!("failed: {}", status.name());
                }
                counts.failed += 1;
            }
        }
        // Programs do not send requests without a break either.
        thread::sleep(Duration::from_millis(20));
    }
    counts
}

/// Not a test: the main function of the processes that the test below starts.
#[test]
fn worker() {
    let Ok(task) = std::env::var(WORKER) else { return };
    let mut task = task.split('|');
    let (url, path, seconds) = (task.next().unwrap(), task.next().unwrap(), task.next().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    let session = Session::open(&client(url), FileStore::new(path)).unwrap();
    let all = Mutex::new(Counts::default());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let counts = work(&session, url, until);
                all.lock().unwrap().add(counts);
            });
        }
    });
    let mut all = all.into_inner().unwrap();
    let numbers: Vec<String> = all.numbers().iter().map(|number| number.to_string()).collect();
    println!("\ncounts {}", numbers.join(" "));
}

fn start_worker(task: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "worker", "--nocapture"]).env(WORKER, task).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn result_of(mut child: Child) -> Counts {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut counts = Counts::default();
    for line in lines.map(Result::unwrap) {
        if let Some(numbers) = line.strip_prefix("counts ") {
            for (number, text) in counts.numbers().into_iter().zip(numbers.split(' ')) {
                *number = text.parse().unwrap();
            }
        }
    }
    assert!(child.wait().unwrap().success());
    counts
}

#[test]
fn one_user_in_64_threads_of_4_processes() {
    let seconds = if std::env::var_os("CMAUTH_SOAK").is_some() { 600 } else { 20 };
    let sandbox = Sandbox::start(Options { access_token_lifetime: LIFETIME, ..Options::default() }).unwrap();
    let folder = std::env::temp_dir().join(format!("cmauth-processes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("session");
    let client = client(sandbox.url());
    let session = Session::open(&client, FileStore::new(&path)).unwrap();
    let code = sandbox.make_code("https://example.com");
    session.start(&client.exchange_code(&code, "https://example.com").unwrap()).unwrap();
    let first = session.health().generation;

    let start = Instant::now();
    let task = format!("{}|{}|{seconds}", sandbox.url(), path.display());
    let workers: Vec<_> = (0..PROCESSES).map(|_| start_worker(&task)).collect();
    // Faults before the server issues tokens. After a lost response, a second refresh would be correct.
    let faults = [Fault::Status503, Fault::Close, Fault::ResetBeforeHead, Fault::Html502];
    let mut fault_periods = 0;
    while start.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(Duration::from_millis(700));
        sandbox.set_faults(&[faults[fault_periods % faults.len()].always()]).unwrap();
        thread::sleep(Duration::from_millis(200));
        sandbox.set_faults(&[]).unwrap();
        fault_periods += 1;
    }
    let mut all = Counts::default();
    for worker in workers {
        all.add(result_of(worker));
    }
    let took = start.elapsed();

    let session = Session::open(&client, FileStore::new(&path)).unwrap();
    let granted = session.health().generation - first;
    let max_refreshes = took.as_millis() / MIN_REFRESH_INTERVAL.as_millis() + 1;
    let lifetimes = took.as_millis() / LIFETIME.as_millis();
    let _ = writeln!(
        std::io::stdout(),
        "{granted} refreshes in {took:?} ({lifetimes} lifetimes at least, {max_refreshes} at most), {fault_periods} periods with a fault: {all:?}"
    );
    assert!(u128::from(granted) <= max_refreshes, "{granted} refreshes, {max_refreshes} lifetimes");
    assert!(u128::from(granted) >= lifetimes / 2, "{granted} refreshes: too few");
    assert_eq!((all.failed, all.rejected_twice), (0, 0), "{all:?}");
    assert!(all.ok > 1000, "{all:?}");
    // At most once per refresh and thread.
    assert!(all.ok_after_401 <= granted * (PROCESSES * THREADS) as u64, "{all:?}");
    assert!(session.tokens().is_ok(), "the login was lost");
    std::fs::remove_dir_all(&folder).unwrap();
}
