//! Credentials by name.

use async_trait::async_trait;

use super::{ChainRow, MemoryStore, Rows};
use crate::credential::{Chain, Client, ClientChoice, Cooldown, Credential, Draft, Loaded, Trouble};
use crate::ids::{CredentialId, Name};
use crate::ports::StoreError;
use crate::ports::store::{
    Amended, Change, Conflict, Created, CredentialStore, NewCredential, Reconnected, Record,
};
use crate::time::Timestamp;

impl MemoryStore {
    fn loaded(&self, rows: &Rows, name: &Name) -> Option<Loaded> {
        let credential = rows.credentials.get(name)?.clone();
        let chain = self.view(rows, rows.chains.get(&credential.chain)?);
        Some(Loaded { credential, chain })
    }

    fn create_in(&self, rows: &mut Rows, new: NewCredential) -> Created {
        let name = new.draft.name.clone();
        if let Some(loaded) = self.loaded(rows, &name) {
            return Created::NameTaken(Box::new(loaded));
        }
        if let Some(conflict) = no_client(rows, &new.draft) {
            return Created::Conflict(conflict);
        }
        let shared = shared_chain(rows, &new.draft);
        let joined = shared.is_some();
        let chain = match shared {
            Some(Ok(id)) => id,
            Some(Err(conflict)) => return Created::Conflict(conflict),
            None => match held_or_spent(rows, &new, None) {
                Some(conflict) => return Created::Conflict(conflict),
                None => {
                    rows.chains.insert(new.chain, row_of(&new));
                    new.chain
                }
            },
        };
        rows.credentials.insert(name.clone(), credential_of(&new, chain, self.shared.clock.now()));
        match self.loaded(rows, &name) {
            Some(loaded) => Created::Done { loaded: Box::new(loaded), joined },
            None => unreachable!("it was inserted above, under the same lock"),
        }
    }

    fn reconnect_in(&self, rows: &mut Rows, new: NewCredential) -> Reconnected {
        let name = new.draft.name.clone();
        let Some(current) = self.loaded(rows, &name) else { return Reconnected::NotFound };
        if let Some(conflict) = no_client(rows, &new.draft) {
            return Reconnected::Conflict(conflict);
        }
        let id = current.chain.id;
        let is_same = new.spend_hash.is_some() && new.spend_hash == current.chain.spend_hash;
        if !is_same && let Some(conflict) = held_or_spent(rows, &new, Some(&current.chain)) {
            return Reconnected::Conflict(conflict);
        }
        let Some(row) = rows.chains.get_mut(&id) else { return Reconnected::NotFound };
        row.chain.revision += 1;
        if new.draft.client != ClientChoice::None {
            row.client = new.draft.client;
        }
        row.chain.due_at = new.due_at;
        if !is_same {
            if let Some(spent) = row.chain.spend_hash {
                rows.spent.insert(spent, (id, row.chain.generation));
            }
            row.chain.generation += 1;
            row.chain.claim = None;
            row.chain.trouble = Trouble::None;
            row.chain.spend_hash = new.spend_hash;
            row.chain.minted_by_rejection = false;
            row.chain.tokens = new.tokens;
        } else if new.tokens.access_token.is_some() {
            row.chain.tokens = new.tokens;
        }
        self.loaded(rows, &name).map_or(Reconnected::NotFound, |loaded| Reconnected::Done(Box::new(loaded)))
    }
}

/// The chain that a draft joins, if it names one that exists; or why it may not.
fn shared_chain(rows: &Rows, draft: &Draft) -> Option<Result<crate::ids::ChainId, Conflict>> {
    let name = draft.chain.as_ref()?;
    let row = rows
        .chains
        .values()
        .find(|row| row.chain.name.as_ref() == Some(name) && row.chain.provider == draft.provider)?;
    let differs = [
        ("kind", row.chain.kind != draft.kind),
        ("client", row.client != draft.client),
        ("token URL", row.chain.token_url != draft.token_url),
        ("scopes", row.chain.scopes != draft.scopes),
        ("resource", row.chain.resource != draft.resource),
    ];
    Some(match differs.into_iter().find(|(_, differs)| *differs) {
        Some((field, _)) => Err(Conflict::ChainDiffers { chain: name.to_string(), field }),
        None => Ok(row.chain.id),
    })
}

fn no_client(rows: &Rows, draft: &Draft) -> Option<Conflict> {
    let ClientChoice::Named(name) = &draft.client else { return None };
    let is_known = rows.clients.contains_key(&(draft.provider.clone(), name.clone()));
    (!is_known).then(|| Conflict::NoClient { client: name.to_string(), provider: draft.provider.clone() })
}

/// Whether the refresh token is current elsewhere, or was spent on a chain that lives.
fn held_or_spent(rows: &Rows, new: &NewCredential, own: Option<&Chain>) -> Option<Conflict> {
    let hash = new.spend_hash?;
    let holder = |id| rows.member(id).map_or_else(String::new, |member| member.name.to_string());
    let is_other = |chain: &Chain| own.is_none_or(|own| own.id != chain.id);
    if let Some(row) =
        rows.chains.values().find(|row| row.chain.spend_hash == Some(hash) && is_other(&row.chain))
    {
        return Some(Conflict::TokenHeld { holder: holder(row.chain.id) });
    }
    let (id, generation) = rows.spent.get(&hash).copied()?;
    let row = rows.chains.get(&id)?;
    let is_live = row.chain.verdict().is_none();
    is_live.then(|| Conflict::TokenSpent { holder: holder(id), generation, current: row.chain.generation })
}

fn row_of(new: &NewCredential) -> ChainRow {
    let draft = &new.draft;
    let chain = Chain {
        id: new.chain,
        revision: 1,
        generation: 0,
        name: draft.chain.clone(),
        provider: draft.provider.clone(),
        kind: draft.kind,
        client: Client::default(),
        token_url: draft.token_url.clone(),
        resource: draft.resource.clone(),
        scopes: draft.scopes.clone(),
        tokens: new.tokens.clone(),
        spend_hash: new.spend_hash,
        refreshed_at: None,
        minted_by_rejection: false,
        trouble: Trouble::None,
        claim: None,
        block: None,
        due_at: new.due_at,
    };
    ChainRow { chain, client: draft.client.clone(), claim_hash: None }
}

fn credential_of(new: &NewCredential, chain: crate::ids::ChainId, created_at: Timestamp) -> Credential {
    Credential {
        id: new.id,
        name: new.draft.name.clone(),
        chain,
        disabled: false,
        attributes: new.draft.attributes.clone(),
        cooldown: None,
        created_at,
    }
}

#[async_trait]
impl CredentialStore for MemoryStore {
    async fn credential(&self, name: &Name) -> Result<Option<Loaded>, StoreError> {
        self.read(|rows| self.loaded(rows, name))
    }

    async fn credentials(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Loaded>, StoreError> {
        self.read(|rows| {
            let names = rows.credentials.keys().filter(|name| after.is_none_or(|after| *name > after));
            names.take(limit).filter_map(|name| self.loaded(rows, name)).collect()
        })
    }

    async fn census(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.read(|rows| {
            let mut counts = std::collections::BTreeMap::new();
            for loaded in rows.credentials.keys().filter_map(|name| self.loaded(rows, name)) {
                *counts.entry(loaded.state(now).as_str().to_owned()).or_insert(0) += 1;
            }
            counts.into_iter().collect()
        })
    }

    async fn create(&self, new: NewCredential, record: Record) -> Result<Created, StoreError> {
        self.write(record, |rows| {
            let created = self.create_in(rows, new);
            let changed = matches!(created, Created::Done { .. });
            (created, changed)
        })
    }

    async fn reconnect(&self, new: NewCredential, record: Record) -> Result<Reconnected, StoreError> {
        self.write(record, |rows| {
            let reconnected = self.reconnect_in(rows, new);
            let changed = matches!(reconnected, Reconnected::Done(_));
            (reconnected, changed)
        })
    }

    async fn amend(&self, name: &Name, change: Change, record: Record) -> Result<Amended, StoreError> {
        self.write(record, |rows| {
            let Some(credential) = rows.credentials.get_mut(name) else { return (Amended::NotFound, false) };
            credential.disabled = change.disabled.unwrap_or(credential.disabled);
            if let Some(attributes) = change.attributes {
                credential.attributes = attributes;
            }
            let id = credential.chain;
            if let Some(row) = rows.chains.get_mut(&id) {
                row.chain.revision += 1;
                row.client = change.client.unwrap_or_else(|| row.client.clone());
                row.chain.token_url = change.token_url.or_else(|| row.chain.token_url.clone());
                row.chain.scopes = change.scopes.unwrap_or_else(|| row.chain.scopes.clone());
                row.chain.due_at = change.due_at.or(row.chain.due_at);
            }
            let loaded = self.loaded(rows, name);
            (loaded.map_or(Amended::NotFound, |loaded| Amended::Done(Box::new(loaded))), true)
        })
    }

    async fn cool(&self, id: CredentialId, cooldown: &Cooldown, record: Record) -> Result<bool, StoreError> {
        self.write(record, |rows| {
            let Some(name) = rows.by_id(id).map(|credential| credential.name.clone()) else {
                return (false, false);
            };
            let Some(credential) = rows.credentials.get_mut(&name) else { return (false, false) };
            let extends = credential.cooldown.as_ref().is_none_or(|old| old.until < cooldown.until);
            if extends {
                credential.cooldown = Some(cooldown.clone());
            }
            (extends, extends)
        })
    }

    async fn warm(&self, id: CredentialId, reason: &str, record: Record) -> Result<bool, StoreError> {
        self.write(record, |rows| {
            let Some(name) = rows.by_id(id).map(|credential| credential.name.clone()) else {
                return (false, false);
            };
            let Some(credential) = rows.credentials.get_mut(&name) else { return (false, false) };
            let warms = credential.cooldown.as_ref().is_some_and(|old| old.reason == reason);
            if warms {
                credential.cooldown = None;
            }
            (warms, warms)
        })
    }

    async fn remove(&self, id: CredentialId, record: Record) -> Result<bool, StoreError> {
        self.write(record, |rows| {
            let Some(credential) = rows.by_id(id).cloned() else { return (false, false) };
            rows.credentials.remove(&credential.name);
            if rows.member(credential.chain).is_none() {
                rows.chains.remove(&credential.chain);
            }
            (true, true)
        })
    }
}
