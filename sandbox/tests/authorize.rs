//! `/oauth/authorize` and its pages: login, approval, redirects, and error pages.

mod common;

use cmauth_sandbox::Sandbox;
use common::*;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A browser that does not follow redirects.
struct Tab<'a> {
    sandbox: &'a Sandbox,
    cookie: String,
}

impl<'a> Tab<'a> {
    fn open(sandbox: &'a Sandbox) -> Tab<'a> {
        Tab { sandbox, cookie: String::new() }
    }

    /// A browser in which demo is logged in.
    fn logged_in(sandbox: &'a Sandbox) -> Tab<'a> {
        let mut tab = Tab::open(sandbox);
        let page = tab.get("/login");
        let response = tab.post("/login", &format!("_csrf={}&username=demo&password=demo", hidden(&page, "_csrf")));
        assert_eq!((response.status, response.header("location")), (302, Some("/")), "{response:?}");
        tab
    }

    fn get(&mut self, target: &str) -> Response {
        self.send("GET", target, "")
    }

    fn post(&mut self, target: &str, form: &str) -> Response {
        self.send("POST", target, form)
    }

    fn send(&mut self, method: &str, target: &str, form: &str) -> Response {
        let cookie = self.cookie.clone();
        let response = send(self.sandbox, method, target, &[FORM, ("Cookie", &cookie)], form);
        if let Some(line) = response.header("set-cookie") {
            self.cookie = line.split(';').next().unwrap().to_owned();
        }
        response
    }

    /// Presses Approve or Deny on a page.
    fn decide(&mut self, response: &Response, word: &str) -> Response {
        let form = format!("request={}&user_oauth_approval={word}", hidden(response, "request"));
        self.post("/oauth/authorize", &form)
    }
}

fn hidden(page: &Response, name: &str) -> String {
    let mark = format!(r#"name="{name}" value=""#);
    let (_, rest) = page.body.split_once(&mark).unwrap_or_else(|| panic!("no {name} in {page:?}"));
    rest.split('"').next().unwrap().to_owned()
}

fn link(more: &str) -> String {
    format!("/oauth/authorize?client_id={ID}{more}")
}

/// A valid request, with `more` added to its query.
fn good(more: &str) -> String {
    link(&format!("&response_type=code&scope=write&redirect_uri=https%3A%2F%2Fexample.com{more}"))
}

#[track_caller]
fn location(response: &Response) -> &str {
    assert_eq!(response.status, 302, "{response:?}");
    response.header("location").unwrap()
}

/// The location, with CODE in place of the code.
#[track_caller]
fn location_of_code(response: &Response) -> String {
    let target = location(response);
    let (before, after) = target.split_once("code=").unwrap_or_else(|| panic!("no code in {target}"));
    let (code, after) = after.split_at(6);
    assert!(code.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{target}");
    format!("{before}code=CODE{after}")
}

#[track_caller]
fn assert_page(response: &Response, status: u16, words: &str) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("location"), None);
    assert_eq!(response.header("content-type"), Some("text/html;charset=UTF-8"));
    assert!(response.body.contains(words), "{words:?} is not in {}", response.body);
}

#[test]
fn a_login_shows_the_login_page_and_the_approval_page() {
    let sandbox = start();
    let mut tab = Tab::open(&sandbox);
    assert_eq!(location(&tab.get(&good("&state=a%2Bb"))), "/login");
    let login = tab.get("/login");
    assert_page(&login, 200, "Sandbox");
    let form = format!("_csrf={}&username=demo&password=demo", hidden(&login, "_csrf"));
    let back = tab.post("/login", &form);
    let approval = tab.get(location(&back));
    assert_page(&approval, 200, "cameramanager.test");
    assert_page(&approval, 200, "<code>write</code>");
    assert_eq!(location_of_code(&tab.decide(&approval, "true")), "https://example.com/?code=CODE&state=a%2Bb");
}

#[test]
fn each_scope_is_approved_once() {
    let sandbox = start();
    let mut tab = Tab::logged_in(&sandbox);
    let approval = tab.get(&good(""));
    tab.decide(&approval, "true");
    assert_eq!(location_of_code(&tab.get(&good(""))), "https://example.com/?code=CODE");
    // Another browser of the same user does not ask again …
    assert_eq!(location_of_code(&Tab::logged_in(&sandbox).get(&good(""))), "https://example.com/?code=CODE");
    // … but another scope needs an approval.
    let more = link("&response_type=code&scope=read+write&redirect_uri=https%3A%2F%2Fexample.com");
    assert_page(&tab.get(&more), 200, "<code>read</code>");
}

#[test]
fn a_denial_is_redirected_as_access_denied_and_not_stored() {
    let sandbox = start();
    let mut tab = Tab::logged_in(&sandbox);
    let approval = tab.get(&good("&state=S"));
    let denied = "https://example.com/?error=access_denied&error_description=User%20denied%20access&state=S";
    assert_eq!(location(&tab.decide(&approval, "false")), denied);
    assert_page(&tab.get(&good("")), 200, "Approve");
}

#[test]
fn post_starts_a_login_too() {
    let sandbox = start();
    let mut tab = Tab::logged_in(&sandbox);
    let form = format!("client_id={ID}&response_type=code&scope=write&redirect_uri=https%3A%2F%2Fexample.com");
    assert_page(&tab.post("/oauth/authorize", &form), 200, "Approve");
    let mut logged_out = Tab::open(&sandbox);
    assert_eq!(location(&logged_out.post("/oauth/authorize", &form)), "/login");
    let login = logged_out.get("/login");
    let form = format!("_csrf={}&username=demo&password=demo", hidden(&login, "_csrf"));
    let back = logged_out.post("/login", &form);
    assert_page(&logged_out.get(location(&back)), 200, "Approve");
}

#[test]
fn state_comes_back_byte_for_byte_and_only_if_it_was_sent() {
    let sandbox = start();
    let mut tab = Tab::logged_in(&sandbox);
    let approval = tab.get(&good(""));
    assert_eq!(location_of_code(&tab.decide(&approval, "true")), "https://example.com/?code=CODE");
    let state = "%20%26%3D%23%25%2B%C3%A9%22%3C";
    let response = tab.get(&good(&format!("&state={state}")));
    assert_eq!(location_of_code(&response), format!("https://example.com/?code=CODE&state={state}"));
    assert_eq!(location_of_code(&tab.get(&good("&state="))), "https://example.com/?code=CODE&state=");
}

#[test]
fn a_query_in_the_redirect_uri_is_kept() {
    let sandbox = start();
    let mut tab = Tab::logged_in(&sandbox);
    let uri = encode("http://127.0.0.1:8080/back?a=1%20&b=ü");
    let approval = tab.get(&link(&format!("&response_type=code&scope=write&redirect_uri={uri}")));
    let expected = "http://127.0.0.1:8080/back?a=1%20&b=%C3%BC&code=CODE";
    assert_eq!(location_of_code(&tab.decide(&approval, "true")), expected);
}

#[test]
fn no_scope_means_all_that_the_client_has() {
    let sandbox = start();
    let page = format!(
        "{}/oauth/authorize?response_type=code&client_id={ID}&redirect_uri={}",
        sandbox.url(),
        encode(REDIRECT)
    );
    let code = code_at(&page);
    assert_eq!(exchange(&sandbox, &code).text("scope"), "read write");
}

#[test]
fn pkce_parameters_are_ignored() {
    let sandbox = start();
    let page = page(&sandbox, "write") + "&code_challenge=x&code_challenge_method=S256";
    assert_eq!(exchange(&sandbox, &code_at(&page)).status, 200);
}

#[test]
fn an_invalid_scope_is_redirected() {
    let sandbox = start();
    let response =
        Tab::logged_in(&sandbox).get(&link("&response_type=code&scope=x&redirect_uri=http%3A%2F%2Fh&state=S"));
    let expected = "http://h/?error=invalid_scope&error_description=Invalid%20scope%3A%20x&state=S&scope=read%20write";
    assert_eq!(location(&response), expected);
}

#[test]
fn an_unsupported_response_type_is_redirected() {
    let sandbox = start();
    let mut tab = Tab::logged_in(&sandbox);
    for response_type in ["x", ""] {
        let link = link(&format!("&response_type={response_type}&redirect_uri=http%3A%2F%2Fh&state=S"));
        let words = format!("Unsupported%20response%20types%3A%20%5B{response_type}%5D");
        let expected = format!("http://h/?error=unsupported_response_type&error_description={words}&state=S");
        assert_eq!(location(&tab.get(&link)), expected);
    }
    // The implicit flow has its own place for an error.
    let link = link("&response_type=token&redirect_uri=http%3A%2F%2Fh%3Fa%3Db&state=S");
    let expected =
        "http://h/?a=b#error=invalid_client&error_description=Unauthorized%20grant%20type%3A%20implicit&state=S";
    assert_eq!(location(&tab.get(&link)), expected);
}

#[test]
fn an_unknown_client_is_a_page() {
    let sandbox = start();
    let mut tab = Tab::logged_in(&sandbox);
    let unknown = "/oauth/authorize?client_id=x&response_type=code&redirect_uri=https%3A%2F%2Fexample.com";
    assert_page(&tab.get(unknown), 401, "invalid_client");
    assert_page(&tab.get("/oauth/authorize"), 401, "invalid_client");
}

#[test]
fn an_unusable_redirect_uri_is_a_page() {
    let sandbox = start();
    let mut tab = Tab::logged_in(&sandbox);
    for uri in ["", "&redirect_uri=", "&redirect_uri=example.com", "&redirect_uri=app%3A%2F%2Fx"] {
        assert_page(&tab.get(&link(&format!("&response_type=code{uri}"))), 400, "This login cannot continue");
    }
    // Even if the request has another error, which would be redirected.
    assert_page(&tab.get(&link("&response_type=code&scope=x&redirect_uri=javascript%3Ax")), 400, "javascript:x");
}

#[test]
fn registered_redirect_uris_are_the_only_ones() {
    let sandbox = start_with(|options| options.clients[0].redirect_uris = vec!["https://example.com/back".into()]);
    let mut tab = Tab::logged_in(&sandbox);
    assert_page(&tab.get(&good("")), 400, "does not match one of the registered values");
    let link = |uri: &str| link(&format!("&response_type=code&scope=write{uri}"));
    assert_page(&tab.get(&link("&redirect_uri=https%3A%2F%2Fexample.com%2Fbacks")), 400, "registered values");
    let approval = tab.get(&link("&redirect_uri=https%3A%2F%2Fexample.com%2Fback%3Fa%3D1"));
    assert_eq!(location_of_code(&tab.decide(&approval, "true")), "https://example.com/back?a=1&code=CODE");
    // A request need not name the only registered one; then the exchange need not either.
    let response = tab.get(&link(""));
    assert_eq!(location_of_code(&response), "https://example.com/back?code=CODE");
    let code = location(&response).split_once("code=").unwrap().1.to_owned();
    assert_eq!(request_tokens(&sandbox, &format!("grant_type=authorization_code&code={code}")).status, 200);
}

#[test]
fn echoed_text_on_pages_is_escaped() {
    let sandbox = start();
    let mut tab = Tab::logged_in(&sandbox);
    let page = tab.get(&link("&response_type=code&redirect_uri=%3Cscript%3E%22"));
    assert_page(&page, 400, "&lt;script&gt;&quot;");
    assert!(!page.body.contains("<script"), "{}", page.body);
    let login = tab.get("/login");
    let form = format!("_csrf={}&username=%22%3E%3Cb%3E&password=x", hidden(&login, "_csrf"));
    assert_page(&tab.post("/login", &form), 200, r#"value="&quot;&gt;&lt;b&gt;""#);
}

#[test]
fn a_wrong_password_shows_the_login_page_again_with_an_alert() {
    let sandbox = start();
    let mut tab = Tab::open(&sandbox);
    tab.get(&good(""));
    let login = tab.get("/login");
    let csrf = hidden(&login, "_csrf");
    let again = tab.post("/login", &format!("_csrf={csrf}&username=demo&password=wrong"));
    assert_page(&again, 200, r#"role="alert""#);
    assert_page(&again, 200, r#"value="demo""#);
    // The session still has the authorization request.
    let back = tab.post("/login", &format!("_csrf={csrf}&username=demo&password=demo"));
    assert!(location(&back).starts_with("/oauth/authorize?"), "{back:?}");
}

#[test]
fn a_login_form_of_another_site_is_rejected() {
    let sandbox = start();
    let mut tab = Tab::open(&sandbox);
    assert_page(&tab.post("/login", "username=demo&password=demo"), 403, "too old");
    assert_eq!(location(&tab.get(&good(""))), "/login");
}

#[test]
fn an_approval_without_its_request_is_rejected() {
    let sandbox = start();
    let mut tab = Tab::logged_in(&sandbox);
    let words = "Cannot approve uninitialized authorization request.";
    assert_page(&tab.post("/oauth/authorize", "user_oauth_approval=true"), 400, words);
    // One browser cannot approve for another, nor twice.
    let page = tab.get(&good(""));
    assert_page(&Tab::logged_in(&sandbox).decide(&page, "true"), 400, words);
    assert_eq!(tab.decide(&page, "true").status, 302);
    assert_page(&tab.decide(&page, "true"), 400, words);
}

#[test]
fn the_session_cookie_is_out_of_reach_of_scripts_and_changes_at_login() {
    let sandbox = start();
    let mut tab = Tab::open(&sandbox);
    let login = tab.get("/login");
    assert!(login.header("set-cookie").unwrap().contains("; HttpOnly"), "{login:?}");
    let before = tab.cookie.clone();
    tab.post("/login", &format!("_csrf={}&username=demo&password=demo", hidden(&login, "_csrf")));
    assert_ne!(tab.cookie, before);
    let mut old = Tab { sandbox: &sandbox, cookie: before };
    assert_eq!(location(&old.get(&good(""))), "/login");
}

#[test]
fn pages_load_no_resources_and_run_no_scripts() {
    let sandbox = start();
    let mut tab = Tab::open(&sandbox);
    for path in ["/", "/login", "/nothing"] {
        let page = tab.get(path);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        for word in ["<script", "src=", "<link", "url("] {
            assert!(!page.body.contains(word), "{word} in {path}");
        }
        assert!(page.body.contains("This is not the real CameraManager"), "{path}");
    }
}
