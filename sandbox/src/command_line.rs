//! Reads the command line of the program.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use cmauth_sandbox::user::User;
use cmauth_sandbox::{Account, Client, Fault, Flavour, Options};
use lexopt::prelude::*;

const HELP: &str = "\
A mock CameraManager login server, for tests.

Usage:
  cmauth-sandbox [OPTIONS]                 run the server
  cmauth-sandbox user [OPTIONS] URL        log in, as a person with a browser does

The server listens on 127.0.0.1 only. It prints one line when it is ready:
  cmauth-sandbox ready at http://127.0.0.1:PORT      with --tls: https://localhost:PORT

Server options:
  --port PORT                      the port; 0: a free one [default: 0]
  --tls                            https, with a new certificate authority
  --ca-dir FOLDER                  keep the authority in this folder, and use it again at the next start; needs --tls
  --ca-out FILE                    write the certificate of that authority (PEM) here; needs --tls
  --access-token-lifetime SECONDS  0: access tokens never expire [default: 43200]
  --refresh-token-lifetime SECONDS 0: refresh tokens never expire [default: 0]
  --rotate-refresh-tokens          a refresh returns a new refresh token and ends the old one
  --flavour NAME                   respond like another version or set-up of the framework; may be repeated:
                                   2.5: errors quote nothing, tokens are no UUIDs; boot: a 401 for a wrong API key is
                                   Spring Boot's; basic-only: no API keys in parameters, and a client_id is ignored
  --client ID:SECRET               an API key; may be repeated
                                   [default: cameramanager.test:qwertyuiopasdfghjklzxcvbnm12345]
  --redirect-uri URI               a redirect URI that is registered for all API keys; may be repeated. With none, any
                                   URI that begins with http:// or https:// will do
  --user NAME:PASSWORD             a user who can log in; may be repeated [default: demo:demo]
  --fault NAME                     a fault that lasts until it is cleared; GET /sandbox/faults lists the names
  --control-port PORT              a second port for the control API (/sandbox/...), with plain HTTP and without
                                   faults; 0: a free one
  --control-out FILE               write the URL of that port here; needs --control-port
  --until-eof                      stop at the end of standard input, so that the server ends with the test

User options:
  --user NAME:PASSWORD             the user who logs in [default: demo:demo]
  --deny                           press Deny on the approval page, not Approve
  --ca-file FILE                   the certificate authority to trust, as written by --ca-out

The user command prints the URL of the last redirect, with its code or error, and does not open it.
If the server shows an error page, the command prints its text to standard error; the exit code is 1.

  -h, --help                       print this help
  -V, --version                    print the version
";

/// The command to run.
#[derive(Debug)]
pub(crate) enum Command {
    Serve(Serve),
    LogIn(Login),
    /// Prints the help or the version.
    Print(String),
}

/// Runs the server.
#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) options: Options,
    pub(crate) ca_out: Option<PathBuf>,
    pub(crate) control_out: Option<PathBuf>,
    pub(crate) until_eof: bool,
}

/// Logs the scripted user in.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) url: String,
    pub(crate) user: User,
    pub(crate) ca_file: Option<PathBuf>,
}

/// An error of the command line, with the name of the option.
#[derive(Debug)]
pub(crate) struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> UsageError {
        UsageError(error.to_string())
    }
}

pub(crate) fn read(mut parser: lexopt::Parser) -> Result<Command, UsageError> {
    let mut serve = Serve { options: Options::default(), ca_out: None, control_out: None, until_eof: false };
    let (mut clients, mut users, mut redirect_uris) = (Vec::new(), Vec::new(), Vec::new());
    let options = &mut serve.options;
    let mut is_first = true;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => return Ok(version()),
            Value(word) if is_first && word == "user" => return read_user(parser),
            Long("port") => options.port = number(&mut parser, "--port", "a number from 0 to 65535")?,
            Long("tls") => options.tls = true,
            Long("ca-dir") => options.ca_dir = Some(parser.value()?.into()),
            Long("ca-out") => serve.ca_out = Some(parser.value()?.into()),
            Long("access-token-lifetime") => {
                options.access_token_lifetime = seconds(&mut parser, "--access-token-lifetime")?;
            }
            Long("refresh-token-lifetime") => {
                options.refresh_token_lifetime = seconds(&mut parser, "--refresh-token-lifetime")?;
            }
            Long("rotate-refresh-tokens") => options.rotate_refresh_tokens = true,
            Long("redirect-uri") => redirect_uris.push(parser.value()?.string()?),
            Long("flavour") => {
                let name = parser.value()?.string()?;
                let found = Flavour::NAMES.into_iter().find(|(known, _)| *known == name);
                let (_, flavour) =
                    found.ok_or_else(|| UsageError(format!("--flavour {name}: wanted 2.5, boot or basic-only")))?;
                options.flavours.push(flavour);
            }
            Long("client") => {
                let (id, secret) = pair(&mut parser, "--client", "ID:SECRET")?;
                clients.push(Client::new(id, secret));
            }
            Long("user") => {
                let (name, password) = pair(&mut parser, "--user", "NAME:PASSWORD")?;
                users.push(Account::new(name, password));
            }
            Long("fault") => {
                let fault: Fault =
                    parser.value()?.string()?.parse().map_err(|error| UsageError(format!("--fault: {error}")))?;
                options.faults = vec![fault.always()];
            }
            Long("control-port") => {
                options.control_port = Some(number(&mut parser, "--control-port", "a number from 0 to 65535")?);
            }
            Long("control-out") => serve.control_out = Some(parser.value()?.into()),
            Long("until-eof") => serve.until_eof = true,
            other => return Err(other.unexpected().into()),
        }
        is_first = false;
    }
    if options.ca_dir.is_some() && !options.tls {
        return Err(UsageError("--ca-dir needs --tls".into()));
    }
    if serve.ca_out.is_some() && !options.tls {
        return Err(UsageError("--ca-out needs --tls".into()));
    }
    if serve.control_out.is_some() && options.control_port.is_none() {
        return Err(UsageError("--control-out needs --control-port".into()));
    }
    if let Some(planned) = options.faults.iter().find(|planned| planned.fault.needs_tls() && !options.tls) {
        return Err(UsageError(format!("--fault {} needs --tls", planned.fault)));
    }
    // Named clients and users replace the default ones.
    if !clients.is_empty() {
        options.clients = clients;
    }
    for client in &mut options.clients {
        client.redirect_uris.clone_from(&redirect_uris);
    }
    if !users.is_empty() {
        options.users = users;
    }
    Ok(Command::Serve(serve))
}

fn read_user(mut parser: lexopt::Parser) -> Result<Command, UsageError> {
    let (mut url, mut user, mut ca_file) = (None, User::default(), None);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => return Ok(version()),
            Long("user") => (user.name, user.password) = pair(&mut parser, "--user", "NAME:PASSWORD")?,
            Long("deny") => user.approve = false,
            Long("ca-file") => ca_file = Some(parser.value()?.into()),
            Value(word) if url.is_none() => url = Some(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let url = url.ok_or_else(|| UsageError("'user' needs the authorize URL to open".into()))?;
    Ok(Command::LogIn(Login { url, user, ca_file }))
}

fn version() -> Command {
    Command::Print(format!("cmauth-sandbox {}", env!("CARGO_PKG_VERSION")))
}

fn number<T: FromStr>(parser: &mut lexopt::Parser, option: &str, wanted: &str) -> Result<T, UsageError> {
    let text = parser.value()?.string()?;
    text.parse().map_err(|_| UsageError(format!("{option} {text}: wanted {wanted}")))
}

fn seconds(parser: &mut lexopt::Parser, option: &str) -> Result<Duration, UsageError> {
    number(parser, option, "whole seconds, 0 for never").map(Duration::from_secs)
}

/// Two words, separated by the first `:`. The message does not quote them, because one of them is secret.
fn pair(parser: &mut lexopt::Parser, option: &str, wanted: &str) -> Result<(String, String), UsageError> {
    let text = parser.value()?.string()?;
    let halves = text.split_once(':').filter(|(first, _)| !first.is_empty());
    let (first, second) = halves.ok_or_else(|| UsageError(format!("{option}: wanted {wanted}")))?;
    Ok((first.to_owned(), second.to_owned()))
}
