//! The requests: compared with the vendor's guide byte by byte, and when a request is sent again.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;

use cmauth::{Advice, Status};
use common::{BASIC, Server, Step, json, response};

const TOKENS: &str = r#"{"access_token":"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:10003","token_type":"bearer","refresh_token":"bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb:10003","expires_in":43199,"scope":"write"}"#;
const REFRESH_TOKEN: &str = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb:10003";

/// The request with sorted header lines, whose names are in lower case: HTTP ignores their order and case.
fn normalized(request: &str) -> String {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap().to_owned();
    let mut headers: Vec<String> = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            format!("{}: {value}", name.to_ascii_lowercase())
        })
        .collect();
    headers.sort();
    format!("{first}\n{}\n\n{body}", headers.join("\n"))
}

fn host(server: &Server) -> &str {
    server.url.trim_start_matches("http://")
}

#[test]
fn exchange_is_step_4_of_the_guide() {
    let server = Server::start(vec![json(200, TOKENS)]);
    server.client_with(|config| _ = config.set_scope("read")).exchange_code("AbCdEf", "https://example.com").unwrap();
    assert_eq!(
        server.requests().iter().map(|request| normalized(request)).collect::<Vec<_>>(),
        [format!(
            "POST /oauth/token?grant_type=authorization_code&scope=read&code=AbCdEf&redirect_uri=https%3A%2F%2Fexample.com HTTP/1.1\n\
             accept: application/json\n\
             authorization: Basic {BASIC}\n\
             content-length: 0\n\
             host: {}\n\
             user-agent: libcmauth/{}\n\n",
            host(&server),
            cmauth::VERSION
        )]
    );
}

#[test]
fn refresh_is_step_5_of_the_guide() {
    let server = Server::start(vec![json(200, TOKENS)]);
    server.client_with(|config| _ = config.set_user_agent("Recorder/1.0")).refresh(REFRESH_TOKEN).unwrap();
    assert_eq!(
        server.requests().iter().map(|request| normalized(request)).collect::<Vec<_>>(),
        [format!(
            "POST /oauth/token?grant_type=refresh_token&scope=write&refresh_token=bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb%3A10003 HTTP/1.1\n\
             accept: application/json\n\
             authorization: Basic {BASIC}\n\
             content-length: 0\n\
             host: {}\n\
             user-agent: libcmauth/{} Recorder/1.0\n\n",
            host(&server),
            cmauth::VERSION
        )]
    );
}

#[test]
fn logout_is_step_6_of_the_guide() {
    let server = Server::start(vec![response(200, &[], "")]);
    server.client().logout("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:10003").unwrap();
    assert_eq!(
        server.requests().iter().map(|request| normalized(request)).collect::<Vec<_>>(),
        [format!(
            "DELETE /rest/v2.0/users/self/tokens/current HTTP/1.1\n\
             accept: application/json\n\
             authorization: Bearer aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:10003\n\
             host: {}\n\
             user-agent: libcmauth/{}\n\n",
            host(&server),
            cmauth::VERSION
        )]
    );
}

#[test]
fn params_in_body_are_a_form_with_the_same_parameters() {
    let server = Server::start(vec![json(200, TOKENS)]);
    let client = server.client_with(|config| _ = config.set_params_in_body(true));
    client.exchange_code("Ab+/&=", "https://example.com/a?b=c&d=é").unwrap();
    client.refresh(REFRESH_TOKEN).unwrap();
    let bodies = [
        "grant_type=authorization_code&scope=write&code=Ab%2B%2F%26%3D&redirect_uri=https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%26d%3D%C3%A9",
        "grant_type=refresh_token&scope=write&refresh_token=bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb%3A10003",
    ];
    for (request, body) in server.requests().iter().zip(bodies) {
        assert_eq!(
            normalized(request),
            format!(
                "POST /oauth/token HTTP/1.1\n\
                 accept: application/json\n\
                 authorization: Basic {BASIC}\n\
                 content-length: {}\n\
                 content-type: application/x-www-form-urlencoded\n\
                 host: {}\n\
                 user-agent: libcmauth/{}\n\n{body}",
                body.len(),
                host(&server),
                cmauth::VERSION
            )
        );
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_base_url_with_a_path_or_a_slash_at_its_end_makes_no_double_slash() {
    let server = Server::start(vec![response(200, &[], "")]);
    for (end, path) in [("/", "/rest/"), ("/gateway//", "/gateway/rest/")] {
        let url = format!("{}{end}", server.url);
        server.client_with(|config| _ = config.set_base_url(&url)).logout("a").unwrap();
        let last = server.requests().pop().unwrap();
        assert!(last.starts_with(&format!("DELETE {path}v2.0/users/self/tokens/current HTTP")), "{last}");
    }
}

#[test]
fn calls_share_a_pooled_connection() {
    let server = Server::start(vec![json(200, TOKENS)]);
    let client = server.client();
    for _ in 0..3 {
        client.refresh(REFRESH_TOKEN).unwrap();
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
}

#[test]
fn a_call_on_a_stale_connection_is_sent_again_on_a_new_one() {
    // The server closes the connection when the second request arrives.
    let server = Server::start(vec![json(200, TOKENS), Step::Close, json(200, TOKENS)]);
    let client = server.client_with(|config| _ = config.set_max_retries(0));
    client.refresh(REFRESH_TOKEN).unwrap();
    client.refresh(REFRESH_TOKEN).unwrap();
    assert_eq!((server.requests().len(), server.connections()), (3, 2));
}

#[test]
fn an_exchange_is_sent_on_a_new_connection_and_never_twice() {
    let server = Server::start(vec![json(200, TOKENS), Step::Close]);
    let client = server.client();
    client.refresh(REFRESH_TOKEN).unwrap();
    let error = client.exchange_code("AbCdEf", "https://example.com").unwrap_err();
    assert_eq!((server.requests().len(), server.connections()), (2, 2));
    assert_eq!((error.status(), error.advice()), (Status::Network, Advice::LogIn));
    assert!(error.request_sent());
}

#[test]
fn a_refresh_is_retried_after_a_5xx_and_after_an_incomplete_response() {
    let server = Server::start(vec![
        response(503, &["Retry-After: 0"], ""),
        Step::RespondAndClose("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned()),
        json(200, TOKENS),
    ]);
    server.client().refresh(REFRESH_TOKEN).unwrap();
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn retries_end_with_the_last_error() {
    let server = Server::start(vec![response(500, &["Retry-After: 0"], "")]);
    let error = server.client().refresh(REFRESH_TOKEN).unwrap_err();
    assert_eq!((error.status(), server.requests().len()), (Status::Server, 3));
}

#[test]
fn a_call_fails_at_once_if_the_wait_before_its_retry_would_pass_the_deadline() {
    let server = Server::start(vec![response(429, &["Retry-After: 3600"], "")]);
    let error = server.client().refresh(REFRESH_TOKEN).unwrap_err();
    assert_eq!((error.status(), server.requests().len()), (Status::Server, 1));
    assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(3600));
}

#[test]
fn an_exchange_is_not_retried_after_a_5xx() {
    let server = Server::start(vec![response(503, &["Retry-After: 0"], "")]);
    let error = server.client().exchange_code("AbCdEf", "https://example.com").unwrap_err();
    assert_eq!(server.requests().len(), 1);
    assert_eq!((error.status(), error.advice()), (Status::Server, Advice::LogIn));
}

#[test]
fn a_logout_whose_first_response_was_lost_succeeds_if_the_token_is_unknown_then() {
    let gone = json(401, r#"{"error":"invalid_token","error_description":"Invalid access token: a"}"#);
    let server = Server::start(vec![Step::Close, gone.clone()]);
    server.client().logout("a").unwrap();
    assert_eq!(server.requests().len(), 2);

    // The same with a stale connection, and after the 504 of a gateway.
    for first in [Step::Close, response(504, &["Retry-After: 0"], "")] {
        let server = Server::start(vec![json(200, TOKENS), first, gone.clone()]);
        let client = server.client();
        client.refresh(REFRESH_TOKEN).unwrap();
        client.logout("a").unwrap();
        assert_eq!(server.requests().len(), 3);
    }

    let server = Server::start(vec![gone]);
    let error = server.client().logout("a").unwrap_err();
    assert_eq!((error.status(), error.request_sent()), (Status::TokenRejected, true));
}

#[test]
fn redirects_are_not_followed() {
    let server = Server::start(vec![response(307, &["Location: /oauth/token"], "")]);
    let client = server.client();
    for status in [client.refresh("a").unwrap_err().status(), client.logout("a").unwrap_err().status()] {
        assert_eq!(status, Status::Protocol);
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_refused_connection_is_a_network_error_and_nothing_was_sent() {
    let url = Server::start(vec![Step::Close]).url.clone();
    let other = Server::start(vec![Step::Close]);
    let client = other.client_with(|config| _ = config.set_base_url(&url).set_max_retries(0));
    let error = client.exchange_code("AbCdEf", "https://example.com").unwrap_err();
    assert_eq!((error.status(), error.advice()), (Status::Network, Advice::Retry));
    assert!(!error.request_sent());
    assert!(error.message().contains("connection refused"), "{error}");
}

#[test]
fn head_and_body_of_a_request_are_sent_together() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let first = stream.read(&mut buffer).unwrap();
        stream.write_all(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8(buffer[..first].to_vec()).unwrap()
    });
    let mut config = cmauth::Config::new("id", "secret");
    config.set_base_url(&url).set_proxy(Some("")).set_params_in_body(true).set_max_retries(0);
    let error = cmauth::Client::new(&config).unwrap().refresh("r").unwrap_err();
    assert_eq!(error.status(), Status::Server);
    let first = server.join().unwrap();
    assert!(first.ends_with("\r\n\r\ngrant_type=refresh_token&scope=write&refresh_token=r"), "{first}");
}

#[test]
fn tokens_of_up_to_8_kib_are_sent() {
    // A later server may use JWTs, which have some kilobytes, in the query or in a header.
    let server = Server::start(vec![json(200, TOKENS)]);
    server.client().exchange_code(&":".repeat(8192), &format!("https://h/{}", ":".repeat(8182))).unwrap();
    let error = server.client().refresh(&"t".repeat(8193)).unwrap_err();
    assert_eq!(error.to_string(), "refresh_token: it is longer than 8 KiB");
    for length in [3000, 5000, 8192] {
        let server = Server::start(vec![json(200, TOKENS), response(200, &[], ""), json(200, TOKENS)]);
        let client = server.client();
        let token = "t".repeat(length);
        client.refresh(&token).unwrap();
        client.logout(&token).unwrap();
        server.client_with(|config| _ = config.set_params_in_body(true)).refresh(&token).unwrap();
        assert!(server.requests().iter().all(|request| request.contains(&token)), "{length}");
    }
}

#[test]
fn a_5xx_whose_body_does_not_arrive_is_retried() {
    let without_body = "HTTP/1.1 503 X\r\nRetry-After: 0\r\nContent-Length: 100\r\n\r\n".to_owned();
    let server = Server::start(vec![Step::Respond(without_body), json(200, TOKENS)]);
    server.client_with(|config| _ = config.set_timeout(std::time::Duration::from_secs(20))).refresh("r").unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_new_connection_that_fails_is_not_taken_for_a_stale_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Reads the ClientHello, and closes the connection.
            let _ = stream.read(&mut [0; 4096]);
            sender.send(()).unwrap();
        }
    });
    let mut config = cmauth::Config::new("id", "secret");
    config.set_base_url(&url).set_proxy(Some("")).set_max_retries(0);
    let error = cmauth::Client::new(&config).unwrap().refresh("r").unwrap_err();
    assert_eq!(error.status(), Status::Network, "{error}");
    receiver.recv().unwrap();
    assert!(receiver.try_recv().is_err(), "the client connected twice");
}

#[test]
fn a_request_with_too_long_a_url_is_an_invalid_argument() {
    let server = Server::start(vec![json(200, TOKENS)]);
    let long = ":".repeat(8192);
    let client = server.client_with(|config| _ = config.set_scope(&long));
    let error = client.exchange_code(&long, &format!("https://h/{}", &long[..8182])).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument, "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_remote_proxy_is_rejected_for_an_http_base_url() {
    let mut config = cmauth::Config::new("id", "secret");
    config.set_base_url("http://localhost:9").set_proxy(Some("http://proxy.example.com:3128"));
    let error = cmauth::Client::new(&config).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().starts_with("proxy: "), "{error}");
}
