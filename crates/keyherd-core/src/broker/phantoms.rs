//! An agent's phantoms: one for each credential and pool that it is allowed.

use super::manage::no;
use super::{Broker, ManageError};
use crate::agent::Agent;
use crate::credential::{Kind, Loaded};
use crate::ids::Name;
use crate::phantom::{Phantom, Shape, phantom_of};
use crate::ports::TokenSigner;

/// A phantom in every look that an agent may hold it in: all of them stand for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    /// As its clients expect it now.
    pub current: Phantom,
    /// As it may have been handed out before.
    pub former: Vec<Phantom>,
}

impl Looks {
    /// All of them, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &Phantom> {
        std::iter::once(&self.current).chain(&self.former)
    }
}

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
        Ok(self.looks(agent, name, signer).await?.map(|looks| looks.current))
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
        let all = self.phantom_looks(agent, signer).await?;
        Ok(all.into_iter().map(|(name, looks)| (name, looks.current)).collect())
    }

    /// The same, in every look that an agent may hold them in.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn phantom_looks(
        &self,
        agent: &Agent,
        signer: &dyn TokenSigner,
    ) -> Result<Vec<(Name, Looks)>, ManageError> {
        let mut all = Vec::with_capacity(agent.allowed.len());
        for name in &agent.allowed {
            // One that was removed since stands for nothing.
            if let Some(looks) = self.looks(agent, name, signer).await? {
                all.push((name.clone(), looks));
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

    /// `None`: there is nothing of that name.
    async fn looks(
        &self,
        agent: &Agent,
        name: &Name,
        signer: &dyn TokenSigner,
    ) -> Result<Option<Looks>, ManageError> {
        let loaded = self.loaded_of(name).await?;
        self.looks_of(agent, name, &loaded, signer)
    }

    /// `loaded`: what is behind that name.
    pub(super) fn looks_of(
        &self,
        agent: &Agent,
        name: &Name,
        loaded: &[Loaded],
        signer: &dyn TokenSigner,
    ) -> Result<Option<Looks>, ManageError> {
        if loaded.is_empty() {
            return Ok(None);
        }
        let mut looks: Vec<Phantom> = Vec::new();
        for shape in self.shapes(loaded) {
            let phantom = phantom_of(&self.0.ports.hasher, agent, name, &shape, signer);
            let phantom = phantom.map_err(|error| ManageError::Unfit(error.to_string()))?;
            if !looks.contains(&phantom) {
                looks.push(phantom);
            }
        }
        let mut looks = looks.into_iter();
        Ok(looks.next().map(|current| Looks { current, former: looks.collect() }))
    }

    /// The first credential's own shape; then what phantoms for that name may have looked like while a profile, or the order
    /// of a pool, was another one. The last one is without any prefix.
    fn shapes(&self, loaded: &[Loaded]) -> Vec<Shape> {
        let mut prefixes = Vec::new();
        for Loaded { chain, .. } in loaded {
            let Some(profile) = self.0.ports.profiles.find(&chain.provider).ok().flatten() else { continue };
            let of_tokens = profile.phantom_prefix.clone();
            let of_keys = profile.static_phantom_prefix.clone().unwrap_or_else(|| of_tokens.clone());
            prefixes.extend(match chain.kind {
                Kind::Static => [of_keys, of_tokens],
                Kind::OAuth2 | Kind::ClientCredentials => [of_tokens, of_keys],
            });
        }
        prefixes.push(String::new());
        prefixes.iter().filter_map(|prefix| Shape::of_prefix(prefix).ok()).collect()
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
