//! Many threads use one client while many faults happen. Each call must end in time with an expected status, and no
//! thread or open file may be left. By default it is short; `make soak` runs 64 threads with 200 calls each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cmauth::{Client, Config, Status};
use cmauth_sandbox::{Fault, Options, Planned, Sandbox};

const TIMEOUT: Duration = Duration::from_millis(400);
/// How long a call may take: 1.2 times its timeout, and some time because many threads share two cores.
const MAX_TIME: Duration = Duration::from_millis(400 * 12 / 10 + 1500);

/// The disturbances: faults of all kinds that happen once.
const DISTURBANCES: &[Fault] = &[
    Fault::Close,
    Fault::CloseBeforeHead,
    Fault::ResetBeforeHead,
    Fault::ResetInHead,
    Fault::SilenceBeforeHead,
    Fault::SilenceInBody,
    Fault::CutBody,
    Fault::LengthTooLong,
    Fault::ByteByByte,
    Fault::EndlessBody,
    Fault::NotHttp,
    Fault::HugeHead,
    Fault::Html200,
    Fault::JsonNest,
    Fault::Status302,
    Fault::Status408,
];

/// The number of entries of a folder in /proc/self: threads or open files.
fn count(what: &str) -> usize {
    fs::read_dir(Path::new("/proc/self").join(what)).map_or(0, Iterator::count)
}

#[test]
fn calls_of_many_threads_with_faults_end_in_time_and_leave_no_threads_or_open_files() {
    let long = std::env::var_os("CMAUTH_SOAK").is_some();
    let (threads, calls) = if long { (64, 200) } else { (16, 15) };
    let sandbox = Sandbox::start(Options { tls: true, ..Options::default() }).unwrap();
    let ca_file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak.pem");
    fs::write(&ca_file, sandbox.ca_pem().unwrap()).unwrap();
    let mut config = Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
    config.set_base_url(sandbox.url()).set_ca_file(&ca_file).set_proxy(Some("")).set_timeout(TIMEOUT);
    let (before_threads, before_files) = (count("task"), count("fd"));
    let client = Client::new(&config).unwrap();
    let tokens = client.exchange_code(&sandbox.make_code("https://example.com"), "https://example.com").unwrap();
    let refresh_token = tokens.refresh_token().unwrap().expose();

    let ended = Mutex::new(BTreeMap::<String, usize>::new());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut plan = DISTURBANCES.iter().cycle();
            while !done.load(Ordering::Relaxed) {
                let faults: Vec<Planned> = plan.by_ref().take(4).map(|fault| fault.once()).collect();
                sandbox.set_faults(&faults).unwrap();
                // New faults for every eight requests.
                let seen = sandbox.requests().len();
                let deadline = Instant::now() + TIMEOUT;
                while sandbox.requests().len() < seen + 8 && Instant::now() < deadline {
                    thread::yield_now();
                }
            }
            sandbox.set_faults(&[]).unwrap();
        });
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    for i in 0..calls {
                        let begun = Instant::now();
                        let result = if i % 10 == 9 {
                            client.logout("unknown")
                        } else {
                            client.refresh(refresh_token).map(|_| ())
                        };
                        let took = begun.elapsed();
                        assert!(took <= MAX_TIME, "{took:?}: {result:?}");
                        let name = match &result {
                            Ok(()) => "OK",
                            Err(error) => {
                                let expected = [
                                    Status::Network,
                                    Status::Timeout,
                                    Status::Server,
                                    Status::Protocol,
                                    Status::RequestRejected,
                                    Status::TokenRejected,
                                ];
                                assert!(expected.contains(&error.status()), "{error:?}");
                                error.status().name()
                            }
                        };
                        *ended.lock().unwrap().entry(name.to_owned()).or_default() += 1;
                    }
                })
            })
            .collect();
        let succeeded: Vec<bool> = workers.into_iter().map(|worker| worker.join().is_ok()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(succeeded.into_iter().all(|succeeded| succeeded));
    });
    let ended = ended.into_inner().unwrap();
    println!("{threads} threads with {calls} calls: {ended:?}");
    assert_eq!(ended.values().sum::<usize>(), threads * calls);
    assert!(ended["OK"] > 0 && ended.len() > 1, "{ended:?}");

    // The client still works, and releases its threads and files when it is dropped.
    client.refresh(refresh_token).unwrap();
    drop(client);
    drop(sandbox);
    let deadline = Instant::now() + Duration::from_secs(20);
    while (count("task"), count("fd")) > (before_threads, before_files) && Instant::now() < deadline {
        thread::yield_now();
    }
    assert!(count("task") <= before_threads, "threads: {} and before {before_threads}", count("task"));
    assert!(count("fd") <= before_files, "open files: {} and before {before_files}", count("fd"));
}
