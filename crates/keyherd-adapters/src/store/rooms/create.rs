//! Making credentials: founding a chain, or joining a named one.
//!
//! Owns what stands in the way of a token: that it is held by another chain, or was spent here and its chain lives.

use keyherd_core::credential::{Draft, Tokens};
use keyherd_core::ids::Name;
use keyherd_core::ports::store::{Conflict, Created, NewCredential, Record};
use keyherd_core::secret::TokenHash;

use super::SqlStore;
use super::configure::Configuration;
use super::row::{name, scopes_text, unsigned};
use super::vault::{ACCESS_TOKEN, REFRESH_TOKEN, Slot};
use super::write::Write;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::query;

/// No chain's id: ids are positive.
const NO_CHAIN: i64 = -1;

/// What a chain begins with: no refresh has happened here.
const FIRST_GENERATION: u64 = 0;

/// What stands in the way, as ids.
pub(super) struct Obstacles {
    pub(super) named: Option<i64>,
    pub(super) pool: Option<i64>,
    pub(super) chain: Option<i64>,
    pub(super) holder: Option<i64>,
    pub(super) spender: Option<i64>,
}

/// How a creation ended inside its transaction.
pub(super) enum Made {
    Founded,
    Joined,
    NameTaken,
    Conflict(Conflict),
}

impl SqlStore {
    pub(super) async fn create_credential(
        &self,
        new: &NewCredential,
        record: Record,
    ) -> Result<Created, Fault> {
        let mut write = self.administer().await?;
        let made = self.make(&mut write, new).await?;
        if let Made::Conflict(conflict) = made {
            write.cancel().await?;
            return Ok(Created::Conflict(conflict));
        }
        let loaded = Box::new(self.needed(&mut write, &new.draft.name).await?);
        match made {
            Made::NameTaken => {
                write.cancel().await?;
                Ok(Created::NameTaken(loaded))
            }
            made => {
                write.commit(record).await?;
                Ok(Created::Done { loaded, joined: matches!(made, Made::Joined) })
            }
        }
    }

    /// Writes the rows, or says why not. Nothing was written unless it founded or joined.
    pub(super) async fn make(&self, write: &mut Write<'_>, new: &NewCredential) -> Result<Made, Fault> {
        let obstacles = write.obstacles(&new.draft, new.spend_hash.as_ref(), NO_CHAIN).await?;
        if obstacles.named.is_some() {
            return Ok(Made::NameTaken);
        }
        if obstacles.pool.is_some() {
            return Ok(Made::Conflict(Conflict::NameOfPool { pool: new.draft.name.to_string() }));
        }
        let config = Configuration::of_draft(&new.draft);
        if let Some(conflict) = write.missing_client(&config).await? {
            return Ok(Made::Conflict(conflict));
        }
        match obstacles.chain {
            Some(chain) => self.join(write, new, &config, chain, &obstacles).await,
            None => self.found(write, new, &config, &obstacles).await,
        }
    }

    async fn found(
        &self,
        write: &mut Write<'_>,
        new: &NewCredential,
        config: &Configuration,
        obstacles: &Obstacles,
    ) -> Result<Made, Fault> {
        if let Some(conflict) = write.token_conflict(obstacles, new.spend_hash.as_ref(), NO_CHAIN).await? {
            return Ok(Made::Conflict(conflict));
        }
        self.insert_chain(write, new, config).await?;
        self.insert_credential(write, new, new.chain.as_i64()).await?;
        Ok(Made::Founded)
    }

    /// A member more. The tokens stay what they are, so that a token which this very chain holds or has spent is no
    /// obstacle: other documents of the same login name it.
    async fn join(
        &self,
        write: &mut Write<'_>,
        new: &NewCredential,
        config: &Configuration,
        chain: i64,
        obstacles: &Obstacles,
    ) -> Result<Made, Fault> {
        let Some(row) = self.chain_locked(write, chain).await? else {
            return Err(Fault::Damaged("a chain's name leads nowhere".into()));
        };
        if let Some(field) = config.difference(&Configuration::of_chain(&row)) {
            let chain = row.name.map_or_else(String::new, |name| name.to_string());
            return Ok(Made::Conflict(Conflict::ChainDiffers { chain, field }));
        }
        if let Some(conflict) = write.token_conflict(obstacles, new.spend_hash.as_ref(), chain).await? {
            return Ok(Made::Conflict(conflict));
        }
        self.insert_credential(write, new, chain).await?;
        write.execute(query(sql::TOUCH).bind(chain)).await?;
        Ok(Made::Joined)
    }

    async fn insert_chain(
        &self,
        write: &mut Write<'_>,
        new: &NewCredential,
        config: &Configuration,
    ) -> Result<(), Fault> {
        let id = new.chain.as_i64();
        let client = self.client_columns(id, config)?;
        let sealed = self.seal_tokens(id, FIRST_GENERATION, &new.tokens)?;
        let insert = query(sql::INSERT_CHAIN)
            .bind(id)
            .bind(config.name.as_ref().map(Name::as_str))
            .bind(&config.provider)
            .bind(config.kind.as_str())
            .bind(client.name)
            .bind(client.id)
            .bind(client.secret)
            .bind(client.hash)
            .bind(config.token_url.as_deref())
            .bind(config.origin())
            .bind(config.resource.as_deref())
            .bind(scopes_text(&config.scopes))
            .bind(sealed.access)
            .bind(&new.tokens.token_type)
            .bind(new.tokens.expires_at.map(keyherd_core::time::Timestamp::as_millis))
            .bind(new.tokens.expires_assumed)
            .bind(new.tokens.issued_at.as_millis())
            .bind(sealed.refresh)
            .bind(new.tokens.refresh_expires_at.map(keyherd_core::time::Timestamp::as_millis))
            .bind(scopes_text(&new.tokens.scopes))
            .bind(new.spend_hash.map(|hash| hash.as_bytes().to_vec()))
            .bind(false)
            .bind(new.due_at.map(keyherd_core::time::Timestamp::as_millis));
        write.execute(insert).await?;
        Ok(())
    }

    async fn insert_credential(
        &self,
        write: &mut Write<'_>,
        new: &NewCredential,
        chain: i64,
    ) -> Result<(), Fault> {
        let insert = query(sql::INSERT_CREDENTIAL)
            .bind(new.id.as_i64())
            .bind(new.draft.name.as_str())
            .bind(chain)
            .bind(false)
            .bind(new.draft.attributes.to_string())
            .bind(self.clock.now().as_millis());
        write.execute(insert).await?;
        Ok(())
    }

    pub(super) fn seal_tokens(
        &self,
        chain: i64,
        generation: u64,
        tokens: &Tokens,
    ) -> Result<SealedTokens, Fault> {
        let seal = |column, secret| self.vault.seal_secret(Slot::of(column, chain, generation), secret);
        Ok(SealedTokens {
            access: seal(ACCESS_TOKEN, tokens.access_token.as_ref())?,
            refresh: seal(REFRESH_TOKEN, tokens.refresh_token.as_ref())?,
        })
    }
}

/// A generation's tokens as they stand in its row.
pub(super) struct SealedTokens {
    pub(super) access: Option<Vec<u8>>,
    pub(super) refresh: Option<Vec<u8>>,
}

impl Write<'_> {
    pub(super) async fn obstacles(
        &mut self,
        draft: &Draft,
        hash: Option<&TokenHash>,
        own: i64,
    ) -> Result<Obstacles, Fault> {
        let look = query(sql::OBSTACLES)
            .bind(draft.name.as_str())
            .bind(draft.chain.as_ref().map(Name::as_str))
            .bind(hash.map(|hash| hash.as_bytes().to_vec()))
            .bind(own);
        let row = self.one(look).await?;
        Ok(Obstacles {
            named: row.try_get("named")?,
            pool: row.try_get("pool")?,
            chain: row.try_get("chain")?,
            holder: row.try_get("holder")?,
            spender: row.try_get("spender")?,
        })
    }

    /// Whether a token may not be taken into a new chain, or be named by a member of the chain `joined`.
    pub(super) async fn token_conflict(
        &mut self,
        obstacles: &Obstacles,
        hash: Option<&TokenHash>,
        joined: i64,
    ) -> Result<Option<Conflict>, Fault> {
        if let Some(holder) = obstacles.holder.filter(|holder| *holder != joined) {
            return Ok(Some(Conflict::TokenHeld { holder: self.member(holder).await? }));
        }
        match (obstacles.spender.filter(|spender| *spender != joined), hash) {
            (Some(spender), Some(hash)) => self.spent(spender, hash).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn spent(&mut self, spender: i64, hash: &TokenHash) -> Result<Conflict, Fault> {
        let row = self.one(query(sql::SPENT).bind(hash.as_bytes().to_vec())).await?;
        Ok(Conflict::TokenSpent {
            holder: self.member(spender).await?,
            generation: unsigned(&row, "generation")?,
            current: unsigned(&row, "current")?,
        })
    }

    async fn member(&mut self, chain: i64) -> Result<String, Fault> {
        let row = self.one(query(sql::A_MEMBER).bind(chain)).await?;
        Ok(name(&row, "name")?.to_string())
    }
}
