//! Client apps that credentials share by name.

use async_trait::async_trait;

use super::{Record, StoreError};
use crate::credential::{Block, Client};
use crate::ids::Name;
use crate::secret::Secret;

/// A client app that credentials share by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedClient {
    /// Its name, unique within the provider.
    pub name: Name,
    /// The provider.
    pub provider: String,
    /// The `client_id`.
    pub id: String,
    /// None for a public client.
    pub secret: Option<Secret>,
    /// Set while the provider refuses it.
    pub block: Option<Block>,
}

/// Client apps.
#[async_trait]
pub trait ClientStore: Send + Sync + 'static {
    /// All of them, in order of provider and name.
    async fn clients(&self) -> Result<Vec<NamedClient>, StoreError>;

    /// Makes or replaces one. A new configuration lifts its block. `true`: it is new.
    async fn put_client(&self, client: NamedClient, record: Record) -> Result<bool, StoreError>;

    /// Removes one, unless a credential of that provider uses it.
    async fn remove_client(
        &self,
        provider: &str,
        name: &Name,
        record: Record,
    ) -> Result<ClientRemoved, StoreError>;

    /// The named client, resolved for a chain of that provider.
    async fn client(&self, provider: &str, name: &Name) -> Result<Option<Client>, StoreError>;
}

/// What became of a client's removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRemoved {
    /// It is gone.
    Done,
    /// It was not there.
    NotFound,
    /// This credential uses it: nothing was changed.
    InUse(Name),
}
