//! A store that counts what the broker asks of it, and hands everything on.

mod access;
mod approvals;
mod channels;
mod pools;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::audit::{Entry, Note, Sheaf};
use keyherd_core::credential::{Chain, Client, Cooldown, Loaded};
use keyherd_core::ids::{ChainId, ClaimId, CredentialId, Name};
use keyherd_core::ports::store::{
    Amended, AuditStore, ChainStore, Change, ClaimAsk, Claimed, ClientRemoved, ClientStore, Created,
    CredentialStore, Due, EventStore, NamedClient, NewCredential, ProfileStore, Reconnected, Record, Removed,
    Settled, Settling, StoredEvent, StoredProfile, Trimmed, Verified,
};
use keyherd_core::ports::{Store, StoreError};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A store in front of another one.
pub struct CountingStore {
    inner: Arc<dyn Store>,
    reads: AtomicU64,
    looks: AtomicU64,
    claims: AtomicU64,
    writes: AtomicU64,
}

/// How often the store was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Calls that only read, but those of the watch.
    pub reads: u64,
    /// Reads of the outbox: the watch's, one for each ring of the bell, whatever rang it.
    pub looks: u64,
    /// Claims asked for.
    pub claims: u64,
    /// Calls that change something, claims included: each is one transaction.
    pub writes: u64,
}

impl CountingStore {
    /// In front of that one.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        let none = || AtomicU64::new(0);
        Self { inner, reads: none(), looks: none(), claims: none(), writes: none() }
    }

    /// Calls so far.
    pub fn counts(&self) -> Counts {
        Counts {
            reads: self.reads.load(Ordering::Relaxed),
            looks: self.looks.load(Ordering::Relaxed),
            claims: self.claims.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }

    fn read(&self) -> &dyn Store {
        self.reads.fetch_add(1, Ordering::Relaxed);
        &*self.inner
    }

    fn look(&self) -> &dyn Store {
        self.looks.fetch_add(1, Ordering::Relaxed);
        &*self.inner
    }

    fn write(&self) -> &dyn Store {
        self.writes.fetch_add(1, Ordering::Relaxed);
        &*self.inner
    }
}

impl Counts {
    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            reads: self.reads - before.reads,
            looks: self.looks - before.looks,
            claims: self.claims - before.claims,
            writes: self.writes - before.writes,
        }
    }
}

#[async_trait]
impl CredentialStore for CountingStore {
    async fn credential(&self, name: &Name) -> Result<Option<Loaded>, StoreError> {
        self.read().credential(name).await
    }

    async fn credentials(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Loaded>, StoreError> {
        self.read().credentials(after, limit).await
    }

    async fn census(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.read().census(now).await
    }

    async fn create(&self, new: NewCredential, record: Record) -> Result<Created, StoreError> {
        self.write().create(new, record).await
    }

    async fn reconnect(&self, new: NewCredential, record: Record) -> Result<Reconnected, StoreError> {
        self.write().reconnect(new, record).await
    }

    async fn amend(&self, name: &Name, change: Change, record: Record) -> Result<Amended, StoreError> {
        self.write().amend(name, change, record).await
    }

    async fn cool(&self, id: CredentialId, cooldown: &Cooldown, record: Record) -> Result<bool, StoreError> {
        self.write().cool(id, cooldown, record).await
    }

    async fn warm(
        &self,
        id: CredentialId,
        scope: Option<&str>,
        reason: &str,
        record: Record,
    ) -> Result<bool, StoreError> {
        self.write().warm(id, scope, reason, record).await
    }

    async fn remove(
        &self,
        id: CredentialId,
        seen: Option<ClaimId>,
        record: Record,
    ) -> Result<Removed, StoreError> {
        self.write().remove(id, seen, record).await
    }
}

#[async_trait]
impl ChainStore for CountingStore {
    async fn chain(&self, id: ChainId) -> Result<Option<Chain>, StoreError> {
        self.read().chain(id).await
    }

    async fn claim(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, StoreError> {
        self.claims.fetch_add(1, Ordering::Relaxed);
        self.write().claim(ask, record).await
    }

    fn claim_life(&self) -> Option<Duration> {
        self.inner.claim_life()
    }

    async fn renew(&self, chain: ChainId, claim: ClaimId) -> Result<bool, StoreError> {
        self.write().renew(chain, claim).await
    }

    async fn settle(&self, settling: Settling, record: Record) -> Result<Settled, StoreError> {
        self.write().settle(settling, record).await
    }

    async fn roll_forward(
        &self,
        spent: &TokenHash,
        settling: Settling,
        record: Record,
    ) -> Result<Settled, StoreError> {
        self.write().roll_forward(spent, settling, record).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        self.read().due(now, limit).await
    }

    async fn reschedule(
        &self,
        chain: ChainId,
        seen: Option<Timestamp>,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.write().reschedule(chain, seen, due_at).await
    }

    async fn unresolved(&self) -> Result<u64, StoreError> {
        self.read().unresolved().await
    }

    async fn claimed_before(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.read().claimed_before(at).await
    }
}

#[async_trait]
impl ClientStore for CountingStore {
    async fn clients(&self) -> Result<Vec<NamedClient>, StoreError> {
        self.read().clients().await
    }

    async fn put_client(&self, client: NamedClient, record: Record) -> Result<bool, StoreError> {
        self.write().put_client(client, record).await
    }

    async fn remove_client(
        &self,
        provider: &str,
        name: &Name,
        record: Record,
    ) -> Result<ClientRemoved, StoreError> {
        self.write().remove_client(provider, name, record).await
    }

    async fn client(&self, provider: &str, name: &Name) -> Result<Option<Client>, StoreError> {
        self.read().client(provider, name).await
    }
}

#[async_trait]
impl ProfileStore for CountingStore {
    async fn profiles(&self) -> Result<Vec<StoredProfile>, StoreError> {
        self.read().profiles().await
    }

    async fn put_profile(&self, profile: StoredProfile, record: Record) -> Result<bool, StoreError> {
        self.write().put_profile(profile, record).await
    }

    async fn remove_profile(&self, name: &str, record: Record) -> Result<bool, StoreError> {
        self.write().remove_profile(name, record).await
    }
}

#[async_trait]
impl AuditStore for CountingStore {
    async fn append(&self, note: Note) -> Result<(), StoreError> {
        self.write().append(note).await
    }

    async fn append_lines(&self, sheaves: &[Sheaf]) -> Result<(), StoreError> {
        self.write().append_lines(sheaves).await
    }

    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read().entries(after, limit).await
    }

    async fn tail(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read().tail(limit).await
    }

    async fn verify(&self) -> Result<Verified, StoreError> {
        self.read().verify().await
    }
}

#[async_trait]
impl EventStore for CountingStore {
    async fn last_event(&self) -> Result<i64, StoreError> {
        self.look().last_event().await
    }

    async fn events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.look().events(after, limit).await
    }

    fn latecomers(&self) -> Option<Duration> {
        self.inner.latecomers()
    }

    async fn trim(&self, now: Timestamp) -> Result<Trimmed, StoreError> {
        self.write().trim(now).await
    }
}
