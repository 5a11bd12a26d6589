//! What a warm call and a session's fast path cost, in instructions, which are the same on a busy machine: more than 5 % over
//! bench/instructions.txt is a regression. `make bench` has the times, side by side with others.

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

/// Instructions of one call: what `many` calls need more than `few`.
fn instructions(command: impl Fn(u64) -> Command, few: u64, many: u64) -> u64 {
    let count = |calls| -> u64 {
        let mut asked = command(calls);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(asked.get_program());
        valgrind.args(asked.get_args()).env("LD_LIBRARY_PATH", library());
        valgrind.envs(asked.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        asked.env_clear();
        let said = String::from_utf8(run(&mut valgrind).stderr).unwrap();
        let counted = said.lines().find_map(|line| line.split("Collected : ").nth(1));
        counted.unwrap_or_else(|| panic!("{said}")).trim().parse().unwrap()
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
        return; // Another library.
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI must have valgrind: see scripts/setup-ci");
        eprintln!("SKIPPED: no valgrind here; `make setup-ci` installs it");
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
