//! Agents and bindings: reads and writes like any other.

use async_trait::async_trait;
use keyherd_core::agent::Agent;
use keyherd_core::binding::Binding;
use keyherd_core::ids::{AgentId, BindingId};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{AccessStore, AgentCreated, BindingAdded, Record};

use super::CountingStore;

#[async_trait]
impl AccessStore for CountingStore {
    async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        self.read().agents().await
    }

    async fn create_agent(
        &self,
        agent: Agent,
        agents_max: usize,
        record: Record,
    ) -> Result<AgentCreated, StoreError> {
        self.write().create_agent(agent, agents_max, record).await
    }

    async fn revoke_agent(&self, id: AgentId, record: Record) -> Result<bool, StoreError> {
        self.write().revoke_agent(id, record).await
    }

    async fn bindings(&self) -> Result<Vec<Binding>, StoreError> {
        self.read().bindings().await
    }

    async fn add_binding(
        &self,
        binding: Binding,
        bindings_max: usize,
        record: Record,
    ) -> Result<BindingAdded, StoreError> {
        self.write().add_binding(binding, bindings_max, record).await
    }

    async fn remove_binding(&self, id: BindingId, record: Record) -> Result<bool, StoreError> {
        self.write().remove_binding(id, record).await
    }
}
