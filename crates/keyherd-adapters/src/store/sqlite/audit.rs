//! The audit log's rows: writing an entry that stands for itself, reading, and looking through all of it.

use std::collections::HashMap;

use async_trait::async_trait;
use keyherd_core::audit::{Broken, Entry, Link, Note, Verifier};
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{AuditStore, Verified};
use sqlx::Row;

use super::SqliteStore;
use super::credentials::signed;
use super::fault::Fault;
use super::row::{bytes32, entry, unsigned};
use crate::store::sql;

#[async_trait]
impl AuditStore for SqliteStore {
    async fn append(&self, note: Note) -> Result<(), StoreError> {
        self.told(self.append_note(note).await)
    }

    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.told(self.read_entries(after, limit).await)
    }

    async fn tail(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.told(self.read_tail(limit).await)
    }

    async fn verify(&self) -> Result<Verified, StoreError> {
        self.told(self.look_through().await)
    }
}

/// The log's recorded ends, all of one moment.
struct Ends {
    /// The number that the last entry ever written was given.
    last: i64,
    heads: HashMap<OwnerId, Link>,
}

impl SqliteStore {
    async fn append_note(&self, note: Note) -> Result<(), Fault> {
        let mut write = self.write().await?;
        write.note(note).await?;
        write.commit_silently().await
    }

    async fn read_entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, Fault> {
        let mut reader = self.readers.take().await?;
        let query = sqlx::query(sql::AUDIT_ENTRIES).bind(after).bind(signed(limit));
        let rows = query.fetch_all(reader.connection()?).await?;
        reader.done();
        rows.iter().map(entry).collect()
    }

    async fn read_tail(&self, limit: usize) -> Result<Vec<Entry>, Fault> {
        let mut reader = self.readers.take().await?;
        let rows = sqlx::query(sql::AUDIT_TAIL).bind(signed(limit)).fetch_all(reader.connection()?).await?;
        reader.done();
        rows.iter().rev().map(entry).collect()
    }

    /// The ends first, then the entries up to them: what is appended meanwhile is the next look's.
    async fn look_through(&self) -> Result<Verified, Fault> {
        let ends = self.read_ends().await?;
        let mut check =
            Check { verifier: Verifier::new(self.installation.audit.clone(), []), last: HashMap::new() };
        let (mut after, mut entries) = (0, 0);
        loop {
            let mut batch = self.read_entries(after, self.batch()).await?;
            batch.retain(|entry| entry.seq <= ends.last);
            for entry in &batch {
                entries += 1;
                if let Err(broken) = check.take(entry, after) {
                    return Ok(Verified { entries, broken: Some(broken) });
                }
                after = entry.seq;
            }
            if batch.is_empty() {
                return Ok(Verified { entries, broken: check.finish(ends, after).err() });
            }
        }
    }

    fn batch(&self) -> usize {
        usize::try_from(self.bounds.verify_batch).unwrap_or(usize::MAX).max(1)
    }

    async fn read_ends(&self) -> Result<Ends, Fault> {
        const ENDS: &str = "SELECT s.seq AS last, h.chain, h.place, h.hash FROM sqlite_sequence s \
             LEFT JOIN audit_heads h WHERE s.name = 'audit'";
        let mut reader = self.readers.take().await?;
        let rows = sqlx::query(ENDS).fetch_all(reader.connection()?).await?;
        reader.done();
        let mut ends = Ends { last: 0, heads: HashMap::with_capacity(rows.len()) };
        for row in rows {
            ends.last = row.try_get("last")?;
            if let Some(chain) = row.try_get::<Option<i64>, _>("chain")? {
                let link = Link { place: unsigned(&row, "place")?, hash: bytes32(&row, "hash")? };
                ends.heads.insert(OwnerId::from_i64(chain), link);
            }
        }
        Ok(ends)
    }
}

/// The domain's check, and what SQLite adds: its numbers have no holes, since only commits use them up.
struct Check {
    verifier: Verifier,
    last: HashMap<OwnerId, i64>,
}

impl Check {
    fn take(&mut self, entry: &Entry, before: i64) -> Result<(), Broken> {
        if entry.seq != before + 1 {
            return Err(Broken::Gap { seq: entry.seq });
        }
        self.last.insert(entry.chain, entry.seq);
        self.verifier.take(entry)
    }

    fn finish(self, ends: Ends, last: i64) -> Result<(), Broken> {
        let endless = self.last.iter().filter(|(chain, _)| !ends.heads.contains_key(chain));
        if let Some((_, seq)) = endless.min_by_key(|(_, seq)| **seq) {
            return Err(Broken::Truncated { seq: *seq });
        }
        let mut heads: Vec<_> = ends.heads.into_iter().collect();
        heads.sort_by_key(|(chain, _)| self.last.get(chain).copied().unwrap_or(0));
        self.verifier.finish(heads)?;
        if last == ends.last { Ok(()) } else { Err(Broken::Truncated { seq: last }) }
    }
}
