//! How a claim ends: compare-and-set on the generation and on the claim, or on the very token that was spent.
//!
//! Owns the lost reply: a settlement that finds its own answer in the row has succeeded before. Nothing of a
//! settlement that misses is written, neither verdict nor block nor audit entry.

use keyherd_core::credential::{Block, Chain, Tokens, Trouble};
use keyherd_core::ids::{ChainId, ClaimId, OwnerId};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{Record, Settled, Settling};
use keyherd_core::refresh::Settlement;
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

use super::SqlStore;
use super::crowd::{Alike, Finished};
use super::row::{TroubleColumns, scopes_text};
use super::write::{Ending, Write};
use crate::store::engine::Kind;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Statement, query};

/// What else the row must say for a settlement to hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Guard {
    /// This claim stands, and it is this owner's or its owner is gone.
    Claim(ClaimId, OwnerId),
    /// This is what the next call would spend, whoever claims it.
    Spent(TokenHash),
}

impl Guard {
    fn bind(self, statement: Statement) -> Statement {
        match self {
            Self::Claim(claim, owner) => statement.bind(claim.as_i64()).bind(owner.as_i64()),
            Self::Spent(hash) => statement.bind(hash.as_bytes().to_vec()),
        }
    }
}

impl SqlStore {
    /// A claim whose reply was lost may still be about to be committed: a row that does not show it is looked at once more under
    /// a lock, which waits for whoever has changed it. What has not reached the server by then is given up by the connection.
    pub(super) async fn settle_by(
        &self,
        guard: Guard,
        settling: &Settling,
        record: Record,
    ) -> Result<Settled, Fault> {
        let (settled, row) = self.settle_once(guard, settling, record.clone()).await?;
        if let (true, Some(row)) = (settled, row) {
            return Ok(Settled::Done(row));
        }
        let row = self.chain_committed(settling.chain).await?;
        let stands = row.as_ref().and_then(|row| row.claim.as_ref()).map(|claim| claim.id);
        if stands == Some(settling.claim) {
            return Ok(match self.settle_once(guard, settling, record).await? {
                (true, Some(row)) => Settled::Done(row),
                (_, row) => superseded(settling, row),
            });
        }
        Ok(superseded(settling, row))
    }

    /// Whether the row was what the settlement is about, and the row after it; if not, nothing was written.
    async fn settle_once(
        &self,
        guard: Guard,
        settling: &Settling,
        record: Record,
    ) -> Result<(bool, Option<Box<Chain>>), Fault> {
        let is_grant = matches!(settling.settlement, Settlement::Granted(_));
        // The claim told which key is in force, so that one is not asked for first; the database refuses any other.
        let tried = match guard {
            Guard::Spent(_) if is_grant => match self.ending(guard, settling, record.clone()) {
                Ok(ending) => self.finish_among(Alike::Grants, settling.chain, ending).await,
                Err(fault) => Err(fault),
            },
            _ => {
                let write = self.begin(if is_grant { Kind::Sealing } else { Kind::Plain }).await?;
                self.write_settlement(write, guard, settling, record.clone()).await
            }
        };
        let (settled, row) = match tried {
            Err(Fault::Sealed(_) | Fault::Told(StoreError::Sealed(_))) if is_grant => {
                let write = self.write_sealed().await?;
                self.write_settlement(write, guard, settling, record).await?
            }
            tried => tried?,
        };
        Ok((settled, row.map(|row| self.chain_row(&row)).transpose()?.map(Box::new)))
    }

    async fn write_settlement(
        &self,
        write: Write<'_>,
        guard: Guard,
        settling: &Settling,
        record: Record,
    ) -> Result<Finished, Fault> {
        write.finish(settling.chain, self.ending(guard, settling, record)?).await
    }

    fn ending(&self, guard: Guard, settling: &Settling, record: Record) -> Result<Ending, Fault> {
        let me = self.owner();
        let changes = match &settling.settlement {
            Settlement::Granted(tokens) => self.grant(guard, settling, tokens)?,
            Settlement::Troubled(trouble) => vec![trouble_statement(settling, trouble, me)],
            // A client of whom nothing is known (a static key's) cannot be blocked: the claim ends all the same.
            Settlement::Blocked(block) => {
                vec![block_statement(settling, block, me), release_statement(settling, me)]
            }
            Settlement::Released => vec![release_statement(settling, me)],
        };
        let is_grant = matches!(settling.settlement, Settlement::Granted(_));
        let tidying = is_grant.then(|| self.spent_trim(settling.chain, settling.generation));
        let look = query(sql::CHAIN).bind(settling.chain.as_i64());
        Ok(Ending { changes, look, record, tidying })
    }

    /// As whoever is about to commit leaves it.
    async fn chain_committed(&self, chain: ChainId) -> Result<Option<Box<Chain>>, Fault> {
        let mut write = self.write().await?;
        let row = self.chain_locked(&mut write, chain.as_i64()).await?;
        write.cancel().await?;
        Ok(row.map(Box::new))
    }

    /// The spent token's hash is kept, and the row has the new tokens.
    fn grant(&self, guard: Guard, settling: &Settling, tokens: &Tokens) -> Result<Vec<Statement>, Fault> {
        let chain = settling.chain.as_i64();
        let next = settling.generation + 1;
        let (spend, grant) = match guard {
            Guard::Claim(..) => (sql::SPEND_CLAIMED, sql::GRANT_CLAIMED),
            Guard::Spent(_) => (sql::SPEND_SPENT, sql::GRANT_SPENT.into()),
        };
        let spend = query(spend)
            .bind(self.clock.now().as_millis())
            .bind(chain)
            .bind(signed(settling.generation))
            .bind(settling.spend_hash.map(|hash| hash.as_bytes().to_vec()));
        let sealed = self.seal_tokens(chain, next, tokens)?;
        let grant = query(grant)
            .bind(signed(next))
            .bind(sealed.access)
            .bind(tokens.token_type.clone())
            .bind(tokens.expires_at.map(Timestamp::as_millis))
            .bind(tokens.expires_assumed)
            .bind(tokens.issued_at.as_millis())
            .bind(sealed.refresh)
            .bind(tokens.refresh_expires_at.map(Timestamp::as_millis))
            .bind(scopes_text(&tokens.scopes))
            .bind(settling.spend_hash.map(|hash| hash.as_bytes().to_vec()))
            .bind(settling.minted_by_rejection)
            .bind(settling.due_at.map(Timestamp::as_millis))
            .bind(chain)
            .bind(signed(settling.generation));
        Ok(vec![guard.bind(spend), guard.bind(grant)])
    }

    /// After a generation's token was spent or replaced. The oldest one that is still too young to go may well lie
    /// before the first one.
    pub(super) fn spent_trim(&self, chain: ChainId, generation: u64) -> Statement {
        let last_dropped = signed(generation).saturating_sub(signed(self.bounds.spent_tokens_max));
        query(sql::SPENT_TRIM).bind(chain.as_i64()).bind(last_dropped).bind(signed(generation))
    }
}

/// Whoever finds its own answer in the row has succeeded before.
fn superseded(settling: &Settling, row: Option<Box<Chain>>) -> Settled {
    let is_grant = matches!(settling.settlement, Settlement::Granted(_));
    match row {
        Some(row)
            if is_grant
                && row.generation == settling.generation + 1
                && row.spend_hash == settling.spend_hash =>
        {
            Settled::Done(row)
        }
        row => Settled::Superseded(row),
    }
}

fn trouble_statement(settling: &Settling, trouble: &Trouble, me: OwnerId) -> Statement {
    let columns = TroubleColumns::from(trouble.clone());
    query(sql::TROUBLE)
        .bind(columns.word)
        .bind(columns.code)
        .bind(columns.at)
        .bind(columns.count)
        .bind(columns.until)
        .bind(columns.hash)
        .bind(columns.reason)
        .bind(settling.due_at.map(Timestamp::as_millis))
        .bind(settling.chain.as_i64())
        .bind(settling.claim.as_i64())
        .bind(signed(settling.generation))
        .bind(me.as_i64())
}

fn block_statement(settling: &Settling, block: &Block, me: OwnerId) -> Statement {
    query(sql::BLOCK)
        .bind(block.code.clone())
        .bind(block.at.as_millis())
        .bind(settling.chain.as_i64())
        .bind(settling.claim.as_i64())
        .bind(signed(settling.generation))
        .bind(me.as_i64())
}

fn release_statement(settling: &Settling, me: OwnerId) -> Statement {
    query(sql::RELEASE)
        .bind(settling.due_at.map(Timestamp::as_millis))
        .bind(settling.chain.as_i64())
        .bind(settling.claim.as_i64())
        .bind(signed(settling.generation))
        .bind(me.as_i64())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
