//! The job that holds early refreshes off: it saves the time until when, so that every session on the store respects it.

use std::sync::Arc;

use super::{Leader, Stage, not_logged_in};
use crate::clock::Now;
use crate::error::{Error, Status};
use crate::logging;
use crate::session::action::{Action, Outcome};
use crate::session::state::CurrentTokens;
use crate::store::StoreError;
use crate::store::record::{Record, next_generation};

impl Leader {
    /// The store was read and its content taken over. `until` is in Unix milliseconds.
    pub(super) fn hold(&mut self, until: i64, now: Now) -> Action {
        let Some(current) = &self.state.current else {
            return self.unlock(Err(not_logged_in()));
        };
        if current.is_expired(now) {
            let what = "the tokens expired before they could be held";
            return self.unlock(Err(Error::new(Status::Timeout, what, "try again")));
        }
        // By the clock that cannot be set: the wall clock may have been set back since the tokens were obtained.
        let age = now.boot.saturating_sub(current.obtained_estimate.unwrap_or(current.known_since));
        let until = (current.record.obtained_at).saturating_add(age).saturating_add(until.saturating_sub(now.wall));
        let held = current.record.held_until.unwrap_or(i64::MIN);
        // A shorter hold does not end a longer one, and tokens that do not expire are not refreshed early.
        if until <= held.max(current.record.obtained_at.saturating_add(age)) || current.tokens().expires_at().is_none()
        {
            return self.unlock(Ok(Outcome::Tokens(current.tokens().clone())));
        }
        let generation = next_generation(self.generation.max(self.state.generation));
        let record = Box::new(Record { held_until: Some(until), generation, ..current.record.clone() });
        self.stage = Stage::SavingHold { record: record.clone() };
        Action::Save(record)
    }

    pub(super) fn saved_hold(&mut self, result: Result<(), StoreError>, record: Record, now: Now) -> Action {
        match result {
            Ok(()) => {
                logging::info!("session: no early refresh before {}", record.held_until().unwrap_or_default() / 1000);
                let tokens = record.tokens.clone();
                let before = &self.state;
                let previous_access_token = before.previous_access_token.clone();
                let held = before.replaced_by(record, &self.identity, now);
                self.state = Arc::new(super::State { previous_access_token, ..held });
                self.unlock(Ok(Outcome::Tokens(tokens)))
            }
            Err(failure) => {
                let secrets = self.state.current.as_ref().map(CurrentTokens::secrets).unwrap_or_default();
                self.unlock(Err(failure.to_error("save the hold", &secrets)))
            }
        }
    }
}
