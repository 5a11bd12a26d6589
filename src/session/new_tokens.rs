//! Makes the record that the store keeps from the tokens of a login or a refresh.

use super::policy;
use super::state::Identity;
use crate::clock::Now;
use crate::store::record::{BootTime, Record};
use crate::tokens::Tokens;

/// Tokens that the server has just issued, and the fields of their record.
pub(crate) struct NewTokens {
    pub(crate) tokens: Tokens,
    pub(crate) login: u64,
    pub(crate) generation: u64,
    /// They come from a refresh, and not from a login.
    pub(crate) refreshed: bool,
    pub(crate) rejections: u32,
    /// The end of a hold of these tokens, in Unix milliseconds.
    pub(crate) held_until: Option<i64>,
}

impl NewTokens {
    /// The record of tokens that were obtained at `now`. Draws the time of their refresh.
    pub(crate) fn into_record(self, identity: &Identity, now: Now, random: u64) -> Record {
        let refresh_at = self.tokens.expires_at().map(|ends| {
            let lifetime = ends.saturating_mul(1000).saturating_sub(now.wall);
            now.wall.saturating_add(policy::refresh_after(lifetime, random))
        });
        Record {
            owner: Some(identity.owner.clone()),
            login: Some(self.login),
            tokens: self.tokens,
            generation: self.generation,
            obtained_at: now.wall,
            obtained_boot: identity.boot_id.clone().map(|boot_id| BootTime { boot_id, at: now.boot }),
            refresh_at,
            held_until: self.held_until,
            refreshed: self.refreshed,
            rejections: self.rejections,
        }
    }
}
