//! A sandbox over TLS, and the user who logs in there for a program under test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use cmauth_sandbox::{Options, Sandbox, user};

use super::scratch;

pub const CLIENT_ID: &str = "cameramanager.test";
pub const CLIENT_SECRET: &str = "qwertyuiopasdfghjklzxcvbnm12345";

/// Runs a program that logs in: wherever it prints a login page's URL, its user opens that page in the sandbox, and
/// what the browser came back to is written to the program. Returns what it printed.
pub fn run_with_user(command: Command, sandbox: &Sandbox, name: &str) -> String {
    let ca_file = scratch(name).join("ca.pem");
    fs::write(&ca_file, sandbox.ca_pem().unwrap()).unwrap();
    run_with_user_trusting(command, sandbox, Some(&ca_file))
}

/// The same with another CA file than the sandbox', or none.
pub fn run_with_user_trusting(mut command: Command, sandbox: &Sandbox, ca_file: Option<&Path>) -> String {
    let mut child = command
        .env("CMAUTH_CLIENT_ID", CLIENT_ID)
        .env("CMAUTH_CLIENT_SECRET", CLIENT_SECRET)
        .env("CMAUTH_BASE_URL", sandbox.url())
        .env("CMAUTH_CA_FILE", ca_file.unwrap_or(Path::new("")))
        .env("NO_PROXY", "localhost")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let mut printed = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(url) = line.split_whitespace().find(|word| word.contains("/oauth/authorize?")) {
            let redirected =
                user::log_in(url, &user::User { ca_pem: sandbox.ca_pem().map(str::to_owned), ..user::User::default() })
                    .unwrap();
            match redirected.strip_prefix("http://127.0.0.1:") {
                // The program listens there itself.
                Some(place) => come_back(place),
                None => writeln!(stdin, "{redirected}").unwrap(),
            }
        }
        if line.starts_with("Press Enter") {
            writeln!(stdin).unwrap();
        }
        printed.push_str(&line);
        printed.push('\n');
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}\n{printed}");
    printed
}

/// The browser follows the redirect to a program on this machine, and shows its page.
fn come_back(place: &str) {
    let (port, target) = place.split_once('/').unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    write!(stream, "GET /{target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
}

pub fn tls_sandbox() -> Sandbox {
    Sandbox::start(Options { tls: true, ..Options::default() }).unwrap()
}
