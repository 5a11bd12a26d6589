//! What the program is told on its command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use cmauth_sandbox::user::User;
use cmauth_sandbox::{Account, Client, Fault, Options};
use lexopt::prelude::*;

const HELP: &str = "\
A stand-in for the CameraManager login server, for tests.

Usage:
  cmauth-sandbox [OPTIONS]                 run the server
  cmauth-sandbox user [OPTIONS] URL        log in there like a person with a browser

The server listens on 127.0.0.1 only. When it is ready it prints one line:
  cmauth-sandbox ready at http://127.0.0.1:PORT

Server options:
  --port PORT                      port to listen on; 0 takes a free one [default: 0]
  --tls                            https, with a certificate authority made at start
  --ca-out FILE                    where to write that authority's certificate (PEM); needs --tls
  --access-token-lifetime SECONDS  0: never expires [default: 43200]
  --refresh-token-lifetime SECONDS 0: never expires [default: 0]
  --rotate-refresh-tokens          a refresh gives a new refresh token and ends the old one
  --client ID:SECRET               an API key; may be repeated
                                   [default: cameramanager.test:qwertyuiopasdfghjklzxcvbnm12345]
  --user NAME:PASSWORD             who can log in; may be repeated [default: demo:demo]
  --fault NAME                     what goes wrong, until it is cleared; GET /sandbox/faults lists the names
  --control-port PORT              a second port for /sandbox/..., plain HTTP and free of faults; 0 takes a free one
  --control-out FILE               where to write that port's URL; needs --control-port
  --until-eof                      stop when standard input ends, so that a test cannot leave it behind

User options:
  --user NAME:PASSWORD             who logs in [default: demo:demo]
  --deny                           press deny on the approval page instead of approve
  --ca-file FILE                   the authority to trust, as written by --ca-out

The user prints the URL the browser would be sent to in the end, with its code or error, and does
not open it. If the server shows an error page, its words go to standard error and the exit code is 1.

  -h, --help                       this text
  -V, --version                    the version
";

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Serve(Serve),
    LogIn(Login),
    /// Help, or the version.
    Print(String),
}

/// Run the server.
#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) options: Options,
    pub(crate) ca_out: Option<PathBuf>,
    pub(crate) control_out: Option<PathBuf>,
    pub(crate) until_eof: bool,
}

/// Play the user.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) url: String,
    pub(crate) user: User,
    pub(crate) ca_file: Option<PathBuf>,
}

/// A command line that makes no sense, in a sentence that names the option.
#[derive(Debug)]
pub(crate) struct Mistake(String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<lexopt::Error> for Mistake {
    fn from(error: lexopt::Error) -> Mistake {
        Mistake(error.to_string())
    }
}

pub(crate) fn read(mut parser: lexopt::Parser) -> Result<Command, Mistake> {
    let mut serve = Serve { options: Options::default(), ca_out: None, control_out: None, until_eof: false };
    let (mut clients, mut users) = (Vec::new(), Vec::new());
    let options = &mut serve.options;
    let mut is_first = true;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => return Ok(version()),
            Value(word) if is_first && word == "user" => return read_user(parser),
            Long("port") => options.port = number(&mut parser, "--port", "a number from 0 to 65535")?,
            Long("tls") => options.tls = true,
            Long("ca-out") => serve.ca_out = Some(parser.value()?.into()),
            Long("access-token-lifetime") => {
                options.access_token_lifetime = seconds(&mut parser, "--access-token-lifetime")?;
            }
            Long("refresh-token-lifetime") => {
                options.refresh_token_lifetime = seconds(&mut parser, "--refresh-token-lifetime")?;
            }
            Long("rotate-refresh-tokens") => options.rotate_refresh_tokens = true,
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
                    parser.value()?.string()?.parse().map_err(|error| Mistake(format!("--fault: {error}")))?;
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
    if serve.ca_out.is_some() && !options.tls {
        return Err(Mistake("--ca-out needs --tls".into()));
    }
    if serve.control_out.is_some() && options.control_port.is_none() {
        return Err(Mistake("--control-out needs --control-port".into()));
    }
    if let Some(planned) = options.faults.iter().find(|planned| planned.fault.needs_tls() && !options.tls) {
        return Err(Mistake(format!("--fault {} needs --tls", planned.fault)));
    }
    // What is named replaces the default; it does not add to it.
    if !clients.is_empty() {
        options.clients = clients;
    }
    if !users.is_empty() {
        options.users = users;
    }
    Ok(Command::Serve(serve))
}

fn read_user(mut parser: lexopt::Parser) -> Result<Command, Mistake> {
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
    let url = url.ok_or_else(|| Mistake("'user' needs the authorize URL to open".into()))?;
    Ok(Command::LogIn(Login { url, user, ca_file }))
}

fn version() -> Command {
    Command::Print(format!("cmauth-sandbox {}", env!("CARGO_PKG_VERSION")))
}

fn number<T: FromStr>(parser: &mut lexopt::Parser, option: &str, wanted: &str) -> Result<T, Mistake> {
    let text = parser.value()?.string()?;
    text.parse().map_err(|_| Mistake(format!("{option} {text}: wanted {wanted}")))
}

fn seconds(parser: &mut lexopt::Parser, option: &str) -> Result<Duration, Mistake> {
    number(parser, option, "whole seconds, 0 for never").map(Duration::from_secs)
}

/// Two words, apart at the first `:`. A secret must not come back in a message, so what was given is not quoted.
fn pair(parser: &mut lexopt::Parser, option: &str, wanted: &str) -> Result<(String, String), Mistake> {
    let text = parser.value()?.string()?;
    let halves = text.split_once(':').filter(|(first, _)| !first.is_empty());
    let (first, second) = halves.ok_or_else(|| Mistake(format!("{option}: wanted {wanted}")))?;
    Ok((first.to_owned(), second.to_owned()))
}
