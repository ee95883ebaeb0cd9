//! What stands behind the names that an agent may use: its phantoms, token endpoints and the real secrets, for who swaps the
//! ones for the others.
//!
//! Owns which secrets these are: access tokens, API keys, refresh tokens and client secrets of each credential that the agent
//! may use, and of a pool's members. Never calls a provider.

use std::sync::atomic::Ordering;

use super::phantoms::Looks;
use super::{Broker, ManageError, TokenEndpoint};
use crate::agent::Agent;
use crate::credential::Chain;
use crate::ids::Name;
use crate::ports::TokenSigner;
use crate::secret::Secret;

/// All of an agent's, as the store has it.
#[derive(Debug, Default)]
pub struct Behind {
    /// What stands for each name where the agent is, in order of names.
    pub phantoms: Vec<(Name, Looks)>,
    /// Where an agent asks that refreshes or logs in by itself.
    pub endpoints: Vec<TokenEndpoint>,
    /// What the agent is never to see.
    pub secrets: Vec<RealSecret>,
}

/// A real secret, and whose phantom stands for it. A client app's has none.
#[derive(Debug, Clone)]
pub struct RealSecret {
    /// The name that the agent may use.
    pub name: Option<Name>,
    /// The secret.
    pub secret: Secret,
}

impl Broker {
    /// What stands behind an agent's names, in one reading. Names of which nothing is left are left out.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn behind(&self, agent: &Agent, signer: &dyn TokenSigner) -> Result<Behind, ManageError> {
        let mut behind = Behind::default();
        for name in &agent.allowed {
            let all = self.loaded_of(name).await?;
            let looks = self.looks_of(agent, name, &all, signer)?;
            behind.phantoms.extend(looks.map(|looks| (name.clone(), looks)));
            for loaded in all {
                behind.secrets.extend(secrets(name, &loaded.chain));
                behind.endpoints.extend(self.token_endpoint(name, loaded));
            }
        }
        Ok(behind)
    }

    /// Those secrets behind these names that this process knows: newer than the store's, where a token was refreshed since
    /// that was read.
    pub fn secrets_at_hand(&self, names: &[Name]) -> Vec<RealSecret> {
        let snapshots = &self.0.snapshots;
        let mut all = Vec::new();
        for name in names {
            let mut look = |of: &Name| {
                snapshots.with_old(of.as_str(), |known| all.extend(secrets(name, &known.cell.last())));
            };
            match snapshots.old_pool(name.as_str()) {
                Some(pool) => pool.members.iter().for_each(|member| look(&member.name)),
                None => look(name),
            }
        }
        all
    }

    /// Another number whenever this process may know other secrets than before. Take it before looking at them.
    pub fn secrets_epoch(&self) -> u64 {
        self.0.snapshots.secrets_epoch.load(Ordering::Acquire)
    }
}

fn secrets(name: &Name, chain: &Chain) -> impl Iterator<Item = RealSecret> + use<> {
    let tokens = &chain.tokens;
    let of_name = [&tokens.access_token, &tokens.refresh_token].map(|secret| (Some(name), secret));
    let all = of_name.into_iter().chain([(None, &chain.client.secret)]);
    let kept: Vec<RealSecret> = all
        .filter_map(|(name, secret)| Some(RealSecret { name: name.cloned(), secret: secret.clone()? }))
        .collect();
    kept.into_iter()
}
