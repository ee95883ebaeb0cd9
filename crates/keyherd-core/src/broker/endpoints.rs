//! Token endpoints: where an agent that refreshes or logs in by itself asks, and whose credential that is about.
//!
//! Owns what is kept of a login that an agent made: a reconnect of just the incarnation it was attributed to. Never sends
//! anything, and never guesses whose a login is.

use std::sync::Arc;

use url::Url;

use super::connect::{ConnectError, NewTokens};
use super::{Broker, ManageError};
use crate::agent::Agent;
use crate::audit::Actor;
use crate::credential::{Chain, Kind, Loaded};
use crate::ids::{ChainId, CredentialId, Name};
use crate::provider::Profile;
use crate::secret::{Secret, TokenHash};

/// The token endpoint of one credential that an agent is allowed, by itself or as a pool's member.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    /// What the agent is allowed: the credential's own name, or its pool's.
    pub name: Name,
    /// Whose it is.
    pub credential: Name,
    /// Just this incarnation's.
    pub id: CredentialId,
    /// Where its tokens live.
    pub chain: ChainId,
    /// Whether it is switched off.
    pub is_disabled: bool,
    /// The client app it is used with.
    pub client_id: Option<String>,
    /// Where.
    pub url: Url,
    /// How its provider behaves.
    pub profile: Arc<Profile>,
    spends: Option<TokenHash>,
}

impl Broker {
    /// The token endpoints of what an agent is allowed: each credential's, each member's of a pool. An agent that refreshes by
    /// phantom, or logs in, asks there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn token_endpoints(&self, agent: &Agent) -> Result<Vec<TokenEndpoint>, ManageError> {
        let mut all = Vec::new();
        for name in &agent.allowed {
            for loaded in self.loaded_of(name).await? {
                all.extend(self.token_endpoint(name, loaded));
            }
        }
        Ok(all)
    }

    /// Whether a refresh with that refresh token would spend what the endpoint's credential has.
    pub fn would_spend(&self, endpoint: &TokenEndpoint, refresh_token: &Secret) -> bool {
        endpoint.spends.is_some_and(|hash| hash.is(&self.0.ports.hasher.token(refresh_token)))
    }

    /// Keeps what a login at that endpoint granted: a reconnect of the credential that it was attributed to. One that was
    /// removed, switched off or changed meanwhile is not reconnected, and neither is its successor.
    ///
    /// # Errors
    /// As [`Broker::reconnect`]. Nothing was changed.
    pub async fn keep_login(
        &self,
        endpoint: &TokenEndpoint,
        tokens: NewTokens,
        actor: &Actor,
    ) -> Result<Loaded, ConnectError> {
        let name = &endpoint.credential;
        let found = self.0.ports.store.credential(name).await?;
        let current = found.ok_or_else(|| ConnectError::NotFound(name.clone()))?;
        let now = self.token_endpoint(&endpoint.name, current.clone());
        if !now.is_some_and(|now| now.is_as(endpoint)) {
            let problem = "it was changed while the login was under way: log in anew".into();
            return Err(ConnectError::Unfit { name: name.clone(), problem });
        }
        self.reconnect_as(current, tokens, actor).await
    }

    pub(super) fn token_endpoint(&self, name: &Name, loaded: Loaded) -> Option<TokenEndpoint> {
        let Loaded { credential, chain } = loaded;
        let (url, profile) = self.endpoint_of(&chain).filter(|_| chain.kind == Kind::OAuth2)?;
        Some(TokenEndpoint {
            name: name.clone(),
            credential: credential.name,
            id: credential.id,
            chain: chain.id,
            is_disabled: credential.disabled,
            client_id: chain.client.id,
            url,
            profile,
            spends: chain.spend_hash,
        })
    }

    fn endpoint_of(&self, chain: &Chain) -> Option<(Url, Arc<Profile>)> {
        let profile = self.0.ports.profiles.find(&chain.provider).ok().flatten()?;
        Some((profile.resolve_token_url(chain.token_url.as_deref()).ok()?, profile))
    }
}

impl TokenEndpoint {
    /// Whether a login that was begun for the other one may be kept for this.
    fn is_as(&self, other: &Self) -> bool {
        (self.id, self.chain, self.is_disabled) == (other.id, other.chain, other.is_disabled)
            && (&self.client_id, &self.url) == (&other.client_id, &other.url)
    }
}
