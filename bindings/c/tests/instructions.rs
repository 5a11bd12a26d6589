//! Counts the instructions of a warm call and of a session's fast path, which do not depend on the load of the machine.
//! More than 5 % over bench/instructions.txt is a regression. `make bench` measures times, and compares with other
//! libraries.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use cmauth::{Client, Config};
use cmauth_sandbox::Sandbox;
use common::user::{CLIENT_ID, CLIENT_SECRET, tls_sandbox};
use common::{Link, compile, library, root, run, scratch};

const URI: &str = "https://example.com";

/// Instructions of one call: the difference between `many` and `few` calls, divided by their number.
fn instructions(command: impl Fn(u64) -> Command, few: u64, many: u64) -> u64 {
    let count = |calls| -> u64 {
        let mut measured = command(calls);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(measured.get_program());
        valgrind.args(measured.get_args()).env("LD_LIBRARY_PATH", library());
        valgrind.envs(measured.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        measured.env_clear();
        let output = String::from_utf8(run(&mut valgrind).stderr).unwrap();
        let counted = output.lines().find_map(|line| line.split("Collected : ").nth(1));
        counted.unwrap_or_else(|| panic!("{output}")).trim().parse().unwrap()
    };
    (count(many) - count(few)) / (many - few)
}

fn warm_call(sandbox: &Sandbox, built: &Path) -> u64 {
    let ca_file = scratch("instructions").join("ca.pem");
    fs::write(&ca_file, sandbox.ca_pem().unwrap()).unwrap();
    let mut config = Config::new(CLIENT_ID, CLIENT_SECRET);
    config.set_base_url(sandbox.url()).set_ca_file(&ca_file).set_proxy(Some(""));
    let tokens = Client::new(&config).unwrap().exchange_code(&sandbox.make_code(URI), URI).unwrap();
    let refresh_token = tokens.refresh_token().unwrap().expose();
    let command = |calls: u64| {
        let mut command = Command::new(built);
        command.arg(sandbox.url()).arg(&ca_file).args([&calls.to_string(), "1"]);
        command.env("BENCH_REFRESH_TOKEN", refresh_token);
        command
    };
    instructions(command, 20, 220)
}

fn fast_path(built: &Path) -> u64 {
    let command = |calls: u64| {
        let mut command = Command::new(built);
        command.args(["fast", &calls.to_string(), "1"]);
        command
    };
    instructions(command, 1_000, 21_000)
}

#[test]
fn a_warm_call_and_the_fast_path_cost_no_more_than_they_did() {
    if common::sanitized().is_some() {
        return; // The sanitizer adds instructions.
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        common::skip_without("valgrind");
        return;
    }
    let client = compile(&root().join("bench/c/cmauth.c"), Link::Shared, "bench-cmauth");
    let session = compile(&root().join("bench/c/session.c"), Link::Shared, "bench-session");
    let now = [("warm call", warm_call(&tls_sandbox(), &client)), ("session fast path", fast_path(&session))];

    let path = root().join("bench/instructions.txt");
    if std::env::var_os("CMAUTH_WRITE_INSTRUCTIONS").is_some() {
        let lines: String = now.iter().map(|(what, count)| format!("{what}: {count}\n")).collect();
        fs::write(&path, lines).unwrap();
        return;
    }
    let kept = fs::read_to_string(&path).unwrap();
    let kept: BTreeMap<&str, u64> =
        kept.lines().filter_map(|line| line.split_once(": ")).map(|(what, n)| (what, n.parse().unwrap())).collect();
    for (what, count) in now {
        let before = kept[what];
        println!("{what}: {count} instructions, {before} before");
        assert!(
            count * 100 <= before * 105,
            "{what}: {count} instructions, more than 5 % over the {before} of bench/instructions.txt; make it cheaper, or \
             say in the commit why it must cost that and run `make instructions`"
        );
    }
}
