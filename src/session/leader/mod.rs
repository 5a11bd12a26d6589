//! What the leader of a session's single flight does, step by step: a state machine without threads, clocks, stores or
//! sockets. It is handed what happened and the time, and says what to do next.
//!
//! `driver` carries the actions out; the simulation (tests/simulation) does so in a world of its own. The order of the
//! steps is what keeps a login: lock, load, decide, ask the server, save, and only then publish.

mod login;
mod refresh;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::action::{Action, Event, Job, Limits, LoggedOut, Outcome};
use super::clock::Now;
use super::policy;
use super::state::{CurrentTokens, Identity, LocalResult, State, Want};
use crate::LOG;
use crate::error::{Error, Status};
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::record::Record;

/// How often a lock that another holder has is asked for, in milliseconds, half of it at random; and how long a process leaves
/// the lock alone that it gave back.
const LOCK_POLL: i64 = 20;

/// Why the current tokens are refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// They will end soon.
    Due,
    Expired,
    Rejected,
    /// For a logout, which needs an access token that the server accepts.
    LogOut,
}

/// What the action under way is for.
#[derive(Debug)]
enum Stage {
    Begun,
    Locking {
        lock_deadline: i64,
    },
    Loading,
    /// The store, which has refused a save or a clear because what it has is newer.
    LoadingNewer {
        refused: Option<Box<Record>>,
        /// The server gave it in this flight.
        from_refresh: bool,
    },
    /// A pause before a request that would come too soon.
    WaitingToRefresh,
    Refreshing {
        reason: Reason,
        begun: Now,
    },
    SavingRefreshed {
        record: Box<Record>,
        is_retry: bool,
    },
    Resaving {
        record: Box<Record>,
    },
    ReadingGeneration {
        record: Option<Box<Record>>,
        is_retry: bool,
    },
    SavingLogin {
        record: Box<Record>,
    },
    /// The server said that the refresh token is no good: is it still the one that the store has?
    LoadingAfterRejection {
        error: Error,
    },
    /// It is: the login is over.
    ClearingAfterRejection {
        error: Error,
        generation: u64,
    },
    Clearing {
        outcome: Outcome,
        generation: u64,
    },
    Revoking,
    Unlocking {
        result: Result<Outcome, Error>,
    },
}

/// The state machine. See the module.
#[derive(Debug)]
pub(crate) struct Leader {
    job: Job,
    identity: Arc<Identity>,
    limits: Limits,
    state: Arc<State>,
    stage: Stage,
    /// The largest generation seen, for a login or the end of one.
    generation: u64,
    /// A logout has refreshed once.
    refreshed: bool,
    /// The store had newer tokens than those that were to be saved.
    overtaken: bool,
}

impl Leader {
    pub(crate) fn new(job: Job, identity: Arc<Identity>, limits: Limits, state: Arc<State>) -> Leader {
        let generation = state.generation;
        Leader { job, identity, limits, state, stage: Stage::Begun, generation, refreshed: false, overtaken: false }
    }

    /// What is known of the user now; published after each step. New tokens are in it once they are stored.
    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Takes what happened, and says what to do next. `random` is a fresh random number.
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
            (S::SavingLogin { record }, Event::Saved(result)) => self.saved_login(result, *record, now),
            (S::LoadingAfterRejection { error }, Event::Loaded(result)) => {
                self.loaded_after_rejection(result, error, now)
            }
            (S::ClearingAfterRejection { error, generation }, Event::Cleared(result)) => {
                self.cleared_after_rejection(result, error, generation, now)
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
                debug_assert!(false, "an event that answers no action: {stage:?}");
                let what = "a bug in libcmauth: an event that answers no action";
                Action::Finish(Err(Error::new(Status::Internal, what, "report this line")))
            }
        }
    }

    fn begin(&mut self, now: Now) -> Action {
        let mut lock_deadline = self.limits.latest_request_start();
        if let Job::Provide(want) = &self.job {
            // Another flight may have ended since the caller looked.
            match self.state.resolve_locally(want, now) {
                LocalResult::Tokens(tokens) => return Action::Finish(Ok(Outcome::Tokens(tokens))),
                LocalResult::Failed(error) => return Action::Finish(Err(error)),
                LocalResult::NeedsFlight => {}
            }
            if matches!(want, Want::Valid) && self.state.unexpired_tokens(now).is_some() {
                lock_deadline = lock_deadline.min(now.boot.saturating_add(policy::MAX_WAIT_WITH_TOKENS));
            }
        }
        if now.boot > self.limits.latest_request_start() {
            return Action::Finish(Err(not_enough_time()));
        }
        // Others, who ask for the lock every now and then, get their chance in between.
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
            Ok(false) => Error::new(Status::Store, "another holder has the store's lock", "try again later"),
            Err(failure) => self.store_error(&failure, "be locked"),
        };
        self.store_failed(&error, now, random);
        Action::Finish(Err(error))
    }

    fn loaded(&mut self, result: Result<Option<Secret>, StoreError>, now: Now, random: u64) -> Action {
        let stored = match (self.read(result), &self.job) {
            (Ok(stored), _) => stored,
            // What cannot be read, or belongs to somebody else, can be given up.
            (Err(_), Job::Forget) => None,
            (Err(error), _) => {
                self.store_failed(&error, now, random);
                return self.unlock(Err(error));
            }
        };
        if matches!(self.job, Job::Start(_) | Job::Forget) {
            self.generation = self.generation.max(stored.map_or(0, |record| record.generation));
            return self.read_generation(None, false);
        }
        self.adopt(stored, now).unwrap_or_else(|| self.proceed(now))
    }

    /// Takes over what the store has, unless what is known here is newer: then the action saves that.
    fn adopt(&mut self, stored: Option<Record>, now: Now) -> Option<Action> {
        let state = &self.state;
        let new = match (stored, &state.current) {
            (None, None) => return None,
            // Nobody ended tokens that the store never had.
            (None, Some(current)) if state.unsaved => {
                let record = current.record.clone();
                return Some(self.read_generation(Some(record.into()), false));
            }
            (None, Some(_)) => {
                log::info!(target: LOG, "session: ended by another holder of the store");
                state.logged_out_elsewhere(now)
            }
            // Within a login the larger generation is newer. Of two that are equal the stored one is: its holder had the
            // lock after us.
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
                log::info!(target: LOG, "session: took generation {} from the store", stored.generation);
                state.replaced_by(stored, &self.identity, now)
            }
        };
        self.state = Arc::new(new);
        None
    }

    /// Takes what the store has after it refused to save `refused`, or to clear, because its content is newer.
    fn loaded_newer(
        &mut self,
        result: Result<Option<Secret>, StoreError>,
        refused: Option<Box<Record>>,
        from_refresh: bool,
        now: Now,
        random: u64,
    ) -> Action {
        match self.read(result) {
            // It was cleared by a holder that did not know of these tokens.
            Ok(None) if refused.is_some() => {
                self.overtaken = true;
                return self.read_generation(refused, from_refresh);
            }
            Ok(None) => self.state = Arc::new(self.state.logged_out_elsewhere(now)),
            // The server took the stored refresh token for the new one that was refused.
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
            // Once: a store whose holders overtake each other again and again gets no request for each.
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

    /// Whether `fresh` came from the server in exchange for the refresh token that the store has.
    fn replaces(&self, fresh: &Record, stored: &Record) -> bool {
        let used = self.state.current.as_ref().and_then(|current| current.tokens().refresh_token());
        let stored = stored.tokens.refresh_token();
        stored == used && stored != fresh.tokens.refresh_token()
    }

    /// With the store read and its content taken over: gives what is there, or asks the server.
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
                    Want::ReplacementFor(rejected) if current.has_same_token(rejected) => Reason::Rejected,
                    Want::Valid if current.needs_refresh(now) => Reason::Due,
                    _ => return self.unlock(Ok(Outcome::Tokens(current.tokens().clone()))),
                };
                (reason, self.state.refusal(want, now))
            }
            _ => {
                // A user who logs out waits for the end of a pause rather than to be told of it.
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

    /// What the store has: a session of this API key and server, or none.
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

    /// A failure of the store, without the tokens that are known here.
    fn store_error(&self, failure: &StoreError, doing: &str) -> Error {
        let secrets = self.state.current.as_ref().map(CurrentTokens::secrets).unwrap_or_default();
        failure.to_error(doing, &secrets)
    }
}

/// Reads what a store has, and checks that it belongs to `holder`.
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
    Error::new(Status::Timeout, "the call's time is too short to finish a refresh", "try again")
}
