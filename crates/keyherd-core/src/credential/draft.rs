//! What a person hands in to make, reconnect or amend a credential, checked before any store sees it.
//!
//! Parsing proves: whoever holds a [`Draft`] knows that its fields agree with its kind and keep their bounds.

use serde_json::Value;

use super::Kind;
use crate::ids::{BadName, Name};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The longest token, secret, URL or attribute text, in bytes.
pub const TEXT_LEN_MAX: usize = 64 * 1024;
/// The most scopes on one credential.
pub const SCOPES_MAX: usize = 512;

/// Which client app a credential uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientChoice {
    /// None was said.
    #[default]
    None,
    /// Its own.
    Own {
        /// The `client_id`.
        id: String,
        /// None for a public client.
        secret: Option<Secret>,
    },
    /// One that is shared by name.
    Named(Name),
}

/// The fields of a credential document, typed but not yet checked against each other.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are the binding document's, described there")]
pub struct DraftFields {
    pub name: String,
    pub provider: String,
    pub kind: Option<String>,
    pub access_token: Option<Secret>,
    pub refresh_token: Option<Secret>,
    pub secret: Option<Secret>,
    pub expires_at: Option<Timestamp>,
    pub client: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<Secret>,
    pub token_url: Option<String>,
    pub scopes: Vec<String>,
    pub resource: Option<String>,
    pub chain: Option<String>,
    pub attributes: Option<Value>,
}

/// A credential as handed in, its fields in agreement.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What callers will ask for.
    pub name: Name,
    /// The profile's name; not yet looked up.
    pub provider: String,
    /// What kind of secret it is.
    pub kind: Kind,
    /// The access token, or the static secret.
    pub access_token: Option<Secret>,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
    /// When the access token ends, where known.
    pub expires_at: Option<Timestamp>,
    /// The client app.
    pub client: ClientChoice,
    /// Overrides the profile's token endpoint; not yet checked against the profile.
    pub token_url: Option<String>,
    /// Scopes.
    pub scopes: Vec<String>,
    /// The resource indicator.
    pub resource: Option<String>,
    /// A shared chain's name.
    pub chain: Option<Name>,
    /// Whatever the owner wants to keep with it; always an object.
    pub attributes: Value,
}

/// Why fields make no draft. Every message names the field and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The credential's own name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A field that must be there.
    #[error("credential '{name}': '{field}' is missing: {hint}")]
    Missing {
        /// Whose.
        name: String,
        /// Which.
        field: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A field that must not be there, or not like this.
    #[error("credential '{name}': '{field}' {problem}")]
    Unfit {
        /// Whose.
        name: String,
        /// Which.
        field: &'static str,
        /// What is wrong, and the way out.
        problem: String,
    },
}

impl Draft {
    /// Checks the fields against each other.
    pub fn parse(fields: DraftFields) -> Result<Self, DraftError> {
        let name = Name::parse(&fields.name)?;
        let kind = kind(&fields)?;
        check_lengths(&fields)?;
        check_kind(&fields, kind)?;
        let client = client(&fields)?;
        let chain = fields.chain.as_deref().map(Name::parse).transpose()?;
        if kind == Kind::ClientCredentials && client == ClientChoice::None {
            return Err(missing(
                &fields,
                "client_id",
                "client_credentials needs a client: give client_id or client",
            ));
        }
        let attributes = fields.attributes.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        Ok(Self {
            name,
            provider: fields.provider,
            kind,
            access_token: if kind == Kind::Static { fields.secret } else { fields.access_token },
            refresh_token: fields.refresh_token,
            expires_at: fields.expires_at,
            client,
            token_url: fields.token_url,
            scopes: fields.scopes,
            resource: fields.resource,
            chain,
            attributes,
        })
    }
}

/// A change to a credential that leaves its tokens alone. `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct Amendment {
    /// Switch it off or on.
    pub disabled: Option<bool>,
    /// Replaces the attributes.
    pub attributes: Option<Value>,
    /// Another client app for the chain: lifts a block.
    pub client: Option<ClientChoice>,
    /// Another token endpoint for the chain.
    pub token_url: Option<String>,
    /// Another set of scopes for the chain.
    pub scopes: Option<Vec<String>>,
}

fn kind(fields: &DraftFields) -> Result<Kind, DraftError> {
    match fields.kind.as_deref() {
        None => Ok(Kind::OAuth2),
        Some(word) => Kind::parse(word)
            .ok_or_else(|| unfit(fields, "kind", "is not one of oauth2, static, client_credentials")),
    }
}

fn client(fields: &DraftFields) -> Result<ClientChoice, DraftError> {
    match (&fields.client, &fields.client_id) {
        (Some(_), Some(_)) => {
            Err(unfit(fields, "client", "stands for client_id and client_secret: give one or the other"))
        }
        (Some(_), None) if fields.client_secret.is_some() => {
            Err(unfit(fields, "client_secret", "belongs to client_id: the named client has its own"))
        }
        (Some(name), None) => Ok(ClientChoice::Named(Name::parse(name)?)),
        (None, Some(id)) => Ok(ClientChoice::Own { id: id.clone(), secret: fields.client_secret.clone() }),
        (None, None) if fields.client_secret.is_some() => {
            Err(missing(fields, "client_id", "client_secret stands without it"))
        }
        (None, None) => Ok(ClientChoice::None),
    }
}

fn check_kind(fields: &DraftFields, kind: Kind) -> Result<(), DraftError> {
    let has_tokens = fields.access_token.is_some() || fields.refresh_token.is_some();
    match kind {
        Kind::OAuth2 if fields.secret.is_some() => Err(unfit(
            fields,
            "secret",
            "is for kind static: an oauth2 credential has access_token and refresh_token",
        )),
        Kind::OAuth2 if !has_tokens => Err(missing(
            fields,
            "refresh_token",
            "an oauth2 credential needs a refresh_token or an access_token",
        )),
        Kind::Static if has_tokens => {
            let field = if fields.access_token.is_some() { "access_token" } else { "refresh_token" };
            Err(unfit(fields, field, "is for kind oauth2: a static credential has secret"))
        }
        Kind::Static if fields.secret.is_none() => {
            Err(missing(fields, "secret", "a static credential is one secret"))
        }
        Kind::Static if fields.expires_at.is_some() => Err(unfit(fields, "expires_at", "is for kind oauth2")),
        Kind::Static if fields.token_url.is_some() => {
            Err(unfit(fields, "token_url", "is for kind oauth2: a static credential is never refreshed"))
        }
        Kind::Static if fields.chain.is_some() => Err(unfit(fields, "chain", "is for kind oauth2")),
        Kind::ClientCredentials if has_tokens || fields.secret.is_some() => {
            Err(unfit(fields, "kind", "client_credentials has no tokens of its own: leave them out"))
        }
        _ => Ok(()),
    }
}

fn check_lengths(fields: &DraftFields) -> Result<(), DraftError> {
    let secrets = [
        ("access_token", &fields.access_token),
        ("refresh_token", &fields.refresh_token),
        ("secret", &fields.secret),
        ("client_secret", &fields.client_secret),
    ];
    for (field, secret) in secrets {
        check_secret(secret.as_ref()).map_err(|problem| unfit(fields, field, problem))?;
    }
    if fields.provider.is_empty() {
        return Err(missing(
            fields,
            "provider",
            "see 'keyherd provider list'; 'generic' fits most with a token_url",
        ));
    }
    check_scopes(&fields.scopes).map_err(|problem| unfit(fields, "scopes", problem))?;
    check_attributes(fields.attributes.as_ref()).map_err(|problem| unfit(fields, "attributes", problem))
}

impl Amendment {
    /// Holds it to the bounds of a draft. Says which field is wrong, and how.
    pub fn check(&self) -> Result<(), String> {
        let named = |field: &str, problem: &str| format!("'{field}' {problem}");
        if let Some(ClientChoice::Own { secret, .. }) = &self.client {
            check_secret(secret.as_ref()).map_err(|problem| named("client_secret", problem))?;
        }
        check_scopes(self.scopes.as_deref().unwrap_or_default())
            .map_err(|problem| named("scopes", problem))?;
        check_attributes(self.attributes.as_ref()).map_err(|problem| named("attributes", problem))
    }
}

fn check_secret(secret: Option<&Secret>) -> Result<(), &'static str> {
    let Some(text) = secret.map(Secret::expose) else { return Ok(()) };
    if text.is_empty() {
        return Err("is empty: leave it out, or give its value");
    }
    if text.len() > TEXT_LEN_MAX {
        return Err("is longer than 65536 bytes");
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character in it, such as a line break: paste it anew");
    }
    Ok(())
}

fn check_scopes(scopes: &[String]) -> Result<(), &'static str> {
    if scopes.len() > SCOPES_MAX || scopes.iter().any(|scope| scope.is_empty() || scope.len() > 1024) {
        return Err("must be at most 512 words of 1 to 1024 bytes");
    }
    Ok(())
}

fn check_attributes(attributes: Option<&Value>) -> Result<(), &'static str> {
    match attributes {
        Some(value) if !value.is_object() => Err("must be a JSON object"),
        Some(value) if value.to_string().len() > TEXT_LEN_MAX => Err("are longer than 65536 bytes"),
        _ => Ok(()),
    }
}

fn missing(fields: &DraftFields, field: &'static str, hint: &'static str) -> DraftError {
    DraftError::Missing { name: fields.name.clone(), field, hint }
}

fn unfit(fields: &DraftFields, field: &'static str, problem: impl Into<String>) -> DraftError {
    DraftError::Unfit { name: fields.name.clone(), field, problem: problem.into() }
}

#[cfg(test)]
mod tests;
