//! Tests of a login: the page to open, the redirect, and a login that is finished on another machine.

mod common;

use std::collections::HashSet;
use std::thread;

use cmauth::{Advice, Client, Config, Error, Login, Status};
use common::{ID, SECRET, Server, Step, json};

const TOKENS: &str =
    r#"{"access_token":"a","token_type":"bearer","refresh_token":"r","expires_in":43199,"scope":"write"}"#;
const REDIRECT_URI: &str = "https://example.com/cb?site=7";

fn begin(steps: Vec<Step>) -> (Server, Login) {
    let server = Server::start(steps);
    let login = Login::new(&server.client_with(|config| _ = config.set_max_retries(0)), REDIRECT_URI).unwrap();
    (server, login)
}

fn state(login: &Login) -> String {
    login.url().rsplit_once("&state=").unwrap().1.to_owned()
}

fn assert_failed(result: Result<cmauth::Tokens, Error>, status: Status, advice: Advice) -> Error {
    let error = result.unwrap_err();
    assert_eq!((error.status(), error.advice()), (status, advice), "{error:?}");
    error
}

#[test]
fn the_url_is_that_of_step_2_of_the_guide_with_a_state() {
    let (server, login) = begin(vec![json(200, TOKENS)]);
    let (before, state) = login.url().rsplit_once("&state=").unwrap();
    assert_eq!(
        before,
        format!(
            "{}/oauth/authorize?scope=write&client_id={ID}&response_type=code&redirect_uri=https%3A%2F%2Fexample.com%2Fcb%3Fsite%3D7",
            server.url
        )
    );
    assert_eq!(state.len(), 43, "256 bits as base64url");
    assert!(state.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{state}");
    assert!(server.requests().is_empty());
}

#[test]
fn no_two_logins_have_the_same_state() {
    let (server, _) = begin(vec![json(200, TOKENS)]);
    let client = server.client();
    let states: HashSet<String> = (0..100).map(|_| state(&Login::new(&client, REDIRECT_URI).unwrap())).collect();
    assert_eq!(states.len(), 100);
}

#[test]
fn a_redirect_to_another_place_is_refused_and_the_login_stays_open() {
    let (server, login) = begin(vec![json(200, TOKENS)]);
    let query = format!("code=AbCdEf&state={}", state(&login));
    for (place, part) in [
        ("https://evil.example/cb", "host"),
        ("http://example.com/cb", "scheme"),
        ("https://example.com:8443/cb", "port"),
        ("https://example.com/", "path"),
    ] {
        let error = assert_failed(login.finish(&format!("{place}?{query}")), Status::StateMismatch, Advice::LogIn);
        assert!(error.message().contains(&format!("its {part} is not that of the redirect URI")), "{error}");
        assert!(!error.message().contains("AbCdEf"), "{error}");
    }
    assert!(server.requests().is_empty());
    login.finish(&format!("https://EXAMPLE.com:443/cb/?site=7&{query}")).unwrap();
}

#[test]
fn finish_sends_the_code_and_the_unchanged_redirect_uri() {
    let (server, login) = begin(vec![json(200, TOKENS)]);
    let tokens = login.finish(&format!(" {REDIRECT_URI}&code=A%2BbC-_&state={}\r\n", state(&login))).unwrap();
    assert_eq!(tokens.access_token().expose(), "a");
    let request = &server.requests()[0];
    assert!(
        request.contains("&code=A%2BbC-_&redirect_uri=https%3A%2F%2Fexample.com%2Fcb%3Fsite%3D7 HTTP"),
        "{request}"
    );
}

#[test]
fn a_plus_in_the_code_may_be_encoded_or_not() {
    for code in ["A+b", "A%2Bb", "A%2bb"] {
        let (server, login) = begin(vec![json(200, TOKENS)]);
        login.finish(&format!("/cb?site=7&code={code}&state={}", state(&login))).unwrap();
        assert!(server.requests()[0].contains("&code=A%2Bb&"), "{code}");
    }
}

#[test]
fn a_login_finishes_once() {
    let (server, login) = begin(vec![json(200, TOKENS)]);
    let url = format!("{REDIRECT_URI}&code=AbCdEf&state={}", state(&login));
    login.finish(&url).unwrap();
    let error = assert_failed(login.finish(&url), Status::InvalidArgument, Advice::Fix);
    assert!(error.message().contains("already finished"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn only_one_of_many_threads_finishes_a_login() {
    let (server, login) = begin(vec![json(200, TOKENS)]);
    let url = format!("{REDIRECT_URI}&code=AbCdEf&state={}", state(&login));
    let done = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| login.finish(&url).is_ok())).collect();
        threads.into_iter().filter(|_| true).map(|thread| thread.join().unwrap()).filter(|done| *done).count()
    });
    assert_eq!((done, server.requests().len()), (1, 1));
}

#[test]
fn a_failed_exchange_that_was_sent_finishes_the_login() {
    let (server, login) = begin(vec![Step::Close]);
    let url = format!("{REDIRECT_URI}&code=AbCdEf&state={}", state(&login));
    assert_failed(login.finish(&url), Status::Network, Advice::LogIn);
    assert_failed(login.finish(&url), Status::InvalidArgument, Advice::Fix);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_exchange_that_was_not_sent_leaves_the_login_open() {
    let (server, login) = begin(vec![json(200, TOKENS)]);
    let url = format!("{REDIRECT_URI}&code=AbCdEf&state={}", state(&login));
    drop(server); // No server listens any more.
    for _ in 0..2 {
        assert_failed(login.finish(&url), Status::Network, Advice::Retry);
    }
}

#[test]
fn a_wrong_or_missing_state_is_a_mismatch_and_leaves_the_login_open() {
    let (server, login) = begin(vec![json(200, TOKENS)]);
    let good = state(&login);
    let other = Login::new(&server.client(), REDIRECT_URI).unwrap();
    for bad in [String::new(), format!("&state={}", state(&other)), format!("&state={}", &good[1..]), "&state=".into()]
    {
        assert_failed(login.finish(&format!("{REDIRECT_URI}&code=AbCdEf{bad}")), Status::StateMismatch, Advice::LogIn);
    }
    assert!(server.requests().is_empty());
    login.finish(&format!("{REDIRECT_URI}&code=AbCdEf&state={good}")).unwrap();
}

#[test]
fn an_error_in_the_redirect_has_its_status_and_causes_no_request() {
    let (server, login) = begin(vec![json(200, TOKENS)]);
    let state = state(&login);
    for (query, status, advice, description) in [
        (
            "error=access_denied&error_description=User%20denied%20access",
            Status::AccessDenied,
            Advice::LogIn,
            Some("User denied access"),
        ),
        ("error=access_denied", Status::AccessDenied, Advice::LogIn, None),
        (
            "error=invalid_scope&error_description=Invalid+scope:+x&scope=read%20write",
            Status::RequestRejected,
            Advice::Fix,
            Some("Invalid scope: x"),
        ),
        ("error=unsupported_response_type", Status::RequestRejected, Advice::Fix, None),
        ("error=server_error", Status::Server, Advice::LogIn, None),
        (
            "error=access_denied&code=A%2BbCdEf&error_description=bad+A%2BbCdEf",
            Status::AccessDenied,
            Advice::LogIn,
            Some("bad [redacted]"),
        ),
        (
            "error=access_denied&code=AbCdEf&error_description=AbCdEf",
            Status::AccessDenied,
            Advice::LogIn,
            Some("[redacted]"),
        ),
    ] {
        let error = assert_failed(login.finish(&format!("{REDIRECT_URI}&{query}&state={state}")), status, advice);
        assert_eq!(error.oauth_error(), query.split(['=', '&']).nth(1), "{query}");
        assert_eq!(error.oauth_description(), description, "{query}");
        assert!(!format!("{error:?}").contains(&state));
    }
    // Only a text that can be an OAuth error code is returned as one.
    let invalid = login.finish(&format!("{REDIRECT_URI}&error=x%20y&state={state}"));
    assert_eq!(assert_failed(invalid, Status::RequestRejected, Advice::Fix).oauth_error(), None);
    // An error without the state is forged.
    assert_failed(login.finish(&format!("{REDIRECT_URI}&error=access_denied")), Status::StateMismatch, Advice::LogIn);
    assert!(server.requests().is_empty());
}

#[test]
fn a_redirect_with_a_duplicate_or_missing_parameter_is_refused_with_its_name() {
    let (server, login) = begin(vec![json(200, TOKENS)]);
    let state = state(&login);
    for (url, problem) in [
        (String::new(), "no query"),
        ("https://example.com/cb".into(), "no query"),
        (format!("{REDIRECT_URI}&code=A&code=B&state={state}"), "\"code\" occurs twice"),
        (format!("{REDIRECT_URI}&code=A&co%64e=A&state={state}"), "\"code\" occurs twice"),
        (format!("{REDIRECT_URI}&code=A&state={state}&state={state}"), "\"state\" occurs twice"),
        (format!("{REDIRECT_URI}&error=a&error=b&state={state}"), "\"error\" occurs twice"),
        (format!("{REDIRECT_URI}&code=%ff&state={state}"), "\"code\" is not UTF-8"),
        (format!("{REDIRECT_URI}&state={state}"), "neither a code nor an error"),
        (format!("{REDIRECT_URI}&code=&state={state}"), "neither a code nor an error"),
    ] {
        let error = assert_failed(login.finish(&url), Status::InvalidArgument, Advice::Fix);
        assert!(error.message().starts_with("redirected_url: ") && error.message().contains(problem), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn redirect_uris_that_cannot_work_are_refused() {
    let (server, _) = begin(vec![json(200, TOKENS)]);
    for uri in [
        "",
        "example.com",
        "app://x",
        "https://",
        "https://a b",
        "https://example.com/#x",
        "https://example.com/?a=1&state=2",
        "https://example.com/?code=",
        "https://:443/",
        "https://example.com:99999",
        "https://example.com:",
        "https://u:p@example.com/",
        "https://example.com/é",
        "https://example.com/\n",
    ] {
        let error = Login::new(&server.client(), uri).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument);
        assert!(error.message().starts_with("redirect_uri: "), "{uri}: {error}");
    }
    for uri in ["https://example.com", "HTTP://127.0.0.1:8000/x?y=z", "http://[::1]/"] {
        Login::new(&server.client(), uri).unwrap();
    }
}

#[test]
fn is_redirect_recognizes_the_redirect_among_other_pages() {
    let (_server, login) = begin(vec![json(200, TOKENS)]);
    for (url, is_redirect) in [
        ("https://example.com/cb?site=7&code=A&state=S", true),
        (" https://example.com/cb?site=7&code=A&state=S\n", true),
        ("https://example.com/cb?site=7&code=A&state=S#fragment", true),
        ("HTTPS://EXAMPLE.com:443/cb?error=access_denied", true),
        ("https://example.com/cb?site=7", false),
        ("https://example.com/cb/?code=A", true),
        ("https://example.com/cb/x?code=A", false),
        ("https://example.com.evil.com/cb?code=A", false),
        ("http://example.com/cb?code=A", false),
        ("https://example.com:8443/cb?code=A", false),
        ("https://rest.cameramanager.com/login", false),
        ("about:blank", false),
        ("", false),
    ] {
        assert_eq!(login.is_redirect(url), is_redirect, "{url}");
    }
}

#[test]
fn an_empty_error_beside_a_code_is_ignored() {
    let (_server, login) = begin(vec![json(200, TOKENS)]);
    login.finish(&format!("{REDIRECT_URI}&code=AbCdEf&error=&state={}", state(&login))).unwrap();
}

#[test]
fn debug_shows_no_state() {
    let (_server, login) = begin(vec![json(200, TOKENS)]);
    assert!(!format!("{login:?} {login:#?}").contains(&state(&login)));
}

fn login_of(config: &Config) -> Login {
    Login::new(&Client::new(config).unwrap(), "https://recorder.example/login").unwrap()
}

#[test]
fn a_login_begins_on_one_machine_and_is_finished_on_another() {
    let server = Server::start(vec![json(200, TOKENS)]);
    // The workstation does not have the secret of the API key.
    let mut workstation = Config::new_public(ID);
    workstation.set_base_url(&server.url);
    let login = login_of(&workstation);
    let state = login.url().rsplit_once("&state=").unwrap().1.to_owned();
    let redirected = format!("https://recorder.example/login?code=AbCdEf&state={state}");
    let error = login.finish(&redirected).unwrap_err();
    assert!(error.message().starts_with("client_secret: "), "{error}");
    let public = Client::new(&workstation).unwrap();
    assert!(public.refresh("r").unwrap_err().message().starts_with("client_secret: "));
    assert!(server.requests().is_empty());

    let saved = login.to_json();
    assert!(!saved.expose().contains(SECRET), "the JSON must not contain the secret");
    let recorder = server.client();
    let there = Login::from_json(&recorder, saved.expose()).unwrap();
    assert_eq!(there.url(), login.url());
    let forged = there.finish("https://recorder.example/login?code=AbCdEf&state=x").unwrap_err();
    assert_eq!(forged.status(), Status::StateMismatch);
    assert_eq!(there.finish(&redirected).unwrap().access_token().expose(), "a");
    assert!(server.requests()[0].contains("redirect_uri=https%3A%2F%2Frecorder.example%2Flogin "));
}

#[test]
fn json_that_is_not_a_login_of_this_client_is_refused_with_the_key() {
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
    for (shift, is_valid) in [(-3500, true), (-3700, false), (200, true), (400, false)] {
        let changed = good.expose().replace(begun_at, &(begun + shift).to_string());
        let result = Login::from_json(&client, &changed);
        assert_eq!(result.is_ok(), is_valid, "{shift}");
        if let Err(error) = result {
            assert_eq!((error.status(), error.advice()), (Status::LoginRequired, Advice::LogIn));
        }
    }
}
