//! How a claim ends: compare-and-set on the generation and on the claim, or on the very token that was spent.
//!
//! Owns the lost reply: a settlement that finds its own answer in the row has succeeded before. Nothing of a
//! settlement that misses is written, neither verdict nor block nor audit entry.

use keyherd_core::credential::{Block, Tokens, Trouble};
use keyherd_core::ids::ClaimId;
use keyherd_core::ports::store::{Record, Settled, Settling};
use keyherd_core::refresh::Settlement;
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

use super::SqliteStore;
use super::connection::Write;
use super::credentials::Statement;
use super::fault::Fault;
use super::row::{TroubleColumns, scopes_text};
use crate::store::sql;

/// What else the row must say for a settlement to hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Guard {
    /// This claim stands.
    Claim(ClaimId),
    /// This is what the next call would spend, whoever claims it.
    Spent(TokenHash),
}

impl Guard {
    fn bind(self, statement: Statement) -> Statement {
        match self {
            Self::Claim(claim) => statement.bind(claim.as_i64()),
            Self::Spent(hash) => statement.bind(hash.as_bytes().to_vec()),
        }
    }
}

impl SqliteStore {
    pub(super) async fn settle_by(
        &self,
        guard: Guard,
        settling: Settling,
        record: Record,
    ) -> Result<Settled, Fault> {
        let is_grant = matches!(settling.settlement, Settlement::Granted(_));
        let mut write = if is_grant { self.write_sealed().await? } else { self.write().await? };
        let settled = self.write_settlement(&mut write, guard, &settling).await?;
        let row = self.chain_in(&mut write, settling.chain.as_i64()).await?.map(Box::new);
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

    /// Whether the row was what the settlement is about; if not, nothing was written.
    async fn write_settlement(
        &self,
        write: &mut Write<'_>,
        guard: Guard,
        settling: &Settling,
    ) -> Result<bool, Fault> {
        match &settling.settlement {
            Settlement::Granted(tokens) => self.grant(write, guard, settling, tokens).await,
            Settlement::Troubled(trouble) => write.run(trouble_statement(settling, trouble)).await,
            Settlement::Blocked(block) => {
                // A client of whom nothing is known (a static key's) cannot be blocked: the claim ends all the same.
                write.run(block_statement(settling, block)).await?;
                write.run(release_statement(settling)).await
            }
            Settlement::Released => write.run(release_statement(settling)).await,
        }
    }

    async fn grant(
        &self,
        write: &mut Write<'_>,
        guard: Guard,
        settling: &Settling,
        tokens: &Tokens,
    ) -> Result<bool, Fault> {
        let chain = settling.chain.as_i64();
        let next = settling.generation + 1;
        let (spend, grant) = match guard {
            Guard::Claim(_) => (sql::SPEND_CLAIMED, sql::GRANT_CLAIMED),
            Guard::Spent(_) => (sql::SPEND_SPENT, sql::GRANT_SPENT),
        };
        let spend = sqlx::query(spend)
            .bind(self.clock.now().as_millis())
            .bind(chain)
            .bind(signed(settling.generation))
            .bind(settling.spend_hash.map(|hash| hash.as_bytes().to_vec()));
        write.run(guard.bind(spend)).await?;
        let sealed = self.seal_tokens(chain, next, tokens)?;
        let grant = sqlx::query(grant)
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
        let granted = write.run(guard.bind(grant)).await?;
        if granted {
            // The oldest generation that is still too young to go may well lie before the first one.
            let last_dropped =
                signed(settling.generation).saturating_sub(signed(self.bounds.spent_tokens_max));
            write.run(sqlx::query(sql::SPENT_TRIM).bind(chain).bind(last_dropped)).await?;
        }
        Ok(granted)
    }
}

impl Write<'_> {
    /// Whether the statement changed a row.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<bool, Fault> {
        Ok(statement.execute(self.connection()).await?.rows_affected() > 0)
    }
}

fn trouble_statement(settling: &Settling, trouble: &Trouble) -> Statement {
    let columns = TroubleColumns::from(trouble.clone());
    sqlx::query(sql::TROUBLE)
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
}

fn block_statement(settling: &Settling, block: &Block) -> Statement {
    sqlx::query(sql::BLOCK)
        .bind(block.code.clone())
        .bind(block.at.as_millis())
        .bind(settling.chain.as_i64())
        .bind(settling.claim.as_i64())
        .bind(signed(settling.generation))
}

fn release_statement(settling: &Settling) -> Statement {
    sqlx::query(sql::RELEASE)
        .bind(settling.due_at.map(Timestamp::as_millis))
        .bind(settling.chain.as_i64())
        .bind(settling.claim.as_i64())
        .bind(signed(settling.generation))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
