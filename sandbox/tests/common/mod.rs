//! Shared by the tests of this folder: a minimal HTTP client, and the steps of the vendor's guide.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cmauth_sandbox::user::{self, User};
use cmauth_sandbox::{Client, Flavour, Options, Sandbox};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

pub const ID: &str = "cameramanager.test";
pub const SECRET: &str = "qwertyuiopasdfghjklzxcvbnm12345";
pub const REDIRECT: &str = "https://example.com";
/// A sandbox that responds like another version or set-up of the framework.
pub fn flavour(flavour: Flavour) -> Sandbox {
    Sandbox::start(Options { flavours: vec![flavour], ..Options::default() }).unwrap()
}

pub const LOGOUT: &str = "/rest/v2.0/users/self/tokens/current";

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    /// Parses the bytes that the server sent before it closed the connection.
    pub fn parse(text: &str) -> Response {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Response { status, headers: lines.map(header).collect(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn text(&self, key: &str) -> String {
        self.json()[key].as_str().unwrap_or_else(|| panic!("no {key} in {self:?}")).to_owned()
    }

    /// Asserts status and `error`/`error_description` at once.
    #[track_caller]
    pub fn assert_error(&self, status: u16, error: &str, description: &str) {
        let body = self.json();
        let found = (self.status, body["error"].as_str(), body["error_description"].as_str());
        assert_eq!(found, (status, Some(error), Some(description)), "{self:?}");
    }
}

/// Sends one request to a sandbox without TLS.
pub fn send(sandbox: &Sandbox, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let address = sandbox.url().strip_prefix("http://").expect("a sandbox without TLS");
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(request(method, target, address, headers, body).as_bytes()).unwrap();
    let mut response = Vec::new();
    socket.read_to_end(&mut response).unwrap();
    Response::parse(&String::from_utf8(response).unwrap())
}

/// The bytes of a request with `Connection: close`.
pub fn request(method: &str, target: &str, host: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text + "\r\n" + body
}

pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

/// Step 2 of the guide: the URL of the login page.
pub fn page(sandbox: &Sandbox, scope: &str) -> String {
    page_of(sandbox, ID, scope, REDIRECT)
}

pub fn page_of(sandbox: &Sandbox, id: &str, scope: &str, redirect_uri: &str) -> String {
    let (url, id, scope, redirect_uri) = (sandbox.url(), encode(id), encode(scope), encode(redirect_uri));
    format!("{url}/oauth/authorize?response_type=code&client_id={id}&scope={scope}&redirect_uri={redirect_uri}")
}

/// Step 3: the authorization code.
pub fn code(sandbox: &Sandbox, scope: &str) -> String {
    code_at(&page(sandbox, scope))
}

pub fn code_at(page: &str) -> String {
    let redirected = user::log_in(page, &User::default()).unwrap();
    let query = redirected.split_once('?').unwrap_or_else(|| panic!("no query in {redirected}")).1.to_owned();
    let code = query.split('&').find_map(|pair| pair.strip_prefix("code="));
    code.unwrap_or_else(|| panic!("no code in {redirected}")).to_owned()
}

/// A request to the token endpoint as in the guide: parameters in the query, `Accept` with JSON.
pub fn token(sandbox: &Sandbox, authorization: Option<&str>, query: &str) -> Response {
    let mut headers = vec![("Accept", "application/json")];
    headers.extend(authorization.map(|value| ("Authorization", value)));
    send(sandbox, "POST", &format!("/oauth/token?{query}"), &headers, "")
}

/// The same with the API key of the guide.
pub fn request_tokens(sandbox: &Sandbox, query: &str) -> Response {
    token(sandbox, Some(&basic(ID, SECRET)), query)
}

/// Step 4.
pub fn exchange(sandbox: &Sandbox, code: &str) -> Response {
    request_tokens(
        sandbox,
        &format!("grant_type=authorization_code&scope=read&code={code}&redirect_uri={}", encode(REDIRECT)),
    )
}

/// Steps 2 to 4.
pub fn log_in(sandbox: &Sandbox, scope: &str) -> Response {
    let response = exchange(sandbox, &code(sandbox, scope));
    assert_eq!(response.status, 200, "{response:?}");
    response
}

/// Step 5; `scope` is left out when it is empty.
pub fn refresh(sandbox: &Sandbox, refresh_token: &str, scope: &str) -> Response {
    let scope = if scope.is_empty() { String::new() } else { format!("&scope={}", encode(scope)) };
    request_tokens(sandbox, &format!("grant_type=refresh_token{scope}&refresh_token={}", encode(refresh_token)))
}

/// A request to a resource with a Bearer token.
pub fn with_token(sandbox: &Sandbox, method: &str, path: &str, token: &str) -> Response {
    let authorization = format!("Bearer {token}");
    send(sandbox, method, path, &[("Accept", "application/json"), ("Authorization", &authorization)], "")
}

/// Step 6.
pub fn log_out(sandbox: &Sandbox, access_token: &str) -> Response {
    with_token(sandbox, "DELETE", LOGOUT, access_token)
}

pub fn start() -> Sandbox {
    Sandbox::start(Options::default()).unwrap()
}

pub fn start_with(change: impl FnOnce(&mut Options)) -> Sandbox {
    let mut options = Options::default();
    change(&mut options);
    Sandbox::start(options).unwrap()
}

/// Adds a client `other` with secret `other`.
pub fn with_other(change: impl FnOnce(&mut Client)) -> Sandbox {
    start_with(|options| {
        let mut other = Client::new("other", "other");
        change(&mut other);
        options.clients.push(other);
    })
}
