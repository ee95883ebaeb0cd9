//! Client apps that credentials share by name.

use keyherd_core::ids::Name;
use keyherd_core::ports::store::NamedClient;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parse::{check_secret, check_text};
use super::sensitive::secret;
use super::{BadDocument, Moment, SecretText};

/// A client app with its name, for `POST /v1/clients`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientDocument {
    /// What credentials call it.
    pub name: String,
    /// The provider profile's name.
    pub provider: String,
    /// The app's id.
    pub client_id: String,
    /// The app's secret; none for a public client.
    #[serde(default)]
    pub client_secret: Option<SecretText>,
}

impl ClientDocument {
    /// The client app it stands for.
    pub fn into_client(self) -> Result<NamedClient, BadDocument> {
        let name = Name::parse(&self.name).map_err(|error| BadDocument::field("name", error.to_string()))?;
        let settings = ClientSettingsDocument {
            provider: self.provider,
            client_id: self.client_id,
            client_secret: self.client_secret,
        };
        settings.into_client(name)
    }
}

/// A client app whose name stands elsewhere, for `PUT /v1/clients/{name}`. Replaces all of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSettingsDocument {
    /// The provider profile's name.
    pub provider: String,
    /// The app's id.
    pub client_id: String,
    /// The app's secret; without it the app is a public client.
    #[serde(default)]
    pub client_secret: Option<SecretText>,
}

impl ClientSettingsDocument {
    /// The client app it stands for, under that name.
    pub fn into_client(self, name: Name) -> Result<NamedClient, BadDocument> {
        check_text("provider", &self.provider)?;
        check_text("client_id", &self.client_id)?;
        let client_secret = secret(self.client_secret);
        check_secret("client_secret", client_secret.as_ref())?;
        Ok(NamedClient {
            name,
            provider: self.provider,
            id: self.client_id,
            secret: client_secret,
            block: None,
        })
    }
}

/// Why a client app of that name cannot be removed: several providers have one, and the name alone means all of them.
pub fn ambiguous_removal(clients: &[NamedClient], name: &Name) -> Option<String> {
    let same = clients.iter().filter(|client| client.name == *name);
    let providers: Vec<&str> = same.map(|client| client.provider.as_str()).collect();
    (providers.len() > 1).then(|| {
        format!(
            "client '{name}' exists for several providers ({}), and all of them would go: nothing was removed; give each \
             its own name, or leave them",
            providers.join(", ")
        )
    })
}

/// What may be shown of a client app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClientView {
    /// What credentials call it.
    pub name: String,
    /// The provider profile's name.
    pub provider: String,
    /// The app's id.
    pub client_id: String,
    /// Whether it has a secret.
    pub has_client_secret: bool,
    /// Set while the provider refuses it: the provider's code. A new configuration lifts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_at: Option<Moment>,
}

impl ClientView {
    /// Of the domain's.
    pub fn new(client: &NamedClient) -> Self {
        Self {
            name: client.name.to_string(),
            provider: client.provider.clone(),
            client_id: client.id.clone(),
            has_client_secret: client.secret.is_some(),
            blocked: client.block.as_ref().map(|block| block.code.clone()),
            blocked_at: client.block.as_ref().map(|block| block.at.into()),
        }
    }
}
