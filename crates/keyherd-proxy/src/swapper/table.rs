//! Agents' phantoms, ready to be looked for: made when an agent first needs them, kept for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use keyherd_core::agent::Agent;
use keyherd_core::broker::{Broker, ManageError};
use keyherd_core::ids::{AgentId, Name};
use keyherd_core::phantom::Table;
use keyherd_core::ports::TokenSigner;

use super::SwapLimits;
use crate::fault::Fault;

/// One agent's.
pub(super) struct Held {
    pub(super) table: Arc<Table>,
    /// What stands for each name.
    pub(super) texts: Arc<HashMap<Name, Arc<str>>>,
    made_at: Duration,
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
        let phantoms = self.broker.phantoms(agent, &*self.signer).await.map_err(|error| match error {
            ManageError::Store(error) => Fault::Engine(error.into()),
            _ => Fault::Internal,
        })?;
        let texts = phantoms.iter().map(|(name, phantom)| (name.clone(), phantom.as_str().into())).collect();
        let table = Table::new(phantoms.into_iter().map(|(name, phantom)| (phantom, name)), []);
        Ok(Arc::new(Held { table: Arc::new(table), texts: Arc::new(texts), made_at }))
    }
}
