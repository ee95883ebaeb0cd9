//! Agents and bindings: made, shown, taken away; and who shows which key.
//!
//! Owns what this process knows of them. Whether an agent may do what it asks for is for whoever it asks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::manage::no;
use super::settle::pool_record as record_of;
use super::snapshot::KnownAccess;
use super::{Broker, ManageError};
use crate::agent::{self, Agent, Agents, allowed, key_hash, new_key};
use crate::audit::Actor;
use crate::binding::{Binding, BindingDraft, Bindings, Injection};
use crate::ids::{AgentId, BindingId, Name};
use crate::ports::StoreError;
use crate::ports::store::{AgentCreated, BindingAdded, StoredEvent};
use crate::secret::{Secret, TokenHash};

/// What became of a reading. `None`: something was removed meanwhile, and it is to be read once more.
pub(super) type AccessLoading = Result<Option<Arc<KnownAccess>>, StoreError>;

/// How often agents and bindings are read anew because one was removed meanwhile.
const READ_TRIES: usize = 8;
/// A key that nobody has may be one that was made just now elsewhere: the store is asked, so often in the long run.
const STRANGER_REST: Duration = Duration::from_millis(100);
/// How much of that may be saved up.
const STRANGER_SAVED_MAX: Duration = Duration::from_secs(1);

/// Agents and bindings, as they stand.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Who has which key.
    pub agents: Agents,
    /// What may go where.
    pub bindings: Bindings,
}

/// An agent to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAgent {
    /// What people call it.
    pub name: Name,
    /// The credentials and pools that it may use.
    pub allowed: Vec<Name>,
    /// Whether it may have the tokens themselves.
    pub may_fetch_tokens: bool,
}

impl Broker {
    /// Makes an agent. Its key is in the answer and nowhere else: only its hash is kept.
    pub async fn create_agent(&self, new: NewAgent, actor: &Actor) -> Result<(Agent, Secret), ManageError> {
        let name = new.name;
        let refused = |conflict| ManageError::Agent { name: name.clone(), conflict };
        let entropy = &*self.0.ports.entropy;
        let key = new_key(entropy);
        let hash = key_hash(&self.0.ports.hasher, key.expose().as_bytes());
        let agent = Agent {
            id: AgentId::of_random(entropy.id()),
            name: name.clone(),
            actor: Agent::actor_of(&name),
            key_hash: hash.ok_or_else(|| ManageError::Unfit("a key was made that is none".into()))?,
            allowed: allowed(new.allowed).map_err(refused)?,
            may_fetch_tokens: new.may_fetch_tokens,
            created_at: self.now(),
        };
        let names: Vec<&str> = agent.allowed.iter().map(Name::as_str).collect();
        let detail = json!({"id": agent.id.to_string(), "allowed": names, "may": agent::rights(&agent)});
        let record = record_of(&name, "agent.create", "agent_created", detail, actor);
        let made = self.0.ports.store.create_agent(agent.clone(), self.0.options.agents_max, record).await;
        self.access_changed();
        match made? {
            AgentCreated::Done => Ok((agent, key)),
            AgentCreated::Conflict(conflict) => Err(refused(conflict)),
        }
    }

    /// Takes an agent's key from it. From the return on it opens nothing here, and elsewhere as soon as that is told.
    pub async fn revoke_agent(&self, name: &Name, actor: &Actor) -> Result<(), ManageError> {
        let agents = self.agents().await?;
        let Some(agent) = agents.into_iter().find(|agent| agent.name == *name) else {
            return Err(no("agent", name, "agent list"));
        };
        let detail = json!({"id": agent.id.to_string()});
        let record = record_of(name, "agent.revoke", "agent_revoked", detail, actor);
        let revoked = self.0.ports.store.revoke_agent(agent.id, record).await;
        // Also where the answer was lost: who is not gone is read anew.
        self.0.snapshots.drop_agent(agent.id);
        // What it has asked has ended.
        self.missed_of_asking();
        self.access_changed();
        if revoked? { Ok(()) } else { Err(no("agent", name, "agent list")) }
    }

    /// The agents, in order of names.
    pub async fn agents(&self) -> Result<Vec<Agent>, ManageError> {
        Ok(self.0.ports.store.agents().await?)
    }

    /// Lets a credential or pool go to a host.
    pub async fn add_binding(&self, draft: BindingDraft, actor: &Actor) -> Result<Binding, ManageError> {
        let id = BindingId::of_random(self.0.ports.entropy.id());
        let binding = draft.check(id, self.now())?;
        let name = binding.name.clone();
        let record = record_of(&name, "binding.add", "binding_added", told(&binding), actor);
        let added =
            self.0.ports.store.add_binding(binding.clone(), self.0.options.bindings_max, record).await;
        self.access_changed();
        match added? {
            BindingAdded::Done => Ok(binding),
            BindingAdded::Conflict(conflict) => Err(ManageError::Binding { name, conflict }),
        }
    }

    /// Removes a binding. From the return on nothing is injected by it here, and elsewhere as soon as that is told.
    pub async fn remove_binding(&self, id: BindingId, actor: &Actor) -> Result<(), ManageError> {
        let bindings = self.bindings().await?;
        let Some(binding) = bindings.into_iter().find(|binding| binding.id == id) else {
            return Err(ManageError::NoBinding(id));
        };
        let record = record_of(&binding.name, "binding.remove", "binding_removed", told(&binding), actor);
        let removed = self.0.ports.store.remove_binding(id, record).await;
        self.0.snapshots.drop_binding(id);
        self.access_changed();
        if removed? { Ok(()) } else { Err(ManageError::NoBinding(id)) }
    }

    /// The bindings, in the order in which they were made.
    pub async fn bindings(&self) -> Result<Vec<Binding>, ManageError> {
        Ok(self.0.ports.store.bindings().await?)
    }

    /// The hash by which a key is known: the same for as long as there is the installation. `None`: it has not the shape of
    /// one, and nobody has it.
    pub fn key_hash(&self, key: &[u8]) -> Option<TokenHash> {
        key_hash(&self.0.ports.hasher, key)
    }

    /// Who has the key of that hash. From memory; `None`: nobody, or nobody any more.
    pub async fn agent_of(&self, hash: &TokenHash) -> Result<Option<Arc<Agent>>, StoreError> {
        self.find_agent(|agents| agents.of_key(hash).cloned()).await
    }

    /// The same where memory may be trusted and has them. `None`: ask [`Broker::agent_of`].
    pub fn agent_at_hand(&self, hash: &TokenHash) -> Option<Arc<Agent>> {
        self.with_access(|known| known.access.agents.of_key(hash).cloned()).flatten()
    }

    /// The agent of that name, if that is its key.
    pub async fn agent_named(&self, name: &str, key: &[u8]) -> Result<Option<Arc<Agent>>, StoreError> {
        let Some(hash) = key_hash(&self.0.ports.hasher, key) else { return Ok(None) };
        self.find_agent(|agents| agents.of_name_and_key(name, &hash).cloned()).await
    }

    /// Whether that agent still is one: for who has waited since it was recognised.
    pub async fn has_agent(&self, agent: &Agent) -> Result<bool, StoreError> {
        let same =
            |agents: &Agents| agents.of_key(&agent.key_hash).filter(|found| found.id == agent.id).cloned();
        Ok(self.find_agent(same).await?.is_some())
    }

    /// Agents and bindings as they stand: from memory, where it may be trusted. While the store is down, as they stood.
    pub async fn access(&self) -> Result<Arc<Access>, StoreError> {
        if let Some(access) = self.access_at_hand() {
            return Ok(access);
        }
        match self.read_access().await {
            Ok(known) => Ok(Arc::clone(&known.access)),
            Err(error) => self.0.snapshots.old_access().map(|known| Arc::clone(&known.access)).ok_or(error),
        }
    }

    /// The same where memory may be trusted. `None`: ask [`Broker::access`].
    pub fn access_at_hand(&self) -> Option<Arc<Access>> {
        self.with_access(|known| Arc::clone(&known.access))
    }

    async fn find_agent(
        &self,
        look: impl Fn(&Agents) -> Option<Arc<Agent>>,
    ) -> Result<Option<Arc<Agent>>, StoreError> {
        let known = self.with_access(|known| look(&known.access.agents));
        match &known {
            Some(Some(agent)) => return Ok(Some(Arc::clone(agent))),
            Some(None) if !self.may_ask_for_a_stranger() => return Ok(None),
            _ => {}
        }
        match self.read_access().await {
            Ok(known) => Ok(look(&known.access.agents)),
            // As far as is known here, nobody has it.
            Err(_) if known.is_some() => Ok(None),
            Err(error) => match self.0.snapshots.old_access().and_then(|old| look(&old.access.agents)) {
                Some(agent) => Ok(Some(agent)),
                None => Err(error),
            },
        }
    }

    /// A bucket that fills at the rate of one reading in each rest (the generic cell rate algorithm), for all strangers
    /// together.
    fn may_ask_for_a_stranger(&self) -> bool {
        let (rest, now) = (STRANGER_REST.as_nanos(), self.0.ports.clock.uptime().as_nanos());
        let spent = |until: u64| {
            let next = u128::from(until).max(now) + rest;
            (next <= now + STRANGER_SAVED_MAX.as_nanos()).then(|| u64::try_from(next).unwrap_or(u64::MAX))
        };
        self.0.strangers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent).is_ok()
    }

    /// What memory has, where it may be trusted. What is aged is read anew meanwhile.
    fn with_access<R>(&self, look: impl FnOnce(&KnownAccess) -> R) -> Option<R> {
        let (snapshots, now) = (&self.0.snapshots, self.now());
        let seen = snapshots.with_access(now, |known| (look(known), snapshots.is_access_aged(known, now)));
        let (seen, is_aged) = seen?;
        if is_aged {
            drop(self.load_access());
        }
        Some(seen)
    }

    /// From the store, with all that was told before this was called.
    async fn read_access(&self) -> Result<Arc<KnownAccess>, StoreError> {
        let since = self.0.snapshots.stamp();
        for _ in 0..READ_TRIES {
            let read = self.load_access().await.map_err(|lost| StoreError::Unavailable(lost.to_string()))?;
            if let Some(known) = read?.filter(|known| since <= known.stamp) {
                return Ok(known);
            }
        }
        Err(StoreError::Unavailable("agents and bindings keep changing".into()))
    }

    fn load_access(&self) -> super::flight::Answer<AccessLoading> {
        let broker = self.clone();
        let (answer, _) = self.0.access_loads.board((), || async move {
            let (stamp, read_at) = (broker.0.snapshots.stamp(), broker.now());
            let store = &broker.0.ports.store;
            let (agents, bindings) =
                (Agents::new(store.agents().await?), Bindings::new(store.bindings().await?));
            let access = Arc::new(Access { agents, bindings });
            Ok(broker.0.snapshots.keep_access(stamp, access, read_at))
        });
        answer
    }

    fn access_changed(&self) {
        self.0.snapshots.access_changed();
        self.0.ports.coordinator.announce();
    }

    /// Another process changed agents or bindings. What it took away is gone here before anything is read.
    pub(super) fn access_told(&self, event: &StoredEvent) {
        let detail: Value = serde_json::from_str(&event.detail).unwrap_or_default();
        let id = detail.get("id").and_then(Value::as_str).unwrap_or_default();
        let snapshots = &self.0.snapshots;
        match (event.kind.as_str(), AgentId::parse(id), BindingId::parse(id)) {
            ("agent_revoked", Some(id), _) => snapshots.drop_agent(id),
            ("binding_removed", _, Some(id)) => snapshots.drop_binding(id),
            ("agent_created" | "binding_added", _, _) => snapshots.access_changed(),
            _ => snapshots.drop_access(),
        }
    }
}

fn told(binding: &Binding) -> Value {
    let (kind, place) = match &binding.injection {
        Injection::Header { name, .. } => ("header", name),
        Injection::Query { parameter, .. } => ("query", parameter),
    };
    // The upstream's path may say more than its host: it stays in the binding.
    let upstream =
        binding.upstream.as_ref().map(|upstream| format!("{}:{}", upstream.host(), upstream.port()));
    json!({
        "id": binding.id.to_string(), "host": binding.host.as_str(), "port": binding.port, kind: place,
        "upstream": upstream,
    })
}
