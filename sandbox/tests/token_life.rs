//! The lifetime of tokens: shared pairs, and the effects of logins, refreshes and time.

mod common;

use std::time::Duration;

use cmauth_sandbox::Account;
use cmauth_sandbox::user::{self, User};
use common::*;

const HOUR: Duration = Duration::from_secs(3_600);
const LIFETIME: Duration = Duration::from_secs(43_200);

#[track_caller]
fn assert_valid(sandbox: &cmauth_sandbox::Sandbox, token: &str) {
    let response = with_token(sandbox, "GET", "/rest/v2.0/users/self", token);
    assert_eq!(response.status, 200, "{response:?}");
}

#[track_caller]
fn assert_unknown(sandbox: &cmauth_sandbox::Sandbox, token: &str) {
    let response = with_token(sandbox, "GET", "/rest/v2.0/users/self", token);
    response.assert_error(401, "invalid_token", &format!("Invalid access token: {token}"));
}

#[test]
fn a_second_login_returns_the_same_pair_with_its_remaining_lifetime() {
    let sandbox = start();
    let first = log_in(&sandbox, "write");
    sandbox.advance(HOUR);
    let second = log_in(&sandbox, "write");
    assert_eq!(second.text("access_token"), first.text("access_token"));
    assert_eq!(second.text("refresh_token"), first.text("refresh_token"));
    let left = second.json()["expires_in"].as_u64().unwrap();
    assert!((39_000..39_600).contains(&left), "{left}");
}

#[test]
fn another_scope_or_user_or_client_has_its_own_pair() {
    let sandbox = with_other(|_| {});
    let first = log_in(&sandbox, "write").text("access_token");
    assert_ne!(log_in(&sandbox, "read").text("access_token"), first);
    let code = code_at(&page_of(&sandbox, "other", "write", REDIRECT));
    let query = format!("grant_type=authorization_code&code={code}&redirect_uri={}", encode(REDIRECT));
    assert_ne!(token(&sandbox, Some(&basic("other", "other")), &query).text("access_token"), first);
    assert_valid(&sandbox, &first);
}

#[test]
fn each_user_has_a_pair_and_a_zone() {
    let sandbox = start_with(|options| options.users.push(Account::new("second", "pässword:x")));
    let first = log_in(&sandbox, "write").text("access_token");
    let second = User { name: "second".into(), password: "pässword:x".into(), ..User::default() };
    let redirected = user::log_in(&page(&sandbox, "write"), &second).unwrap();
    let tokens = exchange(&sandbox, redirected.split_once("code=").unwrap().1);
    assert!(tokens.text("access_token").ends_with(":10004"), "{tokens:?}");
    assert!(tokens.text("refresh_token").ends_with(":10004"), "{tokens:?}");
    let refreshed = refresh(&sandbox, &tokens.text("refresh_token"), "");
    assert!(refreshed.text("access_token").ends_with(":10004"), "{refreshed:?}");
    assert_valid(&sandbox, &first);
}

#[test]
fn after_expiry_a_login_gives_a_new_access_token_and_the_same_refresh_token() {
    let sandbox = start();
    let first = log_in(&sandbox, "write");
    sandbox.advance(LIFETIME);
    let second = log_in(&sandbox, "write");
    assert_ne!(second.text("access_token"), first.text("access_token"));
    assert_eq!(second.text("refresh_token"), first.text("refresh_token"));
    assert_eq!(second.json()["expires_in"], 43199);
    assert_unknown(&sandbox, &first.text("access_token"));
}

#[test]
fn a_refresh_deletes_the_old_access_token_at_once() {
    let sandbox = start();
    let first = log_in(&sandbox, "write");
    let second = refresh(&sandbox, &first.text("refresh_token"), "");
    assert_unknown(&sandbox, &first.text("access_token"));
    assert_valid(&sandbox, &second.text("access_token"));
    // A login now returns the refreshed token.
    assert_eq!(log_in(&sandbox, "write").text("access_token"), second.text("access_token"));
}

#[test]
fn no_scope_at_refresh_means_the_original_scope() {
    let sandbox = start();
    let tokens = log_in(&sandbox, "write read");
    assert_eq!(tokens.text("scope"), "read write");
    assert_eq!(refresh(&sandbox, &tokens.text("refresh_token"), "").text("scope"), "read write");
}

#[test]
fn a_narrower_scope_at_refresh_narrows_only_the_new_access_token() {
    let sandbox = start();
    let tokens = log_in(&sandbox, "read write");
    let narrow = refresh(&sandbox, &tokens.text("refresh_token"), "read");
    assert_eq!(narrow.text("scope"), "read");
    assert_eq!(narrow.text("refresh_token"), tokens.text("refresh_token"));
    assert_eq!(refresh(&sandbox, &tokens.text("refresh_token"), "").text("scope"), "read write");
    assert_unknown(&sandbox, &narrow.text("access_token"));
}

#[test]
fn the_scope_that_was_authorized_wins_over_the_one_sent_with_the_code() {
    // `exchange` sends scope=read, as the guide does.
    assert_eq!(log_in(&start(), "write").text("scope"), "write");
}

#[test]
fn a_refresh_works_after_the_access_token_expired() {
    let sandbox = start();
    let tokens = log_in(&sandbox, "write");
    sandbox.advance(LIFETIME * 100);
    let refreshed = refresh(&sandbox, &tokens.text("refresh_token"), "");
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert_valid(&sandbox, &refreshed.text("access_token"));
}

#[test]
fn an_expired_refresh_token_is_a_401_and_then_unknown() {
    let sandbox = start_with(|options| options.refresh_token_lifetime = LIFETIME * 2);
    let refresh_token = log_in(&sandbox, "write").text("refresh_token");
    sandbox.advance(LIFETIME * 2);
    let response = refresh(&sandbox, &refresh_token, "");
    let words = format!("Invalid refresh token (expired): {refresh_token}");
    assert_eq!(response.status, 401);
    assert_eq!(response.body, format!(r#"{{"error":"invalid_token","error_description":"{words}"}}"#));
    let challenge = format!(r#"Bearer error="invalid_token", error_description="{words}""#);
    assert_eq!(response.header("www-authenticate"), Some(challenge.as_str()));
    let again = refresh(&sandbox, &refresh_token, "");
    again.assert_error(400, "invalid_grant", &format!("Invalid refresh token: {refresh_token}"));
}

#[test]
fn a_login_replaces_an_expired_refresh_token() {
    let sandbox = start_with(|options| options.refresh_token_lifetime = LIFETIME);
    let first = log_in(&sandbox, "write");
    sandbox.advance(LIFETIME);
    let second = log_in(&sandbox, "write");
    assert_ne!(second.text("refresh_token"), first.text("refresh_token"));
    assert_eq!(refresh(&sandbox, &second.text("refresh_token"), "").status, 200);
}

#[test]
fn a_lifetime_of_one_second_gives_an_expires_in_of_zero() {
    let sandbox = start_with(|options| options.access_token_lifetime = Duration::from_secs(1));
    assert_eq!(log_in(&sandbox, "write").json()["expires_in"], 0);
}

#[test]
fn a_token_that_never_expires_has_no_expires_in() {
    let sandbox = start_with(|options| options.access_token_lifetime = Duration::ZERO);
    let tokens = log_in(&sandbox, "write");
    assert!(tokens.json().get("expires_in").is_none(), "{tokens:?}");
    sandbox.advance(LIFETIME * 1_000);
    assert_valid(&sandbox, &tokens.text("access_token"));
}

#[test]
fn a_logout_ends_the_login_of_every_installation() {
    let sandbox = start();
    let one = log_in(&sandbox, "write");
    let other = log_in(&sandbox, "write");
    assert_eq!(log_out(&sandbox, &one.text("access_token")).status, 200);
    assert_unknown(&sandbox, &other.text("access_token"));
    let refresh_token = other.text("refresh_token");
    let response = refresh(&sandbox, &refresh_token, "");
    response.assert_error(400, "invalid_grant", &format!("Invalid refresh token: {refresh_token}"));
}

#[test]
fn a_rotating_server_ends_the_old_refresh_token() {
    let sandbox = start_with(|options| options.rotate_refresh_tokens = true);
    let first = log_in(&sandbox, "write").text("refresh_token");
    let second = refresh(&sandbox, &first, "").text("refresh_token");
    assert_ne!(second, first);
    refresh(&sandbox, &first, "").assert_error(400, "invalid_grant", &format!("Invalid refresh token: {first}"));
    assert_eq!(refresh(&sandbox, &second, "").status, 200);
}
