//! Agents and bindings, and what they keep from being removed.

use async_trait::async_trait;

use super::{MemoryStore, Rows};
use crate::agent::{Agent, AgentConflict};
use crate::binding::{Binding, BindingConflict, User};
use crate::ids::{AgentId, BindingId, Name};
use crate::ports::StoreError;
use crate::ports::store::{AccessStore, AgentCreated, BindingAdded, Record};

impl Rows {
    /// Who would miss the credential or pool of that name.
    pub(super) fn user_of(&self, name: &Name) -> Option<User> {
        let agent = self.agents.values().find(|agent| agent.is_allowed(name.as_str()));
        let binding = || self.bindings.iter().find(|binding| binding.name == *name);
        agent
            .map(|agent| User::Agent(agent.name.clone()))
            .or_else(|| binding().map(|binding| User::Binding(binding.id)))
    }

    fn is_known(&self, name: &Name) -> bool {
        self.credentials.contains_key(name) || self.pools.contains_key(name)
    }

    fn create_agent(&mut self, agent: Agent, agents_max: usize) -> Result<(), AgentConflict> {
        if self.agents.contains_key(&agent.name) {
            return Err(AgentConflict::NameTaken);
        }
        if self.agents.len() >= agents_max {
            return Err(AgentConflict::TooMany(self.agents.len()));
        }
        if let Some(unknown) = agent.allowed.iter().find(|name| !self.is_known(name)) {
            return Err(AgentConflict::UnknownName(unknown.clone()));
        }
        self.agents.insert(agent.name.clone(), agent);
        Ok(())
    }

    fn add_binding(&mut self, binding: Binding, bindings_max: usize) -> Result<(), BindingConflict> {
        if !self.is_known(&binding.name) {
            return Err(BindingConflict::UnknownName(binding.name));
        }
        let of_name = self.bindings.iter().filter(|other| other.name == binding.name);
        if let Some(conflict) = binding.conflict(of_name) {
            return Err(conflict);
        }
        if self.bindings.len() >= bindings_max {
            return Err(BindingConflict::TooMany(self.bindings.len()));
        }
        self.bindings.push(binding);
        self.bindings.sort_by_key(|binding| (binding.created_at, binding.id));
        Ok(())
    }
}

#[async_trait]
impl AccessStore for MemoryStore {
    async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        self.read(|rows| rows.agents.values().cloned().collect())
    }

    async fn create_agent(
        &self,
        agent: Agent,
        agents_max: usize,
        record: Record,
    ) -> Result<AgentCreated, StoreError> {
        self.write(record, |rows| match rows.create_agent(agent, agents_max) {
            Ok(()) => (AgentCreated::Done, true),
            Err(conflict) => (AgentCreated::Conflict(conflict), false),
        })
    }

    async fn revoke_agent(&self, id: AgentId, record: Record) -> Result<bool, StoreError> {
        let by = record.note.actor.clone();
        self.write(record, |rows| {
            let gone = rows.agents.values().find(|agent| agent.id == id).map(|agent| agent.name.clone());
            rows.agents.retain(|_, agent| agent.id != id);
            if let Some(name) = &gone {
                rows.rules.forget_answers_of(name);
                self.withdraw_questions_of(rows, name, &by);
            }
            (gone.is_some(), gone.is_some())
        })
    }

    async fn bindings(&self) -> Result<Vec<Binding>, StoreError> {
        self.read(|rows| rows.bindings.clone())
    }

    async fn add_binding(
        &self,
        binding: Binding,
        bindings_max: usize,
        record: Record,
    ) -> Result<BindingAdded, StoreError> {
        self.write(record, |rows| match rows.add_binding(binding, bindings_max) {
            Ok(()) => (BindingAdded::Done, true),
            Err(conflict) => (BindingAdded::Conflict(conflict), false),
        })
    }

    async fn remove_binding(&self, id: BindingId, record: Record) -> Result<bool, StoreError> {
        self.write(record, |rows| {
            let before = rows.bindings.len();
            rows.bindings.retain(|binding| binding.id != id);
            let was_there = rows.bindings.len() < before;
            (was_there, was_there)
        })
    }
}
