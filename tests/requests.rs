//! The requests, compared with the vendor's guide byte by byte.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;

use cmauth::{Advice, Status};
use common::{BASIC, Server, Step, answer, json};

const TOKENS: &str = r#"{"access_token":"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:10003","token_type":"bearer","refresh_token":"bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb:10003","expires_in":43199,"scope":"write"}"#;
const REFRESH_TOKEN: &str = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb:10003";

/// The request with its header lines in the order of the alphabet and their names in lower case, for neither matters.
fn normal(request: &str) -> String {
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
        server.requests().iter().map(|request| normal(request)).collect::<Vec<_>>(),
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
        server.requests().iter().map(|request| normal(request)).collect::<Vec<_>>(),
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
    let server = Server::start(vec![answer(200, &[], "")]);
    server.client().logout("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:10003").unwrap();
    assert_eq!(
        server.requests().iter().map(|request| normal(request)).collect::<Vec<_>>(),
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
fn params_in_body_are_the_same_as_a_form() {
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
            normal(request),
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
    let server = Server::start(vec![answer(200, &[], "")]);
    for (end, path) in [("/", "/rest/"), ("/gateway//", "/gateway/rest/")] {
        let url = format!("{}{end}", server.url);
        server.client_with(|config| _ = config.set_base_url(&url)).logout("a").unwrap();
        let last = server.requests().pop().unwrap();
        assert!(last.starts_with(&format!("DELETE {path}v2.0/users/self/tokens/current HTTP")), "{last}");
    }
}

#[test]
fn calls_share_a_kept_connection() {
    let server = Server::start(vec![json(200, TOKENS)]);
    let client = server.client();
    for _ in 0..3 {
        client.refresh(REFRESH_TOKEN).unwrap();
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
}

#[test]
fn a_kept_connection_that_died_is_replaced_unnoticed() {
    // The second request finds the connection closed as it arrives.
    let server = Server::start(vec![json(200, TOKENS), Step::Close, json(200, TOKENS)]);
    let client = server.client_with(|config| _ = config.set_max_retries(0));
    client.refresh(REFRESH_TOKEN).unwrap();
    client.refresh(REFRESH_TOKEN).unwrap();
    assert_eq!((server.requests().len(), server.connections()), (3, 2));
}

#[test]
fn an_exchange_goes_out_on_a_fresh_connection_and_never_twice() {
    let server = Server::start(vec![json(200, TOKENS), Step::Close]);
    let client = server.client();
    client.refresh(REFRESH_TOKEN).unwrap();
    let error = client.exchange_code("AbCdEf", "https://example.com").unwrap_err();
    assert_eq!((server.requests().len(), server.connections()), (2, 2));
    assert_eq!((error.status(), error.advice()), (Status::Network, Advice::LogIn));
    assert!(error.request_sent());
}

#[test]
fn a_refresh_is_sent_again_after_a_5xx_and_a_cut_answer() {
    let server = Server::start(vec![
        answer(503, &["Retry-After: 0"], ""),
        Step::AnswerAndClose("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned()),
        json(200, TOKENS),
    ]);
    server.client().refresh(REFRESH_TOKEN).unwrap();
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn retries_end_with_the_last_error() {
    let server = Server::start(vec![answer(500, &["Retry-After: 0"], "")]);
    let error = server.client().refresh(REFRESH_TOKEN).unwrap_err();
    assert_eq!((error.status(), server.requests().len()), (Status::Server, 3));
}

#[test]
fn a_wait_beyond_the_deadline_is_not_begun() {
    let server = Server::start(vec![answer(429, &["Retry-After: 3600"], "")]);
    let error = server.client().refresh(REFRESH_TOKEN).unwrap_err();
    assert_eq!((error.status(), server.requests().len()), (Status::Server, 1));
    assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(3600));
}

#[test]
fn an_exchange_is_not_repeated_after_a_5xx() {
    let server = Server::start(vec![answer(503, &["Retry-After: 0"], "")]);
    let error = server.client().exchange_code("AbCdEf", "https://example.com").unwrap_err();
    assert_eq!(server.requests().len(), 1);
    assert_eq!((error.status(), error.advice()), (Status::Server, Advice::LogIn));
}

#[test]
fn a_logout_whose_first_answer_was_lost_is_done_when_the_token_is_gone() {
    let gone = json(401, r#"{"error":"invalid_token","error_description":"Invalid access token: a"}"#);
    let server = Server::start(vec![Step::Close, gone.clone()]);
    server.client().logout("a").unwrap();
    assert_eq!(server.requests().len(), 2);

    // The same on a kept connection, which is replaced unnoticed, and after a gateway's 504.
    for first in [Step::Close, answer(504, &["Retry-After: 0"], "")] {
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
fn no_redirect_is_followed() {
    let server = Server::start(vec![answer(307, &["Location: /oauth/token"], "")]);
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
fn head_and_body_of_a_request_travel_together() {
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
fn tokens_of_any_sensible_length_are_sent() {
    // A token can become a JWT one day: some kilobytes, in the query or in a header.
    let server = Server::start(vec![json(200, TOKENS)]);
    server.client().exchange_code(&":".repeat(8192), &format!("https://h/{}", ":".repeat(8182))).unwrap();
    let error = server.client().refresh(&"t".repeat(8193)).unwrap_err();
    assert_eq!(error.to_string(), "refresh_token: it is longer than 8 KiB");
    for length in [3000, 5000, 8192] {
        let server = Server::start(vec![json(200, TOKENS), answer(200, &[], ""), json(200, TOKENS)]);
        let client = server.client();
        let token = "t".repeat(length);
        client.refresh(&token).unwrap();
        client.logout(&token).unwrap();
        server.client_with(|config| _ = config.set_params_in_body(true)).refresh(&token).unwrap();
        assert!(server.requests().iter().all(|request| request.contains(&token)), "{length}");
    }
}

#[test]
fn a_5xx_whose_body_hangs_is_retried_all_the_same() {
    let hangs = "HTTP/1.1 503 X\r\nRetry-After: 0\r\nContent-Length: 100\r\n\r\n".to_owned();
    let server = Server::start(vec![Step::Answer(hangs), json(200, TOKENS)]);
    server.client_with(|config| _ = config.set_timeout(std::time::Duration::from_secs(20))).refresh("r").unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_connection_that_fails_in_the_making_is_not_taken_for_a_kept_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Reads the ClientHello, and closes.
            let _ = stream.read(&mut [0; 4096]);
            sender.send(()).unwrap();
        }
    });
    let mut config = cmauth::Config::new("id", "secret");
    config.set_base_url(&url).set_proxy(Some("")).set_max_retries(0);
    let error = cmauth::Client::new(&config).unwrap().refresh("r").unwrap_err();
    assert_eq!(error.status(), Status::Network, "{error}");
    receiver.recv().unwrap();
    assert!(receiver.try_recv().is_err(), "it connected twice");
}

#[test]
fn a_request_that_no_server_takes_is_not_blamed_on_the_server() {
    let server = Server::start(vec![json(200, TOKENS)]);
    let long = ":".repeat(8192);
    let client = server.client_with(|config| _ = config.set_scope(&long));
    let error = client.exchange_code(&long, &format!("https://h/{}", &long[..8182])).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument, "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn secrets_do_not_cross_a_network_in_clear_text_by_a_proxy() {
    let mut config = cmauth::Config::new("id", "secret");
    config.set_base_url("http://localhost:9").set_proxy(Some("http://proxy.example.com:3128"));
    let error = cmauth::Client::new(&config).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().starts_with("proxy: "), "{error}");
}
