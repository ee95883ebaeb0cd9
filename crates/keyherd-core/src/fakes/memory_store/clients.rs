//! Client apps and what they resolve to.

use async_trait::async_trait;

use super::{ChainRow, MemoryStore, Rows};
use crate::credential::{Client, ClientChoice};
use crate::ids::Name;
use crate::ports::StoreError;
use crate::ports::store::{ClientRemoved, ClientStore, NamedClient, Record};
use crate::secret::{Hasher, TokenHash};
use crate::time::Timestamp;

pub(super) fn resolve(rows: &Rows, row: &ChainRow) -> Client {
    match &row.client {
        ClientChoice::None => Client::default(),
        ClientChoice::Own { id, secret } => {
            Client { name: None, id: Some(id.clone()), secret: secret.clone() }
        }
        ClientChoice::Named(name) => named(rows, &row.chain.provider, name).unwrap_or_default(),
    }
}

/// What a block is about: provider, token URL, client id and secret. Another configuration is another one.
pub(super) fn fingerprint(hasher: &Hasher, rows: &Rows, row: &ChainRow) -> TokenHash {
    let client = resolve(rows, row);
    let secret = client.secret.as_ref().map_or("", |secret| secret.expose());
    let url = row.chain.token_url.as_deref().unwrap_or_default();
    let text = [&row.chain.provider, url, client.id.as_deref().unwrap_or_default(), secret].join("\n");
    hasher.labelled(b"client", text.as_bytes())
}

fn named(rows: &Rows, provider: &str, name: &Name) -> Option<Client> {
    let client = rows.clients.get(&(provider.to_owned(), name.clone()))?;
    Some(Client {
        name: Some(client.name.clone()),
        id: Some(client.id.clone()),
        secret: client.secret.clone(),
    })
}

/// Chains that the client's block kept from being refreshed are due.
fn wake_blocked(rows: &mut Rows, hasher: &Hasher, client: &NamedClient, now: Timestamp) {
    let choice = ClientChoice::Named(client.name.clone());
    let is_held = |row: &&ChainRow| {
        row.client == choice
            && row.chain.provider == client.provider
            && rows.blocks.contains_key(&fingerprint(hasher, rows, row))
    };
    let held: Vec<_> = rows.chains.values().filter(is_held).map(|row| row.chain.id).collect();
    for id in held {
        if let Some(row) = rows.chains.get_mut(&id) {
            row.chain.due_at = Some(row.chain.due_at.map_or(now, |due_at| due_at.min(now)));
        }
    }
}

#[async_trait]
impl ClientStore for MemoryStore {
    async fn clients(&self) -> Result<Vec<NamedClient>, StoreError> {
        self.read(|rows| {
            let block = |client: &NamedClient| {
                let uses = |row: &&ChainRow| {
                    row.client == ClientChoice::Named(client.name.clone())
                        && row.chain.provider == client.provider
                };
                let row = rows.chains.values().find(uses)?;
                rows.blocks.get(&fingerprint(&self.shared.hasher, rows, row)).cloned()
            };
            rows.clients
                .values()
                .map(|client| NamedClient { block: block(client), ..client.clone() })
                .collect()
        })
    }

    async fn put_client(&self, client: NamedClient, record: Record) -> Result<bool, StoreError> {
        self.write(record, |rows| {
            let key = (client.provider.clone(), client.name.clone());
            wake_blocked(rows, &self.shared.hasher, &client, self.shared.clock.now());
            let is_new = rows.clients.insert(key, client.clone()).is_none();
            let choice = ClientChoice::Named(client.name.clone());
            let lifted: Vec<TokenHash> = rows
                .chains
                .values()
                .filter(|row| row.client == choice && row.chain.provider == client.provider)
                .map(|row| fingerprint(&self.shared.hasher, rows, row))
                .collect();
            for fingerprint in lifted {
                rows.blocks.remove(&fingerprint);
            }
            (is_new, true)
        })
    }

    async fn remove_client(
        &self,
        provider: &str,
        name: &Name,
        record: Record,
    ) -> Result<ClientRemoved, StoreError> {
        self.write(record, |rows| {
            let choice = ClientChoice::Named(name.clone());
            let uses = |row: &&ChainRow| row.client == choice && row.chain.provider == provider;
            if let Some(user) = rows.chains.values().find(uses) {
                let by =
                    rows.member(user.chain.id).map_or_else(|| name.clone(), |member| member.name.clone());
                return (ClientRemoved::InUse(by), false);
            }
            match rows.clients.remove(&(provider.to_owned(), name.clone())) {
                Some(_) => (ClientRemoved::Done, true),
                None => (ClientRemoved::NotFound, false),
            }
        })
    }

    async fn client(&self, provider: &str, name: &Name) -> Result<Option<Client>, StoreError> {
        self.read(|rows| named(rows, provider, name))
    }
}
