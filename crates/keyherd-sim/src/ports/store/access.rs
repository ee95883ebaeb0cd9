//! Agents and bindings, reached as all else.

use async_trait::async_trait;
use keyherd_core::agent::Agent;
use keyherd_core::binding::Binding;
use keyherd_core::ids::{AgentId, BindingId};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{AccessStore, AgentCreated, BindingAdded, Record};

use super::SimStore;

#[async_trait]
impl AccessStore for SimStore {
    async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        self.step("agents", None, self.inner.agents(), |_| None).await
    }

    async fn create_agent(
        &self,
        agent: Agent,
        agents_max: usize,
        record: Record,
    ) -> Result<AgentCreated, StoreError> {
        self.step("create agent", None, self.inner.create_agent(agent, agents_max, record), |_| None).await
    }

    async fn revoke_agent(&self, id: AgentId, record: Record) -> Result<bool, StoreError> {
        self.step("revoke agent", None, self.inner.revoke_agent(id, record), |_| None).await
    }

    async fn bindings(&self) -> Result<Vec<Binding>, StoreError> {
        self.step("bindings", None, self.inner.bindings(), |_| None).await
    }

    async fn add_binding(
        &self,
        binding: Binding,
        bindings_max: usize,
        record: Record,
    ) -> Result<BindingAdded, StoreError> {
        self.step("add binding", None, self.inner.add_binding(binding, bindings_max, record), |_| None).await
    }

    async fn remove_binding(&self, id: BindingId, record: Record) -> Result<bool, StoreError> {
        self.step("remove binding", None, self.inner.remove_binding(id, record), |_| None).await
    }
}
