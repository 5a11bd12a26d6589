//! Many threads on one client while everything goes wrong at once: each call ends in time with a status that fits, and
//! nothing is left behind. A short form by default; `make soak` runs 64 threads with 200 calls each.

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
/// What a call may take: 1.2 times its timeout, and what one of many threads waits for its turn on two cores.
const LONGEST: Duration = Duration::from_millis(400 * 12 / 10 + 1500);

/// Faults of every kind that pass by themselves.
const MISCHIEF: &[Fault] = &[
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

/// Entries of a folder of /proc/self: threads or open files.
fn count(what: &str) -> usize {
    fs::read_dir(Path::new("/proc/self").join(what)).map_or(0, Iterator::count)
}

#[test]
fn many_threads_under_mixed_faults_all_end_in_time_and_leave_nothing_behind() {
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
            let mut plan = MISCHIEF.iter().cycle();
            while !done.load(Ordering::Relaxed) {
                let faults: Vec<Planned> = plan.by_ref().take(4).map(|fault| fault.once()).collect();
                sandbox.set_faults(&faults).unwrap();
                // Faults come as fast as calls do.
                let seen = sandbox.requests().len();
                let patience = Instant::now() + TIMEOUT;
                while sandbox.requests().len() < seen + 8 && Instant::now() < patience {
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
                            client.logout("nobody's")
                        } else {
                            client.refresh(refresh_token).map(|_| ())
                        };
                        let took = begun.elapsed();
                        assert!(took <= LONGEST, "{took:?}: {result:?}");
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
        let ended_well: Vec<bool> = workers.into_iter().map(|worker| worker.join().is_ok()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended_well.into_iter().all(|well| well));
    });
    let ended = ended.into_inner().unwrap();
    println!("{threads} threads with {calls} calls: {ended:?}");
    assert_eq!(ended.values().sum::<usize>(), threads * calls);
    assert!(ended["OK"] > 0 && ended.len() > 1, "{ended:?}");

    // The same client still works, and gives back what it held.
    client.refresh(refresh_token).unwrap();
    drop(client);
    drop(sandbox);
    let patience = Instant::now() + Duration::from_secs(20);
    while (count("task"), count("fd")) > (before_threads, before_files) && Instant::now() < patience {
        thread::yield_now();
    }
    assert!(count("task") <= before_threads, "threads: {} and before {before_threads}", count("task"));
    assert!(count("fd") <= before_files, "open files: {} and before {before_files}", count("fd"));
}
