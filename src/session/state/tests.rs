//! What follows from a snapshot at different times.

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

/// A record that was obtained at [`NOW`], of tokens with this lifetime in seconds.
fn record(lifetime: Option<i64>, rejections: u32) -> Record {
    let expires_at = lifetime.map(|seconds| NOW.wall / 1000 + seconds);
    let new = NewTokens {
        tokens: tokens("a:1", expires_at),
        login: 1,
        generation: 1,
        refreshed: true,
        rejections,
        held_until: None,
    };
    new.into_record(&identity("this"), NOW, u64::MAX / 4)
}

/// The clocks `seconds` after [`NOW`], with the wall clock set forward by `set` seconds.
fn later(seconds: i64, set: i64) -> Now {
    Now { boot: NOW.boot + seconds * 1000, wall: NOW.wall + (seconds + set) * 1000 }
}

#[test]
fn tokens_are_ready_until_their_refresh_and_usable_until_they_expire() {
    // The refresh is due at 80 %: a quarter of the way from 75 % to 95 %.
    let state = State::from_record(record(Some(100), 0), &identity("this"), NOW);
    for (seconds, ready, usable) in [(0, true, true), (79, true, true), (80, false, true), (99, false, true)] {
        let at = later(seconds, 0);
        assert_eq!((state.ready(at).is_some(), state.unexpired_tokens(at).is_some()), (ready, usable), "{seconds} s");
    }
    assert!(state.unexpired_tokens(later(100, 0)).is_none());
    // Tokens that never expire are never refreshed.
    let forever = State::from_record(record(None, 0), &identity("this"), NOW);
    assert!(forever.ready(later(100_000_000, 0)).is_some());
}

#[test]
fn tokens_without_a_refresh_token_are_ready_until_they_expire() {
    let mut record = record(Some(100), 0);
    record.tokens = Tokens::new(Secret::new("a:1"), None, "bearer".to_owned(), None, record.tokens.expires_at());
    let state = State::from_record(record, &identity("this"), NOW);
    assert!(state.ready(later(99, 0)).is_some());
    assert!(state.ready(later(100, 0)).is_none() && state.unexpired_tokens(later(100, 0)).is_none());
    assert!(state.next_refresh(later(0, 0)).is_none());
}

#[test]
fn setting_the_wall_clock_back_prolongs_no_token_even_after_a_restart() {
    let before = State::from_record(record(Some(6), 0), &identity("this"), NOW);
    for seconds in 0..20 {
        let now = later(seconds, -3600);
        let after_restart = State::from_record(record(Some(6), 0), &identity("this"), now);
        for state in [&before, &after_restart] {
            assert_eq!(state.unexpired_tokens(now).is_some(), seconds < 6, "{seconds} s");
        }
    }
    // If it is set forward, they expire early.
    assert!(before.unexpired_tokens(later(1, 3600)).is_none());
}

#[test]
fn a_record_of_another_boot_uses_the_wall_clock_and_counts_as_new_if_it_is_from_the_future() {
    let now = Now { boot: 70, ..later(3, 0) };
    let state = State::from_record(record(Some(6), 0), &identity("another"), now);
    let at = |ms: i64| Now { boot: now.boot + ms, wall: now.wall + ms };
    assert!(state.unexpired_tokens(at(2_999)).is_some() && state.unexpired_tokens(at(3_000)).is_none());
    let behind = Now { boot: 70, ..later(3, -3600) };
    let state = State::from_record(record(Some(6), 0), &identity("another"), behind);
    let at = |ms: i64| Now { boot: behind.boot + ms, wall: behind.wall + ms };
    assert!(state.unexpired_tokens(at(5_999)).is_some() && state.unexpired_tokens(at(6_000)).is_none());
    // The boot clock does not go back within one boot, so such a record is wrong.
    let earlier = Now { boot: NOW.boot - 1, wall: NOW.wall };
    assert!(State::from_record(record(Some(6), 0), &identity("this"), earlier).unexpired_tokens(earlier).is_none());
}

#[test]
fn during_the_back_off_the_same_error_comes_at_once_with_the_remaining_time() {
    let error = Error::new(Status::Server, "x", "y").with_retry_after(Some(Duration::from_secs(120)));
    let state = State::from_record(record(Some(6), 0), &identity("this"), NOW);
    let state = State { store_read_at: later(10, 0).boot, ..state.after_failure(&error, later(10, 0), 7) };
    let LocalResult::Failed(shown) = state.resolve_locally(&Want::ValidFor(0), later(10, 0)) else { panic!() };
    assert_eq!(shown.retry_after(), Some(Duration::from_secs(120)));
    let replacement = Want::ReplacementFor(Secret::new("a:1"));
    let LocalResult::Failed(shown) = state.resolve_locally(&replacement, later(10, 0)) else { panic!() };
    assert_eq!(shown.retry_after(), Some(Duration::from_secs(120)));
    assert!(state.refusal(&Want::ValidFor(0), later(129, 0)).is_some());
    assert!(state.refusal(&Want::ValidFor(0), later(130, 0)).is_none());
    // Other tokens do not end the back-off.
    let theirs = state.replaced_by(record(Some(6), 0), &identity("this"), later(20, 0));
    assert!(theirs.refusal(&Want::ValidFor(0), later(129, 0)).is_some());
}

#[test]
fn the_next_action_is_the_refresh_the_end_of_a_back_off_or_the_expiry() {
    let of = |lifetime| State::from_record(record(lifetime, 0), &identity("this"), NOW);
    // Due at 80 % of the lifetime.
    assert_eq!(of(Some(100)).next_action(later(10, 0)), Some(70_000));
    assert_eq!(of(Some(100)).next_action(later(85, 0)), Some(0));
    assert_eq!(of(Some(100)).next_action(later(200, 0)), Some(0));
    // The clock that comes first counts.
    assert_eq!(of(Some(100)).next_action(later(10, 60)), Some(10_000));
    assert_eq!(of(None).next_action(NOW), None);
    assert_eq!(State::logged_out(1, NOW).next_action(NOW), None);

    let error = Error::new(Status::Server, "x", "y").with_retry_after(Some(Duration::from_secs(120)));
    let failed = of(Some(100)).after_failure(&error, later(90, 0), 7);
    // The expiry comes before the end of the back-off.
    assert_eq!(failed.next_action(later(90, 0)), Some(10_000));
    assert_eq!(failed.next_action(later(110, 0)), Some(100_000));
    let failed = of(Some(100)).after_store_failure(&error, later(110, 0), 7);
    assert!(
        failed.next_action(later(110, 0)).is_some_and(|left| left > 0),
        "a keeper must not ask a failing store all the time"
    );

    let mut alone = record(Some(100), 0);
    alone.tokens = Tokens::new(Secret::new("a:1"), None, "bearer".to_owned(), None, alone.tokens.expires_at());
    let alone = State::from_record(alone, &identity("this"), NOW);
    assert_eq!(alone.next_action(later(10, 0)), Some(90_000));
    assert_eq!(alone.next_action(later(101, 0)), None);
}

#[test]
fn the_next_refresh_respects_retry_after() {
    let error = Error::new(Status::Server, "x", "y").with_retry_after(Some(Duration::from_secs(1800)));
    for (lifetime, next) in [(6, 1810), (60, 1810), (3600, 2880)] {
        let state = State::from_record(record(Some(lifetime), 0), &identity("this"), NOW);
        let state = state.after_failure(&error, later(10, 0), 7);
        let (shown, next) = (state.next_refresh(later(10, 0)).unwrap(), later(next, 0).wall / 1000);
        assert!((next - 1..=next).contains(&shown), "{lifetime} s: {shown}");
    }
    // Without a failure, or with a shorter back-off of the store, it is when they are due.
    let state = State::from_record(record(Some(100), 0), &identity("this"), NOW);
    let unsaved = State { unsaved: true, ..state.after_store_failure(&error, NOW, 7) }.with_ready_until(NOW);
    for state in [state, unsaved] {
        let (shown, next) = (state.next_refresh(NOW).unwrap(), later(80, 0).wall / 1000);
        assert!((next - 1..=next).contains(&shown), "{shown}");
    }
}

#[test]
fn young_rejected_tokens_are_not_refreshed_and_replaced_ones_are_resolved_at_once() {
    let state = State::from_record(record(Some(43_200), 2), &identity("this"), NOW);
    let rejected = Want::ReplacementFor(Secret::new("a:1"));
    let refusal = state.refusal(&rejected, later(10, 0)).unwrap();
    assert_eq!((refusal.status(), refusal.advice()), (Status::TokenRejected, Advice::Retry));
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(20)));
    assert!(state.refusal(&rejected, later(30, 0)).is_none());
    assert!(state.refusal(&Want::ValidFor(0), later(10, 0)).is_none());
    // Setting the wall clock does not make them older.
    assert!(state.refusal(&rejected, later(10, 600)).is_some());

    let mut next = record(Some(43_200), 0);
    next.tokens = tokens("a:2", Some(NOW.wall / 1000 + 100));
    let next = state.replaced_by(next, &identity("this"), NOW);
    assert!(matches!(next.resolve_locally(&rejected, NOW), LocalResult::Tokens(_)));
    // If the rejected tokens are unknown, only the store can tell whether they are newer.
    assert!(matches!(next.resolve_locally(&Want::ReplacementFor(Secret::new("a:3")), NOW), LocalResult::NeedsFlight));
}
