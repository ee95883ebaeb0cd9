//! Who has which key: every agent of an installation, found in one look.

use std::collections::HashMap;
use std::sync::Arc;

use super::Agent;
use crate::ids::{AgentId, Name};
use crate::secret::TokenHash;

/// All agents.
#[derive(Debug, Clone, Default)]
pub struct Agents {
    by_key: HashMap<TokenHash, Arc<Agent>, foldhash::fast::RandomState>,
    by_name: HashMap<Name, Arc<Agent>, foldhash::fast::RandomState>,
}

impl Agents {
    /// These.
    pub fn new(agents: impl IntoIterator<Item = Agent>) -> Self {
        let mut all = Self::default();
        for agent in agents.into_iter().map(Arc::new) {
            all.by_key.insert(agent.key_hash, Arc::clone(&agent));
            all.by_name.insert(agent.name.clone(), agent);
        }
        all
    }

    /// Whose key that is the hash of. The map leads to a candidate: it is asked with a hash under the installation's own
    /// key, which nobody outside can choose. What decides is compared in constant time.
    pub fn of_key(&self, hash: &TokenHash) -> Option<&Arc<Agent>> {
        self.by_key.get(hash).filter(|agent| agent.key_hash.is(hash))
    }

    /// The agent of that name, if that is the hash of its key.
    pub fn of_name_and_key(&self, name: &str, hash: &TokenHash) -> Option<&Arc<Agent>> {
        self.by_name.get(name).filter(|agent| agent.key_hash.is(hash))
    }

    /// The agent of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Agent>> {
        self.by_name.get(name)
    }

    /// All but that one.
    #[must_use]
    pub fn without(&self, id: AgentId) -> Self {
        let mut rest = self.clone();
        rest.by_name.retain(|_, agent| agent.id != id);
        rest.by_key.retain(|_, agent| agent.id != id);
        rest
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}
