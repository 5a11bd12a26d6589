//! Starts a sandbox with TLS, and logs in there as the user of a program under test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use cmauth_sandbox::{Options, Sandbox, user};

use super::scratch;

pub const CLIENT_ID: &str = "cameramanager.test";
pub const CLIENT_SECRET: &str = "qwertyuiopasdfghjklzxcvbnm12345";

/// Runs a program that logs in, and returns its output. When the program prints the URL of a login page, this function
/// logs in on that page in the sandbox, and writes the redirected URL to the program's standard input.
pub fn run_with_user(command: Command, sandbox: &Sandbox, name: &str) -> String {
    let ca_file = scratch(name).join("ca.pem");
    fs::write(&ca_file, sandbox.ca_pem().unwrap()).unwrap();
    run_with_user_trusting(command, sandbox, Some(&ca_file))
}

/// As [`run_with_user`], with another CA file than that of the sandbox, or none.
pub fn run_with_user_trusting(command: Command, sandbox: &Sandbox, ca_file: Option<&Path>) -> String {
    run_with_user_until_enter(command, sandbox, ca_file, || ())
}

/// As [`run_with_user_trusting`]. Calls `before_enter` before it presses Enter for a program that asks for it.
pub fn run_with_user_until_enter(
    mut command: Command,
    sandbox: &Sandbox,
    ca_file: Option<&Path>,
    mut before_enter: impl FnMut(),
) -> String {
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
                // The program receives the redirect itself.
                Some(place) => follow_redirect(place),
                None => writeln!(stdin, "{redirected}").unwrap(),
            }
        }
        if line.starts_with("Press Enter") {
            before_enter();
            writeln!(stdin).unwrap();
        }
        printed.push_str(&line);
        printed.push('\n');
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}\n{printed}");
    printed
}

/// Follows the redirect to the port of the program, and checks the page that the program answers with.
fn follow_redirect(place: &str) {
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
