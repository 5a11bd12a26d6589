//! The program: its output, its options, its end, and the user command.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A running server. Dropping this closes its standard input, which ends it.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    url: String,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cmauth-sandbox"));
        command.arg("--until-eof").args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.strip_prefix("cmauth-sandbox ready at ").and_then(|rest| rest.strip_suffix('\n'));
        let url = url.unwrap_or_else(|| panic!("not the ready line: {line:?}")).to_owned();
        Server { child, stdin, stdout: Some(stdout), url }
    }

    fn page(&self, scope: &str) -> String {
        let client = "client_id=cameramanager.test";
        format!(
            "{}/oauth/authorize?response_type=code&{client}&scope={scope}&redirect_uri=https://example.com",
            self.url
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cmauth-sandbox")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn it_prints_one_line_and_ends_with_its_standard_input() {
    let mut server = Server::start(&[]);
    assert!(server.url.starts_with("http://127.0.0.1:"), "{}", server.url);
    drop(server.stdin.take());
    // Its standard output ends with the program. The timeout keeps a program that does not end from blocking all tests.
    let (ended, end) = mpsc::channel();
    let mut stdout = server.stdout.take().unwrap();
    thread::spawn(move || {
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        ended.send(rest)
    });
    let rest = end.recv_timeout(Duration::from_secs(30)).expect("it ends with its standard input");
    assert!(server.child.wait().unwrap().success());
    assert_eq!(rest, "");
}

#[test]
fn the_user_command_prints_the_url_of_the_redirect() {
    let server = Server::start(&[]);
    let output = run(&["user", &server.page("write")]);
    let line = text(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let code = line.strip_prefix("https://example.com/?code=").and_then(|rest| rest.strip_suffix('\n'));
    assert_eq!(code.map(str::len), Some(6), "{line}");
}

#[test]
fn the_user_command_takes_a_name_and_can_deny() {
    let server = Server::start(&["--user", "ann:a:b", "--user", "bob:c"]);
    let output = run(&["user", "--user", "ann:a:b", "--deny", &server.page("write")]);
    assert!(text(&output.stdout).starts_with("https://example.com/?error=access_denied"), "{output:?}");
    // Named users replace the default one.
    let output = run(&["user", &server.page("write")]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert!(text(&output.stderr).contains("The user name or the password is wrong."), "{output:?}");
}

#[test]
fn an_error_page_ends_the_user_command_with_1_and_its_text() {
    let server = Server::start(&["--client", "other:secret"]);
    let output = run(&["user", &server.page("write")]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert!(text(&output.stderr).contains("401: Bad client credentials"), "{output:?}");
}

#[test]
fn the_certificate_authority_is_written_before_the_line() {
    let file = scratch("ca.pem");
    let _ = fs::remove_file(&file);
    let file = file.to_str().unwrap();
    let server = Server::start(&["--tls", "--ca-out", file]);
    assert!(server.url.starts_with("https://localhost:"), "{}", server.url);
    assert!(fs::read_to_string(file).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let output = run(&["user", "--ca-file", file, &server.page("write")]);
    assert!(output.status.success(), "{output:?}");
    let output = run(&["user", &server.page("write")]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_kept_certificate_authority_survives_a_restart() {
    let folder = scratch("authority");
    let _ = fs::remove_dir_all(&folder);
    let certificate = folder.join("ca.pem");
    let options = ["--tls", "--ca-dir", folder.to_str().unwrap()];
    let login = |server: &Server| run(&["user", "--ca-file", certificate.to_str().unwrap(), &server.page("write")]);
    let first = {
        let server = Server::start(&options);
        assert!(login(&server).status.success());
        fs::read(&certificate).unwrap()
    };
    let server = Server::start(&options);
    let output = login(&server);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read(&certificate).unwrap(), first);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(folder.join("ca-key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    drop(server);
    // A half of it, or something else, is named and left alone.
    fs::write(folder.join("ca-key.pem"), "hunter2").unwrap();
    for problem in ["ca-key.pem: it is no private key", "ca-key.pem: ca.pem is missing"] {
        let output = run(&["--until-eof", "--tls", "--ca-dir", folder.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(problem) && !text(&output.stderr).contains("hunter2"), "{output:?}");
        let _ = fs::remove_file(&certificate);
    }
}

#[test]
fn a_fault_of_the_command_line_lasts_until_the_control_api_clears_it() {
    let file = scratch("control");
    let file = file.to_str().unwrap();
    let server = Server::start(&["--fault", "refuse", "--control-port", "0", "--control-out", file]);
    let host = |url: &str| url.trim().strip_prefix("http://").unwrap().to_owned();
    assert!(TcpStream::connect(host(&server.url)).is_err());
    let control = host(&fs::read_to_string(file).unwrap());
    let mut socket = TcpStream::connect(&control).unwrap();
    let request = format!("DELETE /sandbox/faults HTTP/1.1\r\nHost: {control}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 204 "), "{response}");
    assert!(run(&["user", &server.page("write")]).status.success());
}

#[test]
fn bad_options_are_named() {
    for (arguments, words) in [
        (vec!["--port", "70000"], "--port 70000"),
        (vec!["--port"], "--port"),
        (vec!["--access-token-lifetime", "soon"], "--access-token-lifetime soon"),
        (vec!["--refresh-token-lifetime", "-1"], "--refresh-token-lifetime -1"),
        (vec!["--client", "no-colon"], "--client: wanted ID:SECRET"),
        (vec!["--user", ":x"], "--user: wanted NAME:PASSWORD"),
        (vec!["--ca-out", "x.pem"], "--ca-out needs --tls"),
        (vec!["--ca-dir", "x"], "--ca-dir needs --tls"),
        (vec!["--control-out", "x"], "--control-out needs --control-port"),
        (vec!["--control-port", "x"], "--control-port x"),
        (vec!["--fault", "unknown"], "--fault: there is no fault \"unknown\""),
        (vec!["--fault", "silence-in-handshake"], "--fault silence-in-handshake needs --tls"),
        (vec!["--unknown"], "--unknown"),
        (vec!["--port", "0", "user"], "user"),
        (vec!["user"], "URL"),
        (vec!["user", "--tls", "x"], "--tls"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stdout), "");
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {output:?}");
    }
}

#[test]
fn unusable_files_and_ports_are_named() {
    let nowhere = scratch("no-such-folder/ca.pem");
    let output = run(&["--tls", "--until-eof", "--ca-out", nowhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--ca-out"), "{output:?}");
    assert_eq!(text(&output.stdout), "");
    let server = Server::start(&[]);
    let port = server.url.rsplit_once(':').unwrap().1;
    let output = run(&["--until-eof", "--port", port]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("--port {port}")), "{output:?}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    for option in [
        "--port",
        "--tls",
        "--ca-out",
        "--ca-dir",
        "--client",
        "--user",
        "--fault",
        "--control-port",
        "--control-out",
        "--until-eof",
        "--deny",
        "--ca-file",
    ] {
        assert!(text(&help.stdout).contains(option), "{option}");
    }
    assert_eq!(text(&run(&["-V"]).stdout), concat!("cmauth-sandbox ", env!("CARGO_PKG_VERSION"), "\n"));
}
