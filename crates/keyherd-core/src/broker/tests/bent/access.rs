//! Agents and bindings, as the store has them.

use crate::agent::Agent;
use crate::binding::Binding;
use crate::ids::{AgentId, BindingId};
use crate::ports::StoreError;
use crate::ports::store::{AccessStore, AgentCreated, BindingAdded, Record};
use async_trait::async_trait;

use super::BentStore;

#[async_trait]
impl AccessStore for BentStore {
    async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        self.inner.agents().await
    }

    async fn create_agent(
        &self,
        agent: Agent,
        agents_max: usize,
        record: Record,
    ) -> Result<AgentCreated, StoreError> {
        self.inner.create_agent(agent, agents_max, record).await
    }

    async fn revoke_agent(&self, id: AgentId, record: Record) -> Result<bool, StoreError> {
        self.inner.revoke_agent(id, record).await
    }

    async fn bindings(&self) -> Result<Vec<Binding>, StoreError> {
        self.inner.bindings().await
    }

    async fn add_binding(
        &self,
        binding: Binding,
        bindings_max: usize,
        record: Record,
    ) -> Result<BindingAdded, StoreError> {
        self.inner.add_binding(binding, bindings_max, record).await
    }

    async fn remove_binding(&self, id: BindingId, record: Record) -> Result<bool, StoreError> {
        self.inner.remove_binding(id, record).await
    }
}
