//! The audit log and the outbox.

use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryStore, Rows, audit_key, unavailable};
use crate::audit::{Entry, Note, Retention, Sheaf, Verifier};
use crate::ports::StoreError;
use crate::ports::store::{AuditStore, EventStore, StoredEvent, Trimmed, Verified};
use crate::time::Timestamp;

/// Events kept by a trim.
const EVENTS_MAX: usize = 10_000;
/// Audit entries that one trim cuts.
const CUT_MAX: usize = 1_000;

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

    async fn append_lines(&self, sheaves: &[Sheaf]) -> Result<(), StoreError> {
        self.read(|_| ())?;
        let mut rows = self.shared.lock();
        sheaves.iter().flat_map(Sheaf::loose).for_each(|note| self.enter(&mut rows, note));
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
            let checked = Verifier::new(audit_key(), &rows.floors).and_then(|mut verifier| {
                rows.audit.iter().try_for_each(|entry| verifier.take(entry))?;
                verifier.finish(rows.ends.iter().map(|(chain, end)| (*chain, (*end).into())))
            });
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

    async fn trim(&self, now: Timestamp) -> Result<Trimmed, StoreError> {
        let mut rows = self.shared.lock();
        if rows.fault == super::Fault::Down {
            return Err(unavailable());
        }
        let surplus = rows.events.len().saturating_sub(EVENTS_MAX);
        rows.events.drain(..surplus);
        let cut = self.cut(&mut rows, now);
        Ok(Trimmed { rows: (surplus + cut) as u64, has_more: cut == CUT_MAX })
    }
}

impl MemoryStore {
    /// A log that is not sound stays as it is.
    fn cut(&self, rows: &mut Rows, now: Timestamp) -> usize {
        let last = rows.audit.last().map_or(0, |entry| entry.seq);
        let oldest = rows.audit.iter().take(CUT_MAX).map(|entry| (entry.seq, entry.at));
        let count = Retention::default().outlived(oldest, last, now);
        let gone: Vec<_> = rows.audit.iter().take(count).cloned().collect();
        match rows.floors.cut(&audit_key(), &gone) {
            Ok(cut) if count > 0 => {
                let note = cut.note();
                rows.floors.raise(cut.floors);
                rows.audit.drain(..count);
                self.enter(rows, note);
                count
            }
            _ => 0,
        }
    }
}
