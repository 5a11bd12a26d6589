//! The rules to the instant, which cannot be hit over HTTP: exact expiry, and what is left behind by what.

use std::time::Duration;

use super::*;

const LIFETIME: Duration = Duration::from_secs(43_200);
const START: Duration = Duration::ZERO;

struct World {
    state: State,
}

impl World {
    fn new(change: impl FnOnce(&mut Options)) -> World {
        let mut options = Options { clients: vec![Client::new("app", "secret")], ..Options::default() };
        change(&mut options);
        World { state: State::new(&options) }
    }

    fn code(&mut self, scope: &str) -> String {
        let asked = Asked {
            client: "app".into(),
            scope: parse_scope(Some(scope)),
            redirect_uri: "http://h/".into(),
            redirect_uri_was_sent: true,
        };
        self.state.make_code("demo", asked)
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

    fn lives(&mut self, tokens: &Issued, now: Duration) -> bool {
        self.state.check_access_token(&tokens.access_token, now).is_ok()
    }
}

#[test]
fn expires_in_counts_whole_seconds_down_to_zero() {
    let mut world = World::new(|_| {});
    assert_eq!(world.log_in("write", START).expires_in, Some(43_199));
    let almost = LIFETIME - Duration::from_nanos(1);
    assert_eq!(world.log_in("write", almost).expires_in, Some(0));
}

#[test]
fn a_token_lives_for_its_lifetime_and_not_an_instant_longer() {
    let mut world = World::new(|_| {});
    let tokens = world.log_in("write", START);
    assert!(world.lives(&tokens, LIFETIME - Duration::from_nanos(1)));
    assert!(!world.lives(&tokens, LIFETIME));
    // The look deleted it: it is unknown now, even to an earlier time.
    assert!(!world.lives(&tokens, START));
}

#[test]
fn the_same_instant_decides_whether_a_login_shares_the_pair() {
    let mut world = World::new(|_| {});
    let first = world.log_in("write", START);
    let shared = world.log_in("write", LIFETIME - Duration::from_nanos(1));
    assert_eq!(shared.access_token, first.access_token);
    let fresh = world.log_in("write", LIFETIME);
    assert_ne!(fresh.access_token, first.access_token);
    assert_eq!(fresh.refresh_token, first.refresh_token);
}

#[test]
fn a_login_after_the_expired_token_was_used_starts_a_new_pair_beside_the_old_refresh_token() {
    // Spring finds the refresh token through the access token, and that one is deleted.
    let mut world = World::new(|_| {});
    let first = world.log_in("write", START);
    assert!(!world.lives(&first, LIFETIME));
    let second = world.log_in("write", LIFETIME);
    assert_ne!(second.refresh_token, first.refresh_token);
    assert!(world.refresh(&first, "", LIFETIME).is_ok());
    assert!(world.refresh(&second, "", LIFETIME).is_ok());
}

#[test]
fn a_refresh_that_asks_for_too_much_leaves_the_tokens_alone() {
    let mut world = World::new(|_| {});
    let tokens = world.log_in("read", START);
    assert_eq!(world.refresh(&tokens, "read write", START).unwrap_err().kind, Kind::InvalidScope);
    assert!(world.lives(&tokens, START));
    assert!(world.refresh(&tokens, "read", START).is_ok());
}

#[test]
fn an_expired_refresh_token_takes_its_access_token_along() {
    let mut world = World::new(|options| options.refresh_token_lifetime = Duration::from_secs(1));
    let tokens = world.log_in("write", START);
    assert!(world.lives(&tokens, Duration::from_secs(1)));
    assert_eq!(world.refresh(&tokens, "", Duration::from_secs(1)).unwrap_err().kind, Kind::InvalidToken);
    assert!(!world.lives(&tokens, Duration::from_secs(1)));
    assert_eq!(world.refresh(&tokens, "", Duration::from_secs(1)).unwrap_err().kind, Kind::InvalidGrant);
}

#[test]
fn a_login_with_the_narrowed_scope_finds_the_narrowed_token() {
    let mut world = World::new(|_| {});
    let wide = world.log_in("read write", START);
    let narrow = world.refresh(&wide, "read", START).unwrap();
    assert_eq!(world.log_in("read", START), narrow);
    assert_ne!(world.log_in("read write", START).refresh_token, wide.refresh_token);
}

#[test]
fn a_rotated_refresh_token_keeps_the_pair_usable() {
    let mut world = World::new(|options| options.rotate_refresh_tokens = true);
    let first = world.log_in("write", START);
    let second = world.refresh(&first, "", START).unwrap();
    assert!(!world.lives(&first, START) && world.lives(&second, START));
    assert_eq!(world.log_in("write", START), second);
}

#[test]
fn approval_counts_scope_by_scope() {
    let mut world = World::new(|_| {});
    let asked = |scope: &str| Asked {
        client: "app".into(),
        scope: parse_scope(Some(scope)),
        redirect_uri: "http://h/".into(),
        redirect_uri_was_sent: true,
    };
    world.state.approve("demo", &asked("read"));
    assert!(world.state.is_approved("demo", &asked("read")));
    assert!(!world.state.is_approved("demo", &asked("read write")));
    assert!(!world.state.is_approved("other", &asked("read")));
    world.state.approve("demo", &asked("write"));
    assert!(world.state.is_approved("demo", &asked("read write")));
}

#[test]
fn a_client_without_scopes_may_ask_for_any_but_not_for_none() {
    let world = World::new(|options| options.clients[0].scopes.clear());
    let client = world.state.client("app").unwrap();
    assert_eq!(world.state.scope(client, Some("x+y z")).unwrap(), parse_scope(Some("x y z")));
    assert_eq!(world.state.scope(client, None).unwrap_err().kind, Kind::InvalidScope);
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
