//! Each call with each fault.

use cmauth::{Advice, Error};
use cmauth_sandbox::Flavour;

use crate::fixture::{
    Call::{Exchange, Logout, Refresh},
    MAX_TIME, Outcome, REDIRECT_URI, call, for_each_fault, for_each_fault_of, leak,
};
use crate::table::expected;

#[test]
fn each_call_with_each_fault_has_the_status_and_advice_of_the_table_in_time_and_shows_no_secret() {
    check_the_table(&[]);
}

#[test]
fn the_table_holds_for_other_versions_and_set_ups_of_the_server() {
    for (_, flavour) in Flavour::NAMES {
        check_the_table(&[flavour]);
    }
    check_the_table(&Flavour::NAMES.map(|(_, flavour)| flavour));
}

fn check_the_table(flavours: &[Flavour]) {
    for_each_fault_of(flavours, |fixture, fault, one| {
        let outcome = call(fixture, fault, one, 0);
        let expected = expected(fault, fixture.tls())[one as usize];
        if outcome.failure() != expected {
            return Some(format!("{:?}, expected {expected:?}", outcome.result.map_err(|error| error.to_string())));
        }
        if let Ok(Some(tokens)) = &outcome.result
            && !outcome.secrets.iter().any(|secret| secret == tokens.access_token().expose())
        {
            return Some("the returned token is not valid".to_owned());
        }
        if outcome.took > MAX_TIME {
            return Some(format!("took {:?}", outcome.took));
        }
        leak(&outcome)
    });
}

#[test]
fn an_exchange_is_never_sent_twice_and_after_a_used_code_the_advice_is_never_retry() {
    for_each_fault(|fixture, fault, one| {
        if one != Exchange {
            return None;
        }
        let outcome = call(fixture, fault, Exchange, 2);
        let sent = outcome.result.as_ref().err().is_none_or(Error::request_sent);
        let advice = outcome.failure().map(|(_, advice)| advice);
        let is_wrong = outcome.requests > 1
            || (sent && outcome.connections > 1)
            || (sent && advice == Some(Advice::Retry))
            || outcome.took > MAX_TIME;
        is_wrong.then(|| {
            let Outcome { requests, connections, took, .. } = outcome;
            format!("{requests} requests, {connections} connections, {took:?}, sent: {sent}, {advice:?}")
        })
    });
}

#[test]
fn a_fault_does_not_affect_the_next_call() {
    for_each_fault(|fixture, fault, one| {
        let tokens = fixture.tokens();
        let refresh = tokens.refresh_token().unwrap().expose();
        let client = fixture.client(0);
        fixture.sandbox.set_faults(&[fault.once()]).unwrap();
        let _ = match one {
            Exchange => client.exchange_code(&fixture.code(), REDIRECT_URI).map(drop),
            Refresh => client.refresh(refresh).map(drop),
            // It revokes the tokens, so the next call uses others.
            Logout => client.logout(tokens.access_token().expose()),
        };
        let tokens = fixture.tokens();
        match client.refresh(tokens.refresh_token().unwrap().expose()) {
            Err(error) => Some(format!("the next call: {error:?}")),
            Ok(tokens) if !fixture.valid_tokens().contains(tokens.access_token().expose()) => {
                Some("the next call: the token is not valid".to_owned())
            }
            Ok(_) => None,
        }
    });
}
