//! Credentials, clients, profiles, audit and events on their way.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::audit::{Entry, Note, Sheaf};
use keyherd_core::credential::{Client, Cooldown, Loaded};
use keyherd_core::ids::{ClaimId, CredentialId, Name};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    Amended, AuditStore, Change, ClientRemoved, ClientStore, Created, CredentialStore, EventStore,
    NamedClient, NewCredential, ProfileStore, Reconnected, Record, Removed, StoredEvent, StoredProfile,
    Trimmed, Verified,
};
use keyherd_core::time::Timestamp;

use super::SimStore;

#[async_trait]
impl CredentialStore for SimStore {
    async fn credential(&self, name: &Name) -> Result<Option<Loaded>, StoreError> {
        let chain = self.seat.world.chain_of(name);
        self.step("read credential", chain, self.inner.credential(name), |loaded| {
            Some(loaded.as_ref().map_or_else(|| "none".to_owned(), |loaded| self.row(&loaded.chain)))
        })
        .await
    }

    async fn credentials(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Loaded>, StoreError> {
        self.step("list", None, self.inner.credentials(after, limit), |_| None).await
    }

    async fn census(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.step("census", None, self.inner.census(now), |_| None).await
    }

    async fn create(&self, new: NewCredential, record: Record) -> Result<Created, StoreError> {
        let (name, world) = (new.draft.name.clone(), &self.seat.world);
        let act = async {
            let created = self.inner.create(new, record).await;
            if let Ok(Created::Done { loaded, .. }) = &created {
                world.born(&name, loaded.chain.id);
            }
            created
        };
        self.step("create", None, act, |created| {
            Some(match created {
                Created::Done { loaded, .. } => format!("done: {}", self.row(&loaded.chain)),
                Created::NameTaken(_) => "the name is taken".into(),
                Created::Conflict(conflict) => conflict.to_string(),
            })
        })
        .await
    }

    async fn reconnect(&self, new: NewCredential, record: Record) -> Result<Reconnected, StoreError> {
        let (name, world) = (new.draft.name.clone(), &self.seat.world);
        let act = async {
            let done = self.inner.reconnect(new, record).await;
            if let Ok(Reconnected::Done(loaded)) = &done
                && let Some(token) = &loaded.chain.tokens.refresh_token
            {
                world.reconnected(&name, loaded.chain.id, token.expose());
            }
            done
        };
        self.step("reconnect", world.chain_of(&name), act, |done| match done {
            Reconnected::Done(loaded) => Some(format!("done: {}", self.row(&loaded.chain))),
            Reconnected::NotFound => Some("not found".into()),
            Reconnected::Conflict(conflict) => Some(conflict.to_string()),
        })
        .await
    }

    async fn amend(&self, name: &Name, change: Change, record: Record) -> Result<Amended, StoreError> {
        let chain = self.seat.world.chain_of(name);
        self.step("amend", chain, self.inner.amend(name, change, record), |_| Some("done".into())).await
    }

    async fn cool(&self, id: CredentialId, cooldown: &Cooldown, record: Record) -> Result<bool, StoreError> {
        self.step("cool", None, self.inner.cool(id, cooldown, record), |_| None).await
    }

    async fn warm(
        &self,
        id: CredentialId,
        scope: Option<&str>,
        reason: &str,
        record: Record,
    ) -> Result<bool, StoreError> {
        self.step("warm", None, self.inner.warm(id, scope, reason, record), |_| None).await
    }

    async fn remove(
        &self,
        id: CredentialId,
        seen: Option<ClaimId>,
        record: Record,
    ) -> Result<Removed, StoreError> {
        self.step("remove", None, self.inner.remove(id, seen, record), |end| Some(format!("{end:?}"))).await
    }
}

#[async_trait]
impl ClientStore for SimStore {
    async fn clients(&self) -> Result<Vec<NamedClient>, StoreError> {
        self.step("clients", None, self.inner.clients(), |_| None).await
    }

    async fn put_client(&self, client: NamedClient, record: Record) -> Result<bool, StoreError> {
        self.step("put client", None, self.inner.put_client(client, record), |_| Some("done".into())).await
    }

    async fn remove_client(
        &self,
        provider: &str,
        name: &Name,
        record: Record,
    ) -> Result<ClientRemoved, StoreError> {
        self.step("remove client", None, self.inner.remove_client(provider, name, record), |_| None).await
    }

    async fn client(&self, provider: &str, name: &Name) -> Result<Option<Client>, StoreError> {
        self.step("client", None, self.inner.client(provider, name), |_| None).await
    }
}

#[async_trait]
impl ProfileStore for SimStore {
    async fn profiles(&self) -> Result<Vec<StoredProfile>, StoreError> {
        self.step("profiles", None, self.inner.profiles(), |_| None).await
    }

    async fn put_profile(&self, profile: StoredProfile, record: Record) -> Result<bool, StoreError> {
        self.step("put profile", None, self.inner.put_profile(profile, record), |_| None).await
    }

    async fn remove_profile(&self, name: &str, record: Record) -> Result<bool, StoreError> {
        self.step("remove profile", None, self.inner.remove_profile(name, record), |_| None).await
    }
}

#[async_trait]
impl AuditStore for SimStore {
    async fn append(&self, note: Note) -> Result<(), StoreError> {
        self.step("append", None, self.inner.append(note), |()| None).await
    }

    async fn append_lines(&self, sheaves: &[Sheaf]) -> Result<(), StoreError> {
        self.step("append_lines", None, self.inner.append_lines(sheaves), |()| None).await
    }

    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.step("entries", None, self.inner.entries(after, limit), |_| None).await
    }

    async fn tail(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.step("tail", None, self.inner.tail(limit), |_| None).await
    }

    async fn verify(&self) -> Result<Verified, StoreError> {
        self.step("verify", None, self.inner.verify(), |_| None).await
    }
}

#[async_trait]
impl EventStore for SimStore {
    async fn last_event(&self) -> Result<i64, StoreError> {
        self.step("last event", None, self.inner.last_event(), |_| None).await
    }

    async fn events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.step("events", None, self.inner.events(after, limit), |_| None).await
    }

    fn latecomers(&self) -> Option<Duration> {
        self.inner.latecomers()
    }

    async fn trim(&self, now: Timestamp) -> Result<Trimmed, StoreError> {
        self.step("trim", None, self.inner.trim(now), |_| None).await
    }
}
