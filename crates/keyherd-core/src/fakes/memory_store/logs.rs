//! The audit log and the outbox.

use async_trait::async_trait;

use super::{MemoryStore, audit_key, unavailable};
use crate::audit::{Entry, Note, Verifier};
use crate::ports::StoreError;
use crate::ports::store::{AuditStore, EventStore, StoredEvent, Verified};
use crate::time::Timestamp;

/// Events kept by a trim.
const EVENTS_MAX: usize = 10_000;

#[async_trait]
impl AuditStore for MemoryStore {
    async fn append(&self, note: Note) -> Result<(), StoreError> {
        self.read(|_| ())?;
        let mut rows = self.shared.lock();
        self.enter(&mut rows, note);
        Ok(())
    }

    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(|rows| rows.audit.iter().filter(|entry| entry.seq > after).take(limit).cloned().collect())
    }

    async fn tail(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(|rows| rows.audit.iter().skip(rows.audit.len().saturating_sub(limit)).cloned().collect())
    }

    async fn verify(&self) -> Result<Verified, StoreError> {
        self.read(|rows| {
            let mut verifier = Verifier::new(audit_key(), []);
            let checked = rows.audit.iter().try_for_each(|entry| verifier.take(entry));
            let checked = checked.and_then(|()| verifier.finish(rows.ends.clone()));
            Verified { entries: rows.audit.len() as u64, broken: checked.err() }
        })
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn last_event(&self) -> Result<i64, StoreError> {
        self.read(|rows| rows.events.last().map_or(0, |event| event.seq))
    }

    async fn events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(|rows| rows.events.iter().filter(|event| event.seq > after).take(limit).cloned().collect())
    }

    async fn trim(&self, _now: Timestamp) -> Result<u64, StoreError> {
        let mut rows = self.shared.lock();
        if rows.fault == super::Fault::Down {
            return Err(unavailable());
        }
        let surplus = rows.events.len().saturating_sub(EVENTS_MAX);
        rows.events.drain(..surplus);
        Ok(surplus as u64)
    }
}
