//! The refresh of a leader: the request, saving the new tokens, and the handling of failures.

use std::sync::Arc;

use super::{Leader, Reason, Stage, not_enough_time, not_logged_in};
use crate::clock::Now;
use crate::error::{Error, Status};
use crate::logging;
use crate::secret::Secret;
use crate::session::Change;
use crate::session::action::{Action, Job, LoggedOut, Outcome};
use crate::session::new_tokens::NewTokens;
use crate::session::policy;
use crate::session::state::{CurrentTokens, State};
use crate::store::StoreError;
use crate::store::record::{Record, next_generation};
use crate::tokens::Tokens;

impl Leader {
    pub(super) fn refresh(&mut self, reason: Reason, now: Now) -> Action {
        let Some(current) = &self.state.current else {
            return self.unlock(Err(not_logged_in()));
        };
        let Some(refresh_token) = current.tokens().refresh_token().cloned() else {
            if reason == Reason::LogOut {
                // The access token has expired and cannot be refreshed, so there is nothing left to end.
                return self.clear(Outcome::LoggedOut(LoggedOut::AlreadyGone));
            }
            let what = "the access token must be refreshed, but there is no refresh token";
            return self.unlock(Err(Error::new(Status::LoginRequired, what, "log in again")));
        };
        let scope = current.tokens().scope().map(str::to_owned);
        let earliest = self.state.refreshed_at.map_or(i64::MIN, |at| at.saturating_add(policy::MIN_REFRESH_INTERVAL));
        if matches!(reason, Reason::Expired | Reason::TooShort) && now.boot < earliest {
            if earliest > self.limits.latest_request_start() {
                return self.unlock(Err(not_enough_time()));
            }
            return self.wait_to_refresh(earliest, now);
        }
        // If this machine slept past the end of its lease, this check stops a request while another process refreshes.
        if now.boot > self.limits.latest_request_start() {
            return self.unlock(Err(not_enough_time()));
        }
        self.refreshed_for_logout |= reason == Reason::LogOut;
        self.stage = Stage::Refreshing { reason, begun: now };
        Action::Refresh { refresh_token, scope }
    }

    pub(super) fn refreshed(&mut self, tokens: Tokens, reason: Reason, begun: Now, random: u64) -> Action {
        let Some(current) = &self.state.current else {
            return self.unlock(Err(not_logged_in()));
        };
        let because_rejected = reason == Reason::Rejected;
        let new = NewTokens {
            tokens: tokens.or_scope(current.tokens().scope()),
            // A record of version 0.1 has no login number.
            login: current.record.login.unwrap_or(random),
            refreshed: true,
            held_until: None,
            generation: next_generation(self.state.generation),
            rejections: policy::rejections_after(current.record.rejections, current.age(begun), because_rejected),
        };
        let rejection_refresh_at = if because_rejected { Some(begun.boot) } else { self.state.rejection_refresh_at };
        let refreshed_at = Some(begun.boot);
        self.state =
            Arc::new(State { refreshed_at, rejection_refresh_at, back_off: None, ..State::clone(&self.state) });
        self.save_refreshed(new.into_record(&self.identity, begun, random).into(), false)
    }

    /// Saves new tokens. No caller gets them before.
    pub(super) fn save_refreshed(&mut self, record: Box<Record>, is_retry: bool) -> Action {
        self.stage = Stage::SavingRefreshed { record: record.clone(), is_retry };
        Action::Save(record)
    }

    pub(super) fn saved_refreshed(
        &mut self,
        result: Result<(), StoreError>,
        record: Box<Record>,
        is_retry: bool,
        now: Now,
        random: u64,
    ) -> Action {
        let tokens = record.tokens.clone();
        let fresh = self.with_fetched(*record.clone(), now);
        match result {
            Ok(()) => {
                logging::info!("session: refreshed, generation {}", record.generation);
                self.state = Arc::new(fresh);
            }
            Err(StoreError::Newer) if !is_retry => {
                self.stage = Stage::LoadingNewer { refused: Some(record), from_refresh: true };
                return Action::Load;
            }
            Err(failure) => {
                let mut secrets = fresh.current.as_ref().map(CurrentTokens::secrets).unwrap_or_default().to_vec();
                secrets.extend(self.state.current.as_ref().map(CurrentTokens::secrets).unwrap_or_default());
                let error = failure.to_error("save the tokens", &secrets);
                return self.keep_unsaved(*record, &error, now, random);
            }
        }
        self.finish_refresh(tokens)
    }

    /// The refresh ended the old tokens, so the new ones are returned although the store does not have them. They are saved later.
    pub(super) fn keep_unsaved(&mut self, record: Record, error: &Error, now: Now, random: u64) -> Action {
        logging::error!("session: {}: {error}", error.status().name());
        let tokens = record.tokens.clone();
        let store_failures = self.state.store_failures;
        let unsaved = State { unsaved: true, store_failures, ..self.with_fetched(record, now) };
        self.state = Arc::new(unsaved.after_store_failure(error, now, random));
        self.finish_refresh(tokens)
    }

    /// The snapshot with the tokens that the server has just issued.
    fn with_fetched(&self, record: Record, now: Now) -> State {
        let mut fresh = self.state.replaced_by(record, &self.identity, now);
        fresh.refreshed_at = Some(now.boot);
        fresh.current.iter_mut().for_each(|current| current.fetched_here = true);
        fresh
    }

    /// Continues the job with the refreshed tokens.
    fn finish_refresh(&mut self, tokens: Tokens) -> Action {
        match self.job {
            Job::LogOut => {
                self.stage = Stage::Revoking;
                Action::Revoke { access_token: tokens.access_token().clone() }
            }
            _ => self.unlock(Ok(Outcome::Tokens(tokens))),
        }
    }

    pub(super) fn refresh_failed(&mut self, error: Error, now: Now, random: u64) -> Action {
        match error.status() {
            // The server rejected this refresh token for good. But a process that slept past its lease may have sent an old one.
            Status::LoginRequired => {
                self.stage = Stage::LoadingAfterInvalidGrant { error };
                return Action::Load;
            }
            Status::Cancelled => {}
            _ => {
                self.state = Arc::new(self.state.after_failure(&error, now, random));
                // Includes the time until the next request.
                let error = self.state.back_off_error(false, now).unwrap_or(error);
                return self.unlock(Err(error));
            }
        }
        self.unlock(Err(error))
    }

    pub(super) fn loaded_after_invalid_grant(
        &mut self,
        result: Result<Option<Secret>, StoreError>,
        error: Error,
        now: Now,
    ) -> Action {
        let used = self.state.current.as_ref().and_then(|current| current.tokens().refresh_token());
        match self.read(result) {
            Ok(Some(stored)) if stored.tokens.refresh_token() == used => {
                let generation = next_generation(self.state.generation.max(stored.generation));
                self.stage = Stage::ClearingAfterInvalidGrant { error, generation };
                Action::Clear(generation)
            }
            Ok(Some(stored)) => {
                self.overtaken = true;
                self.state = Arc::new(self.state.replaced_by(stored, &self.identity, now));
                self.proceed(now)
            }
            // There is nothing to clear, or its content cannot be read.
            Ok(None) | Err(_) => self.login_ended(error, next_generation(self.state.generation), now),
        }
    }

    pub(super) fn cleared_after_invalid_grant(
        &mut self,
        result: Result<(), StoreError>,
        error: Error,
        generation: u64,
        now: Now,
    ) -> Action {
        match result {
            // Another process refreshed or logged in meanwhile.
            Err(StoreError::Newer) => {
                self.stage = Stage::LoadingNewer { refused: None, from_refresh: false };
                return Action::Load;
            }
            Err(failure) => logging::warning!("session: {}", self.store_error(&failure, "be cleared")),
            Ok(()) => {}
        }
        self.login_ended(error, generation, now)
    }

    fn login_ended(&mut self, error: Error, generation: u64, now: Now) -> Action {
        logging::info!("session: the server has ended the login");
        let State { unlocked_at, refreshed_at, .. } = *self.state;
        let last_error = Some(error.clone());
        let ended = Change::EndedByServer;
        self.state =
            Arc::new(State { ended, last_error, unlocked_at, refreshed_at, ..State::logged_out(generation, now) });
        match self.job {
            Job::LogOut => self.unlock(Ok(Outcome::LoggedOut(LoggedOut::AlreadyGone))),
            _ => self.unlock(Err(error)),
        }
    }

    pub(super) fn resave(&mut self, record: Box<Record>) -> Action {
        self.stage = Stage::Resaving { record: record.clone() };
        Action::Save(record)
    }

    pub(super) fn resaved(&mut self, result: Result<(), StoreError>, record: Record, now: Now, random: u64) -> Action {
        match result {
            Ok(()) => {
                logging::info!("session: saved, generation {}", record.generation);
                // It may have been saved with a larger generation.
                let generation = record.generation;
                let current = self.state.current.clone().map(|current| CurrentTokens { record, ..current });
                let saved = State { generation, current, ..self.state.after_store_success(now) };
                self.state = Arc::new(saved);
            }
            Err(StoreError::Newer) => {
                // Only once: if the store refuses again, its content wins.
                let refused = (!self.overtaken).then(|| Box::new(record));
                self.stage = Stage::LoadingNewer { refused, from_refresh: false };
                return Action::Load;
            }
            Err(failure) => {
                let error = self.store_error(&failure, "save the tokens");
                let unsaved = State { unsaved: true, ..State::clone(&self.state) };
                self.state = Arc::new(unsaved.after_store_failure(&error, now, random));
            }
        }
        self.proceed(now)
    }
}
