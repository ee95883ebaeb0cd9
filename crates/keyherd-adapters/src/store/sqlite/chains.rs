//! Token chains: reading them, claiming them, and what is due.
//!
//! Owns the claim: one conditional statement, re-read in the same transaction. It is refused where the row moved, is
//! claimed, or where the client was blocked meanwhile.

use async_trait::async_trait;
use keyherd_core::credential::Chain;
use keyherd_core::ids::ChainId;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{ChainStore, ClaimAsk, Claimed, Due, Record, Settled, Settling};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::connection::Write;
use super::credentials::signed;
use super::fault::Fault;
use super::row::{name, needed};
use super::settle::Guard;
use crate::store::sql;

/// Pages of chains without an enabled member that one look at what is due clears away, at most.
const UNDUE_PAGES_MAX: usize = 16;

#[async_trait]
impl ChainStore for SqliteStore {
    async fn chain(&self, id: ChainId) -> Result<Option<Chain>, StoreError> {
        self.told(self.read_chain(id).await)
    }

    async fn claim(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, StoreError> {
        self.told(self.claim_chain(ask, record).await)
    }

    async fn settle(&self, settling: Settling, record: Record) -> Result<Settled, StoreError> {
        let guard = Guard::Claim(settling.claim);
        self.told(self.settle_by(guard, settling, record).await)
    }

    async fn roll_forward(
        &self,
        spent: &TokenHash,
        settling: Settling,
        record: Record,
    ) -> Result<Settled, StoreError> {
        self.told(self.settle_by(Guard::Spent(*spent), settling, record).await)
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        self.told(self.read_due(now, limit).await)
    }

    async fn reschedule(
        &self,
        chain: ChainId,
        seen: Option<Timestamp>,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.told(self.move_due(chain, seen, due_at).await)
    }

    async fn unresolved(&self) -> Result<u64, StoreError> {
        self.told(self.count(sql::UNRESOLVED).await)
    }
}

impl SqliteStore {
    async fn read_chain(&self, id: ChainId) -> Result<Option<Chain>, Fault> {
        let mut reader = self.readers.take().await?;
        let row = sqlx::query(sql::CHAIN).bind(id.as_i64()).fetch_optional(reader.connection()?).await?;
        reader.done();
        row.map(|row| self.chain_row(&row)).transpose()
    }

    pub(super) async fn chain_in(&self, write: &mut Write<'_>, id: i64) -> Result<Option<Chain>, Fault> {
        let row = sqlx::query(sql::CHAIN).bind(id).fetch_optional(write.connection()).await?;
        row.map(|row| self.chain_row(&row)).transpose()
    }

    pub(super) async fn count(&self, query: &'static str) -> Result<u64, Fault> {
        let mut reader = self.readers.take().await?;
        let count: i64 = sqlx::query(query).fetch_one(reader.connection()?).await?.try_get(0)?;
        reader.done();
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn claim_chain(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, Fault> {
        self.hold()?;
        let mut write = self.write().await?;
        let update = sqlx::query(sql::CLAIM)
            .bind(ask.id.as_i64())
            .bind(self.owners.me().as_i64())
            .bind(ask.purpose.as_str())
            .bind(self.clock.now().as_millis())
            .bind(ask.chain.as_i64())
            .bind(i64::try_from(ask.revision).unwrap_or(i64::MAX));
        let claimed = update.execute(write.connection()).await?.rows_affected() == 1;
        let row = self.chain_in(&mut write, ask.chain.as_i64()).await?.map(Box::new);
        match row {
            Some(row) if claimed => {
                write.commit(record).await?;
                Ok(Claimed::Granted(row))
            }
            row => {
                write.cancel().await?;
                Ok(Claimed::Missed(row))
            }
        }
    }

    /// A claim is worth nothing to others unless they can see whether its owner lives.
    fn hold(&self) -> Result<(), Fault> {
        self.owners.hold().map_err(|error| Fault::Io("the owner's lock file cannot be made", error))
    }

    async fn read_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, Fault> {
        for _ in 0..UNDUE_PAGES_MAX {
            let mut reader = self.readers.take().await?;
            let query = sqlx::query(sql::DUE).bind(now.as_millis()).bind(signed(limit));
            let rows = query.fetch_all(reader.connection()?).await?;
            reader.done();
            let (due, idle) = split(&rows)?;
            if !idle.is_empty() {
                self.clear_due(&idle).await?;
            }
            if !due.is_empty() || rows.len() < limit {
                return Ok(due);
            }
        }
        Ok(Vec::new())
    }

    async fn clear_due(&self, idle: &[i64]) -> Result<(), Fault> {
        let mut write = self.write().await?;
        for chain in idle {
            sqlx::query(sql::UNDUE).bind(chain).execute(write.connection()).await?;
        }
        write.commit_silently().await
    }

    async fn move_due(
        &self,
        chain: ChainId,
        seen: Option<Timestamp>,
        due_at: Option<Timestamp>,
    ) -> Result<(), Fault> {
        let mut write = self.write().await?;
        let update = sqlx::query(sql::RESCHEDULE_SEEN)
            .bind(due_at.map(Timestamp::as_millis))
            .bind(chain.as_i64())
            .bind(seen.map(Timestamp::as_millis));
        update.execute(write.connection()).await?;
        write.commit_silently().await
    }
}

/// What is due, and the chains on which nobody enabled is.
fn split(rows: &[SqliteRow]) -> Result<(Vec<Due>, Vec<i64>), Fault> {
    let (mut due, mut idle) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        if row.try_get::<Option<&str>, _>("name")?.is_none() {
            idle.push(row.try_get("id")?);
            continue;
        }
        due.push(Due {
            chain: ChainId::from_i64(row.try_get("id")?),
            name: name(row, "name")?,
            provider: row.try_get("provider")?,
            token_url: row.try_get("token_url")?,
            due_at: needed(row, "due_at")?,
        });
    }
    Ok((due, idle))
}
