//! Changes that leave the tokens alone: switches, attributes, the chain's configuration.

use keyherd_core::credential::Loaded;
use keyherd_core::ids::Name;
use keyherd_core::ports::store::{Amended, Change, Record};

use super::SqlStore;
use super::configure::Configuration;
use super::write::Write;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::query;

impl SqlStore {
    pub(super) async fn amend_credential(
        &self,
        name: &Name,
        change: &Change,
        record: Record,
    ) -> Result<Amended, Fault> {
        let mut write = self.administer().await?;
        let Some(old) = self.loaded_locked(&mut write, name).await? else {
            write.cancel().await?;
            return Ok(Amended::NotFound);
        };
        let config = amended(&old, change);
        if let Some(conflict) = write.missing_client(&config).await? {
            write.cancel().await?;
            return Ok(Amended::Conflict(conflict));
        }
        let changed = self.apply(&mut write, &old, change, &config).await?;
        if !changed {
            write.cancel().await?;
            return Ok(Amended::Done(Box::new(old)));
        }
        let loaded = self.needed(&mut write, name).await?;
        write.commit(record).await?;
        Ok(Amended::Done(Box::new(loaded)))
    }

    /// Every change moves the chain's revision, so that no claim is granted on what was before.
    async fn apply(
        &self,
        write: &mut Write<'_>,
        old: &Loaded,
        change: &Change,
        config: &Configuration,
    ) -> Result<bool, Fault> {
        let chain = old.chain.id.as_i64();
        let touches_client = change.client.is_some() && old.chain.block.is_some();
        let reconfigures = touches_client || *config != Configuration::of_chain(&old.chain);
        let disabled = change.disabled.unwrap_or(old.credential.disabled);
        let attributes = change.attributes.as_ref().unwrap_or(&old.credential.attributes);
        let switches = disabled != old.credential.disabled || *attributes != old.credential.attributes;
        let due_at = change.due_at.filter(|due_at| Some(*due_at) != old.chain.due_at);
        if reconfigures {
            write
                .configure(self, chain, config, change.client.is_some() || change.token_url.is_some())
                .await?;
        } else if switches {
            write.execute(query(sql::TOUCH).bind(chain)).await?;
        }
        if switches {
            let update = query(sql::AMEND_CREDENTIAL)
                .bind(disabled)
                .bind(attributes.to_string())
                .bind(old.credential.id.as_i64());
            write.execute(update).await?;
        }
        if let Some(due_at) = due_at {
            let update = query(sql::RESCHEDULE).bind(due_at.as_millis()).bind(chain);
            write.execute(update).await?;
        } else if disabled && switches {
            write.execute(query(sql::UNDUE).bind(chain)).await?;
        }
        Ok(reconfigures || switches || due_at.is_some())
    }
}

fn amended(old: &Loaded, change: &Change) -> Configuration {
    let mut config = Configuration::of_chain(&old.chain);
    if let Some(client) = &change.client {
        config.client = client.clone();
    }
    if let Some(url) = &change.token_url {
        config.token_url = Some(url.clone());
    }
    if let Some(scopes) = &change.scopes {
        config.scopes.clone_from(scopes);
    }
    config
}
