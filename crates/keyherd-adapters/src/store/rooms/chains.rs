//! Token chains: reading them, claiming them, and what is due.
//!
//! Owns the claim: one conditional statement, re-read in the same transaction. It is refused where the row moved, is
//! claimed, or where the client was blocked meanwhile.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::credential::Chain;
use keyherd_core::ids::{ChainId, ClaimId};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{ChainStore, ClaimAsk, Claimed, Due, Record, Settled, Settling};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::{Timestamp, millis};

use super::SqlStore;
use super::credentials::signed;
use super::crowd::Alike;
use super::row::{key_in_force, name, needed};
use super::settle::Guard;
use super::write::{Ending, Write};
use crate::seal::KeyId;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, Statement, query};

/// Pages of chains without an enabled member that one look at what is due clears away, at most.
const UNDUE_PAGES_MAX: usize = 16;

#[async_trait]
impl ChainStore for SqlStore {
    async fn chain(&self, id: ChainId) -> Result<Option<Chain>, StoreError> {
        self.told(self.read_chain(id).await)
    }

    async fn claim(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, StoreError> {
        self.told(self.insist(|| self.claim_chain(ask, record.clone())).await)
    }

    fn claim_life(&self) -> Option<Duration> {
        self.engine.claim_life()
    }

    async fn renew(&self, chain: ChainId, claim: ClaimId) -> Result<bool, StoreError> {
        self.told(self.insist(|| self.renew_claim(chain, claim)).await)
    }

    async fn settle(&self, settling: Settling, record: Record) -> Result<Settled, StoreError> {
        let guard = Guard::Claim(settling.claim, self.owner());
        self.told(self.insist(|| self.settle_by(guard, &settling, record.clone())).await)
    }

    async fn roll_forward(
        &self,
        spent: &TokenHash,
        settling: Settling,
        record: Record,
    ) -> Result<Settled, StoreError> {
        let guard = Guard::Spent(*spent);
        self.told(self.insist(|| self.settle_by(guard, &settling, record.clone())).await)
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
        self.told(self.insist(|| self.move_due(chain, seen, due_at)).await)
    }

    async fn unresolved(&self) -> Result<u64, StoreError> {
        self.told(self.count(query(sql::UNRESOLVED)).await)
    }

    async fn claimed_before(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.told(self.count(query(sql::CLAIMED_BEFORE).bind(at.as_millis())).await)
    }
}

impl SqlStore {
    async fn read_chain(&self, id: ChainId) -> Result<Option<Chain>, Fault> {
        let row = self.read_first(query(sql::CHAIN).bind(id.as_i64())).await?;
        row.map(|row| self.chain_row(&row)).transpose()
    }

    /// For who decides by it what to write.
    pub(super) async fn chain_locked(&self, write: &mut Write<'_>, id: i64) -> Result<Option<Chain>, Fault> {
        let row = write.first(query(sql::CHAIN_LOCKED).bind(id)).await?;
        row.map(|row| self.chain_row(&row)).transpose()
    }

    pub(super) async fn count(&self, statement: Statement) -> Result<u64, Fault> {
        Ok(u64::try_from(self.read_number(statement).await?).unwrap_or(0))
    }

    /// Whoever could not write the answer down must not ask for it: a claim is granted to who has the key in force.
    async fn claim_chain(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, Fault> {
        self.engine.vouch()?;
        let key = self.vault.keyring().sealing();
        let (is_granted, row) = self.try_claim(ask, key, record.clone()).await?;
        let Some(row) = row else { return Ok(Claimed::Missed(None)) };
        let in_force = key_in_force(&row)?;
        if is_granted || in_force == key {
            return self.claimed(is_granted, &row);
        }
        self.vault.follow(in_force)?;
        match self.try_claim(ask, in_force, record).await? {
            (is_granted, Some(row)) if is_granted || key_in_force(&row)? == in_force => {
                self.claimed(is_granted, &row)
            }
            (_, None) => Ok(Claimed::Missed(None)),
            (_, Some(_)) => Err(Fault::Contended("the master key was changed meanwhile".into())),
        }
    }

    fn claimed(&self, is_granted: bool, row: &Row) -> Result<Claimed, Fault> {
        let row = Box::new(self.chain_row(row)?);
        Ok(if is_granted { Claimed::Granted(row) } else { Claimed::Missed(Some(row)) })
    }

    async fn try_claim(
        &self,
        ask: &ClaimAsk,
        key: KeyId,
        record: Record,
    ) -> Result<(bool, Option<Row>), Fault> {
        let claim = query(sql::CLAIM)
            .bind(ask.id.as_i64())
            .bind(self.engine.owner().as_i64())
            .bind(ask.purpose.as_str())
            .bind(self.clock.now().as_millis())
            .bind(ask.chain.as_i64())
            .bind(i64::try_from(ask.revision).unwrap_or(i64::MAX))
            .bind(self.engine.claim_life().map(millis))
            .bind(key.as_bytes().to_vec());
        let look = query(sql::CHAIN_CLAIMED).bind(ask.chain.as_i64());
        let ending = Ending { changes: vec![claim], look, record, tidying: None };
        // The key that was in force for the statement is in force until the commit.
        self.finish_among(Alike::Claims, ask.chain, ending).await
    }

    /// Where a claim lives as long as its owner there is nothing to renew.
    async fn renew_claim(&self, chain: ChainId, claim: ClaimId) -> Result<bool, Fault> {
        let Some(life) = self.engine.claim_life() else { return Ok(true) };
        let mut write = self.write().await?;
        let update = query(sql::RENEW_CLAIM)
            .bind(millis(life))
            .bind(chain.as_i64())
            .bind(claim.as_i64())
            .bind(self.owner().as_i64());
        let is_ours = write.run(update).await?;
        write.commit_silently().await?;
        Ok(is_ours)
    }

    async fn read_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, Fault> {
        for _ in 0..UNDUE_PAGES_MAX {
            let query = query(sql::DUE).bind(now.as_millis()).bind(signed(limit));
            let rows = self.engine.read(query).await?;
            let (due, idle) = split(&rows)?;
            if !idle.is_empty() {
                self.insist(|| self.clear_due(&idle)).await?;
            }
            if !due.is_empty() || rows.len() < limit {
                return Ok(due);
            }
        }
        Ok(Vec::new())
    }

    async fn clear_due(&self, idle: &[Idle]) -> Result<(), Fault> {
        let mut write = self.write().await?;
        for Idle { chain, revision } in idle {
            write.execute(query(sql::UNDUE_SEEN).bind(*chain).bind(*revision)).await?;
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
        let update = query(sql::RESCHEDULE_SEEN)
            .bind(due_at.map(Timestamp::as_millis))
            .bind(chain.as_i64())
            .bind(seen.map(Timestamp::as_millis));
        write.execute(update).await?;
        write.commit_silently().await
    }
}

/// A chain on which nobody enabled is, and the revision that said so.
struct Idle {
    chain: i64,
    revision: i64,
}

/// What is due, and what only seems so.
fn split(rows: &[Row]) -> Result<(Vec<Due>, Vec<Idle>), Fault> {
    let (mut due, mut idle) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        if row.try_get::<Option<&str>>("name")?.is_none() {
            idle.push(Idle { chain: row.try_get("id")?, revision: row.try_get("revision")? });
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
