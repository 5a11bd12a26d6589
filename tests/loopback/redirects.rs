//! The redirect, other requests, and the page that the browser shows.

use super::*;

#[test]
fn the_redirect_finishes_the_login_and_closes_the_port() {
    let mut waiting = WaitingLogin::new(vec![json(200, TOKENS)]);
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
fn any_other_request_gets_400_without_an_echo_and_the_wait_continues() {
    let mut waiting = WaitingLogin::new(vec![json(200, TOKENS)]);
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
        // A web page of an attacker whose host name resolves to 127.0.0.1.
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
    // An endless head. The connection may be reset while the head is still being sent.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000)).as_bytes());
    let _ = stream.read_to_end(&mut Vec::new());
    assert!(waiting.server.requests().is_empty());
    assert!(waiting.get(&redirect).starts_with("HTTP/1.1 200"));
    waiting.result().unwrap();
}

#[test]
fn the_page_shows_the_message_of_the_program_as_text() {
    let mut waiting = WaitingLogin::new(vec![json(200, TOKENS)]);
    waiting.login.set_message("Recorder <b>7</b> & \"co\" ist angemeldet:\nzurück zum Programm");
    let page = waiting.get(&waiting.redirect());
    let text = "Recorder &lt;b&gt;7&lt;/b&gt; &amp; &quot;co&quot; ist angemeldet:\nzurück zum Programm";
    assert!(page.contains(text), "{page}");
    assert!(!page.contains("You are logged in"), "{page}");
    waiting.result().unwrap();
}

#[test]
fn a_denied_access_ends_the_wait() {
    let mut waiting = WaitingLogin::new(vec![json(200, TOKENS)]);
    let page = waiting.get(&format!("/?error=access_denied&error_description=hunter2&state={}", waiting.state()));
    assert!(page.contains("You did not allow the access") && !page.contains("hunter2"), "{page}");
    let error = waiting.result().unwrap_err();
    assert_eq!((error.status(), error.advice()), (Status::AccessDenied, Advice::LogIn));
    assert!(waiting.server.requests().is_empty());
}

#[test]
fn a_failed_exchange_is_shown_in_the_page_and_closes_the_port() {
    let mut waiting = WaitingLogin::new(vec![json(400, r#"{"error":"invalid_grant"}"#)]);
    let page = waiting.get(&waiting.redirect());
    assert!(page.contains("The login did not work"), "{page}");
    assert_eq!(waiting.result().unwrap_err().status(), Status::LoginRequired);
    assert!(!waiting.is_listening());
}

#[test]
fn an_unsent_exchange_can_be_repeated_by_reloading_the_page() {
    // No server listens on this port yet.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = Config::new(ID, SECRET);
    config.set_base_url(&format!("http://127.0.0.1:{port}")).set_proxy(Some("")).set_max_retries(0);
    let mut waiting = WaitingLogin::of(Server::start(vec![]), &Client::new(&config).unwrap());
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
fn a_port_in_use_is_named_and_two_logins_can_wait_at_once() {
    let server = Server::start(vec![json(200, TOKENS)]);
    let one = Loopback::listen(&server.client(), 0).unwrap();
    let error = Loopback::listen(&server.client(), one.port()).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().starts_with(&format!("port: {} is in use", one.port())), "{error}");
    let other = Loopback::listen(&server.client(), 0).unwrap();
    assert_ne!(one.port(), other.port());
    // It listens on 127.0.0.1 only, so the same port is free on another address of this machine.
    TcpListener::bind(("127.0.0.2", one.port())).unwrap();
}
