//! What a chain is configured with: provider, kind, client, token URL, scopes, resource; and by what a block knows a
//! client again.
//!
//! Owns the client's fingerprint. It covers provider, id and secret, so that a corrected secret is another client; the
//! token URL's origin stands beside it.

use keyherd_core::credential::{Chain, Client, ClientChoice, Draft, Kind};
use keyherd_core::ids::Name;
use keyherd_core::ports::store::Conflict;
use keyherd_core::secret::Secret;
use url::Url;

use super::SqlStore;
use super::row::scopes_text;
use super::vault::{CLIENT_SECRET, Slot};
use super::write::Write;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::query;

/// A chain's configuration, as it will stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) name: Option<Name>,
    pub(super) provider: String,
    pub(super) kind: Kind,
    pub(super) client: ClientChoice,
    pub(super) token_url: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) scopes: Vec<String>,
}

impl Configuration {
    pub(super) fn of_draft(draft: &Draft) -> Self {
        Self {
            name: draft.chain.clone(),
            provider: draft.provider.clone(),
            kind: draft.kind,
            client: draft.client.clone(),
            token_url: draft.token_url.clone(),
            resource: draft.resource.clone(),
            scopes: draft.scopes.clone(),
        }
    }

    pub(super) fn of_chain(chain: &Chain) -> Self {
        Self {
            name: chain.name.clone(),
            provider: chain.provider.clone(),
            kind: chain.kind,
            client: choice(&chain.client),
            token_url: chain.token_url.clone(),
            resource: chain.resource.clone(),
            scopes: chain.scopes.clone(),
        }
    }

    /// What a draft says, and where it is silent what was.
    pub(super) fn over(self, old: &Self) -> Self {
        Self {
            name: self.name.or_else(|| old.name.clone()),
            client: if self.client == ClientChoice::None { old.client.clone() } else { self.client },
            token_url: self.token_url.or_else(|| old.token_url.clone()),
            resource: self.resource.or_else(|| old.resource.clone()),
            scopes: if self.scopes.is_empty() { old.scopes.clone() } else { self.scopes },
            provider: self.provider,
            kind: self.kind,
        }
    }

    /// The first thing in which members of a chain must agree and these two do not.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        let pairs = [
            ("provider", self.provider == other.provider),
            ("kind", self.kind == other.kind),
            ("client", self.client == other.client),
            ("token URL", self.token_url == other.token_url),
            ("scopes", sorted(&self.scopes) == sorted(&other.scopes)),
            ("resource", self.resource == other.resource),
        ];
        pairs.into_iter().find(|(_, agree)| !agree).map(|(field, _)| field)
    }

    /// Where the client shows itself: a block there does not hold elsewhere. The profile's own URL is `''`.
    pub(super) fn origin(&self) -> String {
        let Some(text) = &self.token_url else { return String::new() };
        Url::parse(text).map_or_else(|_| text.clone(), |url| url.origin().ascii_serialization())
    }
}

fn choice(client: &Client) -> ClientChoice {
    match (&client.name, &client.id) {
        (Some(name), _) => ClientChoice::Named(name.clone()),
        (None, Some(id)) => ClientChoice::Own { id: id.clone(), secret: client.secret.clone() },
        (None, None) => ClientChoice::None,
    }
}

fn sorted(scopes: &[String]) -> Vec<&String> {
    let mut sorted: Vec<_> = scopes.iter().collect();
    sorted.sort_unstable();
    sorted
}

/// The client's columns of a chain.
pub(super) struct ClientColumns {
    pub(super) name: Option<String>,
    pub(super) id: Option<String>,
    pub(super) secret: Option<Vec<u8>>,
    pub(super) hash: Option<Vec<u8>>,
}

impl SqlStore {
    /// A named client's hash stands in its own row, so that one change there reaches every chain.
    pub(super) fn client_columns(&self, chain: i64, config: &Configuration) -> Result<ClientColumns, Fault> {
        let hash = |id, secret| Some(self.client_hash(&config.provider, id, secret));
        Ok(match &config.client {
            ClientChoice::Named(name) => {
                ClientColumns { name: Some(name.to_string()), id: None, secret: None, hash: None }
            }
            ClientChoice::Own { id, secret } => ClientColumns {
                name: None,
                id: Some(id.clone()),
                secret: self.vault.seal_secret(Slot::of(CLIENT_SECRET, chain, 0), secret.as_ref())?,
                hash: hash(Some(id), secret.as_ref()),
            },
            ClientChoice::None if config.kind == Kind::Static => {
                ClientColumns { name: None, id: None, secret: None, hash: None }
            }
            ClientChoice::None => {
                ClientColumns { name: None, id: None, secret: None, hash: hash(None, None) }
            }
        })
    }

    pub(super) fn client_hash(&self, provider: &str, id: Option<&str>, secret: Option<&Secret>) -> Vec<u8> {
        let secret = secret
            .map(|secret| self.installation.hasher.labelled(b"client_secret", secret.expose().as_bytes()));
        let mut text = Vec::with_capacity(128);
        for part in [provider.as_bytes(), id.unwrap_or_default().as_bytes()] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
        text.push(u8::from(id.is_some()));
        text.extend(secret.iter().flat_map(|hash| hash.as_bytes()));
        self.installation.hasher.labelled(b"client", &text).as_bytes().to_vec()
    }
}

impl Write<'_> {
    /// Writes a chain's configuration, and lifts a block on the client that it has now.
    pub(super) async fn configure(
        &mut self,
        store: &SqlStore,
        chain: i64,
        config: &Configuration,
        lifts_block: bool,
    ) -> Result<(), Fault> {
        let client = store.client_columns(chain, config)?;
        let hash = self.hash_in_force(config, client.hash.clone()).await?;
        let update = query(sql::CONFIGURE)
            .bind(config.name.as_ref().map(Name::as_str))
            .bind(config.provider.as_str())
            .bind(config.kind.as_str())
            .bind(client.name)
            .bind(client.id)
            .bind(client.secret)
            .bind(client.hash)
            .bind(config.token_url.as_deref())
            .bind(config.origin())
            .bind(config.resource.as_deref())
            .bind(scopes_text(&config.scopes))
            .bind(chain);
        self.execute(update).await?;
        match hash {
            Some(hash) if lifts_block => {
                self.execute(query(sql::UNBLOCK).bind(hash).bind(config.origin())).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether the configuration's named client exists for its provider.
    pub(super) async fn missing_client(&mut self, config: &Configuration) -> Result<Option<Conflict>, Fault> {
        let ClientChoice::Named(name) = &config.client else { return Ok(None) };
        let found = query(sql::CLIENT).bind(config.provider.as_str()).bind(name.as_str());
        match self.first(found).await? {
            Some(_) => Ok(None),
            None => {
                Ok(Some(Conflict::NoClient { client: name.to_string(), provider: config.provider.clone() }))
            }
        }
    }

    async fn hash_in_force(
        &mut self,
        config: &Configuration,
        own: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let ClientChoice::Named(name) = &config.client else { return Ok(own) };
        let row = query(sql::CLIENT_HASH).bind(config.provider.as_str()).bind(name.as_str());
        let row = self.first(row).await?;
        row.map(|row| row.try_get("client_hash")).transpose()
    }
}
