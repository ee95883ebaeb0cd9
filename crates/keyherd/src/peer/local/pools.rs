//! Pools on the store that this process has opened.

use async_trait::async_trait;
use keyherd_api::documents::{ListView, PoolDocument, PoolPatchDocument, PoolView};
use keyherd_core::ids::Name;
use keyherd_core::pool::Pool;

use super::actor;
use crate::cli::Failure;
use crate::peer::PoolPeer;
use crate::wire::Wired;

impl Wired {
    async fn seen(&self, pool: Pool) -> Result<PoolView, Failure> {
        let status = self.broker.status_of(pool).await?;
        Ok(PoolView::new(&status, self.broker.now()))
    }
}

#[async_trait]
impl PoolPeer for Wired {
    async fn create_pool(&self, document: PoolDocument) -> Result<PoolView, Failure> {
        let wish = document.into_wish().map_err(Failure::usage)?;
        self.seen(self.broker.create_pool(&wish.name, wish.members, wish.strategy, &actor()).await?).await
    }

    async fn change_pool(&self, name: &Name, patch: PoolPatchDocument) -> Result<PoolView, Failure> {
        let change = patch.into_change().map_err(Failure::usage)?;
        self.seen(self.broker.change_pool(name, change, &actor()).await?).await
    }

    async fn rotate_pool(&self, name: &Name, to: Option<&Name>) -> Result<PoolView, Failure> {
        self.seen(self.broker.rotate_pool(name, to, &actor()).await?).await
    }

    async fn remove_pool(&self, name: &Name) -> Result<(), Failure> {
        Ok(self.broker.remove_pool(name, &actor()).await?)
    }

    async fn pool(&self, name: &Name) -> Result<PoolView, Failure> {
        self.seen(self.broker.pool(name).await?).await
    }

    async fn pools(&self, after: Option<&Name>, limit: usize) -> Result<ListView<PoolView>, Failure> {
        let page = self.broker.pools(after, limit).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for pool in page.items {
            items.push(self.seen(pool).await?);
        }
        Ok(ListView { items, next: page.next })
    }
}
