//! The outbox, and dropping what is older than its time to keep.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{EventStore, StoredEvent, Trimmed};
use keyherd_core::time::Timestamp;

use super::SqlStore;
use super::credentials::signed;
use super::row::event;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Statement, query};

#[async_trait]
impl EventStore for SqlStore {
    async fn last_event(&self) -> Result<i64, StoreError> {
        self.told(self.read_last_event().await)
    }

    async fn events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.told(self.read_events(after, limit).await)
    }

    fn latecomers(&self) -> Option<Duration> {
        self.engine.latecomers()
    }

    async fn trim(&self, now: Timestamp) -> Result<Trimmed, StoreError> {
        self.told(self.trim_all(now).await)
    }
}

impl SqlStore {
    async fn read_last_event(&self) -> Result<i64, Fault> {
        self.read_number(query(sql::LAST_EVENT)).await
    }

    async fn read_events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, Fault> {
        let query = query(sql::EVENTS).bind(after).bind(signed(limit));
        let rows = self.engine.read(query).await?;
        rows.iter().map(event).collect()
    }

    /// Spent hashes are bounded where they are written; a removed chain takes its own along.
    async fn trim_all(&self, now: Timestamp) -> Result<Trimmed, Fault> {
        self.engine.tidy();
        let mut rows = self.trim_by(query(sql::BLOCKS_TRIM)).await?;
        let oldest = now - self.bounds.events_keep;
        rows += self.trim_by(query(sql::SCOPES_TRIM).bind(oldest.as_millis())).await?;
        let (events, audit) = (self.trim_events(oldest).await?, self.trim_audit(now).await?);
        let has_more = events.has_more || audit.has_more;
        Ok(Trimmed { rows: rows + events.rows + audit.rows, has_more })
    }

    async fn trim_events(&self, oldest: Timestamp) -> Result<Trimmed, Fault> {
        let first = self.read_last_event().await? - i64::from(self.bounds.events_max);
        let mut rows = 0;
        for _ in 0..self.bounds.trim_batches_max {
            let batch = self.bounds.trim_batch;
            let dropped = self
                .trim_by(query(sql::EVENTS_TRIM).bind(oldest.as_millis()).bind(first).bind(batch))
                .await?;
            if dropped == 0 {
                return Ok(Trimmed { rows, has_more: false });
            }
            rows += dropped;
        }
        Ok(Trimmed { rows, has_more: true })
    }

    async fn trim_by(&self, statement: Statement) -> Result<u64, Fault> {
        self.insist(|| self.trim_once(statement.clone())).await
    }

    async fn trim_once(&self, statement: Statement) -> Result<u64, Fault> {
        let mut write = self.write().await?;
        let rows = write.execute(statement).await?;
        if rows == 0 {
            write.cancel().await?;
        } else {
            write.commit_silently().await?;
        }
        Ok(rows)
    }
}
