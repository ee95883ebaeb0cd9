//! Channels through a server.

use async_trait::async_trait;
use http::Method;
use keyherd_api::documents::{ChannelDocument, ChannelKeyView, ChannelView, ListView, TestedView, outgoing};
use keyherd_core::ids::Name;
use zeroize::Zeroize;

use super::super::channels::{ChannelPeer, ChannelShown};
use super::ServerPeer;
use crate::cli::Failure;

#[async_trait]
impl ChannelPeer for ServerPeer {
    async fn channels(&self) -> Result<Vec<ChannelView>, Failure> {
        let list: ListView<ChannelView> = self.read(&["v1", "channels"], &[]).await?;
        Ok(list.items)
    }

    async fn add_channel(&self, document: ChannelDocument, show: ChannelShown<'_>) -> Result<(), Failure> {
        let body = outgoing::channel(&document);
        let mut view: ChannelKeyView<'_> = self.change(Method::POST, &["v1", "channels"], body).await?;
        let shown = show(&view);
        if let Some(key) = &mut view.signing_key {
            key.to_mut().zeroize();
        }
        shown
    }

    async fn remove_channel(&self, name: &Name) -> Result<(), Failure> {
        let path = ["v1", "channels", name.as_str()];
        let said = self.ask(Method::DELETE, &path, &[], None, self.brief()).await;
        said.map(drop).map_err(|refused| self.failure(refused))
    }

    /// The server waits for the other side: longer than for itself.
    async fn test_channel(&self, name: &Name) -> Result<TestedView, Failure> {
        let path = ["v1", "channels", name.as_str(), "test"];
        let whole = self.patient(self.brief().as_secs());
        let said = self.ask(Method::POST, &path, &[], None, whole).await;
        self.parsed(&said.map_err(|refused| self.failure(refused))?)
    }
}
