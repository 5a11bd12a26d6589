//! The stores of a simulated world: a file, whose lock ends with its process, and a store whose lock is a lease.

use super::plan::{StoreFault, StoreKind};
use crate::clock::Now;
use crate::secret::Secret;
use crate::session::state::{CurrentTokens, Identity};
use crate::store::StoreError;
use crate::store::record::Record;

pub(super) struct Store {
    pub(super) kind: StoreKind,
    pub(super) content: Option<Record>,
    generation: u64,
    /// The content before the last write.
    before: (Option<Record>, u64),
    lock: Option<Lock>,
    pub(super) fault: Option<(StoreFault, i64)>,
    /// When the last slow operation ends.
    pub(super) slow_until: i64,
}

/// The lock, with its owner: a leader of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) process: usize,
    pub(super) leader: u64,
    /// When it expires, in true time. The lock of a file never expires.
    pub(super) until: i64,
}

impl Store {
    pub(super) fn new(kind: StoreKind) -> Store {
        Store { kind, content: None, generation: 0, before: (None, 0), lock: None, fault: None, slow_until: i64::MIN }
    }

    pub(super) fn fault(&self, at: i64) -> Option<StoreFault> {
        self.fault.and_then(|(fault, until)| (at < until).then_some(fault))
    }

    fn works(&self, at: i64) -> Result<(), StoreError> {
        match self.fault(at) {
            Some(StoreFault::Fails) => Err(StoreError::Failed("it fails".to_owned())),
            _ => Ok(()),
        }
    }

    pub(super) fn holder(&self, at: i64) -> Option<Lock> {
        self.lock.filter(|lock| at < lock.until)
    }

    pub(super) fn try_lock(&mut self, lock: Lock, at: i64) -> Result<bool, StoreError> {
        self.works(at)?;
        if self.holder(at).is_some() {
            return Ok(false);
        }
        self.lock = Some(lock);
        Ok(true)
    }

    pub(super) fn unlock(&mut self, leader: u64) {
        if self.lock.is_some_and(|lock| lock.leader == leader) {
            self.lock = None;
        }
    }

    pub(super) fn holder_died(&mut self, process: usize) {
        if self.kind == StoreKind::File && self.lock.is_some_and(|lock| lock.process == process) {
            self.lock = None;
        }
    }

    pub(super) fn load(&self, at: i64) -> Result<Option<Secret>, StoreError> {
        self.works(at)?;
        if self.fault(at) == Some(StoreFault::Garbage) {
            return Ok(Some(Secret::new("{\"cmauth\":1,\"gen")));
        }
        Ok(self.content.as_ref().map(Record::to_text))
    }

    pub(super) fn generation(&self, at: i64) -> Result<u64, StoreError> {
        self.works(at)?;
        Ok(if self.kind == StoreKind::Lease { self.generation } else { 0 })
    }

    pub(super) fn save(&mut self, record: &Record, at: i64) -> Result<(), StoreError> {
        self.works(at)?;
        if self.fault(at) == Some(StoreFault::RefusesSaves) {
            return Err(StoreError::Failed("no space left".to_owned()));
        }
        let is_same = self.content.as_ref() == Some(record);
        self.write(Some(record.clone()), record.generation, is_same)
    }

    pub(super) fn clear(&mut self, generation: u64, at: i64) -> Result<(), StoreError> {
        self.works(at)?;
        self.write(None, generation, false)
    }

    fn write(&mut self, content: Option<Record>, generation: u64, is_same: bool) -> Result<(), StoreError> {
        if self.kind == StoreKind::Lease && generation <= self.generation && !is_same {
            return Err(StoreError::Newer);
        }
        self.before = (self.content.take(), self.generation);
        self.content = content;
        self.generation = generation;
        Ok(())
    }

    pub(super) fn lose_last_write(&mut self) {
        (self.content, self.generation) = self.before.clone();
    }

    /// The stored access token and refresh token.
    pub(super) fn tokens(&self) -> Option<(&str, &str)> {
        let tokens = &self.content.as_ref()?.tokens;
        Some((tokens.access_token().expose(), tokens.refresh_token().map_or("", Secret::expose)))
    }

    /// Whether the stored tokens have not expired, by the clocks of a process.
    pub(super) fn has_unexpired_tokens(&self, identity: &Identity, now: Now) -> bool {
        self.content.as_ref().is_some_and(|record| !CurrentTokens::new(record.clone(), identity, now).is_expired(now))
    }
}
