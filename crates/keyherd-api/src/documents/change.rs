//! Changes to a credential: new tokens, and amendments that leave tokens alone.

use keyherd_core::broker::NewTokens;
use keyherd_core::credential::{Amendment, ClientChoice};
use keyherd_core::ids::Name;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::parse::{check_scopes, check_secret, check_text};
use super::sensitive::secret;
use super::{BadDocument, Moment, SecretText};

/// New tokens for a credential that keeps all else, for `PUT /v1/credentials/{name}/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokensDocument {
    /// The access token, for `oauth2`.
    #[serde(default)]
    pub access_token: Option<SecretText>,
    /// The refresh token, for `oauth2`.
    #[serde(default)]
    pub refresh_token: Option<SecretText>,
    /// When the access token ends, where known.
    #[serde(default)]
    pub expires_at: Option<Moment>,
    /// The API key, for `static`.
    #[serde(default)]
    pub secret: Option<SecretText>,
}

impl NewTokensDocument {
    /// The tokens it stands for. Whether they fit the credential's kind, the broker says.
    pub fn into_tokens(self) -> Result<NewTokens, BadDocument> {
        if self.secret.is_some()
            && (self.access_token.is_some() || self.refresh_token.is_some() || self.expires_at.is_some())
        {
            return Err(BadDocument::field("secret", "stands alone: a static credential is one secret"));
        }
        let tokens = NewTokens {
            secret: secret(self.secret),
            access_token: secret(self.access_token),
            refresh_token: secret(self.refresh_token),
            expires_at: self.expires_at.map(Moment::timestamp),
        };
        check_secret("secret", tokens.secret.as_ref())?;
        check_secret("access_token", tokens.access_token.as_ref())?;
        check_secret("refresh_token", tokens.refresh_token.as_ref())?;
        Ok(tokens)
    }
}

/// A change that leaves tokens alone, for `PATCH /v1/credentials/{name}`. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchDocument {
    /// Switches it off or on.
    #[serde(default)]
    pub disabled: Option<bool>,
    /// Replaces the attributes.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub attributes: Option<Value>,
    /// Another shared client app, by name.
    #[serde(default)]
    pub client: Option<String>,
    /// Another client app of its own; without `client_secret` a public one.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The secret that belongs to `client_id`.
    #[serde(default)]
    pub client_secret: Option<SecretText>,
    /// Another token endpoint.
    #[serde(default)]
    pub token_url: Option<String>,
    /// Another set of scopes.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
}

impl PatchDocument {
    /// The amendment it stands for.
    pub fn into_amendment(self) -> Result<Amendment, BadDocument> {
        if self == Self::default() {
            return Err(BadDocument::whole(
                "nothing is to be changed: give disabled, attributes, client, client_id, token_url or scopes",
            ));
        }
        if let Some(attributes) = &self.attributes {
            check_attributes(attributes)?;
        }
        if let Some(url) = &self.token_url {
            check_text("token_url", url)?;
        }
        if let Some(scopes) = &self.scopes {
            check_scopes(scopes)?;
        }
        Ok(Amendment {
            disabled: self.disabled,
            attributes: self.attributes,
            client: client(self.client, self.client_id, self.client_secret)?,
            token_url: self.token_url,
            scopes: self.scopes,
        })
    }
}

fn client(
    name: Option<String>,
    id: Option<String>,
    client_secret: Option<SecretText>,
) -> Result<Option<ClientChoice>, BadDocument> {
    match (name, id) {
        (Some(_), None) if client_secret.is_some() => {
            Err(BadDocument::field("client_secret", "belongs to client_id: the named client has its own"))
        }
        (Some(name), None) => {
            let name = Name::parse(&name).map_err(|error| BadDocument::field("client", error.to_string()))?;
            Ok(Some(ClientChoice::Named(name)))
        }
        (Some(_), Some(_)) => {
            Err(BadDocument::field("client", "stands for client_id and client_secret: give one or the other"))
        }
        (None, Some(id)) => {
            check_text("client_id", &id)?;
            let client_secret = secret(client_secret);
            check_secret("client_secret", client_secret.as_ref())?;
            Ok(Some(ClientChoice::Own { id, secret: client_secret }))
        }
        (None, None) if client_secret.is_some() => {
            Err(BadDocument::field("client_id", "is missing: client_secret belongs to it"))
        }
        (None, None) => Ok(None),
    }
}

fn check_attributes(attributes: &Value) -> Result<(), BadDocument> {
    if !attributes.is_object() {
        return Err(BadDocument::field("attributes", "must be a JSON object"));
    }
    if attributes.to_string().len() > keyherd_core::credential::TEXT_LEN_MAX {
        return Err(BadDocument::field("attributes", "are longer than 65536 bytes"));
    }
    Ok(())
}
