//! Credentials by name.

use async_trait::async_trait;

use super::{ChainRow, MemoryStore, Rows};
use crate::credential::{Chain, Client, ClientChoice, Cooldown, Credential, Draft, Loaded, Trouble};
use crate::ids::{ClaimId, CredentialId, Name};
use crate::ports::StoreError;
use crate::ports::store::{
    Amended, Change, Conflict, Created, CredentialStore, NewCredential, Reconnected, Record, Removed,
    SCOPES_RESTING_MAX,
};
use crate::time::Timestamp;

impl MemoryStore {
    pub(super) fn loaded(&self, rows: &Rows, name: &Name) -> Option<Loaded> {
        let credential = rows.credentials.get(name)?.clone();
        let chain = self.view(rows, rows.chains.get(&credential.chain)?);
        Some(Loaded { credential, chain })
    }

    fn create_in(&self, rows: &mut Rows, new: &NewCredential) -> Created {
        let name = new.draft.name.clone();
        if let Some(loaded) = self.loaded(rows, &name) {
            return Created::NameTaken(Box::new(loaded));
        }
        if rows.pools.contains_key(&name) {
            return Created::Conflict(Conflict::NameOfPool { pool: name.to_string() });
        }
        let shared = match shared_chain(rows, &new.draft) {
            Some((row, Some(field))) => return Created::Conflict(differs(row, field)),
            Some((row, None)) => Some(row.chain.clone()),
            None => None,
        };
        let no_client = no_client(rows, &new.draft.provider, &new.draft.client);
        if let Some(conflict) = no_client.or_else(|| held_or_spent(rows, new, shared.as_ref())) {
            return Created::Conflict(conflict);
        }
        let joined = shared.is_some();
        let chain = match shared {
            Some(shared) => shared.id,
            None => {
                rows.chains.insert(new.chain, row_of(new));
                new.chain
            }
        };
        rows.credentials.insert(name.clone(), credential_of(new, chain, self.shared.clock.now()));
        match self.loaded(rows, &name) {
            Some(loaded) => Created::Done { loaded: Box::new(loaded), joined },
            None => unreachable!("it was inserted above, under the same lock"),
        }
    }

    fn reconnect_in(&self, rows: &mut Rows, new: NewCredential) -> Reconnected {
        let name = new.draft.name.clone();
        let Some(current) = self.loaded(rows, &name) else { return Reconnected::NotFound };
        let id = current.chain.id;
        let is_same = new.spend_hash.is_some() && new.spend_hash == current.chain.spend_hash;
        if let Some(conflict) = reconnect_conflict(rows, &new, &current.chain, is_same) {
            return Reconnected::Conflict(conflict);
        }
        let Some(row) = rows.chains.get_mut(&id) else { return Reconnected::NotFound };
        configure(row, &new.draft);
        row.chain.revision += 1;
        row.chain.due_at = new.due_at;
        if is_same {
            if new.tokens.access_token.is_some() {
                row.chain.tokens = new.tokens;
            }
        } else {
            let is_unused = match row.chain.trouble {
                Trouble::None | Trouble::Backoff(_) => row.chain.claim.is_none(),
                Trouble::Uncertain(_) | Trouble::Verdict(_) => false,
            };
            let spent = row.chain.spend_hash.filter(|_| !is_unused);
            let spent = spent.map(|hash| (hash, (id, row.chain.generation)));
            if let Some(hash) = new.spend_hash {
                rows.spent.remove(&hash);
            }
            row.chain.generation += 1;
            (row.chain.claim, row.claimed_until) = (None, None);
            row.chain.trouble = Trouble::None;
            row.chain.spend_hash = new.spend_hash;
            row.chain.minted_by_rejection = false;
            row.chain.tokens = new.tokens;
            rows.spent.extend(spent);
        }
        let has_attributes =
            new.draft.attributes.as_object().is_some_and(|attributes| !attributes.is_empty());
        if let Some(credential) = rows.credentials.get_mut(&name).filter(|_| has_attributes) {
            credential.attributes = new.draft.attributes;
        }
        self.loaded(rows, &name).map_or(Reconnected::NotFound, |loaded| Reconnected::Done(Box::new(loaded)))
    }

    fn amend_in(&self, rows: &mut Rows, name: &Name, change: Change) -> (Amended, bool) {
        let Some(before) = self.loaded(rows, name) else { return (Amended::NotFound, false) };
        let provider = &before.chain.provider;
        if let Some(conflict) = change.client.as_ref().and_then(|client| no_client(rows, provider, client)) {
            return (Amended::Conflict(conflict), false);
        }
        let undo = rows.clone();
        if let Some(credential) = rows.credentials.get_mut(name) {
            credential.disabled = change.disabled.unwrap_or(credential.disabled);
            credential.attributes = change.attributes.unwrap_or_else(|| credential.attributes.clone());
        }
        let says_client = change.client.is_some();
        if let Some(row) = rows.chains.get_mut(&before.chain.id) {
            row.client = change.client.unwrap_or_else(|| row.client.clone());
            row.chain.token_url = change.token_url.or_else(|| row.chain.token_url.clone());
            row.chain.scopes = change.scopes.unwrap_or_else(|| row.chain.scopes.clone());
            row.chain.due_at = change.due_at.or(row.chain.due_at);
        }
        if says_client && let Some(row) = rows.chains.get(&before.chain.id) {
            let client = super::clients::fingerprint(&self.shared.hasher, rows, row);
            rows.blocks.remove(&client);
        }
        if self.loaded(rows, name).as_ref() == Some(&before) {
            *rows = undo;
            return (Amended::Done(Box::new(before)), false);
        }
        if let Some(row) = rows.chains.get_mut(&before.chain.id) {
            row.chain.revision += 1;
        }
        let after = self.loaded(rows, name);
        (after.map_or(Amended::NotFound, |loaded| Amended::Done(Box::new(loaded))), true)
    }
}

/// What a reconnect does not say stays.
fn configure(row: &mut ChainRow, draft: &Draft) {
    if draft.client != ClientChoice::None {
        row.client = draft.client.clone();
    }
    if draft.token_url.is_some() {
        row.chain.token_url.clone_from(&draft.token_url);
    }
    if !draft.scopes.is_empty() {
        row.chain.scopes.clone_from(&draft.scopes);
    }
    if draft.resource.is_some() {
        row.chain.resource.clone_from(&draft.resource);
    }
}

fn reconnect_conflict(rows: &Rows, new: &NewCredential, own: &Chain, is_same: bool) -> Option<Conflict> {
    let row = rows.chains.get(&own.id)?;
    let mut after = row.clone();
    configure(&mut after, &new.draft);
    let is_shared = rows.credentials.values().filter(|credential| credential.chain == own.id).count() > 1;
    let field = difference(row, &after.chain, &after.client).filter(|_| is_shared);
    field
        .map(|field| differs(row, field))
        .or_else(|| no_client(rows, &new.draft.provider, &new.draft.client))
        .or_else(|| held_or_spent(rows, new, Some(own)).filter(|_| !is_same))
}

/// The chain that a draft names, if it exists, and the first field in which they differ.
fn shared_chain<'a>(rows: &'a Rows, draft: &Draft) -> Option<(&'a ChainRow, Option<&'static str>)> {
    let name = draft.chain.as_ref()?;
    let row = rows.chains.values().find(|row| row.chain.name.as_ref() == Some(name))?;
    let mut wanted = row.chain.clone();
    wanted.provider.clone_from(&draft.provider);
    wanted.kind = draft.kind;
    wanted.token_url.clone_from(&draft.token_url);
    wanted.scopes.clone_from(&draft.scopes);
    wanted.resource.clone_from(&draft.resource);
    Some((row, difference(row, &wanted, &draft.client)))
}

fn difference(row: &ChainRow, wanted: &Chain, client: &ClientChoice) -> Option<&'static str> {
    let chain = &row.chain;
    let fields = [
        ("provider", chain.provider != wanted.provider),
        ("kind", chain.kind != wanted.kind),
        ("client", row.client != *client),
        ("token URL", chain.token_url != wanted.token_url),
        ("scopes", chain.scopes != wanted.scopes),
        ("resource", chain.resource != wanted.resource),
    ];
    fields.into_iter().find(|(_, differs)| *differs).map(|(field, _)| field)
}

fn differs(row: &ChainRow, field: &'static str) -> Conflict {
    Conflict::ChainDiffers { chain: row.chain.name.as_ref().map_or_else(String::new, Name::to_string), field }
}

fn no_client(rows: &Rows, provider: &str, client: &ClientChoice) -> Option<Conflict> {
    let ClientChoice::Named(name) = client else { return None };
    let is_known = rows.clients.contains_key(&(provider.to_owned(), name.clone()));
    (!is_known).then(|| Conflict::NoClient { client: name.to_string(), provider: provider.to_owned() })
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
    ChainRow { chain, client: draft.client.clone(), claimed_client: None, claimed_until: None }
}

fn credential_of(new: &NewCredential, chain: crate::ids::ChainId, created_at: Timestamp) -> Credential {
    Credential {
        id: new.id,
        name: new.draft.name.clone(),
        chain,
        disabled: false,
        attributes: new.draft.attributes.clone(),
        cooldown: None,
        scoped: Vec::new(),
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
            let created = self.create_in(rows, &new);
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
        self.write(record, |rows| self.amend_in(rows, name, change))
    }

    async fn cool(&self, id: CredentialId, cooldown: &Cooldown, record: Record) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        self.write(record, |rows| {
            let Some(name) = rows.by_id(id).map(|credential| credential.name.clone()) else {
                return (false, false);
            };
            let Some(credential) = rows.credentials.get_mut(&name) else { return (false, false) };
            let scope = cooldown.scope.as_deref();
            let resting = credential.scoped.iter().filter(|rest| now < rest.until).count();
            let extends = match credential.rest_of(scope) {
                Some(old) => old.until < cooldown.until,
                None => scope.is_none() || resting < SCOPES_RESTING_MAX,
            };
            if extends {
                credential.take_rest(cooldown);
            }
            (extends, extends)
        })
    }

    async fn warm(
        &self,
        id: CredentialId,
        scope: Option<&str>,
        reason: &str,
        record: Record,
    ) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        self.write(record, |rows| {
            let Some(name) = rows.by_id(id).map(|credential| credential.name.clone()) else {
                return (false, false);
            };
            let Some(credential) = rows.credentials.get_mut(&name) else { return (false, false) };
            let rests = |old: &Cooldown| old.reason == reason && now < old.until;
            let warms = credential.rest_of(scope).is_some_and(rests);
            match scope {
                _ if !warms => {}
                None => credential.cooldown = None,
                Some(_) => credential.scoped.retain(|old| old.scope.as_deref() != scope),
            }
            (warms, warms)
        })
    }

    async fn remove(
        &self,
        id: CredentialId,
        seen: Option<ClaimId>,
        record: Record,
    ) -> Result<Removed, StoreError> {
        self.write(record, |rows| {
            let Some(credential) = rows.by_id(id).cloned() else { return (Removed::NotFound, false) };
            if let Some(pool) = rows.pool_of(&credential.name) {
                return (Removed::Pooled(pool.name.clone()), false);
            }
            if let Some(user) = rows.user_of(&credential.name) {
                return (Removed::Used(user), false);
            }
            let claim = rows.chains.get(&credential.chain).and_then(|row| row.chain.claim.as_ref());
            if claim.map(|claim| claim.id) != seen {
                return (Removed::Claimed, false);
            }
            rows.credentials.remove(&credential.name);
            if rows.member(credential.chain).is_none() {
                rows.chains.remove(&credential.chain);
            }
            (Removed::Done, true)
        })
    }
}
