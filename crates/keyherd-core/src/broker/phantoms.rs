//! An agent's phantoms: one for each credential and pool that it is allowed.

use super::manage::no;
use super::{Broker, ManageError};
use crate::agent::Agent;
use crate::credential::Loaded;
use crate::ids::Name;
use crate::phantom::{Phantom, Shape, phantom_of};
use crate::ports::TokenSigner;

impl Broker {
    /// What stands for that credential or pool where the agent is: the same as long as both are there. `None`: there is
    /// nothing of that name. A pool's looks like its first member's.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn phantom(
        &self,
        agent: &Agent,
        name: &Name,
        signer: &dyn TokenSigner,
    ) -> Result<Option<Phantom>, ManageError> {
        let Some(provider) = self.provider_of(name).await? else { return Ok(None) };
        let shape = self.phantom_shape(&provider);
        let phantom = phantom_of(&self.0.ports.hasher, agent, name, &shape, signer);
        phantom.map(Some).map_err(|error| ManageError::Unfit(error.to_string()))
    }

    /// All of an agent's phantoms, in order of names.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn phantoms(
        &self,
        agent: &Agent,
        signer: &dyn TokenSigner,
    ) -> Result<Vec<(Name, Phantom)>, ManageError> {
        let mut all = Vec::with_capacity(agent.allowed.len());
        for name in &agent.allowed {
            // One that was removed since stands for nothing.
            if let Some(phantom) = self.phantom(agent, name, signer).await? {
                all.push((name.clone(), phantom));
            }
        }
        Ok(all)
    }

    /// The same of the agent of that name.
    ///
    /// # Errors
    /// There is none, or the store does not answer.
    pub async fn phantoms_of(
        &self,
        agent: &Name,
        signer: &dyn TokenSigner,
    ) -> Result<Vec<(Name, Phantom)>, ManageError> {
        let found = self.agents().await?.into_iter().find(|found| found.name == *agent);
        self.phantoms(&found.ok_or_else(|| no("agent", agent, "agent list"))?, signer).await
    }

    /// What tokens of a provider look like. One whose profile cannot be read has plain ones.
    pub fn phantom_shape(&self, provider: &str) -> Shape {
        let profile = self.0.ports.profiles.find(provider).ok().flatten();
        let prefix = profile.as_ref().map_or("", |profile| &profile.phantom_prefix);
        Shape::of_prefix(prefix).unwrap_or_else(|_| Shape::Plain { lead: "".into() })
    }

    async fn provider_of(&self, name: &Name) -> Result<Option<String>, ManageError> {
        Ok(self.loaded_of(name).await?.into_iter().next().map(|loaded| loaded.chain.provider))
    }

    /// A credential, or a pool's members in their order.
    pub(super) async fn loaded_of(&self, name: &Name) -> Result<Vec<Loaded>, ManageError> {
        let store = &self.0.ports.store;
        if let Some(loaded) = store.credential(name).await? {
            return Ok(vec![loaded]);
        }
        let Some(pool) = store.pool(name).await? else { return Ok(Vec::new()) };
        Ok(store.members(pool.id).await?)
    }
}
