//! Agents' phantoms, ready to be looked for: made when an agent first needs them, kept for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use keyherd_core::agent::Agent;
use keyherd_core::broker::{Broker, ManageError};
use keyherd_core::host::Host;
use keyherd_core::ids::{AgentId, Name};
use keyherd_core::phantom::Table;
use keyherd_core::ports::TokenSigner;
use url::Url;

use super::SwapLimits;
use crate::fault::Fault;
use crate::forward::Dialled;

/// One agent's.
pub(super) struct Held {
    pub(super) table: Arc<Table>,
    /// What stands for each name.
    pub(super) texts: Arc<HashMap<Name, Arc<str>>>,
    endpoints: Vec<Endpoint>,
    made_at: Duration,
}

/// A token endpoint, as requests name it.
struct Endpoint {
    name: Name,
    host: String,
    port: Option<u16>,
    path: String,
}

impl Held {
    /// Whether a token endpoint is there.
    pub(super) fn has_endpoint(&self, dialled: &Dialled) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.is_at(dialled))
    }

    /// Whose token endpoint that is.
    pub(super) fn endpoint<'a>(
        &'a self,
        dialled: &'a Dialled,
        path: &'a str,
    ) -> impl Iterator<Item = &'a Name> {
        let here =
            self.endpoints.iter().filter(move |endpoint| endpoint.is_at(dialled) && endpoint.path == path);
        here.map(|endpoint| &endpoint.name)
    }
}

impl Endpoint {
    fn is_at(&self, dialled: &Dialled) -> bool {
        self.host == dialled.host.as_str() && self.port == Some(dialled.port)
    }

    fn of((name, url): (Name, Url)) -> Option<Self> {
        let host = Host::parse(url.host_str()?.trim_matches(['[', ']'])).ok()?;
        let (port, path) = (url.port_or_known_default(), url.path().to_owned());
        Some(Self { name, host: host.to_string(), port, path })
    }
}

/// All agents'.
pub(super) struct Tables {
    broker: Broker,
    signer: Arc<dyn TokenSigner>,
    held: papaya::HashMap<AgentId, Arc<Held>, foldhash::fast::RandomState>,
    held_max: usize,
    age_max: Duration,
}

impl Tables {
    pub(super) fn new(broker: Broker, signer: Arc<dyn TokenSigner>, limits: &SwapLimits) -> Self {
        let held = papaya::HashMap::with_hasher(foldhash::fast::RandomState::default());
        Self { broker, signer, held, held_max: limits.tables_max, age_max: limits.tables_age_max }
    }

    pub(super) async fn of(&self, agent: &Agent) -> Result<Arc<Held>, Fault> {
        let now = self.broker.ports().clock.uptime();
        let known = self.held.pin().get(&agent.id).cloned();
        if let Some(held) = known.as_ref().filter(|held| now.saturating_sub(held.made_at) < self.age_max) {
            return Ok(Arc::clone(held));
        }
        match self.made(agent, now).await {
            Ok(held) => {
                let all = self.held.pin();
                if all.len() >= self.held_max {
                    all.clear();
                }
                all.insert(agent.id, Arc::clone(&held));
                Ok(held)
            }
            // While the store is down, what was known serves on.
            Err(error) => known.ok_or(error),
        }
    }

    async fn made(&self, agent: &Agent, made_at: Duration) -> Result<Arc<Held>, Fault> {
        let told = |error| match error {
            ManageError::Store(error) => Fault::Engine(error.into()),
            _ => Fault::Internal,
        };
        let phantoms = self.broker.phantoms(agent, &*self.signer).await.map_err(told)?;
        let texts = phantoms.iter().map(|(name, phantom)| (name.clone(), phantom.as_str().into())).collect();
        let table = Table::new(phantoms.into_iter().map(|(name, phantom)| (phantom, name)), []);
        let endpoints = self.broker.token_endpoints(agent).await.map_err(told)?;
        let endpoints = endpoints.into_iter().filter_map(Endpoint::of).collect();
        Ok(Arc::new(Held { table: Arc::new(table), texts: Arc::new(texts), endpoints, made_at }))
    }
}
