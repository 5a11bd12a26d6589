//! Questions to a state, and the answers.

use super::*;
use crate::session::new_tokens::NewTokens;

const NOW: Now = Now { boot: 5_000_000, wall: 1_700_000_000_000 };

fn identity(boot_id: &str) -> Identity {
    let owner = Owner { client_id: "key".to_owned(), base_url: "https://server".to_owned() };
    Identity { owner, boot_id: Some(boot_id.to_owned()) }
}

fn tokens(access_token: &str, expires_at: Option<i64>) -> Tokens {
    Tokens::new(Secret::new(access_token), Some(Secret::new("r:1")), "bearer".to_owned(), None, expires_at)
}

/// A record that came at [`NOW`], of tokens that live for so many seconds.
fn record(lifetime: Option<i64>, rejections: u32) -> Record {
    let expires_at = lifetime.map(|seconds| NOW.wall / 1000 + seconds);
    let new = NewTokens { tokens: tokens("a:1", expires_at), login: 1, generation: 1, rejections };
    new.into_record(&identity("this"), NOW, u64::MAX / 4)
}

/// The clocks so many seconds after [`NOW`], the wall clock set by so many.
fn later(seconds: i64, set: i64) -> Now {
    Now { boot: NOW.boot + seconds * 1000, wall: NOW.wall + (seconds + set) * 1000 }
}

#[test]
fn tokens_are_ready_until_their_refresh_and_alive_until_their_end() {
    // A quarter of the way from 75 to 95 % of the lifetime.
    let state = State::from_record(record(Some(100), 0), &identity("this"), NOW);
    for (seconds, ready, alive) in [(0, true, true), (79, true, true), (80, false, true), (99, false, true)] {
        let at = later(seconds, 0);
        assert_eq!((state.ready(at).is_some(), state.unexpired_tokens(at).is_some()), (ready, alive), "{seconds} s");
    }
    assert!(state.unexpired_tokens(later(100, 0)).is_none());
    // Tokens that never end are never due.
    let forever = State::from_record(record(None, 0), &identity("this"), NOW);
    assert!(forever.ready(later(100_000_000, 0)).is_some());
}

#[test]
fn a_wall_clock_that_was_set_back_keeps_no_ended_token_alive_not_even_after_a_restart() {
    let before = State::from_record(record(Some(6), 0), &identity("this"), NOW);
    for seconds in 0..20 {
        let now = later(seconds, -3600);
        let after_restart = State::from_record(record(Some(6), 0), &identity("this"), now);
        for state in [&before, &after_restart] {
            assert_eq!(state.unexpired_tokens(now).is_some(), seconds < 6, "{seconds} s");
        }
    }
    // Set forward, it ends them early.
    assert!(before.unexpired_tokens(later(1, 3600)).is_none());
}

#[test]
fn a_record_of_another_run_is_judged_by_the_wall_clock_and_counts_as_new_if_it_is_from_the_future() {
    let now = Now { boot: 70, ..later(3, 0) };
    let state = State::from_record(record(Some(6), 0), &identity("another"), now);
    let at = |ms: i64| Now { boot: now.boot + ms, wall: now.wall + ms };
    assert!(state.unexpired_tokens(at(2_999)).is_some() && state.unexpired_tokens(at(3_000)).is_none());
    let behind = Now { boot: 70, ..later(3, -3600) };
    let state = State::from_record(record(Some(6), 0), &identity("another"), behind);
    let at = |ms: i64| Now { boot: behind.boot + ms, wall: behind.wall + ms };
    assert!(state.unexpired_tokens(at(5_999)).is_some() && state.unexpired_tokens(at(6_000)).is_none());
    // The boot clock of one run does not go back: such a record lies.
    let earlier = Now { boot: NOW.boot - 1, wall: NOW.wall };
    assert!(State::from_record(record(Some(6), 0), &identity("this"), earlier).unexpired_tokens(earlier).is_none());
}

#[test]
fn after_a_failure_the_same_error_comes_at_once_with_the_time_that_is_left() {
    let error = Error::new(Status::Server, "x", "y").with_retry_after(Some(Duration::from_secs(120)));
    let state = State::from_record(record(Some(6), 0), &identity("this"), NOW);
    let state = State { store_read_at: later(10, 0).boot, ..state.after_failure(&error, later(10, 0), 7) };
    let LocalResult::Failed(shown) = state.resolve_locally(&Want::Valid, later(10, 0)) else { panic!() };
    assert_eq!(shown.retry_after(), Some(Duration::from_secs(120)));
    let other = Want::ReplacementFor(tokens("a:1", None));
    let LocalResult::Failed(shown) = state.resolve_locally(&other, later(10, 0)) else { panic!() };
    assert_eq!(shown.retry_after(), Some(Duration::from_secs(120)));
    assert!(state.refusal(&Want::Valid, later(129, 0)).is_some());
    assert!(state.refusal(&Want::Valid, later(130, 0)).is_none());
    // Other tokens do not end the pause.
    let theirs = state.replaced_by(record(Some(6), 0), &identity("this"), later(20, 0));
    assert!(theirs.refusal(&Want::Valid, later(129, 0)).is_some());
}

#[test]
fn the_next_refresh_is_after_the_pause_that_the_server_asked_for() {
    let error = Error::new(Status::Server, "x", "y").with_retry_after(Some(Duration::from_secs(1800)));
    for (lifetime, next) in [(6, 1810), (60, 1810), (3600, 2880)] {
        let state = State::from_record(record(Some(lifetime), 0), &identity("this"), NOW);
        let state = state.after_failure(&error, later(10, 0), 7);
        let (shown, next) = (state.next_refresh(later(10, 0)).unwrap(), later(next, 0).wall / 1000);
        assert!((next - 1..=next).contains(&shown), "{lifetime} s: {shown}");
    }
    // Before a failure, and where the store, too, is tried again before: when they are due.
    let state = State::from_record(record(Some(100), 0), &identity("this"), NOW);
    let unsaved = State { unsaved: true, ..state.after_store_failure(&error, NOW, 7) }.with_ready_until(NOW);
    for state in [state, unsaved] {
        let (shown, next) = (state.next_refresh(NOW).unwrap(), later(80, 0).wall / 1000);
        assert!((next - 1..=next).contains(&shown), "{shown}");
    }
}

#[test]
fn rejected_tokens_that_are_young_are_refused_and_replaced_ones_answered_at_once() {
    let state = State::from_record(record(Some(43_200), 2), &identity("this"), NOW);
    let rejected = Want::ReplacementFor(tokens("a:1", None));
    let refusal = state.refusal(&rejected, later(10, 0)).unwrap();
    assert_eq!((refusal.status(), refusal.advice()), (Status::TokenRejected, Advice::Retry));
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(20)));
    assert!(state.refusal(&rejected, later(30, 0)).is_none());
    assert!(state.refusal(&Want::Valid, later(10, 0)).is_none());
    // Setting the wall clock makes nothing older.
    assert!(state.refusal(&rejected, later(10, 600)).is_some());

    let mut next = record(Some(43_200), 0);
    next.tokens = tokens("a:2", Some(NOW.wall / 1000 + 100));
    let next = state.replaced_by(next, &identity("this"), NOW);
    assert!(matches!(next.resolve_locally(&rejected, NOW), LocalResult::Tokens(_)));
    // Of unknown ones the store tells whether they are newer.
    assert!(matches!(next.resolve_locally(&Want::ReplacementFor(tokens("a:3", None)), NOW), LocalResult::NeedsFlight));
}
