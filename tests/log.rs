//! The records in the `log` crate: each event has one, and none below the trace level has a secret.

mod common;

use std::sync::Mutex;

use common::{BASIC, SECRET, Server, Step, answer, json};
use log::{LevelFilter, Log, Metadata, Record};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collector;

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.lock().unwrap().push(format!("{} {} {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

#[test]
fn every_event_is_a_line_and_no_line_has_a_secret() {
    log::set_logger(&Collector).unwrap();
    // At the trace level, ureq shows the query of a URL. The documentation of the crate says so.
    log::set_max_level(LevelFilter::Debug);
    let tokens = r#"{"access_token":"0f8fad5b-access","token_type":"bearer","refresh_token":"7c9e6679-refresh"}"#;
    let echo = |secret: &str| format!(r#"{{"error":"invalid_grant","error_description":"Invalid: {secret}"}}"#);
    let server = Server::start(vec![
        json(200, tokens),
        Step::Close,
        answer(503, &["Retry-After: 0"], ""),
        json(200, tokens),
        json(400, &echo("7c9e6679-refresh")),
        json(400, &echo("AbCdEf")),
        json(401, &echo("0f8fad5b-access")),
    ]);
    let client = server.client();
    client.exchange_code("AbCdEf", "https://example.com").unwrap();
    client.refresh("7c9e6679-refresh").unwrap();
    client.refresh("7c9e6679-refresh").unwrap_err();
    client.exchange_code("AbCdEf", "https://example.com").unwrap_err();
    client.logout("0f8fad5b-access").unwrap_err();

    let lines = LINES.lock().unwrap();
    let ours: Vec<&str> = lines.iter().filter_map(|line| line.split_once(" cmauth ")).map(|(_, text)| text).collect();
    for start in [
        "exchange_code: done",
        "refresh: the server has a problem (HTTP 503); try again later; retry in 0 ms",
        "refresh: done",
        "refresh: LOGIN_REQUIRED: the refresh token is no longer valid",
        "logout: TOKEN_REJECTED: ",
    ] {
        assert!(ours.iter().any(|line| line.starts_with(start)), "{start} is not in {ours:#?}");
    }
    assert!(ours.iter().any(|line| line.ends_with("the pooled connection was stale; sent on a new one")), "{ours:#?}");
    let all = lines.join("\n");
    for secret in [SECRET, BASIC, "0f8fad5b", "7c9e6679", "AbCdEf"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}
