//! The program `cmauth-sandbox`: runs the server, or the scripted user who logs in there.
//!
//! It prints one line to standard output: the URL of the server, or the URL to which the user was redirected. Everything
//! else goes to standard error.

mod command_line;

use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread;

use cmauth_sandbox::{Sandbox, user};
use command_line::{Command, Login, Serve};

fn main() -> ExitCode {
    let done = match command_line::read(lexopt::Parser::from_env()) {
        Ok(Command::Serve(serve)) => run_server(serve),
        Ok(Command::LogIn(login)) => log_in(&login),
        Ok(Command::Print(text)) => print_line(text.trim_end()),
        Err(error) => {
            eprintln!("cmauth-sandbox: {error}\nTry 'cmauth-sandbox --help'.");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("cmauth-sandbox: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run_server(serve: Serve) -> Result<(), String> {
    let port = serve.options.port;
    let sandbox = Sandbox::start(serve.options).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => format!("--port {port}: {error}"),
        _ => error.to_string(),
    })?;
    if let (Some(file), Some(pem)) = (&serve.ca_out, sandbox.ca_pem()) {
        fs::write(file, pem).map_err(|error| format!("--ca-out {}: {error}", file.display()))?;
    }
    if let (Some(file), Some(url)) = (&serve.control_out, sandbox.control_url()) {
        fs::write(file, format!("{url}\n")).map_err(|error| format!("--control-out {}: {error}", file.display()))?;
    }
    print_line(&format!("cmauth-sandbox ready at {}", sandbox.url()))?;
    if serve.until_eof {
        // A read error is an end as well.
        let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
        return Ok(());
    }
    loop {
        thread::park();
    }
}

fn log_in(login: &Login) -> Result<(), String> {
    let mut user = login.user.clone();
    if let Some(file) = &login.ca_file {
        let pem = fs::read_to_string(file).map_err(|error| format!("--ca-file {}: {error}", file.display()))?;
        user.ca_pem = Some(pem);
    }
    let redirected = user::log_in(&login.url, &user).map_err(|error| error.to_string())?;
    print_line(&redirected)
}

fn print_line(line: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| format!("standard output: {error}"))
}
