//! Processes, threads and stores that share a file exclude each other, also if they use different names of the file.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cmauth::{FileStore, Secret, Store};

const FOLDER: &str = "CMAUTH_TEST_STORE";
const PROCESSES: u64 = 2;
const THREADS: u64 = 4;
const ROUNDS: u64 = 150;

/// Adds one to the number in the store. Without the lock, simultaneous additions would be lost.
fn count(store: &FileStore) {
    let begun = Instant::now();
    while !store.try_lock(Duration::from_secs(1)).unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the lock is never free");
        std::thread::yield_now();
    }
    let before = store.load().unwrap().map_or(0, |record| record.expose().parse::<u64>().unwrap());
    store.save(&Secret::new((before + 1).to_string()), 0).unwrap();
    store.unlock().unwrap();
}

/// Not a test: the main function of the processes that the test below starts.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let shared = FileStore::new(folder.join("session"));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let shared = &shared;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    match (thread + round) % 3 {
                        0 => count(shared),
                        1 => count(&FileStore::new(folder.join("session"))),
                        _ => count(&FileStore::new(folder.join("link"))),
                    }
                }
            });
        }
    });
}

#[test]
fn no_change_is_lost_if_processes_and_threads_use_several_stores_of_a_file() {
    let folder = std::env::temp_dir().join(format!("cmauth-lock-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("session", folder.join("link")).unwrap();
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "child"]).env(FOLDER, &folder).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = FileStore::new(folder.join("session"));
    let count_in_store = store.load().unwrap().unwrap();
    assert_eq!(count_in_store.expose(), (PROCESSES * THREADS * ROUNDS).to_string());
    std::fs::remove_dir_all(&folder).unwrap();
}
