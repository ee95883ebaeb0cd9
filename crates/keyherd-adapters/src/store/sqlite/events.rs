//! The outbox, and dropping what is older than its time to keep.

use async_trait::async_trait;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{EventStore, StoredEvent};
use keyherd_core::time::Timestamp;
use sqlx::Row;

use super::SqliteStore;
use super::credentials::{Statement, signed};
use super::fault::Fault;
use super::row::event;
use crate::store::sql;

#[async_trait]
impl EventStore for SqliteStore {
    async fn last_event(&self) -> Result<i64, StoreError> {
        self.told(self.read_last_event().await)
    }

    async fn events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.told(self.read_events(after, limit).await)
    }

    async fn trim(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.told(self.trim_all(now).await)
    }
}

impl SqliteStore {
    async fn read_last_event(&self) -> Result<i64, Fault> {
        let mut reader = self.readers.take().await?;
        let last = sqlx::query(sql::LAST_EVENT).fetch_one(reader.connection()?).await?.try_get(0)?;
        reader.done();
        Ok(last)
    }

    async fn read_events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, Fault> {
        let mut reader = self.readers.take().await?;
        let query = sqlx::query(sql::EVENTS).bind(after).bind(signed(limit));
        let rows = query.fetch_all(reader.connection()?).await?;
        reader.done();
        rows.iter().map(event).collect()
    }

    /// Spent hashes are bounded where they are written; a removed chain takes its own along.
    async fn trim_all(&self, now: Timestamp) -> Result<u64, Fault> {
        self.owners.sweep(self.bounds.owners_swept_max);
        let mut trimmed = self.trim_by(|| sqlx::query(sql::BLOCKS_TRIM)).await?;
        let oldest = now - self.bounds.events_keep;
        let first = self.read_last_event().await? - i64::from(self.bounds.events_max);
        for _ in 0..self.bounds.trim_batches_max {
            let batch = self.bounds.trim_batch;
            let dropped = self
                .trim_by(|| sqlx::query(sql::EVENTS_TRIM).bind(oldest.as_millis()).bind(first).bind(batch))
                .await?;
            if dropped == 0 {
                break;
            }
            trimmed += dropped;
        }
        Ok(trimmed)
    }

    async fn trim_by(&self, statement: impl FnOnce() -> Statement) -> Result<u64, Fault> {
        let mut write = self.write().await?;
        let rows = statement().execute(write.connection()).await?.rows_affected();
        if rows == 0 {
            write.cancel().await?;
        } else {
            write.commit_silently().await?;
        }
        Ok(rows)
    }
}
