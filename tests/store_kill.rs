//! A process that is killed during a save leaves the old record or the new one, and no lock.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use cmauth::{FileStore, Secret, Store};

const FOLDER: &str = "CMAUTH_TEST_STORE";

/// A record of varying length, in which every byte identifies the record.
fn text(i: u64) -> String {
    let digit = char::from(b'0' + u8::try_from(i % 10).unwrap());
    format!("{i}:{}", digit.to_string().repeat(200 + usize::try_from(i * 37 % 20_000).unwrap()))
}

/// Not a test: the process that the test below kills. It saves records until then.
#[test]
fn child() {
    let Some(path) = std::env::var_os(FOLDER) else { return };
    let store = FileStore::new(path);
    println!("\nready");
    for i in 0.. {
        assert!(store.try_lock(Duration::from_secs(1)).unwrap());
        store.save(&Secret::new(text(i)), i).unwrap();
        store.unlock().unwrap();
    }
}

#[test]
fn a_killed_process_leaves_a_whole_record_and_no_lock() {
    let kills = if std::env::var_os("CMAUTH_SOAK").is_some() { 500 } else { 40 };
    let folder = std::env::temp_dir().join(format!("cmauth-kill-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("session");
    let mut leftovers = 0;
    for round in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"));
        // Kills the process at a different time in each round.
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_micros(200 + round * 211 % 9000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        leftovers += u32::from(folder.join("session.tmp").exists());

        let store = FileStore::new(&path);
        assert!(store.try_lock(Duration::from_secs(1)).unwrap(), "the lock of the killed process remains");
        if let Some(record) = store.load().unwrap() {
            let (i, _) = record.expose().split_once(':').unwrap();
            assert_eq!(record.expose(), text(i.parse().unwrap()), "the record is incomplete");
        }
        store.unlock().unwrap();
    }
    println!("{kills} kills, {leftovers} during a save");
    assert!(leftovers > 0, "no kill happened during a save");
    std::fs::remove_dir_all(&folder).unwrap();
}
