//! Credentials: the document that makes one, and what may be shown of it.

use keyherd_core::credential::{Draft, DraftError, DraftFields, Loaded};
use keyherd_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::sensitive::secret;
use super::{CoolingView, Moment, SecretText, TroubleView};

/// A credential as handed in, for `cred import` and `POST /v1/credentials`.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialDocument {
    /// What callers will ask for: 1 to 128 letters, digits or `._@+:~-`.
    pub name: String,
    /// The provider profile's name; `generic` fits most, with a `token_url`.
    #[serde(default)]
    #[schema(required)]
    pub provider: String,
    /// `oauth2` (the default), `static` or `client_credentials`.
    #[serde(default)]
    #[schema(example = "oauth2")]
    pub kind: Option<String>,
    /// The access token, for `oauth2`.
    #[serde(default)]
    pub access_token: Option<SecretText>,
    /// The refresh token, for `oauth2`.
    #[serde(default)]
    pub refresh_token: Option<SecretText>,
    /// The API key, for `static`.
    #[serde(default)]
    pub secret: Option<SecretText>,
    /// When the access token ends; where it is not said, the profile's default lifetime from now.
    #[serde(default)]
    pub expires_at: Option<Moment>,
    /// The name of a client app that credentials share; stands for `client_id` and `client_secret`.
    #[serde(default)]
    pub client: Option<String>,
    /// The client app's id.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The client app's secret; none for a public client.
    #[serde(default)]
    pub client_secret: Option<SecretText>,
    /// Overrides the profile's token endpoint, within the profile's `token_hosts`.
    #[serde(default)]
    pub token_url: Option<String>,
    /// Scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The resource indicator (RFC 8707).
    #[serde(default)]
    pub resource: Option<String>,
    /// A token chain that several credentials share, by name.
    #[serde(default)]
    pub chain: Option<String>,
    /// Whatever the owner wants to keep with it. It is shown: no place for secrets.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub attributes: Option<Value>,
}

impl CredentialDocument {
    /// The draft it stands for, its fields checked against each other.
    pub fn into_draft(self) -> Result<Draft, DraftError> {
        Draft::parse(DraftFields {
            name: self.name,
            provider: self.provider,
            kind: self.kind,
            access_token: secret(self.access_token),
            refresh_token: secret(self.refresh_token),
            secret: secret(self.secret),
            expires_at: self.expires_at.map(Moment::timestamp),
            client: self.client,
            client_id: self.client_id,
            client_secret: secret(self.client_secret),
            token_url: self.token_url,
            scopes: self.scopes,
            resource: self.resource,
            chain: self.chain,
            attributes: self.attributes,
        })
    }
}

/// What may be shown of a credential: everything but its secrets. Absent fields have no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CredentialView {
    /// What callers ask for.
    pub name: String,
    /// The provider profile's name.
    pub provider: String,
    /// `oauth2`, `static` or `client_credentials`.
    pub kind: String,
    /// `active`, `disabled`, `cooling`, `reauth_required`, `uncertain`, `blocked` or `unavailable`.
    pub state: String,
    /// +1 at each committed refresh or reconnect.
    pub generation: u64,
    /// When the access token ends; null: it does not, or there is none yet.
    pub expires_at: Option<Moment>,
    /// The provider named no lifetime: `expires_at` is the profile's default.
    pub expires_assumed: bool,
    /// When the provider last granted tokens here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Moment>,
    /// When the refresh token ends, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_expires_at: Option<Moment>,
    /// Whether there is an access token (or static secret).
    pub has_access_token: bool,
    /// Whether there is a refresh token.
    pub has_refresh_token: bool,
    /// Scopes: as granted where the provider said them, else as asked for.
    pub scopes: Vec<String>,
    /// The shared chain's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// The shared client app's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The client app's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its own token endpoint, where it overrides the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    /// The resource indicator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Switched off by hand.
    pub disabled: bool,
    /// The cooldown that holds now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooling: Option<CoolingView>,
    /// Parts of it that rest now, while others do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cooling_scopes: Vec<CoolingView>,
    /// What stands in the way of the next refresh, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<TroubleView>,
    /// Whatever the owner keeps with it.
    #[schema(value_type = Object)]
    pub attributes: Value,
    /// When it was made.
    pub created_at: Moment,
}

impl CredentialView {
    /// How a credential stands at `now`.
    pub fn new(loaded: &Loaded, now: Timestamp) -> Self {
        let (credential, chain) = (&loaded.credential, &loaded.chain);
        let tokens = &chain.tokens;
        let scopes = if tokens.scopes.is_empty() { &chain.scopes } else { &tokens.scopes };
        Self {
            name: credential.name.to_string(),
            provider: chain.provider.clone(),
            kind: chain.kind.as_str().into(),
            state: loaded.state(now).as_str().into(),
            generation: chain.generation,
            expires_at: tokens.expires_at.map(Moment::from),
            expires_assumed: tokens.expires_assumed,
            refreshed_at: chain.refreshed_at.map(Moment::from),
            refresh_expires_at: tokens.refresh_expires_at.map(Moment::from),
            has_access_token: tokens.access_token.is_some(),
            has_refresh_token: tokens.refresh_token.is_some(),
            scopes: scopes.clone(),
            chain: chain.name.as_ref().map(ToString::to_string),
            client: chain.client.name.as_ref().map(ToString::to_string),
            client_id: chain.client.id.clone(),
            token_url: chain.token_url.clone(),
            resource: chain.resource.clone(),
            disabled: credential.disabled,
            cooling: loaded.cooling(now).map(CoolingView::new),
            cooling_scopes: CoolingView::of_scopes(loaded, now),
            trouble: TroubleView::new(loaded),
            attributes: credential.attributes.clone(),
            created_at: credential.created_at.into(),
        }
    }
}
