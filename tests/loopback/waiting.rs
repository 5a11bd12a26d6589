//! The end of a wait: timeout, cancellation and interruption.

use super::*;

#[test]
fn a_wait_can_be_repeated_after_a_timeout() {
    let mut waiting = WaitingLogin::new(vec![json(200, TOKENS)]);
    waiting.get("/"); // After the response, the thread is known to wait.
    let busy = waiting.login.wait(Duration::from_millis(1)).unwrap_err();
    assert_eq!(busy.status(), Status::InvalidArgument);
    assert!(busy.message().contains("another thread waits"), "{busy}");
    waiting.login.cancel();
    assert_eq!(waiting.result().unwrap_err().status(), Status::Cancelled);

    let client = waiting.server.client();
    let login = Loopback::listen(&client, 0).unwrap();
    let start = Instant::now();
    let error = login.wait(Duration::from_millis(200)).unwrap_err();
    assert_eq!((error.status(), error.advice()), (Status::Timeout, Advice::Retry), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(200));
    waiting.login = Arc::new(login);
    waiting.wait();
    waiting.get(&waiting.redirect());
    waiting.result().unwrap();
}

/// Asserts that `end` cancels the login at once, after `at` has brought it to some state.
fn assert_cancelled(steps: Vec<Step>, at: impl FnOnce(&WaitingLogin), end: impl FnOnce(&WaitingLogin)) -> Error {
    let mut waiting = WaitingLogin::new(steps);
    at(&waiting);
    let start = Instant::now();
    end(&waiting);
    let error = waiting.result().unwrap_err();
    // The promise is 100 ms. The rest is a margin for a busy machine.
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(error.status(), Status::Cancelled, "{error}");
    error
}

#[test]
fn a_wait_is_cancelled_from_another_thread() {
    assert_cancelled(vec![], |_| {}, |waiting| waiting.login.cancel());
    // While the exchange waits for its retry.
    let silent = response(503, &["Retry-After: 20"], "");
    let error = assert_cancelled(
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
fn a_cancelled_wait_closes_the_port_at_once() {
    let mut waiting = WaitingLogin::new(vec![]);
    let port = waiting.login.port();
    waiting.login.cancel();
    waiting.result().unwrap_err();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    assert_eq!(waiting.login.wait(Duration::from_secs(1)).unwrap_err().status(), Status::Cancelled);
}

#[test]
fn cancelling_one_exchange_does_not_affect_other_calls() {
    // A server that accepts requests and does not respond.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::new(ID, SECRET);
    config.set_base_url(&format!("http://{}", listener.local_addr().unwrap())).set_proxy(Some(""));
    let client = Client::new(&config).unwrap();
    let mut waiting = WaitingLogin::of(Server::start(vec![]), &client);
    let mut browser = TcpStream::connect((Ipv4Addr::LOCALHOST, waiting.login.port())).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", waiting.redirect(), waiting.login.port());
    browser.write_all(request.as_bytes()).unwrap();
    let (mut exchange, _) = listener.accept().unwrap();
    assert!(exchange.read(&mut [0; 4096]).unwrap() > 0);
    let start = Instant::now();
    waiting.login.cancel();
    let error = waiting.result().unwrap_err();
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!((error.status(), error.request_sent()), (Status::Cancelled, true), "{error}");

    // Other calls of the client continue.
    let caller = thread::spawn(move || client.refresh("r"));
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", TOKENS.len());
    stream.write_all(format!("{head}{TOKENS}").as_bytes()).unwrap();
    caller.join().unwrap().unwrap();
}

#[test]
fn cancelling_the_client_ends_the_wait() {
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
fn an_interrupted_call_ends_wherever_it_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let retry = Server::start(vec![response(503, &["Retry-After: 20"], "")]);
    for url in [
        format!("http://{}", listener.local_addr().unwrap()),
        format!("https://{}", listener.local_addr().unwrap()),
        retry.url.clone(),
    ] {
        let mut config = Config::new(ID, SECRET);
        config.set_base_url(&url).set_proxy(Some(""));
        let client = Client::new(&config).unwrap();
        let start = Instant::now();
        let error =
            interruptible(move || start.elapsed() > Duration::from_millis(300), || client.refresh("r").unwrap_err());
        assert_eq!(error.status(), Status::Cancelled, "{url}: {error}");
        assert!(start.elapsed() < Duration::from_millis(800), "{url}: {:?}", start.elapsed());
    }
}
