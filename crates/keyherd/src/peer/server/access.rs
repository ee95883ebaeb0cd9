//! Agents and bindings through a server.

use async_trait::async_trait;
use http::Method;
use keyherd_api::documents::{
    AgentDocument, AgentKeyView, AgentView, BindingDocument, BindingView, ListView, PhantomView,
};
use keyherd_core::ids::{BindingId, Name};
use serde_json::json;
use zeroize::Zeroize;

use super::super::access::{AccessPeer, KeyShown};
use super::{ServerPeer, plain};
use crate::cli::Failure;

#[async_trait]
impl AccessPeer for ServerPeer {
    async fn agents(&self) -> Result<Vec<AgentView>, Failure> {
        let list: ListView<AgentView> = self.read(&["v1", "agents"], &[]).await?;
        Ok(list.items)
    }

    async fn create_agent(&self, document: AgentDocument, show: KeyShown<'_>) -> Result<(), Failure> {
        let body = plain(&json!(document));
        let mut view: AgentKeyView<'_> = self.change(Method::POST, &["v1", "agents"], body).await?;
        let shown = show(&view);
        view.key.to_mut().zeroize();
        shown
    }

    async fn revoke_agent(&self, name: &Name) -> Result<(), Failure> {
        let path = ["v1", "agents", name.as_str()];
        let said = self.ask(Method::DELETE, &path, &[], None, self.brief()).await;
        said.map(drop).map_err(|refused| self.failure(refused))
    }

    async fn phantoms(&self, agent: &Name) -> Result<Vec<PhantomView>, Failure> {
        let list: ListView<PhantomView> = self.read(&["v1", "agents", agent.as_str(), "env"], &[]).await?;
        Ok(list.items)
    }

    async fn bindings(&self) -> Result<Vec<BindingView>, Failure> {
        let list: ListView<BindingView> = self.read(&["v1", "bindings"], &[]).await?;
        Ok(list.items)
    }

    async fn add_binding(&self, document: BindingDocument) -> Result<BindingView, Failure> {
        self.change(Method::POST, &["v1", "bindings"], plain(&json!(document))).await
    }

    async fn remove_binding(&self, id: BindingId) -> Result<(), Failure> {
        let path = ["v1", "bindings", &id.to_string()];
        let said = self.ask(Method::DELETE, &path, &[], None, self.brief()).await;
        said.map(drop).map_err(|refused| self.failure(refused))
    }
}
