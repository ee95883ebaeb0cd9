//! Profiles through a server: what is imported there is in force for everybody who asks it, and for its fleet.

use http::Method;
use keyherd_api::documents::{ProviderDocument, ProviderView};
use keyherd_core::ids::Name;
use serde_json::json;

use super::{ServerPeer, plain};
use crate::cli::Failure;

impl ServerPeer {
    /// Hands in a profile's text.
    pub(crate) async fn import_profile(&self, document: &ProviderDocument) -> Result<ProviderView, Failure> {
        self.change(Method::POST, &["v1", "providers"], plain(&json!(document))).await
    }

    /// Takes an imported one away.
    pub(crate) async fn remove_profile(&self, name: &Name) -> Result<(), Failure> {
        let path = ["v1", "providers", name.as_str()];
        let said = self.ask(Method::DELETE, &path, &[], None, self.brief()).await;
        said.map(drop).map_err(|refused| self.failure(refused))
    }
}
