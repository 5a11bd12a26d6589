//! `/oauth/token`: status, body and headers of each response, and the order of checks.

mod common;

use cmauth_sandbox::Flavour;
use common::*;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

#[track_caller]
fn assert_challenge(response: &common::Response, expected: &str) {
    assert_eq!(response.header("www-authenticate"), Some(expected), "{response:?}");
}

#[test]
fn a_code_becomes_tokens_in_the_shape_of_the_guide() {
    let sandbox = start();
    let response = log_in(&sandbox, "write");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("pragma"), Some("no-cache"));
    assert_eq!(response.header("content-type"), Some("application/json;charset=UTF-8"));
    let (access, refresh) = (response.text("access_token"), response.text("refresh_token"));
    let expected = format!(
        r#"{{"access_token":"{access}","token_type":"bearer","refresh_token":"{refresh}","expires_in":43199,"scope":"write"}}"#
    );
    assert_eq!(response.body, expected);
    for token in [access, refresh] {
        assert!(token.len() == 42 && token.ends_with(":10003"), "{token}");
    }
}

#[test]
fn a_refresh_token_becomes_a_new_access_token() {
    let sandbox = start();
    let first = log_in(&sandbox, "write");
    // As in the guide, the ':' is not encoded.
    let query = format!("grant_type=refresh_token&scope=write&refresh_token={}", first.text("refresh_token"));
    let second = request_tokens(&sandbox, &query);
    assert_eq!(second.status, 200, "{second:?}");
    assert_eq!(second.text("refresh_token"), first.text("refresh_token"));
    assert_ne!(second.text("access_token"), first.text("access_token"));
    assert_eq!(second.json()["expires_in"], 43199);
}

#[test]
fn no_credentials() {
    let sandbox = start();
    let words = "Full authentication is required to access this resource";
    for authorization in [None, Some("Bearer x")] {
        let response = token(&sandbox, authorization, "grant_type=authorization_code");
        assert_eq!(response.status, 401);
        assert_eq!(response.body, format!(r#"{{"error":"unauthorized","error_description":"{words}"}}"#));
        let challenge = format!(r#"Basic realm="oauth2/client", error="unauthorized", error_description="{words}""#);
        assert_challenge(&response, &challenge);
    }
}

#[test]
fn wrong_id_or_secret() {
    let sandbox = start();
    // In the last one, the secret is URL-encoded before base64.
    for authorization in [basic(ID, "wrong"), basic("wrong", SECRET), basic(ID, &encode("a b"))] {
        let response = token(&sandbox, Some(&authorization), "");
        assert_eq!(response.status, 401);
        assert_eq!(response.body, r#"{"error":"unauthorized","error_description":"Bad credentials"}"#);
        assert_challenge(
            &response,
            r#"Basic realm="oauth2/client", error="unauthorized", error_description="Bad credentials""#,
        );
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn the_misprinted_basic_example_of_the_guide_is_rejected() {
    let response = token(&start(), Some("Basic Y2FtZXJhbWFuYWdlci50ZXN0InF3ZXJ0eQ=="), "");
    assert_eq!((response.status, response.text("error").as_str()), (401, "unauthorized"));
    assert!(response.header("www-authenticate").unwrap().starts_with("Basic realm="));
}

#[test]
fn basic_is_split_at_the_first_colon_and_not_url_decoded() {
    let sandbox = start_with(|options| options.clients[0].secret = "a:b%20ü".into());
    let right = token(&sandbox, Some(&basic(ID, "a:b%20ü")), "");
    right.assert_error(400, "invalid_request", "Missing grant type");
    token(&sandbox, Some(&basic(ID, "a:b ü")), "").assert_error(401, "unauthorized", "Bad credentials");
}

#[test]
fn a_client_id_that_differs_from_basic() {
    let sandbox = flavour(Flavour::BasicOnly);
    let response = request_tokens(&sandbox, "grant_type=refresh_token&refresh_token=x&client_id=other");
    let words = "Given client ID does not match authenticated client";
    response.assert_error(401, "invalid_client", words);
    assert_challenge(&response, &format!(r#"Bearer error="invalid_client", error_description="{words}""#));
}

#[test]
fn a_client_id_beside_basic_is_rejected_even_if_it_is_the_same() {
    let words = "Bad client credentials";
    for query in [format!("client_id={ID}"), "client_id=other".into(), "client_id=".into()] {
        let response = request_tokens(&start(), &format!("grant_type=refresh_token&refresh_token=x&{query}"));
        response.assert_error(401, "invalid_client", words);
        let challenge =
            r#"Form realm="oauth2/client", error="invalid_client", error_description="Bad client credentials""#;
        assert_challenge(&response, challenge);
    }
    let query = format!("grant_type=refresh_token&refresh_token=x&client_id={ID}");
    let ignored = request_tokens(&flavour(Flavour::BasicOnly), &query);
    ignored.assert_error(400, "invalid_grant", "Invalid refresh token: x");
}

#[test]
fn an_api_key_in_parameters() {
    let query = format!("grant_type=refresh_token&refresh_token=x&client_id={ID}&client_secret={SECRET}");
    token(&start(), None, &query).assert_error(400, "invalid_grant", "Invalid refresh token: x");
    let refused = token(&flavour(Flavour::BasicOnly), None, &query);
    refused.assert_error(401, "unauthorized", "Full authentication is required to access this resource");
}

#[test]
fn a_key_in_parameters_beside_one_in_the_header() {
    let query = format!("grant_type=refresh_token&refresh_token=x&client_id={ID}&client_secret={SECRET}");
    let sandbox = with_other(|_| {});
    for (authorization, status, error, words) in [
        (basic(ID, "wrong"), 400, "invalid_grant", "Invalid refresh token: x"),
        (basic("nobody", "x"), 401, "unauthorized", "Bad credentials"),
        ("Basic !".to_owned(), 401, "unauthorized", "Failed to decode basic authentication token"),
        (basic("other", "other"), 401, "invalid_client", "Given client ID does not match authenticated client"),
    ] {
        token(&sandbox, Some(&authorization), &query).assert_error(status, error, words);
    }
}

#[test]
fn a_client_that_accepts_json_in_second_place_gets_it() {
    let authorization = basic(ID, SECRET);
    let headers = [("Authorization", authorization.as_str()), ("Accept", "application/xml, application/json;q=0.5")];
    let response = send(&start(), "POST", "/oauth/token?grant_type=refresh_token&refresh_token=x", &headers, "");
    response.assert_error(400, "invalid_grant", "Invalid refresh token: x");
}

#[test]
fn the_body_of_a_get_is_ignored() {
    let sandbox = start();
    let body = format!("access_token={}", encode(&log_in(&sandbox, "write").text("access_token")));
    let response = send(&sandbox, "GET", "/rest/v2.4/cameras", &[("Accept", "application/json"), FORM], &body);
    assert_eq!(response.status, 401);
}

#[test]
fn basic_as_the_framework_reads_it() {
    let unpadded = basic(ID, SECRET).trim_end_matches('=').to_owned();
    for authorization in [unpadded.clone(), unpadded.replace("Basic", "bASIC"), format!("{unpadded} ")] {
        let response = token(&start(), Some(&authorization), "grant_type=refresh_token&refresh_token=x");
        response.assert_error(400, "invalid_grant", "Invalid refresh token: x");
    }
    for (authorization, words) in [
        ("Basic", "Empty basic authentication token"),
        ("Basic ", "Empty basic authentication token"),
        (&*unpadded.replace(' ', ""), "Failed to decode basic authentication token"),
        (&*unpadded.replace(' ', "  "), "Failed to decode basic authentication token"),
        ("Basic Y2FtZXJh", "Invalid basic authentication token"),
        ("Basic YTr/", "Bad credentials"),
    ] {
        token(&start(), Some(authorization), "").assert_error(401, "unauthorized", words);
    }
}

#[test]
fn version_2_5_quotes_nothing_and_has_other_tokens() {
    let sandbox = flavour(Flavour::V25);
    let tokens = log_in(&sandbox, "write");
    let (access, refresh_token) = (tokens.text("access_token"), tokens.text("refresh_token"));
    for token in [&access, &refresh_token] {
        assert_eq!(token.find(':'), Some(27), "{token}");
    }
    refresh(&sandbox, "a:1", "").assert_error(400, "invalid_grant", "Invalid refresh token");
    exchange(&sandbox, "AbCdEf").assert_error(400, "invalid_grant", "Invalid authorization code");
    refresh(&sandbox, &refresh_token, "read").assert_error(
        400,
        "invalid_scope",
        "Unable to narrow the scope of the client authentication",
    );
    let words = "refresh_token parameter not provided";
    request_tokens(&sandbox, "grant_type=refresh_token").assert_error(400, "invalid_request", words);
    let resource = with_token(&sandbox, "GET", "/rest/v2.4/cameras", "a:1");
    resource.assert_error(401, "invalid_token", "Invalid access token");
}

#[test]
fn with_the_entry_point_of_boot_a_wrong_key_gives_an_error_that_is_no_oauth_code() {
    let sandbox = flavour(Flavour::Boot);
    for authorization in [None, Some(basic(ID, "wrong"))] {
        let response = token(&sandbox, authorization.as_deref(), "grant_type=refresh_token&refresh_token=x");
        assert_eq!((response.status, response.text("error").as_str()), (401, "Unauthorized"));
        assert_eq!(response.text("path"), "/oauth/token");
        assert_challenge(&response, r#"Basic realm="oauth2/client""#);
    }
    let wrong = request_tokens(&sandbox, "grant_type=refresh_token&refresh_token=x");
    wrong.assert_error(400, "invalid_grant", "Invalid refresh token: x");
}

#[test]
fn a_grant_that_the_client_may_not_use() {
    let sandbox = with_other(|other| other.grants = vec!["refresh_token".into()]);
    let response = token(&sandbox, Some(&basic("other", "other")), "grant_type=authorization_code&code=AbCdEf");
    response.assert_error(401, "invalid_client", "Unauthorized grant type: authorization_code");
    assert_challenge(
        &response,
        r#"Bearer error="invalid_client", error_description="Unauthorized grant type: authorization_code""#,
    );
}

#[test]
fn the_code_of_another_client_is_rejected_and_used_up() {
    let sandbox = with_other(|_| {});
    let code = code(&sandbox, "write");
    let query = format!("grant_type=authorization_code&code={code}&redirect_uri={}", encode(REDIRECT));
    let response = token(&sandbox, Some(&basic("other", "other")), &query);
    response.assert_error(401, "invalid_client", "Client ID mismatch");
    exchange(&sandbox, &code).assert_error(400, "invalid_grant", &format!("Invalid authorization code: {code}"));
}

#[test]
fn get_is_not_allowed_and_credentials_come_first() {
    let sandbox = start();
    let authorization = basic(ID, SECRET);
    let headers = [("Accept", "application/json"), ("Authorization", authorization.as_str())];
    let response = send(&sandbox, "GET", "/oauth/token?grant_type=refresh_token", &headers, "");
    response.assert_error(405, "method_not_allowed", "Request method 'GET' not supported");
    assert_eq!(send(&sandbox, "GET", "/oauth/token", &[], "").status, 401);
}

#[test]
fn no_grant_type() {
    let sandbox = start();
    for query in ["", "grant_type=", "code=AbCdEf"] {
        request_tokens(&sandbox, query).assert_error(400, "invalid_request", "Missing grant type");
    }
}

#[test]
fn an_unknown_grant() {
    let response = request_tokens(&start(), "grant_type=x");
    response.assert_error(400, "unsupported_grant_type", "Unsupported grant type");
    assert_eq!(response.header("www-authenticate"), None);
    let words = "Unauthorized grant type: client_credentials";
    request_tokens(&start(), "grant_type=client_credentials").assert_error(401, "invalid_client", words);
    let words = "Implicit grant type not supported from token endpoint";
    request_tokens(&start(), "grant_type=implicit").assert_error(400, "invalid_grant", words);
}

#[test]
fn an_unknown_scope_is_rejected_before_the_code_is_used() {
    let sandbox = start();
    let code = code(&sandbox, "write");
    let redirect = encode(REDIRECT);
    let query = format!("grant_type=authorization_code&scope=x&code={code}&redirect_uri={redirect}");
    let response = request_tokens(&sandbox, &query);
    assert_eq!(response.status, 400);
    assert_eq!(
        response.body,
        r#"{"error":"invalid_scope","error_description":"Invalid scope: x","scope":"read write"}"#
    );
    // The check of the scope comes before that of the grant type.
    assert_eq!(request_tokens(&sandbox, "scope=x").text("error"), "invalid_scope");
    assert_eq!(exchange(&sandbox, &code).status, 200);
}

#[test]
fn no_code() {
    let response = request_tokens(&start(), "grant_type=authorization_code&redirect_uri=https%3A%2F%2Fexample.com");
    response.assert_error(400, "invalid_request", "An authorization code must be supplied.");
}

#[test]
fn an_unknown_or_reused_code() {
    let sandbox = start();
    let response = exchange(&sandbox, "AbCdEf");
    assert_eq!(response.status, 400);
    assert_eq!(response.body, r#"{"error":"invalid_grant","error_description":"Invalid authorization code: AbCdEf"}"#);
    let code = code(&sandbox, "write");
    assert_eq!(exchange(&sandbox, &code).status, 200);
    exchange(&sandbox, &code).assert_error(400, "invalid_grant", &format!("Invalid authorization code: {code}"));
}

#[test]
fn another_or_no_redirect_uri_uses_up_the_code() {
    let sandbox = start();
    for redirect in ["&redirect_uri=https%3A%2F%2Fexample.com%2F", "&redirect_uri=", ""] {
        let code = code(&sandbox, "write");
        let response = request_tokens(&sandbox, &format!("grant_type=authorization_code&code={code}{redirect}"));
        assert_eq!(response.status, 400);
        assert_eq!(response.body, r#"{"error":"invalid_grant","error_description":"Redirect URI mismatch."}"#);
        exchange(&sandbox, &code).assert_error(400, "invalid_grant", &format!("Invalid authorization code: {code}"));
    }
}

#[test]
fn codes_do_not_expire() {
    let sandbox = start();
    let code = code(&sandbox, "write");
    sandbox.advance(std::time::Duration::from_secs(365 * 86_400));
    assert_eq!(exchange(&sandbox, &code).status, 200);
}

#[test]
fn an_unknown_refresh_token() {
    let sandbox = start();
    refresh(&sandbox, "a:1", "").assert_error(400, "invalid_grant", "Invalid refresh token: a:1");
    request_tokens(&sandbox, "grant_type=refresh_token").assert_error(
        400,
        "invalid_grant",
        "Invalid refresh token: null",
    );
    let empty = request_tokens(&sandbox, "grant_type=refresh_token&refresh_token=");
    empty.assert_error(400, "invalid_grant", "Invalid refresh token: ");
}

#[test]
fn the_refresh_token_of_another_client_is_rejected_and_stays_valid() {
    let sandbox = with_other(|_| {});
    let refresh_token = log_in(&sandbox, "write").text("refresh_token");
    let query = format!("grant_type=refresh_token&refresh_token={refresh_token}");
    let response = token(&sandbox, Some(&basic("other", "other")), &query);
    let words = format!("Wrong client for this refresh token: {refresh_token}");
    response.assert_error(400, "invalid_grant", &words);
    assert_eq!(refresh(&sandbox, &refresh_token, "").status, 200);
}

#[test]
fn a_wider_scope_at_refresh() {
    let sandbox = start();
    let tokens = log_in(&sandbox, "read");
    let response = refresh(&sandbox, &tokens.text("refresh_token"), "write");
    assert_eq!(response.status, 400);
    assert_eq!(
        response.body,
        r#"{"error":"invalid_scope","error_description":"Unable to narrow the scope of the client authentication to [write].","scope":"read"}"#
    );
}

#[test]
fn query_and_form_are_merged_and_the_query_comes_first() {
    let sandbox = start();
    let authorization = basic(ID, SECRET);
    let headers = [("Authorization", authorization.as_str()), FORM];
    let code = code(&sandbox, "write");
    let body = format!("grant_type=wrong&code={code}&redirect_uri={}", encode(REDIRECT));
    let response = send(&sandbox, "POST", "/oauth/token?grant_type=authorization_code", &headers, &body);
    assert_eq!(response.status, 200, "{response:?}");
}

#[test]
fn a_json_body_is_ignored() {
    let authorization = basic(ID, SECRET);
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let response = send(&start(), "POST", "/oauth/token", &headers, r#"{"grant_type":"refresh_token"}"#);
    response.assert_error(400, "invalid_request", "Missing grant type");
}

#[test]
fn the_error_of_a_wrong_key_is_xml_if_the_client_accepts_xml_and_any_other_error_fails() {
    let wrong = basic(ID, "wrong");
    let response =
        send(&start(), "POST", "/oauth/token", &[("Authorization", wrong.as_str()), ("Accept", "application/xml")], "");
    assert_eq!(response.status, 401);
    assert_eq!(response.header("content-type"), Some("application/xml;charset=UTF-8"));
    let words = "<error_description>Bad credentials</error_description>";
    assert_eq!(response.body, format!("<oauth><error>unauthorized</error>{words}</oauth>"));
    let right = basic(ID, SECRET);
    for (accept, body_is_empty) in [("application/xml", true), ("text/plain", true), ("text/html", false)] {
        let headers = [("Authorization", right.as_str()), ("Accept", accept)];
        let response = send(&start(), "POST", "/oauth/token", &headers, "");
        assert_eq!((response.status, response.body.is_empty()), (500, body_is_empty), "{accept}");
    }
}

#[test]
fn tokens_are_json_whatever_the_client_accepts() {
    let sandbox = start();
    let authorization = basic(ID, SECRET);
    let target = format!(
        "/oauth/token?grant_type=authorization_code&code={}&redirect_uri={}",
        code(&sandbox, "write"),
        encode(REDIRECT)
    );
    let headers = [("Authorization", authorization.as_str()), ("Accept", "text/html")];
    assert_eq!(send(&sandbox, "POST", &target, &headers, "").status, 200);
}

#[test]
fn methods_that_the_container_refuses() {
    let authorization = basic(ID, SECRET);
    let headers = [("Authorization", authorization.as_str())];
    for method in ["PUT", "DELETE", "PATCH"] {
        let response = send(&start(), method, "/oauth/token", &headers, "");
        assert_eq!((response.status, response.text("error").as_str()), (405, "Method Not Allowed"));
    }
    let response = send(&start(), "OPTIONS", "/oauth/token", &headers, "");
    assert_eq!((response.status, response.header("allow")), (200, Some("GET,HEAD,POST,OPTIONS")));
}

#[test]
fn a_head_of_more_than_8_kib_is_refused_by_the_container() {
    let long = format!("grant_type=refresh_token&refresh_token={}", "x".repeat(8192));
    let response = request_tokens(&start(), &long);
    assert_eq!(response.status, 400);
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{response:?}");
}

#[test]
fn html_alone_is_not_acceptable() {
    let response = send(&start(), "POST", "/oauth/token", &[("Accept", "text/html")], "");
    assert_eq!((response.status, response.body.as_str()), (406, ""));
}

#[test]
fn a_client_without_the_refresh_grant_gets_no_refresh_token() {
    let sandbox = with_other(|other| other.grants = vec!["authorization_code".into()]);
    let code = code_at(&page_of(&sandbox, "other", "write", REDIRECT));
    let query = format!("grant_type=authorization_code&code={code}&redirect_uri={}", encode(REDIRECT));
    let response = token(&sandbox, Some(&basic("other", "other")), &query);
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.json().get("refresh_token").is_none(), "{response:?}");
}
