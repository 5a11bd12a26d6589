//! A session refuses to use foreign or damaged content, and spares a server that failed. The tests run
//! bindings/c/tests/c/refusals.c and count the requests that the sandbox receives.

mod common;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use cmauth::{Client, Config};
use cmauth_sandbox::{Fault, Options, Sandbox};
use common::user::{CLIENT_ID, CLIENT_SECRET};
use common::{Link, command_for, compile, program, run, valgrind};

const URI: &str = "https://example.com";

struct Setting {
    sandbox: Sandbox,
    tokens: String,
    /// The number of requests before the program ran.
    before: usize,
}

fn logged_in_with(scope: &str) -> Setting {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let mut config = Config::new(CLIENT_ID, CLIENT_SECRET);
    config.set_base_url(sandbox.url()).set_proxy(Some("")).set_scope("read write");
    let code = sandbox.make_code_with_scope(URI, scope);
    let tokens = Client::new(&config).unwrap().exchange_code(&code, URI).unwrap();
    let before = sandbox.requests().len();
    Setting { tokens: tokens.to_json().expose().to_owned(), sandbox, before }
}

fn built() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| compile(&program("refusals.c"), Link::Shared, "refusals"))
}

impl Setting {
    fn run_in(&self, mut command: Command, arguments: &[&str]) {
        let [case, rest @ ..] = arguments else { unreachable!() };
        command.arg(case).arg(&self.tokens).args(rest);
        command.env("CMAUTH_CLIENT_ID", CLIENT_ID).env("CMAUTH_CLIENT_SECRET", CLIENT_SECRET);
        run(command.env("CMAUTH_BASE_URL", self.sandbox.url()));
    }

    fn run(&self, arguments: &[&str]) {
        self.run_in(command_for(built()), arguments);
    }

    /// The number of requests that the program sent.
    fn requests(&self) -> usize {
        self.sandbox.requests().len() - self.before
    }
}

#[test]
fn tokens_of_another_key_are_not_sent_and_forget_removes_them() {
    let setting = logged_in_with("write");
    setting.run(&["other-key"]);
    assert_eq!(setting.requests(), 0);
}

#[test]
fn tokens_of_another_server_are_sent_to_neither_and_forget_removes_them() {
    let setting = logged_in_with("write");
    let other = Sandbox::start(Options::default()).unwrap();
    setting.run(&["other-server", other.url()]);
    assert_eq!((setting.requests(), other.requests().len(), other.connections()), (0, 0, 0));
}

#[test]
fn a_session_opens_on_a_damaged_file_and_forget_removes_it() {
    let setting = logged_in_with("write");
    setting.run(&["damaged"]);
    assert_eq!(setting.requests(), 0);
}

#[test]
fn a_server_that_failed_gets_no_request_until_its_retry_after_has_passed() {
    let setting = logged_in_with("write");
    setting.sandbox.set_faults(&[Fault::RetryAfterSeconds.always()]).unwrap();
    setting.run(&["back-off"]);
    assert_eq!(setting.requests(), 1);
}

#[test]
fn a_server_that_failed_gets_another_request_after_a_pause() {
    let setting = logged_in_with("write");
    setting.sandbox.set_faults(&[Fault::Status503.once()]).unwrap();
    setting.run(&["recovery"]);
    assert_eq!(setting.requests(), 2);
}

#[test]
fn an_api_that_rejects_all_tokens_costs_one_refresh() {
    let setting = logged_in_with("write");
    setting.run(&["rejected"]);
    assert_eq!(setting.requests(), 1);
}

#[test]
fn a_refresh_asks_for_the_granted_scope() {
    let setting = logged_in_with("read");
    setting.run(&["scope"]);
    let requests = setting.sandbox.requests();
    let refresh = &requests[setting.before];
    assert!(refresh.target.contains("grant_type=refresh_token"), "{refresh:?}");
    assert!(refresh.target.contains("scope=read") && !refresh.target.contains("write"), "{refresh:?}");
}

#[test]
fn refusals_leak_nothing_and_misuse_no_memory() {
    for case in ["other-key", "damaged", "scope"] {
        if let Some(command) = valgrind(built()) {
            logged_in_with("read").run_in(command, &[case]);
        }
    }
}
