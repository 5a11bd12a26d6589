//! The result of each response of the server: every known error, and malformed responses. No printed text may have a
//! secret.

mod common;

use std::fmt::Debug;

use cmauth::{Advice, Error, Status, Tokens};
use common::{BASIC, SECRET, Server, Step, json, response};

const CODE: &str = "AbCdEf";
const ACCESS: &str = "0f8fad5b-d9cb-469f-a165-70867728950e:10003";
const REFRESH: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7:10003";
const REDIRECT_URI: &str = "https://example.com";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Exchange,
    Refresh,
    Logout,
}
use Call::{Exchange, Logout, Refresh};

/// Makes the call to a server that responds with `step`.
fn call(call: Call, step: Step) -> Result<Option<Tokens>, Error> {
    let server = Server::start(vec![step]);
    let client = server.client_with(|config| _ = config.set_max_retries(0));
    assert_no_secret(&client);
    match call {
        Exchange => client.exchange_code(CODE, REDIRECT_URI).map(Some),
        Refresh => client.refresh(REFRESH).map(Some),
        Logout => client.logout(ACCESS).map(|()| None),
    }
}

fn tokens(body: &str) -> Tokens {
    call(Refresh, json(200, body)).unwrap().unwrap()
}

/// `value` prints no secret, and no half of one.
fn assert_no_secret(value: &impl Debug) {
    let printed = format!("{value:?} {value:#?}");
    for secret in [
        CODE,
        &ACCESS[..18],
        &ACCESS[18..36],
        &REFRESH[..18],
        &REFRESH[18..36],
        &SECRET[..15],
        &SECRET[15..],
        &BASIC[24..],
    ] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}

fn assert_error(error: &Error, status: Status, advice: Advice, oauth_error: Option<&str>, what: &str) {
    assert_eq!((error.status(), error.advice()), (status, advice), "{what}: {error:?}");
    assert_eq!(error.oauth_error(), oauth_error, "{what}: {error:?}");
    assert!(!error.message().is_empty() && !error.message().contains(char::is_control), "{what}: {error:?}");
    assert_no_secret(error);
    assert_no_secret(&(error.to_string(), error.message(), error.oauth_description(), error.oauth_error()));
}

#[test]
fn each_error_of_the_token_endpoint_has_its_status() {
    let unauthorized = |description: &str| format!(r#"{{"error":"unauthorized","error_description":"{description}"}}"#);
    let error = |code: &str, description: &str| format!(r#"{{"error":"{code}","error_description":"{description}"}}"#);
    let both = [Exchange, Refresh];
    type Row<'a> = (&'a [Call], u16, String, Status, Advice, Option<&'a str>);
    let rows: Vec<Row> = vec![
        (&both, 401, unauthorized("Full authentication is required to access this resource"), Status::ClientRejected, Advice::Fix, Some("unauthorized")),
        (&both, 401, unauthorized("Bad credentials"), Status::ClientRejected, Advice::Fix, Some("unauthorized")),
        (&both, 401, error("invalid_client", "Given client ID does not match authenticated client"), Status::ClientRejected, Advice::Fix, Some("invalid_client")),
        (&both, 401, error("invalid_client", "Unauthorized grant type: authorization_code"), Status::ClientRejected, Advice::Fix, Some("invalid_client")),
        (&[Exchange], 401, error("invalid_client", "Client ID mismatch"), Status::ClientRejected, Advice::Fix, Some("invalid_client")),
        (&both, 405, error("method_not_allowed", "Request method 'GET' not supported"), Status::RequestRejected, Advice::Fix, Some("method_not_allowed")),
        (&both, 400, error("invalid_request", "Missing grant type"), Status::RequestRejected, Advice::Fix, Some("invalid_request")),
        (&both, 400, error("unsupported_grant_type", "Unsupported grant type: x"), Status::RequestRejected, Advice::Fix, Some("unsupported_grant_type")),
        (&both, 400, r#"{"error":"invalid_scope","error_description":"Invalid scope: x","scope":"read write"}"#.into(), Status::RequestRejected, Advice::Fix, Some("invalid_scope")),
        (&[Exchange], 400, error("invalid_request", "An authorization code must be supplied."), Status::RequestRejected, Advice::Fix, Some("invalid_request")),
        (&[Exchange], 400, error("invalid_grant", &format!("Invalid authorization code: {CODE}")), Status::LoginRequired, Advice::LogIn, Some("invalid_grant")),
        (&[Exchange], 400, error("invalid_grant", "Redirect URI mismatch."), Status::LoginRequired, Advice::LogIn, Some("invalid_grant")),
        (&[Refresh], 400, error("invalid_grant", &format!("Invalid refresh token: {REFRESH}")), Status::LoginRequired, Advice::LogIn, Some("invalid_grant")),
        (&[Refresh], 401, error("invalid_token", &format!("Invalid refresh token (expired): {REFRESH}")), Status::LoginRequired, Advice::LogIn, Some("invalid_token")),
        (&[Refresh], 400, error("invalid_grant", &format!("Wrong client for this refresh token: {REFRESH}")), Status::LoginRequired, Advice::LogIn, Some("invalid_grant")),
        (&[Refresh], 400, r#"{"error":"invalid_scope","error_description":"Unable to narrow the scope of the client authentication to [write].","scope":"read"}"#.into(), Status::RequestRejected, Advice::Fix, Some("invalid_scope")),
        (&[Refresh], 500, error("server_error", "Internal Server Error"), Status::Server, Advice::Retry, Some("server_error")),
        (&[Exchange], 500, error("server_error", "Internal Server Error"), Status::Server, Advice::LogIn, Some("server_error")),
        (&both, 401, "<html><body><h1>HTTP Status 401 - Bad credentials</h1></body></html>".into(), Status::ClientRejected, Advice::Fix, None),
        (&both, 401, r#"{"timestamp":1700000000000,"status":401,"error":"Unauthorized","message":"Bad credentials","path":"/oauth/token"}"#.into(), Status::ClientRejected, Advice::Fix, None),
        (&both, 401, String::new(), Status::ClientRejected, Advice::Fix, None),
        (&both, 400, "not JSON".into(), Status::RequestRejected, Advice::Fix, None),
        (&both, 403, error("access_denied", "Access is denied"), Status::AccessDenied, Advice::Fix, Some("access_denied")),
        (&both, 406, r#"{"code":406,"title":"Not Acceptable","detail":"text/html"}"#.into(), Status::RequestRejected, Advice::Fix, None),
        (&[Refresh], 429, String::new(), Status::Server, Advice::Retry, None),
        (&[Refresh], 502, "<html>Bad Gateway</html>".into(), Status::Server, Advice::Retry, None),
        (&both, 302, String::new(), Status::Protocol, Advice::Fix, None),
        // The body of a 5xx does not change its meaning.
        (&[Refresh], 503, error("invalid_grant", "no"), Status::Server, Advice::Retry, Some("invalid_grant")),
        // Neither does a description: only `error` counts.
        (&both, 400, error("invalid_request", "invalid_grant"), Status::RequestRejected, Advice::Fix, Some("invalid_request")),
    ];
    for (calls, http_status, body, status, advice, oauth_error) in rows {
        for &one in calls {
            let error = call(one, json(http_status, &body)).unwrap_err();
            let what = format!("{one:?} {http_status} {body}");
            assert_error(&error, status, advice, oauth_error, &what);
            assert_eq!(error.http_status(), Some(http_status), "{what}");
        }
    }
}

#[test]
fn each_error_of_a_logout_has_its_status() {
    let rows = [
        (401, format!(r#"{{"error":"invalid_token","error_description":"Invalid access token: {ACCESS}"}}"#), Status::TokenRejected, Advice::Refresh, Some("invalid_token")),
        (401, format!(r#"{{"error":"invalid_token","error_description":"Access token expired: {ACCESS}"}}"#), Status::TokenRejected, Advice::Refresh, Some("invalid_token")),
        (401, r#"{"error":"unauthorized","error_description":"Full authentication is required to access this resource"}"#.into(), Status::TokenRejected, Advice::Refresh, Some("unauthorized")),
        (403, r#"{"error":"insufficient_scope","error_description":"Insufficient scope for this resource","scope":"write"}"#.into(), Status::AccessDenied, Advice::Fix, Some("insufficient_scope")),
        (403, r#"{"error":"access_denied","error_description":"Access is denied"}"#.into(), Status::AccessDenied, Advice::Fix, Some("access_denied")),
        (404, String::new(), Status::RequestRejected, Advice::Fix, None),
        (500, r#"{"code":500,"title":"Internal Server Error","detail":null}"#.into(), Status::Server, Advice::Retry, None),
        (301, String::new(), Status::Protocol, Advice::Fix, None),
    ];
    for (http_status, body, status, advice, oauth_error) in rows {
        let error = call(Logout, json(http_status, &body)).unwrap_err();
        assert_error(&error, status, advice, oauth_error, &format!("{http_status} {body}"));
    }
}

#[test]
fn a_2xx_is_a_successful_logout_whatever_its_body() {
    for step in [
        response(200, &[], ""),
        response(204, &[], ""),
        json(200, "<html>"),
        Step::RespondAndClose("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut".to_owned()),
    ] {
        call(Logout, step).unwrap();
    }
}

#[test]
fn an_error_has_the_description_of_each_known_body_format() {
    for (body, description) in [
        (r#"{"error":"invalid_request","error_description":"Missing grant type"}"#, Some("Missing grant type")),
        (r#"{"code":406,"title":"Not Acceptable","detail":"no such type"}"#, Some("Not Acceptable: no such type")),
        (r#"{"code":500,"title":"Not Acceptable","detail":null}"#, Some("Not Acceptable")),
        (r#"{"status":400,"error":"Bad Request","message":"No"}"#, Some("No")),
        (r#"{"error":5,"error_description":[]}"#, None),
        (r#"[]"#, None),
    ] {
        let error = call(Refresh, json(400, body)).unwrap_err();
        assert_eq!(error.oauth_description(), description, "{body}");
        assert!(error.message().contains(description.unwrap_or("400")), "{error}");
    }
}

#[test]
fn descriptions_are_redacted_and_shortened() {
    let halves = format!(r#"{{"title":"{}","detail":"{}"}}"#, "a".repeat(600), "b".repeat(600));
    assert!(call(Refresh, json(400, &halves)).unwrap_err().oauth_description().unwrap().len() <= 512);
    let noise = "é".repeat(2000);
    for echoed in [
        format!("{noise} {REFRESH}"),
        format!("{REFRESH} {noise}"),
        format!("token {} and secret {SECRET} in Basic {BASIC}", REFRESH.replace(':', "%3A")),
        format!("{} {}", REFRESH.to_uppercase(), &REFRESH[..20]),
        "line\\r\\nline\\u0000\\u001b[31m".to_owned(),
    ] {
        for code in ["invalid_grant", REFRESH, "qwertyu"] {
            let body = format!(r#"{{"error":"{code}","error_description":"{echoed}"}}"#);
            let error = call(Refresh, json(400, &body)).unwrap_err();
            let description = error.oauth_description().unwrap();
            assert!(description.len() <= 512, "{description}");
            assert!(!description.contains(char::is_control), "{description}");
            assert_no_secret(&error);
            assert_no_secret(&(description, error.oauth_error(), error.message()));
        }
    }
}

#[test]
fn a_2xx_without_usable_tokens_is_a_protocol_error() {
    let good = format!(r#""access_token":"{ACCESS}","token_type":"bearer""#);
    for body in [
        String::new(),
        "<html>Welcome to the hotel's network</html>".into(),
        "null".into(),
        "[]".into(),
        "{}".into(),
        format!("{{{good}"),
        r#"{"token_type":"bearer"}"#.into(),
        r#"{"access_token":"","token_type":"bearer"}"#.into(),
        r#"{"access_token":null,"token_type":"bearer"}"#.into(),
        r#"{"access_token":5,"token_type":"bearer"}"#.into(),
        format!(r#"{{"access_token":"{ACCESS}\n","token_type":"bearer"}}"#),
        format!(r#"{{"access_token":"{ACCESS}\u0000","token_type":"bearer"}}"#),
        format!(r#"{{"access_token":"{ACCESS}"}}"#),
        format!(r#"{{"access_token":"{ACCESS}","token_type":"mac"}}"#),
        format!(r#"{{{good},"refresh_token":"{REFRESH}\r\n"}}"#),
        format!(r#"{{{good},"refresh_token":["{REFRESH}"]}}"#),
        "[".repeat(10_000),
    ] {
        for one in [Exchange, Refresh] {
            let error = call(one, json(200, &body)).unwrap_err();
            assert_error(&error, Status::Protocol, Advice::Fix, None, &body);
            assert_eq!(error.http_status(), Some(200));
        }
    }
}

#[test]
fn a_response_over_64_kib_is_a_protocol_error() {
    let body = |filling: usize| {
        format!(r#"{{"access_token":"{ACCESS}","token_type":"bearer","more":"{}"}}"#, "x".repeat(filling))
    };
    let overhead = body(0).len();
    assert!(call(Refresh, json(200, &body(65536 - overhead))).is_ok());
    let error = call(Refresh, json(200, &body(65537 - overhead))).unwrap_err();
    assert_error(&error, Status::Protocol, Advice::Fix, None, "64 KiB and a byte");
}

#[test]
fn optional_fields_may_be_missing_and_unknown_ones_may_follow() {
    let sparse = tokens(&format!(r#"{{"access_token":"{ACCESS}","token_type":"Bearer"}}"#));
    assert_eq!(sparse.access_token().expose(), ACCESS);
    assert_eq!(sparse.token_type(), "Bearer");
    assert_eq!((sparse.scope(), sparse.expires_at()), (None, None));
    let full = tokens(&format!(
        r#"{{"jti":[1,{{"a":null}}],"access_token":"{ACCESS}","token_type":"bearer","refresh_token":"{CODE}","expires_in":43199,"scope":"read write","x":1.5}}"#
    ));
    assert_eq!(full.refresh_token().unwrap().expose(), CODE);
    assert_eq!(full.scope(), Some("read write"));
    assert!((43197..=43199).contains(&full.expires_in().unwrap()));
    assert_no_secret(&full);
}

#[test]
fn a_refresh_keeps_the_old_refresh_token_if_the_response_has_none() {
    for missing in ["", r#","refresh_token":null"#, r#","refresh_token":"""#] {
        let kept = tokens(&format!(r#"{{"access_token":"{ACCESS}","token_type":"bearer"{missing}}}"#));
        assert_eq!(kept.refresh_token().unwrap().expose(), REFRESH);
    }
    // An exchange has no old one.
    let body = format!(r#"{{"access_token":"{ACCESS}","token_type":"bearer"}}"#);
    assert_eq!(call(Exchange, json(200, &body)).unwrap().unwrap().refresh_token(), None);
}

#[test]
fn tokens_expire_whole_seconds_after_the_time_before_the_request_or_never() {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    for (expires_in, seconds) in [
        ("43199", Some(43199)),
        ("0", Some(0)),
        ("-5", Some(0)),
        ("1.9", Some(1)),
        (r#""300""#, Some(300)),
        ("null", None),
        (r#""soon""#, None),
        ("[]", None),
    ] {
        let before = now();
        let tokens =
            tokens(&format!(r#"{{"access_token":"{ACCESS}","token_type":"bearer","expires_in":{expires_in}}}"#));
        let after = now();
        match seconds {
            None => assert_eq!(tokens.expires_at(), None, "{expires_in}"),
            Some(seconds) => {
                let at = tokens.expires_at().unwrap();
                assert!((before + seconds..=after + seconds).contains(&at), "{expires_in}: {at}");
            }
        }
    }
    let far = tokens(&format!(r#"{{"access_token":"{ACCESS}","token_type":"bearer","expires_in":9e99}}"#));
    // The end of the year 9999.
    assert_eq!(far.expires_at(), Some(253_402_300_799));
}

#[test]
fn each_error_says_what_happened_and_what_to_do() {
    let grant = r#"{"error":"invalid_grant","error_description":"No"}"#;
    for (one, http_status, body, message) in [
        (Refresh, 500, "", "the server has a problem (HTTP 500); try again later"),
        (Logout, 403, "", "the server denied access (HTTP 403); check the permissions of the API key and of the user"),
        (
            Logout,
            401,
            "",
            "the server does not know the access token, or the token has expired (HTTP 401); refresh, then log out",
        ),
        (Refresh, 400, grant, "the refresh token is no longer valid (HTTP 400 invalid_grant: No); log in again"),
        (
            Exchange,
            400,
            grant,
            "the authorization code is invalid or used up, or the redirect URI differs from that of the login page \
             (HTTP 400 invalid_grant: No); log in again",
        ),
        (Refresh, 401, "", "the server rejected the API key (HTTP 401); check client ID and secret"),
        (Refresh, 404, "", "the server rejected the request (HTTP 404); check scope, base URL and settings"),
        (
            Refresh,
            302,
            "",
            "the CameraManager API sends no such response (HTTP 302); check the base URL, and any proxy or firewall on the way",
        ),
        (Exchange, 500, "", "the server has a problem (HTTP 500); the code may be used up: log in again"),
    ] {
        let error = call(one, json(http_status, body)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn an_incomplete_body_matters_only_if_it_decides_the_meaning() {
    let cut =
        |status: u16| Step::RespondAndClose(format!("HTTP/1.1 {status} X\r\nContent-Length: 100\r\n\r\n{{\"error\":"));
    let large = |status: u16| response(status, &[], &"x".repeat(65537));
    for (step, status) in [
        (cut(200), Status::Network),
        (cut(400), Status::Network),
        (cut(401), Status::Network),
        (cut(403), Status::AccessDenied),
        (cut(404), Status::RequestRejected),
        (cut(429), Status::Server),
        (cut(500), Status::Server),
        (cut(302), Status::Protocol),
        (large(200), Status::Protocol),
        (large(400), Status::RequestRejected),
        (large(401), Status::ClientRejected),
        (large(503), Status::Server),
    ] {
        assert_eq!(call(Refresh, step).unwrap_err().status(), status);
    }
}
