//! A login that waits for its browser on this machine, and one that begins here and is finished elsewhere.

mod common;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cmauth::bindings::interruptible;
use cmauth::{Advice, Client, Config, Error, Login, Loopback, Status, Tokens};
use common::{ID, SECRET, Server, Step, answer, json};

const TOKENS: &str =
    r#"{"access_token":"a","token_type":"bearer","refresh_token":"r","expires_in":43199,"scope":"write"}"#;

/// A login that waits on a thread.
struct Waiting {
    server: Server,
    login: Arc<Loopback>,
    thread: Option<JoinHandle<Result<Tokens, Error>>>,
}

impl Waiting {
    fn new(steps: Vec<Step>) -> Waiting {
        let server = Server::start(steps);
        let client = server.client_with(|config| _ = config.set_max_retries(0));
        Waiting::of(server, &client)
    }

    /// The same for a client of another server.
    fn of(server: Server, client: &Client) -> Waiting {
        let login = Arc::new(Loopback::listen(client, 0).unwrap());
        let mut waiting = Waiting { server, login, thread: None };
        waiting.wait();
        waiting
    }

    fn wait(&mut self) {
        let login = self.login.clone();
        self.thread = Some(thread::spawn(move || login.wait(Duration::from_secs(30))));
    }

    fn state(&self) -> String {
        self.login.login().url().rsplit_once("&state=").unwrap().1.to_owned()
    }

    fn redirect(&self) -> String {
        format!("/?code=AbCdEf&state={}", self.state())
    }

    /// What a browser gets for a request of this target.
    fn get(&self, target: &str) -> String {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.login.port()))
    }

    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.login.port())).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    fn result(&mut self) -> Result<Tokens, Error> {
        self.thread.take().unwrap().join().unwrap()
    }

    fn is_listening(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.login.port())).is_ok()
    }
}

#[test]
fn the_redirect_finishes_it_and_closes_the_port() {
    let mut waiting = Waiting::new(vec![json(200, TOKENS)]);
    let page = waiting.get(&waiting.redirect());
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("You are logged in."), "{page}");
    for header in [
        "Cache-Control: no-store",
        "frame-ancestors 'none'",
        "default-src 'none'",
        "X-Frame-Options: DENY",
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
    ] {
        assert!(page.contains(header), "{header} is not in: {page}");
    }
    for never in ["<script", "http://", "https://", "AbCdEf", &waiting.state()] {
        assert!(!page.contains(never), "{never} is in: {page}");
    }
    assert_eq!(waiting.result().unwrap().access_token().expose(), "a");
    assert!(!waiting.is_listening());
    let sent = &waiting.server.requests()[0];
    let uri = format!("redirect_uri=http%3A%2F%2F127.0.0.1%3A{}%2F ", waiting.login.port());
    assert!(sent.contains("code=AbCdEf") && sent.contains(&uri), "{sent}");

    let again = waiting.login.wait(Duration::from_secs(1)).unwrap_err();
    assert_eq!(again.status(), Status::InvalidArgument);
    assert!(again.message().contains("already finished"), "{again}");
}

#[test]
fn whatever_else_comes_gets_400_without_an_echo_and_the_wait_goes_on() {
    let mut waiting = Waiting::new(vec![json(200, TOKENS)]);
    let (port, redirect, state) = (waiting.login.port(), waiting.redirect(), waiting.state());
    let host = format!("Host: 127.0.0.1:{port}\r\n");
    for request in [
        format!("GET / HTTP/1.1\r\n{host}\r\n"),
        format!("GET /favicon.ico HTTP/1.1\r\n{host}\r\n"),
        format!("GET /?code=AbCdEf&state=hunter2 HTTP/1.1\r\n{host}\r\n"),
        format!("GET /?code=AbCdEf HTTP/1.1\r\n{host}\r\n"),
        format!("GET /?state={state} HTTP/1.1\r\n{host}\r\n"),
        format!("GET /?code=hunter2&code=AbCdEf&state={state} HTTP/1.1\r\n{host}\r\n"),
        format!("GET /elsewhere{redirect} HTTP/1.1\r\n{host}\r\n"),
        format!("POST {redirect} HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"),
        format!("HEAD {redirect} HTTP/1.1\r\n{host}\r\n"),
        // A stranger's page whose name leads here.
        format!("GET {redirect} HTTP/1.1\r\nHost: hunter2.example.com:{port}\r\n\r\n"),
        format!("GET {redirect} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
        format!("GET {redirect} HTTP/1.1\r\n{host}{host}\r\n"),
        format!("GET {redirect} HTTP/1.1\r\n\r\n"),
        "hunter2\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01".to_owned(),
    ] {
        let page = waiting.send(&request);
        assert!(page.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request}: {page}");
        assert!(!page.contains("hunter2") && !page.contains("AbCdEf") && !page.contains(&state), "{page}");
    }
    // A head without an end; the connection may be reset while it is still sent.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000)).as_bytes());
    let _ = stream.read_to_end(&mut Vec::new());
    assert!(waiting.server.requests().is_empty());
    assert!(waiting.get(&redirect).starts_with("HTTP/1.1 200"));
    waiting.result().unwrap();
}

#[test]
fn connections_that_say_nothing_or_half_keep_nobody_waiting() {
    let mut waiting = Waiting::new(vec![json(200, TOKENS)]);
    // More than are kept, as a hostile program on this machine might open.
    let silent: Vec<TcpStream> = (0..300)
        .map(|i| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, waiting.login.port())).unwrap();
            stream.write_all(&b"GET /"[..i % 5]).unwrap();
            stream
        })
        .collect();
    // And a redirect in pieces.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, waiting.login.port())).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", waiting.redirect(), waiting.login.port());
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    waiting.result().unwrap();
    drop(silent);
}

#[test]
fn connections_that_send_a_little_every_now_and_then_keep_nobody_waiting() {
    let mut waiting = Waiting::new(vec![json(200, TOKENS)]);
    let port = waiting.login.port();
    let over = Arc::new(AtomicBool::new(false));
    let dripping: Vec<_> = (0..10)
        .map(|_| {
            let over = over.clone();
            thread::spawn(move || {
                let mut streams = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    while streams.len() < 30 {
                        let address = (Ipv4Addr::LOCALHOST, port).into();
                        let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) else {
                            break;
                        };
                        streams.push(stream);
                    }
                    streams.retain_mut(|stream| stream.write_all(b"G").is_ok());
                    thread::sleep(Duration::from_millis(500));
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    let redirect = waiting.redirect();
    assert!(waiting.get(&redirect).starts_with("HTTP/1.1 200"));
    let took = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    dripping.into_iter().for_each(|thread| thread.join().unwrap());
    waiting.result().unwrap();
    assert!(took < Duration::from_secs(7), "{took:?}");
}

#[test]
fn a_connection_on_which_no_whole_request_comes_in_time_is_closed() {
    let mut waiting = Waiting::new(vec![json(200, TOKENS)]);
    let begun = Instant::now();
    let streams = ["", "GET /"].map(|beginning| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, waiting.login.port())).unwrap();
        stream.write_all(beginning.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
        stream
    });
    for mut stream in streams {
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
        assert!(begun.elapsed() >= Duration::from_secs(10), "{:?}", begun.elapsed());
    }
    waiting.get(&waiting.redirect());
    waiting.result().unwrap();
}

/// Somebody on this machine who opens connections to the port as fast as two threads can, and says nothing on them.
struct Flood {
    opened: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Begins, and waits until it has opened more connections than were ever kept.
    fn start(port: u16) -> Flood {
        let (opened, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let open = |_| {
            let (opened, stop) = (opened.clone(), stop.clone());
            thread::spawn(move || {
                let mut open = VecDeque::new();
                while !stop.load(Ordering::Relaxed) && opened.load(Ordering::Relaxed) < 20_000 {
                    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
                    opened.fetch_add(1, Ordering::Relaxed);
                    open.push_back(stream);
                    if open.len() > 200 {
                        open.pop_front();
                    }
                }
            })
        };
        let threads = (0..2).map(open).collect();
        let flood = Flood { opened, stop, threads };
        flood.goes_on(100, Duration::from_secs(10));
        flood
    }

    /// Waits until `more` connections are opened, for this time at most: attackers, too, wait for a port that is busy.
    fn goes_on(&self, more: usize, longest: Duration) {
        let (until, wanted) = (Instant::now() + longest, self.opened.load(Ordering::Relaxed) + more);
        while self.opened.load(Ordering::Relaxed) < wanted && Instant::now() < until {
            thread::yield_now();
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// What the browser of one login gets while its port is flooded. It sends its request `at_once`, or only so many bytes of
/// it before it waits for some milliseconds.
fn redirect_in_a_flood(at_once: usize) -> std::io::Result<String> {
    let mut waiting = Waiting::new(vec![json(200, TOKENS)]);
    let flood = Flood::start(waiting.login.port());
    let host = format!("Host: 127.0.0.1:{}\r\n\r\n", waiting.login.port());
    let request = format!("GET {} HTTP/1.1\r\n{host}", waiting.redirect());
    let (first, second) = request.split_at(at_once.min(request.len()));
    let page = (|| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, waiting.login.port()))?;
        stream.write_all(first.as_bytes())?;
        if !second.is_empty() {
            flood.goes_on(100, Duration::from_millis(10));
            stream.write_all(second.as_bytes())?;
        }
        let mut page = String::new();
        stream.read_to_string(&mut page).map(|_| page)
    })();
    waiting.login.cancel();
    let _ = waiting.result();
    page
}

#[test]
fn no_redirect_is_lost_while_somebody_floods_the_port_with_connections() {
    let five = || -> Vec<_> { [usize::MAX, 40, 0, usize::MAX, 40].map(redirect_in_a_flood).into() };
    let browsers: Vec<_> = (0..8).map(|_| thread::spawn(five)).collect();
    let pages = browsers.into_iter().flat_map(|browser| browser.join().unwrap());
    let lost: Vec<_> = pages.filter(|page| !page.as_ref().is_ok_and(|page| page.starts_with("HTTP/1.1 200"))).collect();
    assert!(lost.is_empty(), "{} of 40 are lost: {lost:?}", lost.len());
}

#[test]
fn the_page_has_the_products_words_as_text() {
    let mut waiting = Waiting::new(vec![json(200, TOKENS)]);
    waiting.login.set_message("Recorder <b>7</b> & \"co\" ist angemeldet:\nzurück zum Programm");
    let page = waiting.get(&waiting.redirect());
    let text = "Recorder &lt;b&gt;7&lt;/b&gt; &amp; &quot;co&quot; ist angemeldet:\nzurück zum Programm";
    assert!(page.contains(text), "{page}");
    assert!(!page.contains("You are logged in"), "{page}");
    waiting.result().unwrap();
}

#[test]
fn a_user_who_says_no_ends_it() {
    let mut waiting = Waiting::new(vec![json(200, TOKENS)]);
    let page = waiting.get(&format!("/?error=access_denied&error_description=hunter2&state={}", waiting.state()));
    assert!(page.contains("You did not allow the access") && !page.contains("hunter2"), "{page}");
    let error = waiting.result().unwrap_err();
    assert_eq!((error.status(), error.advice()), (Status::AccessDenied, Advice::LogIn));
    assert!(waiting.server.requests().is_empty());
}

#[test]
fn a_failed_exchange_is_said_to_the_user_and_closes_the_port() {
    let mut waiting = Waiting::new(vec![json(400, r#"{"error":"invalid_grant"}"#)]);
    let page = waiting.get(&waiting.redirect());
    assert!(page.contains("The login did not work"), "{page}");
    assert_eq!(waiting.result().unwrap_err().status(), Status::LoginRequired);
    assert!(!waiting.is_listening());
}

#[test]
fn an_exchange_that_was_not_sent_can_be_tried_again_by_reloading_the_page() {
    // Nobody listens at the server for a moment.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = Config::new(ID, SECRET);
    config.set_base_url(&format!("http://127.0.0.1:{port}")).set_proxy(Some("")).set_max_retries(0);
    let mut waiting = Waiting::of(Server::start(vec![]), &Client::new(&config).unwrap());
    let redirect = waiting.redirect();
    assert!(waiting.get(&redirect).contains("The login did not work"));
    assert_eq!(waiting.result().unwrap_err().status(), Status::Network);
    waiting.wait();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", TOKENS.len());
        stream.write_all(format!("{head}{TOKENS}").as_bytes()).unwrap();
    });
    assert!(waiting.get(&redirect).contains("You are logged in"));
    waiting.result().unwrap();
    server.join().unwrap();
}

#[test]
fn nobody_comes_and_then_somebody_does() {
    let mut waiting = Waiting::new(vec![json(200, TOKENS)]);
    waiting.get("/"); // It is answered, so the thread waits.
    let busy = waiting.login.wait(Duration::from_millis(1)).unwrap_err();
    assert_eq!(busy.status(), Status::InvalidArgument);
    assert!(busy.message().contains("another thread waits"), "{busy}");
    waiting.login.cancel();
    assert_eq!(waiting.result().unwrap_err().status(), Status::Cancelled);

    let client = waiting.server.client();
    let login = Loopback::listen(&client, 0).unwrap();
    let begun = Instant::now();
    let error = login.wait(Duration::from_millis(200)).unwrap_err();
    assert_eq!((error.status(), error.advice()), (Status::Timeout, Advice::Retry), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    waiting.login = Arc::new(login);
    waiting.wait();
    waiting.get(&waiting.redirect());
    waiting.result().unwrap();
}

/// The login is ended by `end` at once, wherever it is.
fn assert_ended(steps: Vec<Step>, at: impl FnOnce(&Waiting), end: impl FnOnce(&Waiting)) -> Error {
    let mut waiting = Waiting::new(steps);
    at(&waiting);
    let begun = Instant::now();
    end(&waiting);
    let error = waiting.result().unwrap_err();
    // 100 ms are promised; the rest is for a machine that is busy with other tests.
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!(error.status(), Status::Cancelled, "{error}");
    error
}

#[test]
fn a_wait_is_cancelled_from_another_thread() {
    assert_ended(vec![], |_| {}, |waiting| waiting.login.cancel());
    // In the exchange, which never ends by itself.
    let silent = answer(503, &["Retry-After: 20"], "");
    let error = assert_ended(
        vec![silent],
        |waiting| {
            let (port, redirect) = (waiting.login.port(), waiting.redirect());
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            stream.write_all(format!("GET {redirect} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n").as_bytes()).unwrap();
        },
        |waiting| waiting.login.cancel(),
    );
    assert!(!error.request_sent());
}

#[test]
fn a_cancelled_exchange_ends_alone() {
    // A server that takes requests and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::new(ID, SECRET);
    config.set_base_url(&format!("http://{}", listener.local_addr().unwrap())).set_proxy(Some(""));
    let client = Client::new(&config).unwrap();
    let mut waiting = Waiting::of(Server::start(vec![]), &client);
    let mut browser = TcpStream::connect((Ipv4Addr::LOCALHOST, waiting.login.port())).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", waiting.redirect(), waiting.login.port());
    browser.write_all(request.as_bytes()).unwrap();
    let (mut exchange, _) = listener.accept().unwrap();
    assert!(exchange.read(&mut [0; 4096]).unwrap() > 0);
    let begun = Instant::now();
    waiting.login.cancel();
    let error = waiting.result().unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!((error.status(), error.request_sent()), (Status::Cancelled, true), "{error}");

    // Other calls of the client go on.
    let caller = thread::spawn(move || client.refresh("r"));
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", TOKENS.len());
    stream.write_all(format!("{head}{TOKENS}").as_bytes()).unwrap();
    caller.join().unwrap().unwrap();
}

#[test]
fn cancelling_the_client_ends_the_wait_too() {
    let server = Server::start(vec![]);
    let client = server.client();
    let login = Arc::new(Loopback::listen(&client, 0).unwrap());
    let waiter = thread::spawn({
        let login = login.clone();
        move || login.wait(Duration::from_secs(30))
    });
    client.cancel();
    assert_eq!(waiter.join().unwrap().unwrap_err().status(), Status::Cancelled);
}

#[test]
fn a_call_is_interrupted_wherever_it_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let retry = Server::start(vec![answer(503, &["Retry-After: 20"], "")]);
    for url in [
        format!("http://{}", listener.local_addr().unwrap()),
        format!("https://{}", listener.local_addr().unwrap()),
        retry.url.clone(),
    ] {
        let mut config = Config::new(ID, SECRET);
        config.set_base_url(&url).set_proxy(Some(""));
        let client = Client::new(&config).unwrap();
        let begun = Instant::now();
        let error =
            interruptible(move || begun.elapsed() > Duration::from_millis(300), || client.refresh("r").unwrap_err());
        assert_eq!(error.status(), Status::Cancelled, "{url}: {error}");
        assert!(begun.elapsed() < Duration::from_millis(800), "{url}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_port_that_is_taken_is_named_and_two_logins_run_side_by_side() {
    let server = Server::start(vec![json(200, TOKENS)]);
    let one = Loopback::listen(&server.client(), 0).unwrap();
    let error = Loopback::listen(&server.client(), one.port()).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().starts_with(&format!("port: {} is in use", one.port())), "{error}");
    let other = Loopback::listen(&server.client(), 0).unwrap();
    assert_ne!(one.port(), other.port());
    // Bound to 127.0.0.1 alone: the same port is free on another address of this machine.
    TcpListener::bind(("127.0.0.2", one.port())).unwrap();
}

fn split(config: &Config) -> Login {
    Login::new(&Client::new(config).unwrap(), "https://recorder.example/login").unwrap()
}

#[test]
fn a_login_begins_on_one_machine_and_is_finished_on_another() {
    let server = Server::start(vec![json(200, TOKENS)]);
    // The workstation has no secret.
    let mut workstation = Config::new_public(ID);
    workstation.set_base_url(&server.url);
    let login = split(&workstation);
    let state = login.url().rsplit_once("&state=").unwrap().1.to_owned();
    let redirected = format!("https://recorder.example/login?code=AbCdEf&state={state}");
    let error = login.finish(&redirected).unwrap_err();
    assert!(error.message().starts_with("client_secret: "), "{error}");
    let public = Client::new(&workstation).unwrap();
    assert!(public.refresh("r").unwrap_err().message().starts_with("client_secret: "));
    assert!(server.requests().is_empty());

    let kept = login.to_json();
    assert!(!kept.expose().contains(SECRET), "no secret of the key");
    let recorder = server.client();
    let there = Login::from_json(&recorder, kept.expose()).unwrap();
    assert_eq!(there.url(), login.url());
    let forged = there.finish("https://recorder.example/login?code=AbCdEf&state=x").unwrap_err();
    assert_eq!(forged.status(), Status::StateMismatch);
    assert_eq!(there.finish(&redirected).unwrap().access_token().expose(), "a");
    assert!(server.requests()[0].contains("redirect_uri=https%3A%2F%2Frecorder.example%2Flogin "));
}

#[test]
fn what_is_no_login_of_this_client_is_refused_by_its_key() {
    let server = Server::start(vec![]);
    let client = server.client();
    let good = Login::new(&client, "https://example.com").unwrap().to_json();
    Login::from_json(&client, good.expose()).unwrap();
    let begun_at = good.expose().split("\"begun_at\":").nth(1).unwrap().split([',', '}']).next().unwrap();
    let begun: i64 = begun_at.parse().unwrap();
    let state = good.expose().split("\"state\":\"").nth(1).unwrap().split('"').next().unwrap();
    let with = |from: &str, to: &str| {
        let changed = good.expose().replace(from, to);
        assert_ne!(changed, good.expose(), "{from}");
        Login::from_json(&client, &changed).unwrap_err()
    };
    for (error, words) in [
        (Login::from_json(&client, "hunter2").unwrap_err(), "json: not a JSON object"),
        (Login::from_json(&client, "[]").unwrap_err(), "json: not a JSON object"),
        (with(ID, "another.key"), "json: \"client_id\" is not the one"),
        (with(&server.url, "https://hunter2"), "json: \"base_url\" is not the one"),
        (with("https://example.com", "javascript:hunter2"), "json: \"redirect_uri\" cannot"),
        (with(state, "hunter2"), "json: \"state\" is not"),
        (with("\"state\"", "\"other\""), "json: \"state\" is missing"),
        (with(begun_at, "\"now\""), "json: \"begun_at\" is missing"),
    ] {
        assert_eq!(error.status(), Status::InvalidArgument);
        assert!(error.message().starts_with(words), "{error}");
        assert!(!error.message().contains("hunter2"), "{error}");
    }
    for (late, fine) in [(-3500, true), (-3700, false), (200, true), (400, false)] {
        let changed = good.expose().replace(begun_at, &(begun + late).to_string());
        let result = Login::from_json(&client, &changed);
        assert_eq!(result.is_ok(), fine, "{late}");
        if let Err(error) = result {
            assert_eq!((error.status(), error.advice()), (Status::LoginRequired, Advice::LogIn));
        }
    }
}
