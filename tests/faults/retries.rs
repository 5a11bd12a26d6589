//! Retries after a fault.

use std::thread;
use std::time::Duration;

use cmauth::{Advice, Status};
use cmauth_sandbox::{Fault, Kind};

use crate::fixture::{CALLS, Call::Refresh, Fixture, REDIRECT_URI, call};
use crate::table::{Expected, expected};

/// Faults after which a retry succeeds: the server has done nothing, or does it again.
fn retryable_faults() -> impl Iterator<Item = Fault> {
    let retry = |result: Expected| result.is_some_and(|(_, advice)| advice == Advice::Retry);
    let in_time = |result: Expected| result.is_some_and(|(status, _)| status != Status::Timeout);
    // These make the caller wait for two minutes.
    let waits = [Fault::RetryAfterSeconds, Fault::RetryAfterDate];
    Fault::ALL.iter().copied().filter(move |&fault| {
        let result = expected(fault, true)[Refresh as usize];
        retry(result) && in_time(result) && fault.kind() != Kind::Listener && !waits.contains(&fault)
    })
}

#[test]
fn refresh_and_logout_succeed_by_a_retry_after_a_single_fault() {
    let faults: Vec<Fault> = retryable_faults().collect();
    assert!(faults.len() > 20, "{faults:?}");
    // On threads, so that all wait for the back-off of half a second at the same time.
    thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || {
                for fixture in Fixture::both().iter().filter(|fixture| fixture.has(fault)) {
                    let tokens = fixture.tokens();
                    let client = fixture.client_with(|_| {});
                    fixture.sandbox.set_faults(&[fault.once()]).unwrap();
                    let tokens = client
                        .refresh(tokens.refresh_token().unwrap().expose())
                        .unwrap_or_else(|error| panic!("{fault}: {error}"));
                    fixture.sandbox.set_faults(&[fault.once()]).unwrap();
                    let done = client.logout(tokens.access_token().expose());
                    assert!(done.is_ok(), "{fault}: {done:?}");
                    assert!(
                        !fixture.valid_tokens().contains(tokens.access_token().expose()),
                        "{fault}: still logged in"
                    );
                }
            });
        }
    });
}

#[test]
fn an_exchange_is_retried_after_a_failed_handshake_because_nothing_was_sent() {
    let fixture = Fixture::new(true);
    for fault in [Fault::Close, Fault::CloseInHandshake, Fault::ResetInHandshake] {
        let client = fixture.client_with(|_| {});
        fixture.sandbox.set_faults(&[fault.once()]).unwrap();
        client.exchange_code(&fixture.code(), REDIRECT_URI).unwrap_or_else(|error| panic!("{fault}: {error}"));
    }
}

#[test]
fn an_exchange_is_retried_after_a_refused_connection() {
    let fixture = Fixture::new(false);
    let client = fixture.client_with(|config| _ = config.set_max_retries(5));
    fixture.sandbox.set_faults(&[Fault::Refuse.once()]).unwrap();
    thread::scope(|scope| {
        let code = fixture.code();
        let call = scope.spawn(move || client.exchange_code(&code, REDIRECT_URI));
        thread::sleep(Duration::from_millis(50));
        fixture.sandbox.set_faults(&[]).unwrap();
        call.join().unwrap().unwrap();
    });
    assert_eq!(fixture.sandbox.requests().len(), 1);
}

#[test]
fn the_caller_gets_retry_after_in_both_forms() {
    for fixture in Fixture::both() {
        for (fault, seconds) in [
            (Fault::RetryAfterSeconds, Some(120..=120)),
            // A date has no fraction of a second, and some time has passed.
            (Fault::RetryAfterDate, Some(117..=120)),
            (Fault::RetryAfterWord, None),
        ] {
            for one in CALLS {
                let error = call(&fixture, fault, one, 0).result.unwrap_err();
                let wait = error.retry_after().map(|wait| wait.as_secs());
                let is_expected = match &seconds {
                    None => wait.is_none(),
                    Some(range) => wait.is_some_and(|wait| range.contains(&wait)),
                };
                assert!(is_expected, "{fault} {one:?}: {wait:?}");
            }
        }
    }
}
