//! Single steps of the leader. The simulation covers whole flights.

use std::sync::Arc;

use super::Leader;
use crate::clock::Now;
use crate::error::Status;
use crate::secret::Secret;
use crate::session::action::{Action, Event, Job, Limits};
use crate::session::caller::{Caller, Step};
use crate::session::new_tokens::NewTokens;
use crate::session::state::{Identity, State, Want};
use crate::store::StoreError;
use crate::store::record::{Owner, Record};
use crate::tokens::Tokens;

const NOW: Now = Now { boot: 5_000_000, wall: 1_700_000_000_000 };
const LIMITS: Limits = Limits { deadline: NOW.boot + 30_000, reserve: 7_500 };

fn identity() -> Arc<Identity> {
    let owner = Owner { client_id: "key".to_owned(), base_url: "https://server".to_owned() };
    Arc::new(Identity { owner, boot_id: Some("this".to_owned()) })
}

/// A record of tokens that expired a minute ago.
fn expired_record() -> Record {
    let obtained = Now { boot: NOW.boot - 120_000, wall: NOW.wall - 120_000 };
    let expires_at = Some(NOW.wall / 1000 - 60);
    let scope = Some("read".to_owned());
    let tokens = Tokens::new(Secret::new("a:1"), Some(Secret::new("r:1")), "bearer".to_owned(), scope, expires_at);
    NewTokens { tokens, login: 1, generation: 7, refreshed: false, rejections: 0, held_until: None }.into_record(
        &identity(),
        obtained,
        0,
    )
}

fn leader(limits: Limits) -> Leader {
    let state = Arc::new(State::from_record(expired_record(), &identity(), NOW));
    Leader::new(Job::Provide(Want::ValidFor(0)), identity(), limits, state)
}

fn at(ms: i64) -> Now {
    Now { boot: NOW.boot + ms, wall: NOW.wall + ms }
}

/// Runs the leader up to its decision. The store answers after `loaded_after` ms.
fn decide(leader: &mut Leader, loaded_after: i64) -> Action {
    assert!(matches!(leader.handle(Event::Begin, NOW, 0), Action::Lock));
    assert!(matches!(leader.handle(Event::Locked(Ok(true)), NOW, 0), Action::Load));
    leader.handle(Event::Loaded(Ok(Some(expired_record().to_text()))), at(loaded_after), 0)
}

#[test]
fn a_refresh_requests_the_granted_scope() {
    let action = decide(&mut leader(LIMITS), 0);
    let Action::Refresh { refresh_token, scope } = action else { panic!("{action:?}") };
    assert_eq!((refresh_token.expose(), scope.as_deref()), ("r:1", Some("read")));
}

#[test]
fn a_refresh_without_enough_time_left_does_not_begin() {
    let mut leader = leader(LIMITS);
    assert!(matches!(decide(&mut leader, 22_501), Action::Unlock));
    let Action::Finish(Err(error)) = leader.handle(Event::Unlocked, at(22_501), 0) else { panic!() };
    assert_eq!(error.status(), Status::Timeout);
    // A caller that becomes the leader too late does not even lock the store.
    let late = Limits { deadline: NOW.boot + 7_000, ..LIMITS };
    let action = self::leader(late).handle(Event::Begin, NOW, 0);
    assert!(matches!(action, Action::Finish(Err(_))), "{action:?}");
}

#[test]
fn new_tokens_are_published_only_after_they_are_stored() {
    let mut leader = leader(LIMITS);
    assert!(matches!(decide(&mut leader, 0), Action::Refresh { .. }));
    let expires_at = Some(NOW.wall / 1000 + 43_200);
    let tokens = Tokens::new(Secret::new("a:2"), Some(Secret::new("r:1")), "bearer".to_owned(), None, expires_at);
    let action = leader.handle(Event::Refreshed(Ok(tokens)), at(100), 0);
    let Action::Save(record) = action else { panic!("{action:?}") };
    assert_eq!((record.generation, record.tokens.scope()), (8, Some("read")), "the scope stays as it was");
    let published = |leader: &Leader| leader.state().current.as_ref().map(|current| current.tokens().clone()).unwrap();
    assert_eq!(published(&leader).access_token().expose(), "a:1");
    assert!(matches!(leader.handle(Event::Saved(Ok(())), at(110), 0), Action::Unlock));
    assert_eq!(published(&leader).access_token().expose(), "a:2");
}

#[test]
fn new_tokens_survive_if_the_store_reports_newer_ones_and_cannot_be_read() {
    let mut leader = leader(LIMITS);
    assert!(matches!(decide(&mut leader, 0), Action::Refresh { .. }));
    let expires_at = Some(NOW.wall / 1000 + 43_200);
    let tokens = Tokens::new(Secret::new("a:2"), Some(Secret::new("r:2")), "bearer".to_owned(), None, expires_at);
    assert!(matches!(leader.handle(Event::Refreshed(Ok(tokens)), at(100), 0), Action::Save(_)));
    assert!(matches!(leader.handle(Event::Saved(Err(StoreError::Newer)), at(110), 0), Action::Load));
    let garbage = Event::Loaded(Ok(Some(Secret::new("{\"cmauth\":1,"))));
    assert!(matches!(leader.handle(garbage, at(120), 0), Action::Unlock));
    let state = leader.state();
    let current = state.current.as_ref().unwrap();
    assert!(state.unsaved && current.tokens().refresh_token().is_some_and(|token| token.expose() == "r:2"));
}

/// The step of the leading caller if the flight took so long that its tokens have expired.
fn step_after_slow_flight(leader: &Leader) -> Step {
    let tokens = leader.state().current.as_ref().map(|current| current.tokens().clone()).unwrap();
    let caller = Caller { want: Want::ValidFor(0), deadline: LIMITS.deadline };
    caller.after_leading(Ok(tokens), NOW.boot, leader.state(), at(10_000))
}

#[test]
fn only_the_call_that_fetched_tokens_returns_them_after_they_expired() {
    let expires_soon = |name: &str| {
        let (refresh_token, expires_at) = (Some(Secret::new("r:1")), Some(NOW.wall / 1000 + 5));
        Tokens::new(Secret::new(name), refresh_token, "bearer".to_owned(), None, expires_at)
    };
    let mut fetching = leader(LIMITS);
    assert!(matches!(decide(&mut fetching, 0), Action::Refresh { .. }));
    assert!(matches!(fetching.handle(Event::Refreshed(Ok(expires_soon("a:2"))), at(100), 0), Action::Save(_)));
    assert!(matches!(fetching.handle(Event::Saved(Ok(())), at(110), 0), Action::Unlock));
    assert!(matches!(step_after_slow_flight(&fetching), Step::Return(Ok(_))));

    let mut overtaken = leader(LIMITS);
    assert!(matches!(decide(&mut overtaken, 0), Action::Refresh { .. }));
    assert!(matches!(overtaken.handle(Event::Refreshed(Ok(expires_soon("a:2"))), at(100), 0), Action::Save(_)));
    assert!(matches!(overtaken.handle(Event::Saved(Err(StoreError::Newer)), at(110), 0), Action::Load));
    let theirs = NewTokens {
        tokens: expires_soon("a:3"),
        login: 1,
        generation: 9,
        refreshed: false,
        rejections: 0,
        held_until: None,
    };
    let theirs = theirs.into_record(&identity(), NOW, u64::MAX).to_text();
    assert!(matches!(overtaken.handle(Event::Loaded(Ok(Some(theirs))), at(120), 0), Action::Unlock));
    assert!(matches!(step_after_slow_flight(&overtaken), Step::LeadOrJoin(_)));
}

#[test]
fn a_new_refresh_token_replaces_the_one_it_was_obtained_with() {
    let mut leader = leader(LIMITS);
    assert!(matches!(decide(&mut leader, 0), Action::Refresh { .. }));
    let new = Tokens::new(Secret::new("a:2"), Some(Secret::new("r:2")), "bearer".to_owned(), None, None);
    assert!(matches!(leader.handle(Event::Refreshed(Ok(new)), at(100), 0), Action::Save(_)));
    assert!(matches!(leader.handle(Event::Saved(Err(StoreError::Newer)), at(110), 0), Action::Load));
    // Meanwhile a program called `start` with the old tokens.
    let started = Record { login: Some(2), generation: 1_000, ..expired_record() };
    let action = leader.handle(Event::Loaded(Ok(Some(started.to_text()))), at(120), 0);
    assert!(matches!(action, Action::ReadGeneration), "{action:?}");
    let Action::Save(record) = leader.handle(Event::GenerationRead(Ok(1_000)), at(130), 0) else { panic!() };
    assert_eq!((record.generation, record.tokens.refresh_token().map(Secret::expose)), (1_001, Some("r:2")));
}
