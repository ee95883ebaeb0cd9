//! Agents and bindings on the store that this process has opened.

use async_trait::async_trait;
use keyherd_adapters::signer::Hs256Signer;
use keyherd_api::documents::{
    AgentDocument, AgentKeyView, AgentView, BindingDocument, BindingView, PhantomView,
};
use keyherd_core::ids::{BindingId, Name};

use super::super::access::{AccessPeer, KeyShown};
use super::actor;
use crate::cli::Failure;
use crate::wire::Wired;

#[async_trait]
impl AccessPeer for Wired {
    async fn agents(&self) -> Result<Vec<AgentView>, Failure> {
        Ok(self.broker.agents().await?.iter().map(AgentView::new).collect())
    }

    async fn create_agent(&self, document: AgentDocument, show: KeyShown<'_>) -> Result<(), Failure> {
        let (agent, key) = self.broker.create_agent(document.into_new()?, &actor()).await?;
        show(&AgentKeyView::new(&agent, &key))
    }

    async fn revoke_agent(&self, name: &Name) -> Result<(), Failure> {
        Ok(self.broker.revoke_agent(name, &actor()).await?)
    }

    async fn phantoms(&self, agent: &Name) -> Result<Vec<PhantomView>, Failure> {
        let signer = Hs256Signer::new(&self.broker.ports().hasher);
        Ok(PhantomView::all(&self.broker.phantoms_of(agent, &signer).await?))
    }

    async fn bindings(&self) -> Result<Vec<BindingView>, Failure> {
        Ok(self.broker.bindings().await?.iter().map(BindingView::new).collect())
    }

    async fn add_binding(&self, document: BindingDocument) -> Result<BindingView, Failure> {
        let binding = self.broker.add_binding(document.into_draft()?, &actor()).await?;
        Ok(BindingView::new(&binding))
    }

    async fn remove_binding(&self, id: BindingId) -> Result<(), Failure> {
        Ok(self.broker.remove_binding(id, &actor()).await?)
    }
}
