//! An agent's phantoms: one for each credential and pool that it is allowed.

use url::Url;

use super::manage::no;
use super::{Broker, ManageError};
use crate::agent::Agent;
use crate::credential::{Chain, Kind};
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

    /// The token endpoints of what an agent is allowed: each credential's, each member's of a pool. An agent that refreshes by
    /// phantom asks there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn token_endpoints(&self, agent: &Agent) -> Result<Vec<(Name, Url)>, ManageError> {
        let mut all = Vec::new();
        for name in &agent.allowed {
            for chain in self.chains_of(name).await? {
                if let Some(url) = self.token_endpoint(&chain).filter(|_| chain.kind == Kind::OAuth2) {
                    all.push((name.clone(), url));
                }
            }
        }
        Ok(all)
    }

    fn token_endpoint(&self, chain: &Chain) -> Option<Url> {
        let profile = self.0.ports.profiles.find(&chain.provider).ok().flatten()?;
        profile.resolve_token_url(chain.token_url.as_deref()).ok()
    }

    /// What tokens of a provider look like. One whose profile cannot be read has plain ones.
    pub fn phantom_shape(&self, provider: &str) -> Shape {
        let profile = self.0.ports.profiles.find(provider).ok().flatten();
        let prefix = profile.as_ref().map_or("", |profile| &profile.phantom_prefix);
        Shape::of_prefix(prefix).unwrap_or_else(|_| Shape::Plain { lead: "".into() })
    }

    async fn provider_of(&self, name: &Name) -> Result<Option<String>, ManageError> {
        Ok(self.chains_of(name).await?.into_iter().next().map(|chain| chain.provider))
    }

    /// A credential's, or those of a pool's members in their order.
    async fn chains_of(&self, name: &Name) -> Result<Vec<Chain>, ManageError> {
        let store = &self.0.ports.store;
        if let Some(loaded) = store.credential(name).await? {
            return Ok(vec![loaded.chain]);
        }
        let Some(pool) = store.pool(name).await? else { return Ok(Vec::new()) };
        Ok(store.members(pool.id).await?.into_iter().map(|loaded| loaded.chain).collect())
    }
}
