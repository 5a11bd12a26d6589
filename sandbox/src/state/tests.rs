//! Rules that a test over HTTP cannot check: the exact instant of expiry, and which tokens remain.

use std::time::Duration;

use super::*;

const LIFETIME: Duration = Duration::from_secs(43_200);
const START: Duration = Duration::ZERO;

struct Server {
    state: State,
}

impl Server {
    fn new(change: impl FnOnce(&mut Options)) -> Server {
        let mut options = Options { clients: vec![Client::new("app", "secret")], ..Options::default() };
        change(&mut options);
        Server { state: State::new(&options) }
    }

    fn code(&mut self, scope: &str) -> String {
        let request = AuthorizationRequest {
            client: "app".into(),
            scope: parse_scope(Some(scope)),
            redirect_uri: "http://h/".into(),
            redirect_uri_was_sent: true,
        };
        self.state.make_code("demo", request)
    }

    fn log_in(&mut self, scope: &str, now: Duration) -> Issued {
        let code = self.code(scope);
        let grant_type = Some("authorization_code");
        let request =
            TokenRequest { grant_type, code: Some(&code), redirect_uri: Some("http://h/"), ..TokenRequest::default() };
        self.state.token("app", request, now).unwrap()
    }

    fn refresh(&mut self, tokens: &Issued, scope: &str, now: Duration) -> Result<Issued, OAuthError> {
        let request = TokenRequest {
            grant_type: Some("refresh_token"),
            refresh_token: tokens.refresh_token.as_deref(),
            scope: Some(scope),
            ..TokenRequest::default()
        };
        self.state.token("app", request, now)
    }

    fn is_valid(&mut self, tokens: &Issued, now: Duration) -> bool {
        self.state.check_access_token(&tokens.access_token, now).is_ok()
    }
}

#[test]
fn expires_in_counts_whole_seconds_down_to_zero() {
    let mut server = Server::new(|_| {});
    assert_eq!(server.log_in("write", START).expires_in, Some(43_199));
    let almost = LIFETIME - Duration::from_nanos(1);
    assert_eq!(server.log_in("write", almost).expires_in, Some(0));
}

#[test]
fn a_token_expires_at_the_end_of_its_lifetime_to_the_nanosecond() {
    let mut server = Server::new(|_| {});
    let tokens = server.log_in("write", START);
    assert!(server.is_valid(&tokens, LIFETIME - Duration::from_nanos(1)));
    assert!(!server.is_valid(&tokens, LIFETIME));
    // The check has deleted it, so it is unknown, even at an earlier time.
    assert!(!server.is_valid(&tokens, START));
}

#[test]
fn a_login_returns_the_same_pair_until_the_instant_of_expiry() {
    let mut server = Server::new(|_| {});
    let first = server.log_in("write", START);
    let shared = server.log_in("write", LIFETIME - Duration::from_nanos(1));
    assert_eq!(shared.access_token, first.access_token);
    let fresh = server.log_in("write", LIFETIME);
    assert_ne!(fresh.access_token, first.access_token);
    assert_eq!(fresh.refresh_token, first.refresh_token);
}

#[test]
fn a_login_after_the_expired_token_was_used_starts_a_new_pair_beside_the_old_refresh_token() {
    // Spring finds the refresh token by means of the access token, which is deleted.
    let mut server = Server::new(|_| {});
    let first = server.log_in("write", START);
    assert!(!server.is_valid(&first, LIFETIME));
    let second = server.log_in("write", LIFETIME);
    assert_ne!(second.refresh_token, first.refresh_token);
    assert!(server.refresh(&first, "", LIFETIME).is_ok());
    assert!(server.refresh(&second, "", LIFETIME).is_ok());
}

#[test]
fn a_refresh_with_a_wider_scope_changes_no_token() {
    let mut server = Server::new(|_| {});
    let tokens = server.log_in("read", START);
    assert_eq!(server.refresh(&tokens, "read write", START).unwrap_err().kind, Kind::InvalidScope);
    assert!(server.is_valid(&tokens, START));
    assert!(server.refresh(&tokens, "read", START).is_ok());
}

#[test]
fn an_expired_refresh_token_ends_its_access_token() {
    let mut server = Server::new(|options| options.refresh_token_lifetime = Duration::from_secs(1));
    let tokens = server.log_in("write", START);
    assert!(server.is_valid(&tokens, Duration::from_secs(1)));
    assert_eq!(server.refresh(&tokens, "", Duration::from_secs(1)).unwrap_err().kind, Kind::InvalidToken);
    assert!(!server.is_valid(&tokens, Duration::from_secs(1)));
    assert_eq!(server.refresh(&tokens, "", Duration::from_secs(1)).unwrap_err().kind, Kind::InvalidGrant);
}

#[test]
fn a_login_with_the_narrowed_scope_finds_the_narrowed_token() {
    let mut server = Server::new(|_| {});
    let wide = server.log_in("read write", START);
    let narrow = server.refresh(&wide, "read", START).unwrap();
    assert_eq!(server.log_in("read", START), narrow);
    assert_ne!(server.log_in("read write", START).refresh_token, wide.refresh_token);
}

#[test]
fn a_rotated_refresh_token_keeps_the_pair_usable() {
    let mut server = Server::new(|options| options.rotate_refresh_tokens = true);
    let first = server.log_in("write", START);
    let second = server.refresh(&first, "", START).unwrap();
    assert!(!server.is_valid(&first, START) && server.is_valid(&second, START));
    assert_eq!(server.log_in("write", START), second);
}

#[test]
fn each_scope_is_approved_separately() {
    let mut server = Server::new(|_| {});
    let request = |scope: &str| AuthorizationRequest {
        client: "app".into(),
        scope: parse_scope(Some(scope)),
        redirect_uri: "http://h/".into(),
        redirect_uri_was_sent: true,
    };
    server.state.approve("demo", &request("read"));
    assert!(server.state.is_approved("demo", &request("read")));
    assert!(!server.state.is_approved("demo", &request("read write")));
    assert!(!server.state.is_approved("other", &request("read")));
    server.state.approve("demo", &request("write"));
    assert!(server.state.is_approved("demo", &request("read write")));
}

#[test]
fn a_client_without_scopes_may_request_any_scope_but_not_none() {
    let server = Server::new(|options| options.clients[0].scopes.clear());
    let client = server.state.client("app").unwrap();
    assert_eq!(server.state.scope(client, Some("x+y z")).unwrap(), parse_scope(Some("x y z")));
    assert_eq!(server.state.scope(client, None).unwrap_err().kind, Kind::InvalidScope);
}

#[test]
fn only_http_and_https_urls_with_a_host_are_redirect_uris() {
    for good in ["http://h", "https://h/p?q#f", "HTTPS://h", "http://127.0.0.1:1/"] {
        assert!(is_http_url(good), "{good}");
    }
    for bad in ["", "http://", "https:///p", "http://?q", "ftp://h", "//h", "http://h\r\nx", "http://a b"] {
        assert!(!is_http_url(bad), "{bad}");
    }
}
