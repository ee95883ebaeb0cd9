//! The audit log and the outbox: written with every change, read by doors and by every process's watch.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::StoreError;
use crate::audit::{Broken, Entry, Note, Sheaf};
use crate::ids::ChainId;
use crate::time::Timestamp;

/// Something that others want to know: written with the change, read by every process and by the events door.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `refreshed`, `reauth_required`, `cooldown`, `credential_changed`, …
    pub kind: &'static str,
    /// The chain whose snapshots are stale now.
    pub chain: Option<ChainId>,
    /// The credential or client by name.
    pub subject: String,
    /// What the events door adds. Never a secret.
    pub detail: Value,
}

/// An event as it stands in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Rising, given by the store.
    pub seq: i64,
    /// When, on the store's clock.
    pub at: Timestamp,
    /// See [`Event::kind`].
    pub kind: String,
    /// See [`Event::chain`].
    pub chain: Option<ChainId>,
    /// See [`Event::subject`].
    pub subject: String,
    /// JSON text.
    pub detail: String,
}

/// What travels with every change: why the log will know of it, and who is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// For the audit log.
    pub note: Note,
    /// For the outbox; none where nobody's snapshot changes.
    pub event: Option<Event>,
}

/// What a look through the whole log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Entries read.
    pub entries: u64,
    /// The first thing wrong, if anything is.
    pub broken: Option<Broken>,
}

/// What a clean-up did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Rows that went.
    pub rows: u64,
    /// It stopped at its own bound: there is more to do at once.
    pub has_more: bool,
}

/// The audit log.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Writes an entry that stands for itself, such as a refused attempt.
    async fn append(&self, note: Note) -> Result<(), StoreError>;

    /// Writes lines that stand for themselves, in this order: all of them, or none.
    async fn append_lines(&self, sheaves: &[Sheaf]) -> Result<(), StoreError>;

    /// Entries after `after`, in order, each line by itself.
    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// The last entries, in order.
    async fn tail(&self, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Checks every entry's hash, order and the recorded ends.
    async fn verify(&self) -> Result<Verified, StoreError>;
}

/// The outbox.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// The last event's number; 0 where there is none.
    async fn last_event(&self) -> Result<i64, StoreError>;

    /// Events after `after`, in order.
    async fn events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// For how long after a number was seen a lower one may still appear: commits do not end in the order of their
    /// numbers. `None`: never, and there are no holes but what was dropped.
    fn latecomers(&self) -> Option<Duration> {
        None
    }

    /// Drops what is older than its time to keep: events, spent hashes, blocks nobody has, rests of
    /// scopes that have ended. Cuts the audit log's oldest entries, which leaves an entry, and floors for
    /// [`AuditStore::verify`].
    async fn trim(&self, now: Timestamp) -> Result<Trimmed, StoreError>;
}
