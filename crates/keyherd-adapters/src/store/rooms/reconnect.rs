//! Other tokens from outside for a credential that is there.
//!
//! Owns the rule that a reconnect wins over a refresh in flight: the generation moves, and the claim is dissolved with
//! whatever was known of the old tokens. The same refresh token again moves nothing but the access token.

use keyherd_core::credential::{Chain, Loaded, Tokens, Trouble};
use keyherd_core::ports::store::{Conflict, NewCredential, Reconnected, Record};
use keyherd_core::time::Timestamp;

use super::SqlStore;
use super::configure::Configuration;
use super::row::scopes_text;
use super::write::Write;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::query;

impl SqlStore {
    pub(super) async fn reconnect_credential(
        &self,
        new: &NewCredential,
        record: Record,
    ) -> Result<Reconnected, Fault> {
        let mut write = self.administer().await?;
        let Some(old) = self.loaded_locked(&mut write, &new.draft.name).await? else {
            write.cancel().await?;
            return Ok(Reconnected::NotFound);
        };
        let before = Configuration::of_chain(&old.chain);
        let config = Configuration::of_draft(&new.draft).over(&before);
        if let Some(conflict) = self.reconnect_conflict(&mut write, new, &old.chain, &config).await? {
            write.cancel().await?;
            return Ok(Reconnected::Conflict(conflict));
        }
        let lifts = (&config.client, &config.token_url) != (&before.client, &before.token_url);
        write.configure(self, old.chain.id.as_i64(), &config, lifts).await?;
        self.replace_tokens(&mut write, new, &old).await?;
        self.replace_attributes(&mut write, new, &old).await?;
        let loaded = self.needed(&mut write, &new.draft.name).await?;
        write.commit(record).await?;
        Ok(Reconnected::Done(Box::new(loaded)))
    }

    async fn reconnect_conflict(
        &self,
        write: &mut Write<'_>,
        new: &NewCredential,
        old: &Chain,
        config: &Configuration,
    ) -> Result<Option<Conflict>, Fault> {
        let own = old.id.as_i64();
        let obstacles = write.obstacles(&new.draft, new.spend_hash.as_ref(), own).await?;
        let other_chain = obstacles.chain.filter(|chain| *chain != own);
        let members = write.number(sql::MEMBERS, own).await?.unwrap_or(0);
        let moves = config.name != old.name && members > 1;
        let differs = config.difference(&Configuration::of_chain(old)).filter(|_| members > 1);
        let named = if other_chain.is_some() || moves { Some("set of members") } else { differs };
        if let Some(field) = named {
            let chain = config.name.as_ref().map_or_else(String::new, ToString::to_string);
            return Ok(Some(Conflict::ChainDiffers { chain, field }));
        }
        if let Some(conflict) = write.missing_client(config).await? {
            return Ok(Some(conflict));
        }
        if is_same(new, old) {
            return Ok(None);
        }
        write.token_conflict(&obstacles, new.spend_hash.as_ref(), -1).await
    }

    async fn replace_tokens(
        &self,
        write: &mut Write<'_>,
        new: &NewCredential,
        old: &Loaded,
    ) -> Result<(), Fault> {
        let (chain, is_same) = (&old.chain, is_same(new, &old.chain));
        let generation = if is_same { chain.generation } else { chain.generation + 1 };
        let tokens = if is_same { kept(&new.tokens, &chain.tokens) } else { new.tokens.clone() };
        let sealed = self.seal_tokens(chain.id.as_i64(), generation, &tokens)?;
        let update = query(sql::RETOKEN)
            .bind(i64::try_from(generation).unwrap_or(i64::MAX))
            .bind(sealed.access)
            .bind(tokens.token_type)
            .bind(tokens.expires_at.map(Timestamp::as_millis))
            .bind(tokens.expires_assumed)
            .bind(tokens.issued_at.as_millis())
            .bind(sealed.refresh)
            .bind(tokens.refresh_expires_at.map(Timestamp::as_millis))
            .bind(scopes_text(&tokens.scopes))
            .bind(new.spend_hash.map(|hash| hash.as_bytes().to_vec()))
            .bind(new.due_at.map(Timestamp::as_millis))
            .bind(chain.id.as_i64());
        write.execute(update).await?;
        if is_same { Ok(()) } else { self.forget_old(write, new, chain).await }
    }

    async fn forget_old(&self, write: &mut Write<'_>, new: &NewCredential, old: &Chain) -> Result<(), Fault> {
        write.execute(query(sql::RENEW).bind(false).bind(old.id.as_i64())).await?;
        if let (Some(hash), true) = (old.spend_hash, may_be_spent(old)) {
            let spend = query(sql::SPEND_REPLACED)
                .bind(hash.as_bytes().to_vec())
                .bind(old.id.as_i64())
                .bind(i64::try_from(old.generation).unwrap_or(i64::MAX))
                .bind(self.clock.now().as_millis());
            write.execute(spend).await?;
            write.lastly(self.spent_trim(old.id, old.generation));
        }
        if let Some(hash) = new.spend_hash {
            // It was spent by a chain that is dead; now it is current.
            write.execute(query(sql::FORGET_SPENT).bind(hash.as_bytes().to_vec())).await?;
        }
        Ok(())
    }

    async fn replace_attributes(
        &self,
        write: &mut Write<'_>,
        new: &NewCredential,
        old: &Loaded,
    ) -> Result<(), Fault> {
        if new.draft.attributes.as_object().is_none_or(serde_json::Map::is_empty) {
            return Ok(());
        }
        let update = query(sql::AMEND_CREDENTIAL)
            .bind(old.credential.disabled)
            .bind(new.draft.attributes.to_string())
            .bind(old.credential.id.as_i64());
        write.execute(update).await?;
        Ok(())
    }
}

/// Whether the next call would spend what the chain has.
fn is_same(new: &NewCredential, old: &Chain) -> bool {
    new.spend_hash.is_some() && new.spend_hash == old.spend_hash
}

/// Whether the provider may have seen the token that is replaced, as something to be refreshed: then it must not come
/// back. One that rested here unused may: someone reconnects by mistake, and takes it back.
fn may_be_spent(old: &Chain) -> bool {
    let is_unused = match &old.trouble {
        Trouble::None | Trouble::Backoff(_) => old.claim.is_none(),
        Trouble::Uncertain(_) | Trouble::Verdict(_) => false,
    };
    old.tokens.refresh_token.is_some() && !is_unused
}

/// The same refresh token, with the newer of what came with it.
fn kept(new: &Tokens, old: &Tokens) -> Tokens {
    let newer = if new.access_token.is_some() { new } else { old };
    Tokens { refresh_expires_at: new.refresh_expires_at.or(old.refresh_expires_at), ..newer.clone() }
}
