//! Pools as a command asks for them: see [`super::Peer`].

use async_trait::async_trait;
use keyherd_api::documents::{ListView, PoolDocument, PoolPatchDocument, PoolView};
use keyherd_core::ids::Name;

use crate::cli::Failure;

/// Who looks after pools.
#[async_trait]
pub(crate) trait PoolPeer {
    /// Makes a pool.
    async fn create_pool(&self, document: PoolDocument) -> Result<PoolView, Failure>;

    /// Changes what the patch names.
    async fn change_pool(&self, name: &Name, patch: PoolPatchDocument) -> Result<PoolView, Failure>;

    /// Moves the pointer: to that member, or else to the next in order.
    async fn rotate_pool(&self, name: &Name, to: Option<&Name>) -> Result<PoolView, Failure>;

    /// Removes a pool.
    async fn remove_pool(&self, name: &Name) -> Result<(), Failure>;

    /// A pool that must be there.
    async fn pool(&self, name: &Name) -> Result<PoolView, Failure>;

    /// Pools in order of names, after that one.
    async fn pools(&self, after: Option<&Name>, limit: usize) -> Result<ListView<PoolView>, Failure>;
}
