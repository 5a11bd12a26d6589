//! The leader of a session's single flight: a state machine without threads, clocks, stores or sockets. Its input is an event
//! and the time, and its output is the next action.
//!
//! `driver` carries the actions out, and so does the simulation (tests/simulation). The order of the steps protects the login:
//! lock, load, decide, ask the server, save, and only then publish.

mod hold;
mod login;
mod refresh;
mod stage;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::action::{Action, Event, Job, Limits, LoggedOut, Outcome};
use super::policy;
use super::state::{CurrentTokens, Identity, LocalResult, State, Want};
use crate::clock::Now;
use crate::error::{Error, Status};
use crate::logging;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::record::Record;
use stage::{Reason, Stage};

/// Interval in milliseconds at which a lock of another process is tried again (half of it is random). A process that has
/// released the lock does not take it again for the same time.
const LOCK_POLL: i64 = 20;

/// The state machine. See the documentation of this module.
#[derive(Debug)]
pub(crate) struct Leader {
    job: Job,
    identity: Arc<Identity>,
    limits: Limits,
    state: Arc<State>,
    stage: Stage,
    /// The largest generation known, for a login or its end.
    generation: u64,
    /// The end of a hold of the tokens of a login: a login can return tokens that the store has already.
    held_until: Option<i64>,
    /// A logout has already refreshed the tokens once.
    refreshed_for_logout: bool,
    /// The store had newer tokens than those to be saved.
    overtaken: bool,
}

impl Leader {
    pub(crate) fn new(job: Job, identity: Arc<Identity>, limits: Limits, state: Arc<State>) -> Leader {
        let generation = state.generation;
        Leader {
            job,
            identity,
            limits,
            state,
            stage: Stage::Begun,
            generation,
            held_until: None,
            refreshed_for_logout: false,
            overtaken: false,
        }
    }

    /// The snapshot to publish after each step. It contains new tokens only after they were stored.
    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Handles an event and returns the next action. `random` is a new random number for each call.
    pub(crate) fn handle(&mut self, event: Event, now: Now, random: u64) -> Action {
        use Stage as S;
        match (std::mem::replace(&mut self.stage, S::Begun), event) {
            (S::Begun, Event::Begin) => self.begin(now),
            (S::Locking { lock_deadline }, Event::Locked(result)) => self.locked(result, lock_deadline, now, random),
            (S::Locking { lock_deadline }, Event::Waited(Ok(()))) => self.lock(lock_deadline),
            (S::Locking { .. }, Event::Waited(Err(cancelled))) => Action::Finish(Err(cancelled)),
            (S::Loading, Event::Loaded(result)) => self.loaded(result, now, random),
            (S::LoadingNewer { refused, from_refresh }, Event::Loaded(result)) => {
                self.loaded_newer(result, refused, from_refresh, now, random)
            }
            (S::WaitingToRefresh, Event::Waited(Ok(()))) => self.proceed(now),
            (S::WaitingToRefresh, Event::Waited(Err(cancelled))) => self.unlock(Err(cancelled)),
            (S::Refreshing { reason, begun }, Event::Refreshed(result)) => match result {
                Ok(tokens) => self.refreshed(tokens, reason, begun, random),
                Err(error) => self.refresh_failed(error, now, random),
            },
            (S::SavingRefreshed { record, is_retry }, Event::Saved(result)) => {
                self.saved_refreshed(result, record, is_retry, now, random)
            }
            (S::Resaving { record }, Event::Saved(result)) => self.resaved(result, *record, now, random),
            (S::ReadingGeneration { record, is_retry }, Event::GenerationRead(result)) => {
                self.generation_read(result, record, is_retry, now, random)
            }
            (S::SavingHold { record }, Event::Saved(result)) => self.saved_hold(result, *record, now),
            (S::SavingLogin { record }, Event::Saved(result)) => self.saved_login(result, *record, now),
            (S::LoadingAfterInvalidGrant { error }, Event::Loaded(result)) => {
                self.loaded_after_invalid_grant(result, error, now)
            }
            (S::ClearingAfterInvalidGrant { error, generation }, Event::Cleared(result)) => {
                self.cleared_after_invalid_grant(result, error, generation, now)
            }
            (S::Clearing { outcome, generation }, Event::Cleared(result)) => {
                self.cleared(result, outcome, generation, now)
            }
            (S::Revoking, Event::Revoked(result)) => self.revoked(result, now, random),
            (S::Unlocking { result }, Event::Unlocked) => {
                self.state = Arc::new(State { unlocked_at: Some(now.boot), ..State::clone(&self.state) });
                Action::Finish(result)
            }
            (stage, _) => {
                debug_assert!(false, "unexpected event in stage {stage:?}");
                let what = "a bug in libcmauth: an event without an action";
                Action::Finish(Err(Error::new(Status::Internal, what, "report this message")))
            }
        }
    }

    fn begin(&mut self, now: Now) -> Action {
        let mut lock_deadline = self.limits.latest_request_start();
        if let Job::Provide(want) = &self.job {
            // Another flight may have ended since the caller decided.
            match self.state.resolve_locally(want, now) {
                LocalResult::Tokens(tokens) => return Action::Finish(Ok(Outcome::Tokens(tokens))),
                LocalResult::Failed(error) => return Action::Finish(Err(error)),
                LocalResult::NeedsFlight => {}
            }
            if self.state.usable_tokens(want, now).is_some() {
                lock_deadline = lock_deadline.min(now.boot.saturating_add(policy::MAX_WAIT_WITH_TOKENS));
            }
        }
        if now.boot > self.limits.latest_request_start() {
            return Action::Finish(Err(not_enough_time()));
        }
        // Leave the lock free for a moment, so that other processes that poll for it can take it.
        let wait = self.state.unlocked_at.map_or(0, |at| at.saturating_add(LOCK_POLL) - now.boot);
        if wait > 0 {
            self.stage = Stage::Locking { lock_deadline };
            return Action::Wait(wait.min(LOCK_POLL));
        }
        self.lock(lock_deadline)
    }

    fn lock(&mut self, lock_deadline: i64) -> Action {
        self.stage = Stage::Locking { lock_deadline };
        Action::Lock
    }

    fn locked(&mut self, result: Result<bool, StoreError>, lock_deadline: i64, now: Now, random: u64) -> Action {
        let error = match result {
            Ok(true) => {
                self.stage = Stage::Loading;
                return Action::Load;
            }
            Ok(false) if now.boot < lock_deadline => {
                self.stage = Stage::Locking { lock_deadline };
                return Action::Wait(LOCK_POLL / 2 + (random % (LOCK_POLL / 2).unsigned_abs()) as i64);
            }
            Ok(false) => {
                Error::new(Status::Store, "another process or session holds the store's lock", "try again later")
            }
            Err(failure) => self.store_error(&failure, "be locked"),
        };
        self.store_failed(&error, now, random);
        Action::Finish(Err(error))
    }

    fn loaded(&mut self, result: Result<Option<Secret>, StoreError>, now: Now, random: u64) -> Action {
        let stored = match (self.read(result), &self.job) {
            (Ok(stored), _) => stored,
            // Content that cannot be read, or that belongs to another owner, can still be removed.
            (Err(_), Job::Forget) => None,
            (Err(error), _) => {
                self.store_failed(&error, now, random);
                return self.unlock(Err(error));
            }
        };
        if let (Job::Start(tokens), Some(stored)) = (&self.job, &stored)
            && stored.tokens.access_token() == tokens.access_token()
        {
            self.held_until = stored.held_until;
        }
        if matches!(self.job, Job::Start(_) | Job::Forget) {
            self.generation = self.generation.max(stored.map_or(0, |record| record.generation));
            return self.read_generation(None, false);
        }
        self.adopt(stored, now).unwrap_or_else(|| self.proceed(now))
    }

    /// Takes over the content of the store. If this process has newer tokens, returns the action that saves them instead.
    fn adopt(&mut self, stored: Option<Record>, now: Now) -> Option<Action> {
        let state = &self.state;
        let new = match (stored, &state.current) {
            (None, None) => return None,
            // The store never had these tokens, so its empty content is not a logout.
            (None, Some(current)) if state.unsaved => {
                let record = current.record.clone();
                return Some(self.read_generation(Some(record.into()), false));
            }
            (None, Some(_)) => {
                logging::info!("session: another process ended the login");
                state.logged_out_elsewhere(now)
            }
            // Within a login the larger generation is newer. If the generations are equal, the stored record is newer: its
            // process had the lock after this one.
            (Some(stored), Some(current))
                if stored.login == current.record.login && stored.generation < state.generation =>
            {
                let record = current.record.clone();
                return Some(self.resave(record.into()));
            }
            (Some(stored), Some(current))
                if stored.generation == state.generation && current.has_same_token(&stored.tokens) =>
            {
                state.after_store_success(now)
            }
            (Some(stored), _) => {
                logging::info!("session: took over generation {} from the store", stored.generation);
                state.replaced_by(stored, &self.identity, now)
            }
        };
        self.state = Arc::new(new);
        None
    }

    /// Takes over the content of the store after it refused to save `refused`, or to clear, because its content is newer.
    fn loaded_newer(
        &mut self,
        result: Result<Option<Secret>, StoreError>,
        refused: Option<Box<Record>>,
        from_refresh: bool,
        now: Now,
        random: u64,
    ) -> Action {
        match self.read(result) {
            // A process that did not know these tokens cleared the store.
            Ok(None) if refused.is_some() => {
                self.overtaken = true;
                return self.read_generation(refused, from_refresh);
            }
            Ok(None) => self.state = Arc::new(self.state.logged_out_elsewhere(now)),
            // The refused record is newer: the server issued it in exchange for the refresh token that the store has.
            Ok(Some(stored))
                if from_refresh && refused.as_ref().is_some_and(|refused| self.replaces(refused, &stored)) =>
            {
                self.generation = self.generation.max(stored.generation);
                return self.read_generation(refused, true);
            }
            Ok(Some(stored)) => self.state = Arc::new(self.state.replaced_by(stored, &self.identity, now)),
            Err(error) => match refused {
                Some(record) if from_refresh => return self.keep_unsaved(*record, &error, now, random),
                _ => {
                    self.store_failed(&error, now, random);
                    return self.unlock(Err(error));
                }
            },
        }
        match (&self.job, &self.state.current) {
            // Only once: if processes overtake each other again and again, that must not cause a request each time.
            (Job::Provide(_), Some(current)) if self.overtaken => {
                let tokens = current.tokens().clone();
                self.unlock(Ok(Outcome::Tokens(tokens)))
            }
            _ => {
                self.overtaken = true;
                self.proceed(now)
            }
        }
    }

    /// Whether the server issued `fresh` in exchange for the tokens that the store has.
    fn replaces(&self, fresh: &Record, stored: &Record) -> bool {
        let Some(used) = self.state.current.as_ref().map(CurrentTokens::tokens) else { return false };
        let stored = &stored.tokens;
        // If the server keeps the refresh token, another process may have refreshed with it, too.
        let is_exchanged = stored.refresh_token() != fresh.tokens.refresh_token();
        stored.refresh_token() == used.refresh_token() && (is_exchanged || stored.access_token() == used.access_token())
    }

    /// The store was read and its content taken over: returns its tokens or asks the server.
    fn proceed(&mut self, now: Now) -> Action {
        let Some(current) = &self.state.current else {
            return match self.job {
                Job::LogOut => self.unlock(Ok(Outcome::LoggedOut(LoggedOut::AlreadyGone))),
                _ => self.unlock(Err(not_logged_in())),
            };
        };
        let is_expired = current.is_expired(now);
        let (reason, refusal) = match &self.job {
            Job::Provide(want) => {
                let reason = match want {
                    _ if is_expired => Reason::Expired,
                    Want::ReplacementFor(rejected) if current.tokens().access_token() == rejected => Reason::Rejected,
                    Want::ValidFor(min_left) if !current.lasts(*min_left, now) => Reason::TooShort,
                    Want::ValidFor(_) if current.needs_refresh(now) => Reason::Due,
                    _ => return self.unlock(Ok(Outcome::Tokens(current.tokens().clone()))),
                };
                (reason, self.state.refusal(want, now))
            }
            Job::Hold(until) => return self.hold(*until, now),
            _ => {
                // For a logout, waiting for the end of the back-off is better than an error.
                let until = self.state.back_off.as_ref().map_or(i64::MIN, |back_off| back_off.until);
                if now.boot < until && until <= self.limits.latest_request_start() {
                    return self.wait_to_refresh(until, now);
                }
                if !is_expired && now.boot >= until {
                    let access_token = current.tokens().access_token().clone();
                    self.stage = Stage::Revoking;
                    return Action::Revoke { access_token };
                }
                (Reason::LogOut, self.state.back_off_error(false, now))
            }
        };
        if let Some(refusal) = refusal {
            self.state = Arc::new(State::clone(&self.state).with_ready_until(now));
            return self.unlock(Err(refusal));
        }
        self.refresh(reason, now)
    }

    fn wait_to_refresh(&mut self, until: i64, now: Now) -> Action {
        self.stage = Stage::WaitingToRefresh;
        Action::Wait(until.saturating_sub(now.boot))
    }

    fn unlock(&mut self, result: Result<Outcome, Error>) -> Action {
        self.stage = Stage::Unlocking { result };
        Action::Unlock
    }

    /// The record in the store, if it is one of this API key and server.
    fn read(&self, result: Result<Option<Secret>, StoreError>) -> Result<Option<Record>, Error> {
        match result {
            Ok(text) => read_record(text.as_ref(), &self.identity),
            Err(failure) => Err(self.store_error(&failure, "be read")),
        }
    }

    fn store_failed(&mut self, error: &Error, now: Now, random: u64) {
        if let Job::Provide(_) = self.job {
            self.state = Arc::new(self.state.after_store_failure(error, now, random));
        }
    }

    /// Error for a failure of the store. Its message does not contain the tokens that this process knows.
    fn store_error(&self, failure: &StoreError, doing: &str) -> Error {
        let secrets = self.state.current.as_ref().map(CurrentTokens::secrets).unwrap_or_default();
        failure.to_error(doing, &secrets)
    }
}

/// Parses the content of a store and checks that it belongs to `identity`.
pub(crate) fn read_record(text: Option<&Secret>, identity: &Identity) -> Result<Option<Record>, Error> {
    let Some(text) = text else { return Ok(None) };
    let record = Record::from_text(text)?;
    record.check_owner(&identity.owner)?;
    Ok(Some(record))
}

fn not_logged_in() -> Error {
    Error::new(Status::LoginRequired, "nobody is logged in", "log in")
}

fn not_enough_time() -> Error {
    Error::new(Status::Timeout, "too little of the timeout is left to finish the call", "try again")
}
