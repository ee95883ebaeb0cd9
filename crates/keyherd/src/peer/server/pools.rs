//! Pools through a server's REST API.

use async_trait::async_trait;
use http::Method;
use keyherd_api::documents::{ListView, PoolDocument, PoolPatchDocument, PoolView, RotateDocument};
use keyherd_core::ids::Name;
use serde::Serialize;
use serde_json::json;

use super::{Outgoing, ServerPeer, plain};
use crate::cli::Failure;
use crate::peer::PoolPeer;

/// No document of a pool holds a secret.
fn written(document: &impl Serialize) -> Outgoing {
    plain(&json!(document))
}

#[async_trait]
impl PoolPeer for ServerPeer {
    async fn create_pool(&self, document: PoolDocument) -> Result<PoolView, Failure> {
        self.change(Method::POST, &["v1", "pools"], written(&document)).await
    }

    async fn change_pool(&self, name: &Name, patch: PoolPatchDocument) -> Result<PoolView, Failure> {
        self.change(Method::PATCH, &["v1", "pools", name.as_str()], written(&patch)).await
    }

    async fn rotate_pool(&self, name: &Name, to: Option<&Name>) -> Result<PoolView, Failure> {
        let document = RotateDocument { to: to.map(ToString::to_string) };
        self.change(Method::POST, &["v1", "pools", name.as_str(), "rotate"], written(&document)).await
    }

    async fn remove_pool(&self, name: &Name) -> Result<(), Failure> {
        let path = ["v1", "pools", name.as_str()];
        let said = self.ask(Method::DELETE, &path, &[], None, self.brief()).await;
        said.map(drop).map_err(|refused| self.failure(refused))
    }

    async fn pool(&self, name: &Name) -> Result<PoolView, Failure> {
        self.read(&["v1", "pools", name.as_str()], &[]).await
    }

    async fn pools(&self, after: Option<&Name>, limit: usize) -> Result<ListView<PoolView>, Failure> {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(after.map(|after| ("after", after.as_str())));
        self.read(&["v1", "pools"], &query).await
    }
}
