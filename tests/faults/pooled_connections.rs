//! Faults on pooled connections, and their reuse.

use std::thread;
use std::time::Duration;

use cmauth_sandbox::{Fault, Kind};

use crate::fixture::{
    CALLS,
    Call::{Exchange, Logout, Refresh},
    Fixture, REDIRECT_URI,
};

#[test]
fn a_stale_connection_fails_no_call_and_carries_no_exchange() {
    let faults = || Fault::ALL.iter().copied().filter(|fault| fault.kind() == Kind::Idle);
    for fixture in Fixture::both() {
        for (fault, one) in faults().flat_map(|fault| CALLS.map(|one| (fault, one))) {
            if !fixture.has(fault) {
                continue;
            }
            // At once, so that the request crosses the end of the connection, and also long after that end.
            for wait in [0, 0, 0, 0, 0, 1, 1, 20, 100] {
                let tokens = fixture.tokens();
                let refresh = tokens.refresh_token().unwrap().expose();
                let code = fixture.code();
                let client = fixture.client(0);
                fixture.sandbox.set_faults(&[fault.once()]).unwrap();
                let tokens = client.refresh(refresh).unwrap();
                thread::sleep(Duration::from_millis(wait));
                let (requests, connections) = (fixture.sandbox.requests().len(), fixture.sandbox.connections());
                let result = match one {
                    Exchange => client.exchange_code(&code, REDIRECT_URI).map(Some),
                    Refresh => client.refresh(refresh).map(Some),
                    Logout => client.logout(tokens.access_token().expose()).map(|()| None),
                };
                let what = format!("{fault} {one:?} after {wait} ms (TLS: {})", fixture.tls());
                let returned = result.unwrap_or_else(|error| panic!("{what}: {error}"));
                if let Some(returned) = returned {
                    assert!(
                        fixture.valid_tokens().contains(returned.access_token().expose()),
                        "{what}: not the response to this call"
                    );
                }
                assert_eq!(fixture.sandbox.requests().len() - requests, 1, "{what}");
                assert_eq!(fixture.sandbox.connections() - connections, 1, "{what}");
            }
        }
    }
}

#[test]
fn a_408_that_crosses_a_request_on_a_pooled_connection_is_not_its_response() {
    for fixture in Fixture::both() {
        for _ in 0..20 {
            let tokens = fixture.tokens();
            let refresh = tokens.refresh_token().unwrap().expose();
            let client = fixture.client(0);
            fixture.sandbox.set_faults(&[Fault::TimeoutIdle.once()]).unwrap();
            client.refresh(refresh).unwrap();
            client.refresh(refresh).unwrap();
        }
    }
}

#[test]
fn a_logout_succeeds_if_its_pooled_connection_ends_before_the_response() {
    for fixture in Fixture::both() {
        let tokens = fixture.tokens();
        let client = fixture.client(0);
        let tokens = client.refresh(tokens.refresh_token().unwrap().expose()).unwrap();
        // The server revokes the tokens, and then closes the connection.
        fixture.sandbox.set_faults(&[Fault::CloseBeforeHead.once()]).unwrap();
        client.logout(tokens.access_token().expose()).unwrap();
    }
}

#[test]
fn a_pooled_connection_is_reused_but_not_for_an_exchange() {
    for fixture in Fixture::both() {
        let tokens = fixture.tokens();
        let refresh = tokens.refresh_token().unwrap().expose();
        let client = fixture.client(0);
        let before = fixture.sandbox.connections();
        client.refresh(refresh).unwrap();
        client.refresh(refresh).unwrap();
        assert_eq!(fixture.sandbox.connections() - before, 1);
        let tokens = client.exchange_code(&fixture.code(), REDIRECT_URI).unwrap();
        assert_eq!(fixture.sandbox.connections() - before, 2);
        client.logout(tokens.access_token().expose()).unwrap();
        assert_eq!(fixture.sandbox.connections() - before, 2);
    }
}
