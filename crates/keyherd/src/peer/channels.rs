//! Channels, as commands ask for them.

use async_trait::async_trait;
use keyherd_api::documents::{ChannelDocument, ChannelKeyView, ChannelView, TestedView};
use keyherd_core::ids::Name;

use crate::cli::Failure;

/// What is done with a new channel's signing key. It is wiped afterwards.
pub(crate) type ChannelShown<'a> = &'a mut (dyn FnMut(&ChannelKeyView<'_>) -> Result<(), Failure> + Send);

/// Where approvals are announced.
#[async_trait]
pub(crate) trait ChannelPeer: Send + Sync {
    /// The channels.
    async fn channels(&self) -> Result<Vec<ChannelView>, Failure>;

    /// Adds one; it is handed to `show`, with its signing key where one was made.
    async fn add_channel(&self, document: ChannelDocument, show: ChannelShown<'_>) -> Result<(), Failure>;

    /// Removes one.
    async fn remove_channel(&self, name: &Name) -> Result<(), Failure>;

    /// Sends a message that asks nothing.
    async fn test_channel(&self, name: &Name) -> Result<TestedView, Failure>;
}
