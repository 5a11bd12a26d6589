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
use super::state::{Answer, Current, Holder, State, Want};
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
    Ended,
    Rejected,
    /// For a logout, which needs an access token that the server accepts.
    LogOut,
}

/// What the action under way is for.
#[derive(Debug)]
enum Stage {
    Begun,
    Locking {
        give_up_at: i64,
    },
    Loading,
    /// The store, which has refused a save or a clear because what it has is newer.
    LoadingNewer {
        refused: Option<Box<Record>>,
        /// The server gave it in this flight.
        is_fresh: bool,
    },
    /// A pause before a request that would come too soon.
    Pacing,
    Refreshing {
        reason: Reason,
        begun: Now,
    },
    SavingNew {
        record: Box<Record>,
        again: bool,
    },
    SavingAgain {
        record: Box<Record>,
    },
    ReadingGeneration {
        record: Option<Box<Record>>,
        again: bool,
    },
    SavingLogin {
        record: Box<Record>,
    },
    /// The server said that the refresh token is no good: is it still the one that the store has?
    LoadingEnded {
        error: Error,
    },
    /// It is: the login is over.
    ClearingEnded {
        error: Error,
        generation: u64,
    },
    Clearing {
        outcome: Outcome,
        generation: u64,
    },
    EndingTokens,
    Unlocking {
        result: Result<Outcome, Error>,
    },
}

/// The state machine. See the module.
#[derive(Debug)]
pub(crate) struct Leader {
    job: Job,
    holder: Arc<Holder>,
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
    pub(crate) fn new(job: Job, holder: Arc<Holder>, limits: Limits, state: Arc<State>) -> Leader {
        let generation = state.generation;
        Leader { job, holder, limits, state, stage: Stage::Begun, generation, refreshed: false, overtaken: false }
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
            (S::Locking { give_up_at }, Event::Locked(result)) => self.locked(result, give_up_at, now, random),
            (S::Locking { give_up_at }, Event::Waited(Ok(()))) => self.lock(give_up_at),
            (S::Locking { .. }, Event::Waited(Err(cancelled))) => Action::Finish(Err(cancelled)),
            (S::Loading, Event::Loaded(result)) => self.loaded(result, now, random),
            (S::LoadingNewer { refused, is_fresh }, Event::Loaded(result)) => {
                self.loaded_newer(result, refused, is_fresh, now, random)
            }
            (S::Pacing, Event::Waited(Ok(()))) => self.proceed(now),
            (S::Pacing, Event::Waited(Err(cancelled))) => self.unlock(Err(cancelled)),
            (S::Refreshing { reason, begun }, Event::Refreshed(result)) => match result {
                Ok(tokens) => self.refreshed(tokens, reason, begun, random),
                Err(error) => self.refresh_failed(error, now, random),
            },
            (S::SavingNew { record, again }, Event::Saved(result)) => {
                self.saved_new(result, record, again, now, random)
            }
            (S::SavingAgain { record }, Event::Saved(result)) => self.saved_again(result, *record, now, random),
            (S::ReadingGeneration { record, again }, Event::GenerationRead(result)) => {
                self.generation_read(result, record, again, now, random)
            }
            (S::SavingLogin { record }, Event::Saved(result)) => self.saved_login(result, *record, now),
            (S::LoadingEnded { error }, Event::Loaded(result)) => self.loaded_ended(result, error, now),
            (S::ClearingEnded { error, generation }, Event::Cleared(result)) => {
                self.cleared_ended(result, error, generation, now)
            }
            (S::Clearing { outcome, generation }, Event::Cleared(result)) => {
                self.cleared(result, outcome, generation, now)
            }
            (S::EndingTokens, Event::TokensEnded(result)) => self.tokens_ended(result, now, random),
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
        let mut give_up_at = self.limits.last_start();
        if let Job::Provide(want) = &self.job {
            // Another flight may have ended since the caller looked.
            match self.state.answer(want, now) {
                Answer::Tokens(tokens) => return Action::Finish(Ok(Outcome::Tokens(tokens))),
                Answer::Failed(error) => return Action::Finish(Err(error)),
                Answer::Work => {}
            }
            if matches!(want, Want::Valid) && self.state.alive(now).is_some() {
                give_up_at = give_up_at.min(now.boot.saturating_add(policy::MOMENT));
            }
        }
        if now.boot > self.limits.last_start() {
            return Action::Finish(Err(no_time()));
        }
        // Others, who ask for the lock every now and then, get their chance in between.
        let wait = self.state.unlocked_at.map_or(0, |at| at.saturating_add(LOCK_POLL) - now.boot);
        if wait > 0 {
            self.stage = Stage::Locking { give_up_at };
            return Action::Wait(wait.min(LOCK_POLL));
        }
        self.lock(give_up_at)
    }

    fn lock(&mut self, give_up_at: i64) -> Action {
        self.stage = Stage::Locking { give_up_at };
        Action::Lock
    }

    fn locked(&mut self, result: Result<bool, StoreError>, give_up_at: i64, now: Now, random: u64) -> Action {
        let error = match result {
            Ok(true) => {
                self.stage = Stage::Loading;
                return Action::Load;
            }
            Ok(false) if now.boot < give_up_at => {
                self.stage = Stage::Locking { give_up_at };
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
                state.ended(now)
            }
            // Within a login the larger generation is newer. Of two that are equal the stored one is: its holder had the
            // lock after us.
            (Some(stored), Some(current))
                if stored.login == current.record.login && stored.generation < state.generation =>
            {
                let record = current.record.clone();
                return Some(self.save_again(record.into()));
            }
            (Some(stored), Some(current)) if stored.generation == state.generation && current.is(&stored.tokens) => {
                state.with_store_well(now)
            }
            (Some(stored), _) => {
                log::info!(target: LOG, "session: took generation {} from the store", stored.generation);
                state.replaced_by(stored, &self.holder, now)
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
        is_fresh: bool,
        now: Now,
        random: u64,
    ) -> Action {
        match self.read(result) {
            // It was cleared by a holder that did not know of these tokens.
            Ok(None) if refused.is_some() => {
                self.overtaken = true;
                return self.read_generation(refused, is_fresh);
            }
            Ok(None) => self.state = Arc::new(self.state.ended(now)),
            // The server took the stored refresh token for the new one that was refused.
            Ok(Some(stored)) if is_fresh && refused.as_ref().is_some_and(|refused| self.replaces(refused, &stored)) => {
                self.generation = self.generation.max(stored.generation);
                return self.read_generation(refused, true);
            }
            Ok(Some(stored)) => self.state = Arc::new(self.state.replaced_by(stored, &self.holder, now)),
            Err(error) => match refused {
                Some(record) if is_fresh => return self.keep_unsaved(*record, &error, now, random),
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
                _ => self.unlock(Err(nobody())),
            };
        };
        let is_over = current.is_over(now);
        let (reason, refusal) = match &self.job {
            Job::Provide(want) => {
                let reason = match want {
                    _ if is_over => Reason::Ended,
                    Want::Other(rejected) if current.is(rejected) => Reason::Rejected,
                    Want::Valid if current.is_due(now) => Reason::Due,
                    _ => return self.unlock(Ok(Outcome::Tokens(current.tokens().clone()))),
                };
                (reason, self.state.refusal(want, now))
            }
            _ => {
                // A user who logs out waits for the end of a pause rather than to be told of it.
                let until = self.state.back_off.as_ref().map_or(i64::MIN, |back_off| back_off.until);
                if now.boot < until && until <= self.limits.last_start() {
                    return self.pace(until, now);
                }
                if !is_over && now.boot >= until {
                    let access_token = current.tokens().access_token().clone();
                    self.stage = Stage::EndingTokens;
                    return Action::EndTokens { access_token };
                }
                (Reason::LogOut, self.state.backed_off(false, now))
            }
        };
        if let Some(refusal) = refusal {
            self.state = Arc::new(State::clone(&self.state).with_new_limit(now));
            return self.unlock(Err(refusal));
        }
        self.refresh(reason, now)
    }

    fn pace(&mut self, until: i64, now: Now) -> Action {
        self.stage = Stage::Pacing;
        Action::Wait(until.saturating_sub(now.boot))
    }

    fn unlock(&mut self, result: Result<Outcome, Error>) -> Action {
        self.stage = Stage::Unlocking { result };
        Action::Unlock
    }

    /// What the store has: a session of this API key and server, or none.
    fn read(&self, result: Result<Option<Secret>, StoreError>) -> Result<Option<Record>, Error> {
        match result {
            Ok(text) => read_record(text.as_ref(), &self.holder),
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
        let secrets = self.state.current.as_ref().map(Current::secrets).unwrap_or_default();
        failure.to_error(doing, &secrets)
    }
}

/// Reads what a store has, and checks that it belongs to `holder`.
pub(crate) fn read_record(text: Option<&Secret>, holder: &Holder) -> Result<Option<Record>, Error> {
    let Some(text) = text else { return Ok(None) };
    let record = Record::from_text(text)?;
    record.check_owner(&holder.owner)?;
    Ok(Some(record))
}

fn nobody() -> Error {
    Error::new(Status::LoginRequired, "nobody is logged in", "log in")
}

fn no_time() -> Error {
    Error::new(Status::Timeout, "the call's time is too short to finish a refresh", "try again")
}
