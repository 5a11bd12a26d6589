//! The example of a store in Redis works with a real redis-server, which the test stops, restarts and empties.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cmauth_sandbox::{Options, Sandbox, user};
use common::{Link, command_for, compile_with, program, scratch};

/// A redis-server with persistent data and its own port.
struct Redis {
    port: u16,
    folder: PathBuf,
    process: Option<Child>,
}

impl Redis {
    fn new(name: &str) -> Redis {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = scratch(name).join("redis");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let mut redis = Redis { port, folder, process: None };
        redis.start();
        redis
    }

    fn start(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", "always", "--dir"]).arg(&self.folder).stdout(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        let begun = Instant::now();
        while !self.answers() {
            assert!(begun.elapsed() < Duration::from_secs(20), "redis-server does not start");
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut line = String::new();
        stream.write_all(b"PING\r\n").is_ok()
            && BufReader::new(stream).read_line(&mut line).is_ok()
            && line.starts_with("+PONG")
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn has_tools() -> bool {
    let redis = Command::new("redis-server").arg("--version").output().is_ok();
    let headers = ["/usr/include", "/usr/local/include", "/opt/homebrew/include"];
    let hiredis = headers.iter().any(|folder| fs::exists(format!("{folder}/hiredis/hiredis.h")).unwrap_or(false));
    if redis && hiredis {
        return true;
    }
    common::skip_without("redis-server or hiredis");
    false
}

#[test]
fn a_session_in_redis_survives_restarts_dead_holders_and_lost_answers() {
    if !has_tools() {
        return;
    }
    let sandbox = Sandbox::start(Options { tls: true, ..Options::default() }).unwrap();
    let built = compile_with(&program("redis.c"), Link::Shared, "redis", &["-lhiredis"]);
    let mut redis = Redis::new("redis");
    let ca_file = scratch("redis").join("ca.pem");
    fs::write(&ca_file, sandbox.ca_pem().unwrap()).unwrap();
    let command = |arguments: &[&str]| {
        let mut command = command_for(&built);
        command
            .args(arguments)
            .env("CMAUTH_CLIENT_ID", "cameramanager.test")
            .env("CMAUTH_CLIENT_SECRET", "qwertyuiopasdfghjklzxcvbnm12345")
            .env("CMAUTH_BASE_URL", sandbox.url())
            .env("CMAUTH_CA_FILE", &ca_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    };
    let port = redis.port.to_string();
    let mut child = command(&[]).env("REDIS_PORT", &port).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stages = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        let answer = match line.as_str() {
            "stop" => {
                redis.stop();
                "done".to_owned()
            }
            "start" => {
                redis.start();
                "done".to_owned()
            }
            "start empty" => {
                redis.stop();
                fs::remove_dir_all(&redis.folder).unwrap();
                fs::create_dir_all(&redis.folder).unwrap();
                redis.start();
                "done".to_owned()
            }
            "hold and kill" => {
                let mut holder = command(&["hold"]).env("REDIS_PORT", &port).spawn().unwrap();
                let mut line = String::new();
                BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
                assert_eq!(line, "held\n");
                holder.kill().unwrap();
                holder.wait().unwrap();
                "done".to_owned()
            }
            login => {
                let url = login.strip_prefix("open ").unwrap();
                let user = user::User { ca_pem: sandbox.ca_pem().map(str::to_owned), ..user::User::default() };
                user::log_in(url, &user).unwrap()
            }
        };
        stages += 1;
        writeln!(stdin, "{answer}").unwrap();
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(stages, 5, "a login and four changes of Redis");
}
