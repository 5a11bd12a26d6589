//! The protected resources, and the logout.

mod common;

use std::time::Duration;

use cmauth_sandbox::Account;
use common::*;

const SELF: &str = "/rest/v2.0/users/self";
const CAMERAS: &str = "/rest/v2.4/cameras";
const LIFETIME: Duration = Duration::from_secs(43_200);

#[test]
fn a_token_opens_the_resources() {
    let sandbox = start();
    let token = log_in(&sandbox, "write").text("access_token");
    let user = with_token(&sandbox, "GET", SELF, &token);
    assert_eq!((user.status, user.text("username").as_str()), (200, "demo"));
    assert_eq!(user.json()["zoneId"], 10_003);
    let cameras = with_token(&sandbox, "GET", CAMERAS, &token).json();
    let cameras = cameras.as_array().unwrap();
    let names: Vec<_> = cameras.iter().map(|camera| camera["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Entrance", "Counter", "Stockroom"]);
    for camera in cameras {
        assert!(camera["cameraId"].is_u64() && camera["name"].is_string() && camera["zoneId"] == 10_003, "{camera}");
        let one = with_token(&sandbox, "GET", &format!("{CAMERAS}/{}", camera["cameraId"]), &token);
        assert_eq!(one.json(), *camera);
    }
}

#[test]
fn a_token_in_the_query_as_downloads_send_it() {
    let sandbox = start();
    let token = log_in(&sandbox, "write").text("access_token").replace(':', "%3A");
    let get = |token: &str| {
        send(&sandbox, "GET", &format!("{CAMERAS}?a=b&access_token={token}"), &[("Accept", "application/json")], "")
    };
    assert_eq!(get(&token).status, 200);
    get("a%3A1").assert_error(401, "invalid_token", "Invalid access token: a:1");
    // A header counts more.
    let header = [("Accept", "application/json"), ("Authorization", "Bearer b:1")];
    let both = send(&sandbox, "GET", &format!("{CAMERAS}?access_token={token}"), &header, "");
    both.assert_error(401, "invalid_token", "Invalid access token: b:1");
}

#[test]
fn an_unknown_token() {
    let response = with_token(&start(), "GET", CAMERAS, "a:1");
    assert_eq!(response.status, 401);
    let words = "Invalid access token: a:1";
    assert_eq!(response.body, format!(r#"{{"error":"invalid_token","error_description":"{words}"}}"#));
    let challenge = format!(r#"Bearer realm="oauth2-resource", error="invalid_token", error_description="{words}""#);
    assert_eq!(response.header("www-authenticate"), Some(challenge.as_str()));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("content-type"), Some("application/json;charset=UTF-8"));
}

#[test]
fn an_expired_token_is_reported_once_and_then_unknown() {
    let sandbox = start();
    let token = log_in(&sandbox, "write").text("access_token");
    sandbox.advance(LIFETIME);
    let first = with_token(&sandbox, "GET", SELF, &token);
    let words = format!("Access token expired: {token}");
    first.assert_error(401, "invalid_token", &words);
    let challenge = format!(r#"Bearer realm="oauth2-resource", error="invalid_token", error_description="{words}""#);
    assert_eq!(first.header("www-authenticate"), Some(challenge.as_str()));
    let second = with_token(&sandbox, "GET", SELF, &token);
    second.assert_error(401, "invalid_token", &format!("Invalid access token: {token}"));
}

#[test]
fn no_token() {
    let sandbox = start();
    let words = "Full authentication is required to access this resource";
    // The check of the token comes before the path.
    for path in [SELF, CAMERAS, LOGOUT, "/rest/nothing"] {
        let response = send(&sandbox, "GET", path, &[("Accept", "application/json")], "");
        response.assert_error(401, "unauthorized", words);
        let challenge = format!(r#"Bearer realm="oauth2-resource", error="unauthorized", error_description="{words}""#);
        assert_eq!(response.header("www-authenticate"), Some(challenge.as_str()));
    }
}

#[test]
fn a_scope_that_is_too_small() {
    let sandbox = start();
    let token = log_in(&sandbox, "read").text("access_token");
    assert_eq!(with_token(&sandbox, "GET", CAMERAS, &token).status, 200);
    let response = with_token(&sandbox, "PUT", &format!("{CAMERAS}/100031"), &token);
    assert_eq!(response.status, 403);
    assert_eq!(
        response.body,
        r#"{"error":"insufficient_scope","error_description":"Insufficient scope for this resource","scope":"write"}"#
    );
    let token = log_in(&sandbox, "write").text("access_token");
    assert_eq!(with_token(&sandbox, "PUT", &format!("{CAMERAS}/100031"), &token).status, 200);
}

#[test]
fn the_camera_of_another_user_is_forbidden() {
    let sandbox = start_with(|options| options.users.push(Account::new("second", "second")));
    let token = log_in(&sandbox, "write").text("access_token");
    let response = with_token(&sandbox, "GET", &format!("{CAMERAS}/100041"), &token);
    assert_eq!(response.status, 403);
    assert_eq!(response.body, r#"{"error":"access_denied","error_description":"Access is denied"}"#);
}

#[test]
fn the_rest_api_has_its_own_error_format() {
    let sandbox = start();
    let token = log_in(&sandbox, "write").text("access_token");
    let missing = with_token(&sandbox, "GET", "/rest/v2.0/nothing", &token);
    assert_eq!(missing.status, 404);
    assert_eq!(missing.body, r#"{"code":404,"title":"Not Found","detail":"No such resource"}"#);
    let authorization = format!("Bearer {token}");
    let headers = [("Accept", "text/html"), ("Authorization", authorization.as_str())];
    let html = send(&sandbox, "GET", SELF, &headers, "");
    assert_eq!((html.status, &html.json()["code"]), (406, &406.into()));
    assert_eq!(with_token(&sandbox, "POST", SELF, &token).json()["code"], 405);
}

#[test]
fn errors_are_xml_if_the_client_accepts_xml() {
    let headers = [("Accept", "application/xml"), ("Authorization", "Bearer <t>")];
    let response = send(&start(), "GET", SELF, &headers, "");
    let words = "<error_description>Invalid access token: &lt;t&gt;</error_description>";
    assert_eq!(response.body, format!("<oauth><error>invalid_token</error>{words}</oauth>"));
}

#[test]
fn a_logout_deletes_both_tokens() {
    let sandbox = start();
    let tokens = log_in(&sandbox, "write");
    let (access, refresh_token) = (tokens.text("access_token"), tokens.text("refresh_token"));
    let response = log_out(&sandbox, &access);
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    with_token(&sandbox, "GET", SELF, &access).assert_error(
        401,
        "invalid_token",
        &format!("Invalid access token: {access}"),
    );
    let refreshed = refresh(&sandbox, &refresh_token, "");
    refreshed.assert_error(400, "invalid_grant", &format!("Invalid refresh token: {refresh_token}"));
    assert_ne!(log_in(&sandbox, "write").text("refresh_token"), refresh_token);
}

#[test]
fn a_second_logout_is_a_401() {
    let sandbox = start();
    let access = log_in(&sandbox, "write").text("access_token");
    log_out(&sandbox, &access);
    log_out(&sandbox, &access).assert_error(401, "invalid_token", &format!("Invalid access token: {access}"));
}

#[test]
fn a_logout_with_an_expired_token_is_a_401_and_keeps_the_refresh_token() {
    let sandbox = start();
    let tokens = log_in(&sandbox, "write");
    let (access, refresh_token) = (tokens.text("access_token"), tokens.text("refresh_token"));
    sandbox.advance(LIFETIME);
    log_out(&sandbox, &access).assert_error(401, "invalid_token", &format!("Access token expired: {access}"));
    let fresh = refresh(&sandbox, &refresh_token, "");
    assert_eq!(fresh.status, 200, "{fresh:?}");
    assert_eq!(log_out(&sandbox, &fresh.text("access_token")).status, 200);
    assert_eq!(refresh(&sandbox, &refresh_token, "").status, 400);
}

#[test]
fn a_double_slash_in_the_logout_url_does_not_log_out() {
    let sandbox = start();
    let access = log_in(&sandbox, "write").text("access_token");
    assert_eq!(with_token(&sandbox, "DELETE", &format!("/{LOGOUT}"), &access).status, 404);
    assert_eq!(with_token(&sandbox, "GET", SELF, &access).status, 200);
}
