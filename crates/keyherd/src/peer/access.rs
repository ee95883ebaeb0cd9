//! Agents and bindings, as commands ask for them.

use async_trait::async_trait;
use keyherd_api::documents::{
    AgentDocument, AgentKeyView, AgentView, BindingDocument, BindingView, PhantomView,
};
use keyherd_core::ids::{BindingId, Name};

use crate::cli::Failure;

/// What is done with a new agent's key. It is wiped afterwards.
pub(crate) type KeyShown<'a> = &'a mut (dyn FnMut(&AgentKeyView<'_>) -> Result<(), Failure> + Send);

/// Who may use what, and where it may go.
#[async_trait]
pub(crate) trait AccessPeer: Send + Sync {
    /// The agents.
    async fn agents(&self) -> Result<Vec<AgentView>, Failure>;

    /// Makes an agent; its key is handed to `show`.
    async fn create_agent(&self, document: AgentDocument, show: KeyShown<'_>) -> Result<(), Failure>;

    /// Takes an agent's key from it.
    async fn revoke_agent(&self, name: &Name) -> Result<(), Failure>;

    /// What an agent puts where secrets would stand.
    async fn phantoms(&self, agent: &Name) -> Result<Vec<PhantomView>, Failure>;

    /// The bindings.
    async fn bindings(&self) -> Result<Vec<BindingView>, Failure>;

    /// Adds a binding.
    async fn add_binding(&self, document: BindingDocument) -> Result<BindingView, Failure>;

    /// Removes a binding.
    async fn remove_binding(&self, id: BindingId) -> Result<(), Failure>;
}
