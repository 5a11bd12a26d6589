//! The control API and its Rust equivalents: requests, the clock, codes, tokens. Also the start and the end of a sandbox.

mod common;

use std::io::Read;
use std::net::TcpStream;

use cmauth_sandbox::{Client, Options, Sandbox};
use common::*;

#[test]
fn requests_are_recorded_unchanged() {
    let sandbox = start();
    let headers = [("X-One", "1"), ("Authorization", "Basic Og=="), ("X-One", "2")];
    send(&sandbox, "POST", "/oauth/token?a=%3A:&b", &headers, "a body");
    let requests = sandbox.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/oauth/token?a=%3A:&b"));
    assert_eq!(request.body, "a body");
    assert_eq!(request.header("authorization"), Some("Basic Og=="));
    let ones: Vec<_> = request.headers.iter().filter(|(name, _)| name == "x-one").map(|(_, v)| v.as_str()).collect();
    assert_eq!(ones, ["1", "2"]);
}

#[test]
fn requests_can_be_read_and_cleared_over_http_without_being_recorded() {
    let sandbox = start();
    send(&sandbox, "GET", "/nothing?x", &[], "");
    let list = send(&sandbox, "GET", "/sandbox/requests", &[], "").json();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    assert_eq!((&list[0]["method"], &list[0]["target"]), (&"GET".into(), &"/nothing?x".into()));
    assert_eq!(list[0]["headers"][0][0], "host");
    assert_eq!(send(&sandbox, "DELETE", "/sandbox/requests", &[], "").status, 204);
    assert_eq!(sandbox.requests(), []);
}

#[test]
fn the_clock_can_be_moved_over_http() {
    let sandbox = start();
    let token = log_in(&sandbox, "write").text("access_token");
    assert_eq!(send(&sandbox, "POST", "/sandbox/clock", &[], r#"{"advance": 43200}"#).status, 204);
    let response = with_token(&sandbox, "GET", "/rest/v2.0/users/self", &token);
    response.assert_error(401, "invalid_token", &format!("Access token expired: {token}"));
    for wrong in ["", "{}", r#"{"advance": -1}"#, r#"{"advance": "1"}"#, r#"{"advance": 1, "x": 1}"#] {
        let response = send(&sandbox, "POST", "/sandbox/clock", &[], wrong);
        assert_eq!(response.status, 400, "{wrong}");
        assert!(response.body.contains(r#"{"advance": 3600}"#), "{response:?}");
    }
}

#[test]
fn codes_of_any_scope_can_be_made_over_http() {
    let sandbox = start();
    for (body, scope) in [
        (r#"{"redirect_uri": "https://example.com", "scope": "read"}"#, "read"),
        (r#"{"redirect_uri": "https://example.com"}"#, "write"),
    ] {
        let code = send(&sandbox, "POST", "/sandbox/codes", &[], body).text("code");
        let tokens = exchange(&sandbox, &code).json();
        assert_eq!(tokens["scope"], scope, "{tokens}");
    }
    for wrong in ["", "{}", r#"{"redirect_uri": 1}"#, r#"{"redirect_uri": "x", "x": 1}"#] {
        let response = send(&sandbox, "POST", "/sandbox/codes", &[], wrong);
        assert_eq!(response.status, 400, "{wrong}");
        assert!(response.body.contains(r#""redirect_uri": "https://example.com""#), "{response:?}");
    }
}

#[test]
fn dropping_a_sandbox_stops_it_even_with_open_connections() {
    let sandbox = start();
    let mut idle = TcpStream::connect(sandbox.url().strip_prefix("http://").unwrap()).unwrap();
    // After this response, the server has accepted the connection above.
    assert_eq!(send(&sandbox, "GET", "/login", &[], "").status, 200);
    drop(sandbox);
    // The connection ends or is reset; it must not hang.
    assert!(!matches!(idle.read(&mut [0]), Ok(1)));
}

#[test]
fn a_port_in_use_and_an_unusable_client_are_errors() {
    let sandbox = start();
    let port = sandbox.url().rsplit_once(':').unwrap().1.parse().unwrap();
    assert!(Sandbox::start(Options { port, ..Options::default() }).is_err());
    let error = Sandbox::start(Options { clients: vec![Client::new("a:b", "c")], ..Options::default() }).unwrap_err();
    assert!(error.to_string().contains("a:b"), "{error}");
}

#[test]
fn an_idle_connection_does_not_delay_others() {
    let sandbox = start();
    let _silent = TcpStream::connect(sandbox.url().strip_prefix("http://").unwrap()).unwrap();
    assert_eq!(send(&sandbox, "GET", "/login", &[], "").status, 200);
}

#[test]
fn valid_tokens_can_be_listed_over_http() {
    let sandbox = start();
    let list = || send(&sandbox, "GET", "/sandbox/tokens", &[], "").json();
    assert_eq!(list().as_array().unwrap().len(), 0);
    let token = log_in(&sandbox, "write").text("access_token");
    assert_eq!(list()[0]["access_token"], token.as_str());
    sandbox.advance(std::time::Duration::from_secs(43_200));
    assert_eq!(list().as_array().unwrap().len(), 0);
}
