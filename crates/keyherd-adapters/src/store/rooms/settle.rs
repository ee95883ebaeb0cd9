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
use super::row::{TroubleColumns, key_in_force, scopes_text};
use super::write::Write;
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
    pub(super) async fn settle_by(
        &self,
        guard: Guard,
        settling: &Settling,
        record: Record,
    ) -> Result<Settled, Fault> {
        let is_grant = matches!(settling.settlement, Settlement::Granted(_));
        // The claim told which key is in force, so that one is not asked for first.
        let mut write = self.begin(if is_grant { Kind::Sealing } else { Kind::Plain }).await?;
        let (settled, row) = match self.settle_in(&mut write, guard, settling).await {
            // Another one is by now.
            Err(Fault::Sealed(_) | Fault::Told(StoreError::Sealed(_))) if is_grant => {
                drop(write);
                write = self.write_sealed().await?;
                self.settle_in(&mut write, guard, settling).await?
            }
            tried => tried?,
        };
        match row {
            Some(row) if settled => {
                write.commit(record).await?;
                Ok(Settled::Done(row))
            }
            row => {
                write.cancel().await?;
                let is_known = row.as_ref().is_some_and(|row| {
                    is_grant
                        && row.generation == settling.generation + 1
                        && row.spend_hash == settling.spend_hash
                });
                Ok(match row {
                    Some(row) if is_known => Settled::Done(row),
                    row => Settled::Superseded(row),
                })
            }
        }
    }

    /// Whether it was settled, and the row after it. A claim whose reply was lost may still be on its way: a row that does
    /// not show it is looked at once more under a lock, which waits for whoever is about to commit.
    async fn settle_in(
        &self,
        write: &mut Write<'_>,
        guard: Guard,
        settling: &Settling,
    ) -> Result<(bool, Option<Box<Chain>>), Fault> {
        let chain = settling.chain.as_i64();
        let first = self.write_settlement(write, guard, settling).await?;
        if first.0 {
            return Ok(first);
        }
        let row = self.chain_locked(write, chain).await?.map(Box::new);
        let stands = row.as_ref().and_then(|row| row.claim.as_ref()).map(|claim| claim.id);
        if stands != Some(settling.claim) {
            return Ok((false, row));
        }
        self.write_settlement(write, guard, settling).await
    }

    /// Whether the row was what the settlement is about, and the row after it; if not, nothing was written. A grant that is
    /// not under the key in force is an error, and nothing of it may stay.
    async fn write_settlement(
        &self,
        write: &mut Write<'_>,
        guard: Guard,
        settling: &Settling,
    ) -> Result<(bool, Option<Box<Chain>>), Fault> {
        let (me, key) = (self.owner(), self.vault.keyring().sealing());
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
        let look =
            query(if is_grant { sql::CHAIN_CLAIMED } else { sql::CHAIN }).bind(settling.chain.as_i64());
        let (changed, row) = write.run_then_first(changes, look).await?;
        if let Some(row) = row.as_ref().filter(|_| is_grant)
            && key_in_force(row)? != key
        {
            return Err(Fault::Sealed(format!("master key {key} is not in force any more")));
        }
        let settled = changed.last() == Some(&true);
        if settled && is_grant {
            write.lastly(self.spent_trim(settling.chain, settling.generation));
        }
        Ok((settled, row.map(|row| self.chain_row(&row)).transpose()?.map(Box::new)))
    }

    /// The spent token's hash is kept, and the row has the new tokens.
    fn grant(&self, guard: Guard, settling: &Settling, tokens: &Tokens) -> Result<Vec<Statement>, Fault> {
        let chain = settling.chain.as_i64();
        let next = settling.generation + 1;
        let (spend, grant) = match guard {
            Guard::Claim(..) => (sql::SPEND_CLAIMED, sql::GRANT_CLAIMED),
            Guard::Spent(_) => (sql::SPEND_SPENT.into(), sql::GRANT_SPENT.into()),
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
        query(sql::SPENT_TRIM).bind(chain.as_i64()).bind(last_dropped)
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
