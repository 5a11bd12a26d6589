//! The example of a store in the keyring works with a real one: GNOME Keyring, on a private message bus.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use cmauth_sandbox::{Options, Sandbox, user};
use common::{Link, command_for, compile_with, program, run, scratch};

fn has_tools() -> bool {
    let tools = ["dbus-run-session", "gnome-keyring-daemon"]
        .iter()
        .all(|tool| Command::new(tool).arg("--version").output().is_ok());
    let libsecret =
        Command::new("pkg-config").args(["--exists", "libsecret-1"]).status().is_ok_and(|status| status.success());
    if tools && libsecret {
        return true;
    }
    common::skip_without("GNOME Keyring, D-Bus or libsecret");
    false
}

#[test]
fn a_session_in_the_keyring_is_shared_by_programs_and_gone_after_logout() {
    if !has_tools() {
        return;
    }
    let sandbox = Sandbox::start(Options { tls: true, ..Options::default() }).unwrap();
    let flags = run(Command::new("pkg-config").args(["--cflags", "--libs", "libsecret-1"])).stdout;
    // Its headers cause warnings with our flags.
    let flags = String::from_utf8(flags).unwrap().replace("-I", "-isystem");
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let built = compile_with(&program("keyring.c"), Link::Shared, "keyring", &flags);
    let ca_file = scratch("keyring").join("ca.pem");
    fs::write(&ca_file, sandbox.ca_pem().unwrap()).unwrap();

    // A private home folder, so that the test does not touch the developer's keyring.
    let home = scratch("keyring").join("home");
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(&home).unwrap();
    let environment = command_for(&built);
    let library_path = environment.get_envs().find(|(name, _)| *name == "LD_LIBRARY_PATH").unwrap().1.unwrap();
    let at = |command: &mut Command| {
        command
            .env("LD_LIBRARY_PATH", library_path)
            .env("CMAUTH_CLIENT_ID", "cameramanager.test")
            .env("CMAUTH_CLIENT_SECRET", "qwertyuiopasdfghjklzxcvbnm12345")
            .env("CMAUTH_BASE_URL", sandbox.url())
            .env("CMAUTH_CA_FILE", &ca_file)
            .env("LOCK_FILE", home.join("lock"))
            .env("HOME", &home)
            .env("XDG_DATA_HOME", &home)
            .env("XDG_RUNTIME_DIR", &home)
            .env_remove("DISPLAY")
            .env_remove("DBUS_SESSION_BUS_ADDRESS");
    };

    // Unlocks the keyring as the login to a desktop does. The keyring and the program end with the bus.
    let script = "printf password | gnome-keyring-daemon --unlock --components=secrets >/dev/null && \"$0\"";
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-c", script]).arg(&built).stdin(Stdio::piped()).stdout(Stdio::piped());
    at(&mut command);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut asked = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        let page = line.strip_prefix("open ").unwrap_or_else(|| panic!("{line}"));
        let user = user::User { ca_pem: sandbox.ca_pem().map(str::to_owned), ..user::User::default() };
        writeln!(stdin, "{}", user::log_in(page, &user).unwrap()).unwrap();
        asked += 1;
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(asked, 1);

    // If no keyring answers, the program reports it and does not hang.
    let mut command = Command::new(&built);
    command.arg("without").env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
    at(&mut command);
    run(command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere"));
}
