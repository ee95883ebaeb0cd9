//! Channels on the store that this process has opened.

use async_trait::async_trait;
use keyherd_api::documents::{ChannelDocument, ChannelKeyView, ChannelView, TestedView};
use keyherd_core::ids::Name;

use super::super::channels::{ChannelPeer, ChannelShown};
use super::actor;
use crate::cli::Failure;
use crate::wire::Wired;

#[async_trait]
impl ChannelPeer for Wired {
    async fn channels(&self) -> Result<Vec<ChannelView>, Failure> {
        Ok(self.broker.channels().await?.iter().map(ChannelView::new).collect())
    }

    async fn add_channel(&self, document: ChannelDocument, show: ChannelShown<'_>) -> Result<(), Failure> {
        let (name, draft) = document.into_draft()?;
        let (channel, made) = self.broker.add_channel(name, draft, &actor()).await?;
        show(&ChannelKeyView::new(&channel, made.as_ref()))
    }

    async fn remove_channel(&self, name: &Name) -> Result<(), Failure> {
        Ok(self.broker.remove_channel(name, &actor()).await?)
    }

    async fn test_channel(&self, name: &Name) -> Result<TestedView, Failure> {
        Ok(TestedView::new(name, &self.broker.test_channel(name).await?))
    }
}
