//! The other jobs of a leader: a new login, its end, and the generation that both need.

use std::sync::Arc;

use super::{Leader, Reason, Stage, not_enough_time};
use crate::clock::Now;
use crate::error::{Error, Status};
use crate::logging;
use crate::session::Change;
use crate::session::action::{Action, Job, LoggedOut, Outcome};
use crate::session::new_tokens::NewTokens;
use crate::session::state::{CurrentTokens, State};
use crate::store::StoreError;
use crate::store::record::{MAX_GENERATION, Record, next_generation};

impl Leader {
    pub(super) fn read_generation(&mut self, record: Option<Box<Record>>, is_retry: bool) -> Action {
        self.stage = Stage::ReadingGeneration { record, is_retry };
        Action::ReadGeneration
    }

    pub(super) fn generation_read(
        &mut self,
        result: Result<u64, StoreError>,
        record: Option<Box<Record>>,
        is_retry: bool,
        now: Now,
        random: u64,
    ) -> Action {
        // A larger generation overwrites any content of the store, so only a process whose lock has not expired may choose
        // one. A lock lasts longer than the deadline.
        if now.boot > self.limits.deadline {
            return match record {
                Some(record) if is_retry => self.keep_unsaved(*record, &not_enough_time(), now, random),
                _ => self.unlock(Err(not_enough_time())),
            };
        }
        match (result, &self.job) {
            (Ok(generation), _) if generation > MAX_GENERATION => {
                let what = format!("it reports the generation {generation}, which is not below 2^53");
                let error = self.store_error(&StoreError::Unusable(what), "be read");
                return match record {
                    Some(record) if is_retry => self.keep_unsaved(*record, &error, now, random),
                    _ => self.unlock(Err(error)),
                };
            }
            (Ok(generation), _) => self.generation = self.generation.max(generation),
            (Err(failure), Job::Start(_)) => {
                let error = self.store_error(&failure, "be read");
                return self.unlock(Err(error));
            }
            // The next save or clear shows whether the store accepts it.
            (Err(_), _) => {}
        }
        if let Some(mut record) = record {
            record.generation = record.generation.max(next_generation(self.generation));
            return if is_retry { self.save_refreshed(record, true) } else { self.resave(record) };
        }
        match &self.job {
            Job::Start(tokens) => {
                let new = NewTokens {
                    tokens: tokens.clone(),
                    login: random,
                    refreshed: false,
                    // Larger than the generation of every refresh of an earlier login, even if a process slept through the
                    // change, or the store lost its generation.
                    generation: next_generation(self.generation).max(now.wall.unsigned_abs().min(MAX_GENERATION)),
                    rejections: 0,
                    held_until: self.held_until,
                };
                let record = Box::new(new.into_record(&self.identity, now, random));
                self.stage = Stage::SavingLogin { record: record.clone() };
                Action::Save(record)
            }
            _ => self.clear(Outcome::Forgotten),
        }
    }

    pub(super) fn saved_login(&mut self, result: Result<(), StoreError>, record: Record, now: Now) -> Action {
        let state = State { previous_access_token: None, ..self.state.replaced_by(record, &self.identity, now) };
        match result {
            Ok(()) => {
                logging::info!("session: logged in, generation {}", state.generation);
                self.state = Arc::new(state);
                self.unlock(Ok(Outcome::Started))
            }
            Err(failure) => {
                let secrets = state.current.as_ref().map(CurrentTokens::secrets).unwrap_or_default();
                self.unlock(Err(failure.to_error("save the tokens", &secrets)))
            }
        }
    }

    pub(super) fn clear(&mut self, outcome: Outcome) -> Action {
        let generation = next_generation(self.generation.max(self.state.generation));
        self.stage = Stage::Clearing { outcome, generation };
        Action::Clear(generation)
    }

    pub(super) fn cleared(
        &mut self,
        result: Result<(), StoreError>,
        outcome: Outcome,
        generation: u64,
        now: Now,
    ) -> Action {
        let result = match (result, &outcome) {
            // `Newer`: the store has a later login, which stays.
            (Ok(()), _) | (Err(StoreError::Newer), Outcome::LoggedOut(_)) => Ok(outcome),
            (Err(failure), Outcome::LoggedOut(_)) => Err(self.store_error(&failure, "be cleared")),
            (Err(failure), _) => {
                let error = self.store_error(&failure, "be cleared");
                return self.unlock(Err(error));
            }
        };
        logging::info!("session: logged out");
        self.state = Arc::new(State { generation, ended: Change::EndedHere, ..self.state.logged_out_elsewhere(now) });
        self.unlock(result)
    }

    pub(super) fn revoked(&mut self, result: Result<(), Error>, now: Now, random: u64) -> Action {
        match result {
            Ok(()) => self.clear(Outcome::LoggedOut(LoggedOut::Confirmed)),
            Err(error) if error.status() == Status::TokenRejected && !self.refreshed_for_logout => {
                self.refresh(Reason::LogOut, now)
            }
            Err(error) => {
                if error.status() != Status::Cancelled {
                    self.state = Arc::new(self.state.after_failure(&error, now, random));
                }
                self.unlock(Err(error))
            }
        }
    }
}
