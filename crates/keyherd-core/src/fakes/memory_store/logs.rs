//! The audit log and the outbox.

use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryStore, audit_key, unavailable};
use crate::audit::{Entry, Note, TextNote, Verifier};
use crate::ports::StoreError;
use crate::ports::store::{AuditStore, EventStore, StoredEvent, Verified};
use crate::time::Timestamp;

/// Events kept by a trim.
const EVENTS_MAX: usize = 10_000;

/// An event, and when others see it: its commit may end after that of a later one.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) event: StoredEvent,
    pub(super) from: Timestamp,
}

#[async_trait]
impl AuditStore for MemoryStore {
    async fn append(&self, note: Note) -> Result<(), StoreError> {
        self.read(|_| ())?;
        let mut rows = self.shared.lock();
        self.enter(&mut rows, note);
        Ok(())
    }

    async fn append_all(&self, notes: &[TextNote]) -> Result<(), StoreError> {
        self.read(|_| ())?;
        let mut rows = self.shared.lock();
        notes.iter().for_each(|note| self.enter(&mut rows, note.clone()));
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
            let checked = checked
                .and_then(|()| verifier.finish(rows.ends.iter().map(|(chain, end)| (*chain, (*end).into()))));
            Verified { entries: rows.audit.len() as u64, broken: checked.err() }
        })
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn last_event(&self) -> Result<i64, StoreError> {
        let now = self.shared.clock.now();
        self.read(|rows| rows.events.iter().rfind(|kept| kept.from <= now).map_or(0, |kept| kept.event.seq))
    }

    async fn events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let now = self.shared.clock.now();
        self.read(|rows| {
            let from = rows.events.partition_point(|kept| kept.event.seq <= after);
            let visible = rows.events.iter().skip(from).filter(|kept| kept.from <= now);
            visible.take(limit).map(|kept| kept.event.clone()).collect()
        })
    }

    fn latecomers(&self) -> Option<Duration> {
        self.shared.terms.latecomers
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
