//! A store whose claims expire and whose events come as scripted: in front of the memory store, which knows neither.

mod access;
mod approvals;
mod channels;
mod pools;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::*;
use crate::audit::{Entry, Note, Sheaf};
use crate::broker::{Broker, Ports};
use crate::credential::{Chain, Client, Cooldown, Loaded};
use crate::fakes::MemoryStore;
use crate::ids::{ChainId, ClaimId, CredentialId};
use crate::ports::store::{
    Amended, AuditStore, ChainStore, Change, ClaimAsk, Claimed, ClientRemoved, ClientStore, Created,
    CredentialStore, Due, EventStore, NamedClient, NewCredential, ProfileStore, Reconnected, Record, Removed,
    Settled, Settling, StoredEvent, StoredProfile, Trimmed, Verified,
};
use crate::ports::{Coordinator, StoreError, Turn};
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// What a renewal meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    Granted,
    Refused,
    Down,
}

pub(super) struct BentStore {
    inner: MemoryStore,
    pub(super) life: Option<Duration>,
    pub(super) renewal: Mutex<Renewal>,
    pub(super) renewals: AtomicU64,
    /// Reads of a row: what a waiting process is to be sparing with.
    pub(super) looks: AtomicU64,
    pub(super) claims: AtomicU64,
    /// A claim's answer is lost, and it takes effect so much later.
    pub(super) claims_late: Mutex<Option<Duration>>,
    /// How long a rest takes to be written.
    pub(super) cools_for: Mutex<Duration>,
    /// How long a look at a credential takes.
    pub(super) looks_for: Mutex<Duration>,
    /// How long it takes to say that all of a pool rest.
    pub(super) exhausts_for: Mutex<Duration>,
    panics_for: Mutex<Option<&'static str>>,
    events_hang: AtomicBool,
}

impl BentStore {
    pub(super) fn new(inner: MemoryStore, life: Option<Duration>) -> Arc<Self> {
        let none = || AtomicU64::new(0);
        let renewal = Mutex::new(Renewal::Granted);
        Arc::new(Self {
            inner,
            life,
            renewal,
            renewals: none(),
            looks: none(),
            claims: none(),
            claims_late: Mutex::default(),
            cools_for: Mutex::default(),
            looks_for: Mutex::default(),
            exhausts_for: Mutex::default(),
            panics_for: Mutex::default(),
            events_hang: AtomicBool::new(false),
        })
    }

    pub(super) fn set(&self, renewal: Renewal) {
        *self.renewal.lock().unwrap_or_else(PoisonError::into_inner) = renewal;
    }

    /// From now on claims take effect so much after their answer was lost.
    pub(super) fn claim_late(&self, late: Option<Duration>) {
        *self.claims_late.lock().unwrap_or_else(PoisonError::into_inner) = late;
    }

    /// Whoever reads that credential panics.
    pub(super) fn panic_for(&self, name: Option<&'static str>) {
        *self.panics_for.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// From now on the outbox never answers.
    pub(super) fn hang_events(&self) {
        self.events_hang.store(true, Ordering::Relaxed);
    }

    fn look(&self) -> &MemoryStore {
        self.looks.fetch_add(1, Ordering::Relaxed);
        &self.inner
    }
}

/// One more process of the stage, over a store whose claims live for `life`, and with that coordinator.
pub(super) fn process(
    stage: &Stage,
    life: Option<Duration>,
    coordinator: Option<Arc<dyn Coordinator>>,
) -> (Broker, Arc<BentStore>, Host) {
    let host = stage.fleet.host();
    let store = BentStore::new(host.store.clone(), life);
    let ports = host.broker.ports().clone();
    let coordinator = coordinator.unwrap_or_else(|| Arc::clone(&ports.coordinator));
    let ports = Ports { store: Arc::clone(&store) as _, coordinator, ..ports };
    (Broker::new(ports, stage.fleet.options.clone()), store, host)
}

/// A coordinator that says what it was told, and counts what it is told.
pub(super) struct Says {
    pub(super) bell: Arc<dyn Coordinator>,
    /// What it says next; at the end: [`Says::at_last`].
    pub(super) turns: Mutex<VecDeque<Turn>>,
    pub(super) at_last: Turn,
    pub(super) hangs: AtomicBool,
    pub(super) asked: AtomicU64,
    pub(super) done: AtomicU64,
}

impl Says {
    pub(super) fn always(stage: &Stage, turn: Turn) -> Arc<Self> {
        Arc::new(Self {
            bell: Arc::clone(&stage.host.broker.ports().coordinator),
            turns: Mutex::default(),
            at_last: turn,
            hangs: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            done: AtomicU64::new(0),
        })
    }

    pub(super) fn hanging(stage: &Stage) -> Arc<Self> {
        let says = Self::always(stage, Turn::Wait);
        says.hangs.store(true, Ordering::Relaxed);
        says
    }

    async fn hang(&self) {
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Coordinator for Says {
    fn announce(&self) {
        self.bell.announce();
    }

    async fn changed(&self) {
        self.hang().await;
        self.bell.changed().await;
    }

    async fn turn(&self, _chain: ChainId) -> Turn {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.hang().await;
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(self.at_last)
    }

    async fn done(&self, _chain: ChainId) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.hang().await;
    }
}

#[async_trait]
impl ChainStore for BentStore {
    async fn chain(&self, id: ChainId) -> Result<Option<Chain>, StoreError> {
        self.look().chain(id).await
    }

    async fn claim(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, StoreError> {
        self.claims.fetch_add(1, Ordering::Relaxed);
        let late = *self.claims_late.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(late) = late else { return self.inner.claim(ask, record).await };
        let (inner, ask) = (self.inner.clone(), ask.clone());
        tokio::spawn(async move {
            pass(late).await;
            let _ = inner.claim(&ask, record).await;
        });
        Err(StoreError::Unanswered("told to".into()))
    }

    fn claim_life(&self) -> Option<Duration> {
        self.life
    }

    async fn renew(&self, _chain: ChainId, _claim: ClaimId) -> Result<bool, StoreError> {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        match *self.renewal.lock().unwrap_or_else(PoisonError::into_inner) {
            Renewal::Granted => Ok(true),
            Renewal::Refused => Ok(false),
            Renewal::Down => Err(StoreError::Unavailable("told to".into())),
        }
    }

    async fn settle(&self, settling: Settling, record: Record) -> Result<Settled, StoreError> {
        self.inner.settle(settling, record).await
    }

    async fn roll_forward(
        &self,
        spent: &TokenHash,
        settling: Settling,
        record: Record,
    ) -> Result<Settled, StoreError> {
        self.inner.roll_forward(spent, settling, record).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        self.inner.due(now, limit).await
    }

    async fn reschedule(
        &self,
        chain: ChainId,
        seen: Option<Timestamp>,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.inner.reschedule(chain, seen, due_at).await
    }

    async fn unresolved(&self) -> Result<u64, StoreError> {
        self.inner.unresolved().await
    }

    async fn claimed_before(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.inner.claimed_before(at).await
    }
}

#[async_trait]
impl CredentialStore for BentStore {
    async fn credential(&self, name: &Name) -> Result<Option<Loaded>, StoreError> {
        let panics_for = *self.panics_for.lock().unwrap_or_else(PoisonError::into_inner);
        assert_ne!(panics_for, Some(name.as_str()), "told to");
        let takes = *self.looks_for.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep(takes).await;
        self.look().credential(name).await
    }

    async fn credentials(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Loaded>, StoreError> {
        self.look().credentials(after, limit).await
    }

    async fn census(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.inner.census(now).await
    }

    async fn create(&self, new: NewCredential, record: Record) -> Result<Created, StoreError> {
        self.inner.create(new, record).await
    }

    async fn reconnect(&self, new: NewCredential, record: Record) -> Result<Reconnected, StoreError> {
        self.inner.reconnect(new, record).await
    }

    async fn amend(&self, name: &Name, change: Change, record: Record) -> Result<Amended, StoreError> {
        self.inner.amend(name, change, record).await
    }

    async fn cool(&self, id: CredentialId, cooldown: &Cooldown, record: Record) -> Result<bool, StoreError> {
        let took = *self.cools_for.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep(took).await;
        self.inner.cool(id, cooldown, record).await
    }

    async fn warm(
        &self,
        id: CredentialId,
        scope: Option<&str>,
        reason: &str,
        record: Record,
    ) -> Result<bool, StoreError> {
        self.inner.warm(id, scope, reason, record).await
    }

    async fn remove(
        &self,
        id: CredentialId,
        seen: Option<ClaimId>,
        record: Record,
    ) -> Result<Removed, StoreError> {
        self.inner.remove(id, seen, record).await
    }
}

#[async_trait]
impl ClientStore for BentStore {
    async fn clients(&self) -> Result<Vec<NamedClient>, StoreError> {
        self.inner.clients().await
    }

    async fn put_client(&self, client: NamedClient, record: Record) -> Result<bool, StoreError> {
        self.inner.put_client(client, record).await
    }

    async fn remove_client(
        &self,
        provider: &str,
        name: &Name,
        record: Record,
    ) -> Result<ClientRemoved, StoreError> {
        self.inner.remove_client(provider, name, record).await
    }

    async fn client(&self, provider: &str, name: &Name) -> Result<Option<Client>, StoreError> {
        self.inner.client(provider, name).await
    }
}

#[async_trait]
impl ProfileStore for BentStore {
    async fn profiles(&self) -> Result<Vec<StoredProfile>, StoreError> {
        self.inner.profiles().await
    }

    async fn put_profile(&self, profile: StoredProfile, record: Record) -> Result<bool, StoreError> {
        self.inner.put_profile(profile, record).await
    }

    async fn remove_profile(&self, name: &str, record: Record) -> Result<bool, StoreError> {
        self.inner.remove_profile(name, record).await
    }
}

#[async_trait]
impl AuditStore for BentStore {
    async fn append(&self, note: Note) -> Result<(), StoreError> {
        self.inner.append(note).await
    }

    async fn append_lines(&self, sheaves: &[Sheaf]) -> Result<(), StoreError> {
        self.inner.append_lines(sheaves).await
    }

    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.entries(after, limit).await
    }

    async fn tail(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.tail(limit).await
    }

    async fn verify(&self) -> Result<Verified, StoreError> {
        self.inner.verify().await
    }
}

#[async_trait]
impl EventStore for BentStore {
    async fn last_event(&self) -> Result<i64, StoreError> {
        self.inner.last_event().await
    }

    async fn events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        if self.events_hang.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.inner.events(after, limit).await
    }

    fn latecomers(&self) -> Option<Duration> {
        self.life.map(|_| SECOND)
    }

    async fn trim(&self, now: Timestamp) -> Result<Trimmed, StoreError> {
        self.inner.trim(now).await
    }
}
