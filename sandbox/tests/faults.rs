//! Faults: how tests set them, their order, and their effect on the request.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use cmauth_sandbox::{Fault, Kind, Options, Planned, Sandbox};
use common::*;

fn address(url: &str) -> SocketAddr {
    url.rsplit_once('/').unwrap().1.replace("localhost", "127.0.0.1").parse().unwrap()
}

/// Sends a request on a new connection. Returns the bytes before the end, a reset or silence, and that end. Some responses
/// are endless, so it reads at most 3 MB.
fn raw(sandbox: &Sandbox, request: &str) -> (Vec<u8>, Option<ErrorKind>) {
    let mut socket = TcpStream::connect(address(sandbox.url())).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut response = Vec::new();
    let sent = socket.write_all(request.as_bytes());
    let end = sent.and_then(|()| socket.take(3_000_000).read_to_end(&mut response)).err().map(|error| error.kind());
    (response, end)
}

fn exchange_request(code: &str) -> String {
    let (basic, redirect) = (basic(ID, SECRET), encode(REDIRECT));
    let query = format!("grant_type=authorization_code&scope=write&code={code}&redirect_uri={redirect}");
    format!("POST /oauth/token?{query} HTTP/1.1\r\nHost: h\r\nAuthorization: {basic}\r\nContent-Length: 0\r\n\r\n")
}

fn login_status(sandbox: &Sandbox) -> u16 {
    send(sandbox, "GET", "/login", &[], "").status
}

#[test]
fn faults_happen_in_order_and_as_often_as_planned() {
    let sandbox = start();
    sandbox.set_faults(&[Fault::Status503.times(2), Fault::Html502.once()]).unwrap();
    assert_eq!([(); 4].map(|()| login_status(&sandbox)), [503, 503, 502, 200]);
    sandbox.set_faults(&[Fault::Status503.always(), Fault::Html502.once()]).unwrap();
    assert_eq!([(); 3].map(|()| login_status(&sandbox)), [503, 503, 503]);
    sandbox.set_faults(&[Fault::Status429.times(0)]).unwrap();
    assert_eq!(login_status(&sandbox), 200);
}

#[test]
fn faults_are_set_listed_and_cleared_over_http_which_they_do_not_affect() {
    let sandbox = start();
    let set = |body: &str| send(&sandbox, "POST", "/sandbox/faults", &[], body);
    let pending = || send(&sandbox, "GET", "/sandbox/faults", &[], "").json()["pending"].to_string();
    for (body, wanted) in [
        (r#""status-503""#, r#"[{"fault":"status-503","times":1}]"#),
        (r#"{"fault": "close", "times": null}"#, r#"[{"fault":"close","times":null}]"#),
        (
            r#"[{"fault": "cut-body", "times": 2}, "status-503", {"fault": "html-200"}]"#,
            r#"[{"fault":"cut-body","times":2},{"fault":"status-503","times":1},{"fault":"html-200","times":1}]"#,
        ),
        ("[]", "[]"),
    ] {
        // The fault before can be `close`, which breaks every connection. Only the Rust API can clear it here.
        sandbox.set_faults(&[]).unwrap();
        assert_eq!(set(body).status, 204, "{body}");
        if !body.contains("close") {
            assert_eq!(pending(), wanted);
        }
    }
    set(r#"{"fault": "status-503", "times": null}"#);
    assert_eq!(login_status(&sandbox), 503);
    assert_eq!(send(&sandbox, "DELETE", "/sandbox/faults", &[], "").status, 204);
    assert_eq!(login_status(&sandbox), 200);
    // The server records a request that met a fault, but no request to the control API.
    assert_eq!(sandbox.requests().len(), 2);
}

#[test]
fn every_fault_is_listed_with_a_description() {
    let sandbox = start();
    let list = send(&sandbox, "GET", "/sandbox/faults", &[], "").json();
    let names: Vec<_> = list["faults"].as_array().unwrap().iter().map(|row| row["fault"].as_str().unwrap()).collect();
    assert_eq!(names, Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>());
    assert!(list["faults"][0]["about"].as_str().unwrap().starts_with("Nothing listens on the port."), "{list}");
}

#[test]
fn unusable_plans_are_rejected_and_change_nothing() {
    let sandbox = start();
    sandbox.set_faults(&[Fault::Status503.always()]).unwrap();
    for (body, words) in [
        ("", "status-503"),
        (r#""no-such-fault""#, "no-such-fault"),
        (r#"[{"fault": "close", "time": 1}]"#, "status-503"),
        (r#"[{"fault": "close", "times": -1}]"#, "status-503"),
        (r#"["html-200", "silence-in-handshake"]"#, "silence-in-handshake needs a sandbox with TLS"),
        (r#"{"fault": "refuse", "times": 2}"#, "refuse lasts until it is cleared"),
    ] {
        let response = send(&sandbox, "POST", "/sandbox/faults", &[], body);
        assert_eq!(response.status, 400, "{body}");
        assert!(response.body.contains(words), "{body}: {response:?}");
    }
    assert!(sandbox.set_faults(&[Fault::ResetInHandshake.once()]).is_err());
    assert_eq!(login_status(&sandbox), 503);
    assert!(Sandbox::start(Options { faults: vec![Fault::CloseNotifyIdle.once()], ..Options::default() }).is_err());
}

#[test]
fn the_control_port_responds_during_faults_of_the_listener() {
    for fault in [Fault::Refuse, Fault::SilenceInConnect] {
        let sandbox = start_with(|options| options.control_port = Some(0));
        let control = sandbox.control_url().unwrap().strip_prefix("http://").unwrap().to_owned();
        let ask = |method: &str, target: &str, body: &str| {
            let mut socket = TcpStream::connect(&control).unwrap();
            socket.write_all(request(method, target, &control, &[], body).as_bytes()).unwrap();
            let mut response = String::new();
            socket.read_to_string(&mut response).unwrap();
            Response::parse(&response)
        };
        assert_eq!(login_status(&sandbox), 200);
        assert_eq!(ask("POST", "/sandbox/faults", &format!("{:?}", fault.name())).status, 204);
        for _ in 0..2 {
            let error =
                TcpStream::connect_timeout(&address(sandbox.url()), Duration::from_millis(200)).unwrap_err().kind();
            let wanted = if fault == Fault::Refuse { ErrorKind::ConnectionRefused } else { ErrorKind::TimedOut };
            assert_eq!(error, wanted, "{fault}");
        }
        assert_eq!(ask("GET", "/sandbox/requests", "").json().as_array().unwrap().len(), 1);
        assert_eq!(ask("GET", "/login", "").status, 404);
        assert_eq!(ask("DELETE", "/sandbox/faults", "").status, 204);
        assert_eq!(login_status(&sandbox), 200, "{fault}");
    }
}

#[test]
fn a_fault_of_the_listener_waits_for_its_turn() {
    let sandbox = start();
    sandbox.set_faults(&[Fault::Status503.once(), Fault::Refuse.once()]).unwrap();
    assert_eq!(login_status(&sandbox), 503);
    let until = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(address(sandbox.url())).is_ok() {
        assert!(Instant::now() < until, "still open");
    }
}

#[test]
fn a_closed_connection_is_empty_and_its_request_is_not_read() {
    let sandbox = start();
    let code = sandbox.make_code(REDIRECT);
    sandbox.set_faults(&[Fault::Close.once()]).unwrap();
    assert_eq!(raw(&sandbox, &exchange_request(&code)), (Vec::new(), None));
    assert_eq!((sandbox.requests().len(), sandbox.connections()), (0, 1));
    assert_eq!(exchange(&sandbox, &code).status, 200);
}

#[test]
fn a_request_whose_response_is_broken_was_served() {
    for &fault in Fault::ALL.iter().filter(|fault| matches!(fault.kind(), Kind::Response | Kind::Idle)) {
        if fault.needs_tls() || fault == Fault::Drip {
            continue;
        }
        let sandbox = start();
        let code = sandbox.make_code(REDIRECT);
        sandbox.set_faults(&[fault.once()]).unwrap();
        let (response, end) = raw(&sandbox, &exchange_request(&code));
        let text = String::from_utf8_lossy(&response).into_owned();
        let good = text.starts_with("HTTP/1.1 200 OK\r\n");
        let whole = text.contains(r#""token_type":"bearer""#) && text.ends_with('}');
        let silent = Some(ErrorKind::WouldBlock);
        let reset = Some(ErrorKind::ConnectionReset);
        let as_wanted = match fault {
            Fault::CloseBeforeHead => text.is_empty() && end.is_none(),
            Fault::ResetBeforeHead => text.is_empty() && end == reset,
            Fault::ResetInHead => good && !text.contains("\r\n\r\n") && end == reset,
            Fault::ResetAfterHead => text.ends_with("\r\n\r\n") && end == reset,
            Fault::CutHead => good && !text.contains("\r\n\r\n") && end.is_none(),
            Fault::CutBody => good && text.contains("access_token") && !whole && end.is_none(),
            Fault::SilenceBeforeHead => text.is_empty() && end == silent,
            Fault::SilenceInHead => good && !text.contains("\r\n\r\n") && end == silent,
            Fault::SilenceInBody => good && text.contains("access_token") && !whole && end == silent,
            Fault::ByteByByte => good && whole,
            Fault::LengthTooLong | Fault::NoLength => good && whole && end.is_none(),
            Fault::LengthTooShort | Fault::LengthsDiffer | Fault::NulInHead => good && whole,
            Fault::LengthNonsense => good && text.contains("Content-Length: banana\r\n"),
            Fault::HugeHead | Fault::HugeHeader => good && whole && text.len() > 2_000_000,
            Fault::EndlessHead | Fault::EndlessBody | Fault::EndlessChunks => good && text.len() == 3_000_000,
            Fault::Gzip => good && response.windows(3).any(|bytes| bytes == [0x1f, 0x8b, 8]),
            Fault::BareLf => text.starts_with("HTTP/1.1 200 OK\n") && whole,
            Fault::Http10 => text.starts_with("HTTP/1.0 200 OK\r\n") && whole && end.is_none(),
            Fault::CloseIdle => good && whole && end.is_none(),
            Fault::ResetIdle => good && whole && end == reset,
            Fault::TimeoutIdle => good && text.contains("}HTTP/1.1 408 ") && end.is_none(),
            Fault::TwoAnswers => good && text.matches("HTTP/1.1 200 OK").count() == 2,
            Fault::CloseNext | Fault::ResetNext => good && whole && end == silent,
            _ => !text.is_empty(),
        };
        assert!(as_wanted, "{fault}: {end:?} {}", text.chars().take(600).collect::<String>());
        assert_eq!(exchange(&sandbox, &code).status, 400, "{fault}: the code is used up");
    }
}

#[test]
fn a_request_whose_response_is_edited_was_served() {
    let sandbox = start();
    let code = sandbox.make_code(REDIRECT);
    sandbox.set_faults(&[Fault::NegativeExpiresIn.once()]).unwrap();
    let response = exchange(&sandbox, &code);
    assert_eq!(response.json()["expires_in"], -5);
    assert_eq!(exchange(&sandbox, &code).status, 400);
    // A response without tokens stays as it is.
    sandbox.set_faults(&[Fault::NegativeExpiresIn.once()]).unwrap();
    assert_eq!(log_out(&sandbox, &response.text("access_token")).status, 200);
}

#[test]
fn a_canned_response_uses_up_no_code_and_ends_no_token() {
    let sandbox = start();
    let code = sandbox.make_code(REDIRECT);
    sandbox.set_faults(&[Fault::UnknownCode.once()]).unwrap();
    exchange(&sandbox, &code).assert_error(400, "invalid_grant", &format!("Invalid authorization code: {code}"));
    let tokens = exchange(&sandbox, &code);
    assert_eq!(tokens.status, 200);
    sandbox.set_faults(&[Fault::Status503.once()]).unwrap();
    assert_eq!(log_out(&sandbox, &tokens.text("access_token")).status, 503);
    assert_eq!(log_out(&sandbox, &tokens.text("access_token")).status, 200);
}

#[test]
fn an_idle_connection_is_closed_or_reset_when_its_next_request_arrives() {
    for (fault, wanted) in [(Fault::CloseNext, Ok(0)), (Fault::ResetNext, Err(ErrorKind::ConnectionReset))] {
        let sandbox = start();
        sandbox.set_faults(&[fault.once()]).unwrap();
        let mut socket = TcpStream::connect(address(sandbox.url())).unwrap();
        let request = "GET /sandbox HTTP/1.1\r\nHost: h\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        let got = socket.read(&mut [0; 64 * 1024]).unwrap();
        assert!(got > 0);
        socket.write_all(request.as_bytes()).unwrap();
        assert_eq!(socket.read(&mut [0; 1]).map_err(|error| error.kind()), wanted, "{fault}");
        assert_eq!(sandbox.requests().len(), 1);
    }
}

#[test]
fn a_code_without_a_login_works_like_one_of_a_login() {
    let sandbox = start();
    let tokens = exchange(&sandbox, &sandbox.make_code(REDIRECT));
    assert_eq!((tokens.status, tokens.text("scope").as_str()), (200, "write"));
    let elsewhere = sandbox.make_code("https://example.com/elsewhere");
    exchange(&sandbox, &elsewhere).assert_error(400, "invalid_grant", "Redirect URI mismatch.");
}

#[test]
fn faults_are_planned_with_a_number_of_times() {
    assert_eq!(Fault::Close.once(), Planned { fault: Fault::Close, times: Some(1) });
    assert_eq!(Fault::Close.times(3), Planned { fault: Fault::Close, times: Some(3) });
    assert_eq!(Fault::Refuse.once(), Fault::Refuse.always());
}
