//! Who may use what, and where it may go: agents and bindings.
//!
//! Both name credentials and pools. What is named is there, and stays: a credential or pool that an agent is allowed or
//! that a binding is of is not removed. Both sides of that are one transaction's to see.

use async_trait::async_trait;

use super::{Record, StoreError};
use crate::agent::{Agent, AgentConflict};
use crate::binding::{Binding, BindingConflict, User};
use crate::ids::{AgentId, BindingId};

/// What became of a new agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentCreated {
    /// It is there.
    Done,
    /// Nothing was changed.
    Conflict(AgentConflict),
}

/// What became of a new binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingAdded {
    /// It is there.
    Done,
    /// Nothing was changed.
    Conflict(BindingConflict),
}

/// What became of a pool's removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolRemoved {
    /// It is gone.
    Done,
    /// It was not there.
    NotFound,
    /// It would be missed: nothing was changed.
    Used(User),
}

/// Agents and bindings.
#[async_trait]
pub trait AccessStore: Send + Sync + 'static {
    /// All agents, in order of names.
    async fn agents(&self) -> Result<Vec<Agent>, StoreError>;

    /// Makes an agent, unless there are `agents_max` already. Each name that it is allowed is a credential or a pool.
    async fn create_agent(
        &self,
        agent: Agent,
        agents_max: usize,
        record: Record,
    ) -> Result<AgentCreated, StoreError>;

    /// Takes an agent's key from it, for ever. `false`: there was no such agent.
    async fn revoke_agent(&self, id: AgentId, record: Record) -> Result<bool, StoreError>;

    /// All bindings, in the order of their making, then of their ids.
    async fn bindings(&self) -> Result<Vec<Binding>, StoreError>;

    /// Adds a binding, unless there are `bindings_max` already. Its name is a credential or a pool.
    async fn add_binding(
        &self,
        binding: Binding,
        bindings_max: usize,
        record: Record,
    ) -> Result<BindingAdded, StoreError>;

    /// Removes a binding. `false`: there was no such one.
    async fn remove_binding(&self, id: BindingId, record: Record) -> Result<bool, StoreError>;
}
