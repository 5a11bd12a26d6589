//! The scripted user.

mod common;

use cmauth_sandbox::user::{self, User};
use common::*;

#[test]
fn a_user_arrives_at_the_redirect_uri_without_opening_it() {
    let sandbox = start();
    // Another port of the same host. Nothing listens there, so opening the URL would fail.
    let redirected =
        user::log_in(&page_of(&sandbox, ID, "write", "http://127.0.0.1:9/back"), &User::default()).unwrap();
    assert!(redirected.starts_with("http://127.0.0.1:9/back?code="), "{redirected}");
}

#[test]
fn a_user_can_deny() {
    let sandbox = start();
    let page = page(&sandbox, "write") + "&state=S";
    let redirected = user::log_in(&page, &User { approve: false, ..User::default() }).unwrap();
    let denied = "https://example.com/?error=access_denied&error_description=User%20denied%20access&state=S";
    assert_eq!(redirected, denied);
}

#[test]
fn a_wrong_password_is_an_error_with_the_text_of_the_page() {
    let sandbox = start();
    let wrong = User { password: "wrong".into(), ..User::default() };
    let error = user::log_in(&page(&sandbox, "write"), &wrong).unwrap_err();
    assert_eq!(error.to_string(), "the login failed: The user name or the password is wrong.");
}

#[test]
fn an_error_page_is_an_error() {
    let sandbox = start();
    let error = user::log_in(&page_of(&sandbox, "unknown", "write", REDIRECT), &User::default()).unwrap_err();
    assert_eq!(error.to_string(), "the server responded with 401: Bad client credentials");
    let error = user::log_in(&page_of(&sandbox, ID, "write", "app://x"), &User::default()).unwrap_err();
    assert!(error.to_string().starts_with("the server responded with 400: Invalid redirect: app://x"), "{error}");
}

#[test]
fn a_redirect_with_an_error_is_a_result() {
    let sandbox = start();
    let redirected = user::log_in(&page(&sandbox, "x"), &User::default()).unwrap();
    assert!(redirected.starts_with("https://example.com/?error=invalid_scope&"), "{redirected}");
}

#[test]
fn an_unreachable_server_is_an_error() {
    // Nothing listens on port 1. The port of a stopped sandbox could belong to another test.
    let error = user::log_in("http://127.0.0.1:1/oauth/authorize", &User::default()).unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(user::log_in("example.com", &User::default()).is_err());
}

#[test]
fn a_user_can_log_in_from_inside_a_runtime() {
    let sandbox = start();
    let page = page(&sandbox, "write");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let redirected = runtime.block_on(async { user::log_in(&page, &User::default()) });
    assert!(redirected.unwrap().starts_with("https://example.com/?code="));
}
