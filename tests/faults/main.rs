//! Everything that the sandbox can do wrong, against each of the three calls: status, advice, time, secrecy, and how
//! often a request was sent.

mod docs;

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use cmauth::{Advice, Client, Config, Error, Status, Tokens};
use cmauth_sandbox::{Fault, Kind, Options, Sandbox};

const ID: &str = "cameramanager.test";
const SECRET: &str = "qwertyuiopasdfghjklzxcvbnm12345";
const BASIC: &str = "Y2FtZXJhbWFuYWdlci50ZXN0OnF3ZXJ0eXVpb3Bhc2RmZ2hqa2x6eGN2Ym5tMTIzNDU=";
const REDIRECT_URI: &str = "https://example.com";

const TIMEOUT: Duration = Duration::from_millis(600);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);
/// What a call may take: 1.2 times its timeout, and what a thread waits for its turn on a busy machine of two cores.
const LONGEST: Duration = Duration::from_millis(600 * 12 / 10 + 150);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Exchange,
    Refresh,
    Logout,
}
use Call::{Exchange, Logout, Refresh};

const CALLS: [Call; 3] = [Exchange, Refresh, Logout];

/// What a call gives; `None`: it succeeds.
type Want = Option<(Status, Advice)>;

/// What exchange, refresh and logout give.
type Wants = [Want; 3];

const GOOD: Wants = [None; 3];

/// Somebody must change something, whatever the call.
fn fix(status: Status) -> Wants {
    [Some((status, Advice::Fix)); 3]
}

/// It passes, and not a byte was sent: every call may be made again.
fn unsent(status: Status) -> Wants {
    [Some((status, Advice::Retry)); 3]
}

/// It passes, but the code of an exchange may be burned.
fn passing(status: Status) -> Wants {
    let retry = Some((status, Advice::Retry));
    [Some((status, Advice::LogIn)), retry, retry]
}

/// The same where it is about the answer's body, which a logout does not read.
fn but_logout([exchange, refresh, _]: Wants) -> Wants {
    [exchange, refresh, None]
}

/// The table, from the statuses and advices of the design.
fn wanted(fault: Fault, tls: bool) -> Wants {
    use Fault as F;
    let log_in = Some((Status::LoginRequired, Advice::LogIn));
    let token_rejected = Some((Status::TokenRejected, Advice::Refresh));
    let request_rejected = Some((Status::RequestRejected, Advice::Fix));
    let client_rejected = Some((Status::ClientRejected, Advice::Fix));
    match fault {
        F::Refuse | F::CloseInHandshake | F::ResetInHandshake => unsent(Status::Network),
        F::SilenceInConnect | F::SilenceInHandshake => unsent(Status::Timeout),
        // Without TLS the request is on its way by then.
        F::Close if tls => unsent(Status::Network),
        F::Close => passing(Status::Network),
        F::PlainInHandshake => fix(Status::Tls),

        F::CloseBeforeHead | F::ResetBeforeHead | F::ResetInHead | F::CutHead => passing(Status::Network),
        F::ResetAfterHead | F::CutBody | F::CutChunk | F::LengthTooLong => but_logout(passing(Status::Network)),
        F::SilenceBeforeHead | F::SilenceInHead | F::Drip => passing(Status::Timeout),
        F::SilenceInBody => but_logout(passing(Status::Timeout)),
        F::ByteByByte | F::NoLength | F::Chunked | F::Http10 | F::BareLf | F::Continue | F::EarlyHints => GOOD,
        F::LengthNonsense | F::LengthNegative | F::LengthsDiffer | F::NotHttp | F::NulInHead => fix(Status::Protocol),
        F::EndlessHead | F::HugeHead | F::HugeHeader | F::SwitchingProtocols => fix(Status::Protocol),
        F::LengthTooShort | F::ChunkNonsense | F::ChunkTooLarge | F::EndlessBody | F::EndlessChunks | F::Gzip => {
            but_logout(fix(Status::Protocol))
        }

        F::JsonAsHtml | F::JsonTwice | F::ExtraFields | F::UpperTokenType => GOOD,
        F::NoRefreshToken | F::EmptyRefreshToken | F::NullRefreshToken => GOOD,
        F::NoExpiresIn | F::ZeroExpiresIn | F::NegativeExpiresIn | F::HugeExpiresIn => GOOD,
        F::FractionExpiresIn | F::TextExpiresIn | F::WordExpiresIn => GOOD,
        F::NoScope | F::NumberScope | F::CrLfInScope => GOOD,
        _ if fault.kind() == Kind::Edit => but_logout(fix(Status::Protocol)),
        _ if fault.kind() == Kind::Idle => GOOD,

        F::Status204 | F::Html200 | F::Empty200 | F::JsonNull | F::JsonArray | F::JsonNumber => {
            but_logout(fix(Status::Protocol))
        }
        F::JsonNest | F::Error200 => but_logout(fix(Status::Protocol)),
        F::Status300 | F::Status301 | F::Status302 | F::Status303 | F::Status304 => fix(Status::Protocol),
        F::Status305 | F::Status307 | F::Status308 | F::Status600 => fix(Status::Protocol),
        F::Status400 | F::Status404 | F::Status405 | F::Status406 | F::Status407 | F::Status408 => {
            fix(Status::RequestRejected)
        }
        F::Html400 | F::Xml400 | F::Echo400 | F::ErrorOfWrongTypes | F::Rest406 => fix(Status::RequestRejected),
        F::MethodNotAllowed | F::NoGrantType | F::UnknownGrantType | F::UnknownScope | F::NoCode | F::WiderScope => {
            fix(Status::RequestRejected)
        }
        F::Status401 | F::Html401 | F::Container401 | F::NoCredentials | F::BadCredentials | F::ClientDiffers => {
            [client_rejected, client_rejected, token_rejected]
        }
        F::GrantNotAllowed | F::OtherClientsCode => [client_rejected, client_rejected, token_rejected],
        F::Status403 | F::ScopeTooSmall | F::Forbidden => fix(Status::AccessDenied),
        F::Status429 | F::Status500 | F::Status501 | F::Status502 | F::Status503 | F::Status504 => {
            passing(Status::Server)
        }
        F::RetryAfterSeconds | F::RetryAfterDate | F::RetryAfterWord => passing(Status::Server),
        F::Html502 | F::Html503 | F::ServerError | F::Rest500 => passing(Status::Server),
        // `invalid_grant` is an error of the token endpoint alone.
        F::UnknownCode | F::RedirectMismatch | F::UnknownRefreshToken | F::OtherClientsRefreshToken => {
            [log_in, log_in, request_rejected]
        }
        F::ExpiredRefreshToken | F::UnknownAccessToken | F::ExpiredAccessToken => [log_in, log_in, token_rejected],
        other => panic!("{other} has no place in the table"),
    }
}

/// A sandbox with its authority's file, and a client that no fault has met.
struct Place {
    sandbox: Sandbox,
    ca_file: Option<PathBuf>,
    seed: Client,
}

impl Place {
    fn new(tls: bool) -> Place {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let sandbox = Sandbox::start(Options { tls, control_port: Some(0), ..Options::default() }).unwrap();
        let ca_file = sandbox.ca_pem().map(|pem| {
            let name = format!("faults-{}-{}.pem", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            fs::write(&file, pem).unwrap();
            file
        });
        let seed = client(&sandbox, ca_file.as_deref(), |config| _ = config.set_timeout(Duration::from_secs(30)));
        Place { sandbox, ca_file, seed }
    }

    fn both() -> [Place; 2] {
        [Place::new(false), Place::new(true)]
    }

    fn tls(&self) -> bool {
        self.ca_file.is_some()
    }

    /// Whether the fault exists here.
    fn has(&self, fault: Fault) -> bool {
        self.tls() || !fault.needs_tls()
    }

    fn client(&self, retries: u32) -> Client {
        client(&self.sandbox, self.ca_file.as_deref(), |config| {
            config.set_timeout(TIMEOUT).set_connect_timeout(CONNECT_TIMEOUT).set_max_retries(retries);
        })
    }

    fn code(&self) -> String {
        self.sandbox.make_code(REDIRECT_URI)
    }

    /// Tokens that live, got without any fault.
    fn tokens(&self) -> Tokens {
        self.sandbox.set_faults(&[]).unwrap();
        self.seed.exchange_code(&self.code(), REDIRECT_URI).unwrap()
    }

    /// Every token that lives now, as the sandbox tells.
    fn live(&self) -> String {
        let address = self.sandbox.control_url().unwrap().strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        let request = format!("GET /sandbox/tokens HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(file) = &self.ca_file {
            let _ = fs::remove_file(file);
        }
    }
}

fn client(sandbox: &Sandbox, ca_file: Option<&Path>, set: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::new(ID, SECRET);
    config.set_base_url(sandbox.url()).set_proxy(Some(""));
    if let Some(file) = ca_file {
        config.set_ca_file(file);
    }
    set(&mut config);
    Client::new(&config).unwrap()
}

/// What one call did.
struct Outcome {
    result: Result<Option<Tokens>, Error>,
    took: Duration,
    /// Every line that was logged on its thread.
    logged: String,
    /// Everything secret that it had or was given.
    secrets: Vec<String>,
    requests: usize,
    connections: usize,
}

impl Outcome {
    fn want(&self) -> Want {
        self.result.as_ref().err().map(|error| (error.status(), error.advice()))
    }
}

/// Makes a call that meets `fault` every time; a fault of a kept connection is on the one that it finds.
fn call(place: &Place, fault: Fault, call: Call, retries: u32) -> Outcome {
    let tokens = place.tokens();
    let (access, refresh) = (tokens.access_token().expose(), tokens.refresh_token().unwrap().expose());
    let code = place.code();
    let client = place.client(retries);
    let mut warmed = None;
    if fault.kind() == Kind::Idle {
        place.sandbox.set_faults(&[fault.once()]).unwrap();
        warmed = Some(client.refresh(refresh).unwrap());
        thread::sleep(Duration::from_millis(100));
    } else {
        place.sandbox.set_faults(&[fault.always()]).unwrap();
    }
    let access = warmed.as_ref().map_or(access, |tokens| tokens.access_token().expose());
    let (requests, connections) = (place.sandbox.requests().len(), place.sandbox.connections());
    ThreadLog::begin();
    let begun = Instant::now();
    let result = match call {
        Exchange => client.exchange_code(&code, REDIRECT_URI).map(Some),
        Refresh => client.refresh(refresh).map(Some),
        Logout => client.logout(access).map(|()| None),
    };
    let took = begun.elapsed();
    let logged = ThreadLog::take();
    // A request that is on its way is recorded before anything can answer it, but for one that gets no answer.
    thread::sleep(Duration::from_millis(2));
    let live = place.live();
    let live = live.split('"').filter(|word| word.len() == 42 && word.contains('-')).map(str::to_owned);
    let mut secrets: Vec<String> = [SECRET, BASIC, &code, access, refresh].map(str::to_owned).into();
    secrets.extend(live);
    let requests = place.sandbox.requests().len() - requests;
    let connections = place.sandbox.connections() - connections;
    place.sandbox.set_faults(&[]).unwrap();
    Outcome { result, took, logged, secrets, requests, connections }
}

/// What is logged on a thread, the lines of ureq and rustls included, below the trace level.
struct ThreadLog;

thread_local! {
    static LOGGED: RefCell<String> = const { RefCell::new(String::new()) };
}

impl ThreadLog {
    fn begin() {
        static LOGGER: Once = Once::new();
        LOGGER.call_once(|| {
            log::set_logger(&ThreadLog).unwrap();
            log::set_max_level(log::LevelFilter::Debug);
        });
        LOGGED.take();
    }

    fn take() -> String {
        let logged = LOGGED.take();
        assert!(logged.contains(" cmauth "), "a call logs something: {logged}");
        logged
    }
}

impl log::Log for ThreadLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        LOGGED.with_borrow_mut(|logged| logged.push_str(&line));
    }

    fn flush(&self) {}
}

/// What is wrong with what an outcome prints, or what was logged meanwhile, if anything.
fn leak(outcome: &Outcome) -> Option<String> {
    let printed = match &outcome.result {
        Ok(tokens) => format!("{tokens:?} {tokens:#?}"),
        Err(error) => format!(
            "{error} {error:?} {error:#?} {} {:?} {:?}",
            error.message(),
            error.oauth_error(),
            error.oauth_description()
        ),
    };
    let printed = format!("{printed}\n{}", outcome.logged);
    // Neither whole nor half; a code of six letters has no half.
    let pieces = |secret: &String| match secret.len() {
        0..16 => vec![secret.clone()],
        length => vec![secret[..length / 2].to_owned(), secret[length / 2..].to_owned()],
    };
    let seen = outcome.secrets.iter().flat_map(pieces).find(|piece| printed.contains(piece))?;
    Some(format!("{seen:?} shows in {printed}"))
}

/// Runs `check` for every fault and call, plain and with TLS, on several threads; `check` says what is wrong.
fn for_every_fault(check: impl Fn(&Place, Fault, Call) -> Option<String> + Sync) {
    let work: Vec<(Fault, Call)> = Fault::ALL.iter().flat_map(|&fault| CALLS.map(|call| (fault, call))).collect();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let places = Place::both();
                while let Some(&(fault, call)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for place in places.iter().filter(|place| place.has(fault)) {
                        if let Some(words) = check(place, fault, call) {
                            let scheme = if place.tls() { "TLS" } else { "plain" };
                            wrong.lock().unwrap().push(format!("{fault} {call:?} ({scheme}): {words}"));
                        }
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_fault_gives_every_call_its_status_and_advice_in_time_and_without_a_secret() {
    for_every_fault(|place, fault, one| {
        let outcome = call(place, fault, one, 0);
        let wanted = wanted(fault, place.tls())[one as usize];
        if outcome.want() != wanted {
            return Some(format!("{:?}, wanted {wanted:?}", outcome.result.map_err(|error| error.to_string())));
        }
        if let Ok(Some(tokens)) = &outcome.result
            && !outcome.secrets.iter().any(|secret| secret == tokens.access_token().expose())
        {
            return Some("the token it gives is not alive".to_owned());
        }
        if outcome.took > LONGEST {
            return Some(format!("took {:?}", outcome.took));
        }
        leak(&outcome)
    });
}

#[test]
fn an_exchange_is_never_sent_twice_and_a_burned_code_is_never_said_to_be_worth_a_retry() {
    for_every_fault(|place, fault, one| {
        if one != Exchange {
            return None;
        }
        let outcome = call(place, fault, Exchange, 2);
        let sent = outcome.result.as_ref().err().is_none_or(Error::request_sent);
        let advice = outcome.want().map(|(_, advice)| advice);
        let wrong = outcome.requests > 1
            || (sent && outcome.connections > 1)
            || (sent && advice == Some(Advice::Retry))
            || outcome.took > LONGEST;
        wrong.then(|| {
            let Outcome { requests, connections, took, .. } = outcome;
            format!("{requests} requests, {connections} connections, {took:?}, sent: {sent}, {advice:?}")
        })
    });
}

#[test]
fn a_kept_connection_that_ended_is_never_the_caller_s_problem_and_never_carries_an_exchange() {
    let faults = || Fault::ALL.iter().copied().filter(|fault| fault.kind() == Kind::Idle);
    for place in Place::both() {
        for (fault, one) in faults().flat_map(|fault| CALLS.map(|one| (fault, one))) {
            if !place.has(fault) {
                continue;
            }
            // At once, so that the request crosses the end of the connection, and when that has long arrived.
            for wait in [0, 0, 0, 0, 0, 1, 1, 20, 100] {
                let tokens = place.tokens();
                let refresh = tokens.refresh_token().unwrap().expose();
                let code = place.code();
                let client = place.client(0);
                place.sandbox.set_faults(&[fault.once()]).unwrap();
                let tokens = client.refresh(refresh).unwrap();
                thread::sleep(Duration::from_millis(wait));
                let (requests, connections) = (place.sandbox.requests().len(), place.sandbox.connections());
                let result = match one {
                    Exchange => client.exchange_code(&code, REDIRECT_URI).map(Some),
                    Refresh => client.refresh(refresh).map(Some),
                    Logout => client.logout(tokens.access_token().expose()).map(|()| None),
                };
                let what = format!("{fault} {one:?} after {wait} ms (TLS: {})", place.tls());
                let given = result.unwrap_or_else(|error| panic!("{what}: {error}"));
                if let Some(given) = given {
                    assert!(
                        place.live().contains(given.access_token().expose()),
                        "{what}: not the answer to this call"
                    );
                }
                assert_eq!(place.sandbox.requests().len() - requests, 1, "{what}");
                assert_eq!(place.sandbox.connections() - connections, 1, "{what}");
            }
        }
    }
}

#[test]
fn a_408_that_crosses_a_request_on_a_kept_connection_is_not_its_answer() {
    for place in Place::both() {
        for _ in 0..20 {
            let tokens = place.tokens();
            let refresh = tokens.refresh_token().unwrap().expose();
            let client = place.client(0);
            place.sandbox.set_faults(&[Fault::TimeoutIdle.once()]).unwrap();
            client.refresh(refresh).unwrap();
            client.refresh(refresh).unwrap();
        }
    }
}

#[test]
fn a_logout_that_was_done_on_a_kept_connection_which_died_before_its_answer_is_done() {
    for place in Place::both() {
        let tokens = place.tokens();
        let client = place.client(0);
        let tokens = client.refresh(tokens.refresh_token().unwrap().expose()).unwrap();
        // The server ends the tokens, and then the connection.
        place.sandbox.set_faults(&[Fault::CloseBeforeHead.once()]).unwrap();
        client.logout(tokens.access_token().expose()).unwrap();
    }
}

#[test]
fn a_good_kept_connection_is_used_again_but_not_for_an_exchange() {
    for place in Place::both() {
        let tokens = place.tokens();
        let refresh = tokens.refresh_token().unwrap().expose();
        let client = place.client(0);
        let before = place.sandbox.connections();
        client.refresh(refresh).unwrap();
        client.refresh(refresh).unwrap();
        assert_eq!(place.sandbox.connections() - before, 1);
        let tokens = client.exchange_code(&place.code(), REDIRECT_URI).unwrap();
        assert_eq!(place.sandbox.connections() - before, 2);
        client.logout(tokens.access_token().expose()).unwrap();
        assert_eq!(place.sandbox.connections() - before, 2);
    }
}

#[test]
fn a_connection_whose_answer_went_wrong_spoils_no_later_call() {
    for_every_fault(|place, fault, one| {
        let tokens = place.tokens();
        let refresh = tokens.refresh_token().unwrap().expose();
        let client = place.client(0);
        place.sandbox.set_faults(&[fault.once()]).unwrap();
        let _ = match one {
            Exchange => client.exchange_code(&place.code(), REDIRECT_URI).map(drop),
            Refresh => client.refresh(refresh).map(drop),
            // It ends the tokens, so what follows has others.
            Logout => client.logout(tokens.access_token().expose()),
        };
        let tokens = place.tokens();
        match client.refresh(tokens.refresh_token().unwrap().expose()) {
            Err(error) => Some(format!("then {error:?}")),
            Ok(tokens) if !place.live().contains(tokens.access_token().expose()) => {
                Some("then a dead token".to_owned())
            }
            Ok(_) => None,
        }
    });
}

/// Faults that pass, and where the server has done nothing yet or does it again.
fn passing_faults() -> impl Iterator<Item = Fault> {
    let retry = |want: Want| want.is_some_and(|(_, advice)| advice == Advice::Retry);
    let in_time = |want: Want| want.is_some_and(|(status, _)| status != Status::Timeout);
    // Two minutes are more than any of these tests has.
    let waits = [Fault::RetryAfterSeconds, Fault::RetryAfterDate];
    Fault::ALL.iter().copied().filter(move |&fault| {
        let wanted = wanted(fault, true)[Refresh as usize];
        retry(wanted) && in_time(wanted) && fault.kind() != Kind::Listener && !waits.contains(&fault)
    })
}

#[test]
fn refresh_and_logout_get_over_every_passing_fault_that_comes_once() {
    let faults: Vec<Fault> = passing_faults().collect();
    assert!(faults.len() > 20, "{faults:?}");
    // The back-off of half a second is waited for by all of them at once.
    thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || {
                for place in Place::both().iter().filter(|place| place.has(fault)) {
                    let tokens = place.tokens();
                    let client = client(&place.sandbox, place.ca_file.as_deref(), |_| {});
                    place.sandbox.set_faults(&[fault.once()]).unwrap();
                    let tokens = client
                        .refresh(tokens.refresh_token().unwrap().expose())
                        .unwrap_or_else(|error| panic!("{fault}: {error}"));
                    place.sandbox.set_faults(&[fault.once()]).unwrap();
                    let done = client.logout(tokens.access_token().expose());
                    assert!(done.is_ok(), "{fault}: {done:?}");
                    assert!(!place.live().contains(tokens.access_token().expose()), "{fault}: still logged in");
                }
            });
        }
    });
}

#[test]
fn an_exchange_gets_over_a_handshake_that_fails_once_for_nothing_was_sent() {
    let place = Place::new(true);
    for fault in [Fault::Close, Fault::CloseInHandshake, Fault::ResetInHandshake] {
        let client = client(&place.sandbox, place.ca_file.as_deref(), |_| {});
        place.sandbox.set_faults(&[fault.once()]).unwrap();
        client.exchange_code(&place.code(), REDIRECT_URI).unwrap_or_else(|error| panic!("{fault}: {error}"));
    }
}

#[test]
fn an_exchange_gets_over_a_refused_connection_once_the_server_is_back() {
    let place = Place::new(false);
    let client = client(&place.sandbox, None, |config| _ = config.set_max_retries(5));
    place.sandbox.set_faults(&[Fault::Refuse.once()]).unwrap();
    thread::scope(|scope| {
        let code = place.code();
        let call = scope.spawn(move || client.exchange_code(&code, REDIRECT_URI));
        thread::sleep(Duration::from_millis(50));
        place.sandbox.set_faults(&[]).unwrap();
        call.join().unwrap().unwrap();
    });
    assert_eq!(place.sandbox.requests().len(), 1);
}

#[test]
fn retry_after_is_handed_to_the_caller_in_both_forms() {
    for place in Place::both() {
        for (fault, seconds) in [
            (Fault::RetryAfterSeconds, Some(120..=120)),
            // A date has no fractions, and a moment has passed.
            (Fault::RetryAfterDate, Some(117..=120)),
            (Fault::RetryAfterWord, None),
        ] {
            for one in CALLS {
                let error = call(&place, fault, one, 0).result.unwrap_err();
                let told = error.retry_after().map(|wait| wait.as_secs());
                let as_wanted = match &seconds {
                    None => told.is_none(),
                    Some(range) => told.is_some_and(|told| range.contains(&told)),
                };
                assert!(as_wanted, "{fault} {one:?}: {told:?}");
            }
        }
    }
}
