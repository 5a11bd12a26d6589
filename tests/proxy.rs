//! Proxies, tested with real ones: tinyproxy (HTTP CONNECT) and microsocks (SOCKS5), on the way to the sandbox over TLS.

#[path = "common/skip.rs"]
mod skip;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use cmauth::{Client, Config, Error, Status};
use cmauth_sandbox::{Options, Sandbox};

/// A proxy program, which ends with its handle.
struct Proxy {
    program: Child,
    port: u16,
    log: PathBuf,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Proxy {
    /// `None` where the program is not installed, which is said; in CI it is. With `login`, clients must give it.
    fn start(program: &str, login: Option<(&str, &str)>) -> Option<Proxy> {
        // The port is free now; nobody else on this machine is told of it.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{program}-{port}"));
        fs::create_dir_all(&folder).unwrap();
        let log = folder.join("log");
        let mut command = Command::new(program);
        if program == "tinyproxy" {
            let login = login.map_or(String::new(), |(user, password)| format!("BasicAuth {user} {password}\n"));
            let file = folder.join("conf");
            let log = log.display();
            let lines =
                format!("Listen 127.0.0.1\nPort {port}\nAllow 127.0.0.1\nLogFile \"{log}\"\nLogLevel Connect\n{login}");
            fs::write(&file, lines).unwrap();
            command.arg("-d").arg("-c").arg(file);
        } else {
            command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
            if let Some((user, password)) = login {
                command.args(["-u", user, "-P", password]);
            }
        }
        let file = fs::File::create(folder.join("output")).unwrap();
        let output = file.try_clone().unwrap();
        let Ok(running) = command.stdin(Stdio::null()).stdout(file).stderr(output).spawn() else {
            skip::skip_without(program);
            return None;
        };
        let log = if program == "tinyproxy" { log } else { folder.join("output") };
        let mut proxy = Proxy { program: running, port, log };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(proxy.program.try_wait().unwrap().is_none(), "{program} ended: see {}", folder.display());
            thread::yield_now();
        }
        Some(proxy)
    }

    /// What it logged so far.
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn sandbox() -> Sandbox {
    Sandbox::start(Options { tls: true, ..Options::default() }).unwrap()
}

/// Runs the one test `name` in a process of its own, with these variables and no other of proxies. Its environment is its
/// own, so tests that run side by side do not see each other's.
fn run_alone(name: &str, environment: &[(&str, &str)]) {
    let mut test = Command::new(std::env::current_exe().unwrap());
    for variable in ["all_proxy", "https_proxy", "http_proxy", "no_proxy"] {
        test.env_remove(variable).env_remove(variable.to_uppercase());
    }
    let output = test.args(["--exact", name, "--nocapture"]).envs(environment.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{environment:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A call that reaches the sandbox ends with its answer to a token that it does not know.
fn call(sandbox: &Sandbox, proxy: &str) -> Error {
    let ca_file =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("proxy-{}.pem", sandbox.url().replace(['/', ':'], "")));
    fs::write(&ca_file, sandbox.ca_pem().unwrap()).unwrap();
    let mut config = Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
    config.set_base_url(sandbox.url()).set_ca_file(ca_file).set_proxy(Some(proxy)).set_max_retries(0);
    let client = Client::new(&config).unwrap();
    // Twice: the second call goes out on the tunnel of the first.
    let first = client.refresh("nobody's").unwrap_err();
    let second = client.refresh("nobody's").unwrap_err();
    assert_eq!(first.status(), second.status());
    second
}

#[test]
fn an_http_proxy_is_tunnelled_through_once_for_many_calls() {
    let Some(proxy) = Proxy::start("tinyproxy", None) else { return };
    let sandbox = sandbox();
    let error = call(&sandbox, &format!("http://127.0.0.1:{}", proxy.port));
    assert_eq!(error.status(), Status::LoginRequired, "{error}");
    assert_eq!(sandbox.requests().len(), 2);
    let tunnels = proxy.log().matches("CONNECT localhost:").count();
    assert_eq!(tunnels, 1, "{}", proxy.log());
}

#[test]
fn credentials_open_a_proxy_and_wrong_ones_are_said_to_be_wrong_without_showing_them() {
    for (program, scheme) in [("tinyproxy", "http"), ("microsocks", "socks5")] {
        let Some(proxy) = Proxy::start(program, Some(("guest", "hunter2"))) else { return };
        let sandbox = sandbox();
        let port = proxy.port;
        let good = call(&sandbox, &format!("{scheme}://guest:hunter2@127.0.0.1:{port}"));
        assert_eq!(good.status(), Status::LoginRequired, "{program}: {good}");
        for bad in [format!("{scheme}://guest:hunter3@127.0.0.1:{port}"), format!("{scheme}://127.0.0.1:{port}")] {
            let error = call(&sandbox, &bad);
            assert_eq!(error.status(), Status::Network, "{program}: {error}");
            assert!(error.message().contains("proxy"), "{program}: {error}");
            assert!(!format!("{error:?}").contains("hunter"), "{program}: {error}");
            assert!(!error.request_sent());
        }
        assert_eq!(sandbox.requests().len(), 2);
    }
}

#[test]
fn a_socks_proxy_is_used() {
    let Some(proxy) = Proxy::start("microsocks", None) else { return };
    let sandbox = sandbox();
    let error = call(&sandbox, &format!("socks5://127.0.0.1:{}", proxy.port));
    assert_eq!(error.status(), Status::LoginRequired, "{error}");
    assert!(proxy.log().contains("connected to"), "{}", proxy.log());
}

/// The environment's proxy is for https: what a loopback server gets over http stays on this machine.
#[test]
fn the_environment_s_proxy_is_not_used_for_plain_http() {
    if let Ok(url) = std::env::var("CMAUTH_TEST_URL") {
        let mut config = Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
        config.set_base_url(&url).set_max_retries(0);
        let error = Client::new(&config).unwrap().refresh("nobody's").unwrap_err();
        assert_eq!(error.status(), Status::LoginRequired, "{error}");
        return;
    }
    let Some(proxy) = Proxy::start("tinyproxy", None) else { return };
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let all_proxy = format!("http://127.0.0.1:{}", proxy.port);
    let environment = [("CMAUTH_TEST_URL", sandbox.url()), ("ALL_PROXY", &all_proxy), ("https_proxy", "not a proxy")];
    run_alone("the_environment_s_proxy_is_not_used_for_plain_http", &environment);
    assert!(!proxy.log().contains("CONNECT 127.0.0.1:"), "{}", proxy.log());
}

#[test]
fn a_proxy_that_is_not_there_is_a_network_error() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for scheme in ["http", "socks5"] {
        let error = call(&sandbox(), &format!("{scheme}://127.0.0.1:{port}"));
        assert_eq!(error.status(), Status::Network, "{scheme}: {error}");
    }
}

/// The proxies of the environment, in a process that has one: this test calls itself.
#[test]
fn the_environment_names_the_proxy_and_who_needs_none() {
    if let Ok(url) = std::env::var("CMAUTH_TEST_URL") {
        let mut config = Config::new("cameramanager.test", "qwertyuiopasdfghjklzxcvbnm12345");
        config.set_base_url(&url).set_ca_file(std::env::var("CMAUTH_TEST_CA").unwrap()).set_max_retries(0);
        let error = Client::new(&config).unwrap().refresh("nobody's").unwrap_err();
        assert_eq!(error.status(), Status::LoginRequired, "{error}");
        return;
    }
    let Some(proxy) = Proxy::start("tinyproxy", None) else { return };
    let sandbox = sandbox();
    let ca_file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("environment.pem");
    fs::write(&ca_file, sandbox.ca_pem().unwrap()).unwrap();
    let port = sandbox.url().rsplit_once(':').unwrap().1;
    let with_port = format!("localhost:{port}");
    let rows = [("", 1), ("localhost", 0), (" example.com , localhost ", 0), (".localhost", 0), (&with_port, 0)];
    for (no_proxy, tunnels) in rows.into_iter().chain([("localhost:1", 1), ("*", 0), ("example.com", 1)]) {
        let before = proxy.log().matches("CONNECT localhost:").count();
        let environment = [
            ("CMAUTH_TEST_URL", sandbox.url()),
            ("CMAUTH_TEST_CA", ca_file.to_str().unwrap()),
            ("HTTPS_PROXY", &format!("http://127.0.0.1:{}", proxy.port)),
            ("NO_PROXY", no_proxy),
        ];
        run_alone("the_environment_names_the_proxy_and_who_needs_none", &environment);
        let after = proxy.log().matches("CONNECT localhost:").count();
        assert_eq!(after - before, tunnels, "NO_PROXY={no_proxy}");
    }
}

#[test]
fn a_variable_that_is_no_proxy_url_is_named_without_its_value() {
    if std::env::var_os("CMAUTH_TEST_URL").is_some() {
        let error = Client::new(&Config::new("id", "secret")).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument, "{error}");
        assert!(error.message().starts_with("HTTPS_PROXY: not a proxy URL"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error}");
        // Only where it counts.
        Client::new(Config::new("id", "secret").set_proxy(Some(""))).unwrap();
        Client::new(Config::new("id", "secret").set_base_url("http://127.0.0.1:1")).unwrap();
        return;
    }
    let good = ("ALL_PROXY", "http://127.0.0.1:1");
    for bad in ["hunter2://proxy.test", "http://guest:hunter2@", "http://guest:hunter2@proxy.test:99999", "hunter2 "] {
        let environment = [("CMAUTH_TEST_URL", ""), ("HTTPS_PROXY", bad), good];
        run_alone("a_variable_that_is_no_proxy_url_is_named_without_its_value", &environment);
    }
}
