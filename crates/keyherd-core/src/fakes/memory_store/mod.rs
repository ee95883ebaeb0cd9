//! A store in memory, shared by any number of "processes" that may die, with the semantics of the real ones.
//!
//! Every mutating call is one step under one lock: change, audit entry and event together or not at all.

mod access;
mod chains;
mod clients;
mod credentials;
mod logs;
mod pools;
mod profiles;
// Rules and approvals.
mod approvals;
mod rules;
// Channels.
mod channels;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::agent::Agent;
use crate::audit::{ChainKey, Entry, Floors, Link, TextNote};
use crate::binding::Binding;
use crate::credential::{Block, Chain, ClientChoice, Credential, Holder};
use crate::ids::{ChainId, CredentialId, Name, OwnerId};
use crate::pool::Pool;
use crate::ports::store::{NamedClient, Record, StoredEvent};
use crate::ports::{Clock, Coordinator, StoreError};
use crate::secret::{Hasher, TokenHash};
use crate::time::Timestamp;

/// What many processes share: the rows, the clock, and who lives.
pub struct Installation {
    rows: Mutex<Rows>,
    clock: Arc<dyn Clock>,
    hasher: Hasher,
    terms: Terms,
    changed: Notify,
    counts: Counts,
}

/// How a store for many hosts differs from one on a single machine. The default is the latter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// A claim lives this long on the store's clock unless it is renewed. `None`: until its owner is buried.
    pub claim_life: Option<Duration>,
    /// Some events become visible later than ones with higher numbers, by at most this.
    pub latecomers: Option<Duration>,
}

#[derive(Default)]
struct Counts {
    reads: AtomicU64,
    writes: AtomicU64,
}

#[derive(Clone)]
struct Rows {
    chains: BTreeMap<ChainId, ChainRow>,
    credentials: BTreeMap<Name, Credential>,
    pools: BTreeMap<Name, Pool>,
    clients: BTreeMap<(String, Name), NamedClient>,
    profiles: BTreeMap<String, String>,
    agents: BTreeMap<Name, Agent>,
    bindings: Vec<Binding>,
    blocks: HashMap<TokenHash, Block>,
    spent: HashMap<TokenHash, (ChainId, u64)>,
    events: Vec<logs::Kept>,
    audit: Vec<Entry>,
    ends: HashMap<OwnerId, Link>,
    floors: Floors,
    dead: HashSet<OwnerId>,
    fault: Fault,
    rules: rules::Kept,
    approvals: Vec<approvals::Row>,
    channels: Vec<channels::ChannelRow>,
    notices: Vec<channels::NoticeRow>,
}

#[derive(Clone)]
struct ChainRow {
    chain: Chain,
    client: ClientChoice,
    /// The client app that the claim was taken with: a block is about that one.
    claimed_client: Option<TokenHash>,
    /// When the claim expires, where claims do.
    claimed_until: Option<Timestamp>,
}

/// How the store fails, for a number of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fault {
    #[default]
    None,
    /// Every call fails before it takes effect.
    Down,
    /// Every mutating call fails, reads work.
    Unwritable,
    /// The next mutating call takes effect, and its answer is lost.
    LostReply,
}

/// One process's handle.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Installation>,
    owner: OwnerId,
}

impl Installation {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>, hasher: Hasher) -> Arc<Self> {
        Self::on_terms(clock, hasher, Terms::default())
    }

    /// An empty store on these terms.
    pub fn on_terms(clock: Arc<dyn Clock>, hasher: Hasher, terms: Terms) -> Arc<Self> {
        let rows = Rows {
            chains: BTreeMap::new(),
            credentials: BTreeMap::new(),
            pools: BTreeMap::new(),
            clients: BTreeMap::new(),
            profiles: BTreeMap::new(),
            agents: BTreeMap::new(),
            bindings: Vec::new(),
            blocks: HashMap::new(),
            spent: HashMap::new(),
            events: Vec::new(),
            audit: Vec::new(),
            ends: HashMap::new(),
            floors: Floors::default(),
            dead: HashSet::new(),
            fault: Fault::None,
            rules: rules::Kept::default(),
            approvals: Vec::new(),
            channels: Vec::new(),
            notices: Vec::new(),
        };
        let (changed, counts) = (Notify::new(), Counts::default());
        Arc::new(Self { rows: Mutex::new(rows), clock, hasher, terms, changed, counts })
    }

    /// A new process's handle.
    pub fn open(self: &Arc<Self>, owner: OwnerId) -> MemoryStore {
        MemoryStore { shared: Arc::clone(self), owner }
    }

    /// That process is gone: its claims are ownerless.
    pub fn bury(&self, owner: OwnerId) {
        self.lock().dead.insert(owner);
    }

    /// From now on every call fails, or works again.
    pub fn set_down(&self, down: bool) {
        self.lock().fault = if down { Fault::Down } else { Fault::None };
    }

    /// From now on every change fails and reads work, or all works again.
    pub fn set_unwritable(&self, unwritable: bool) {
        self.lock().fault = if unwritable { Fault::Unwritable } else { Fault::None };
    }

    /// The next change takes effect, and its reply is lost.
    pub fn lose_next_reply(&self) {
        self.lock().fault = Fault::LostReply;
    }

    /// A copy of everything, for [`Installation::restore`].
    pub fn backup(&self) -> Backup {
        Backup(self.lock().clone())
    }

    /// Everything as it was then: what a restored backup or a store that lost commits looks like. Who is dead stays so.
    pub fn restore(&self, backup: Backup) {
        let mut rows = self.lock();
        let (dead, fault) = (std::mem::take(&mut rows.dead), rows.fault);
        *rows = Rows { dead, fault, ..backup.0 };
    }

    /// Every chain as it stands, with the time at which its claim expires: for whoever checks what the processes do.
    pub fn chains(&self) -> Vec<(Chain, Option<Timestamp>)> {
        let rows = self.lock();
        rows.chains.values().map(|row| (row.chain.clone(), row.claimed_until)).collect()
    }

    /// One chain, as [`Installation::chains`] has it.
    pub fn chain(&self, id: ChainId) -> Option<(Chain, Option<Timestamp>)> {
        self.lock().chains.get(&id).map(|row| (row.chain.clone(), row.claimed_until))
    }

    /// Reads and write transactions so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.reads.load(Ordering::Relaxed), self.counts.writes.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy of a store.
pub struct Backup(Rows);

impl MemoryStore {
    /// The process that this handle belongs to.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    fn read<R>(&self, look: impl FnOnce(&Rows) -> R) -> Result<R, StoreError> {
        self.shared.counts.reads.fetch_add(1, Ordering::Relaxed);
        let rows = self.shared.lock();
        match rows.fault {
            Fault::Down => Err(unavailable()),
            _ => Ok(look(&rows)),
        }
    }

    /// One transaction: `change` says whether it changed anything; only then are entry and event written.
    fn write<R>(&self, record: Record, change: impl FnOnce(&mut Rows) -> (R, bool)) -> Result<R, StoreError> {
        self.shared.counts.writes.fetch_add(1, Ordering::Relaxed);
        let mut rows = self.shared.lock();
        if matches!(rows.fault, Fault::Down | Fault::Unwritable) {
            return Err(unavailable());
        }
        let (outcome, changed) = change(&mut rows);
        if changed {
            self.record(&mut rows, record);
        }
        if rows.fault == Fault::LostReply {
            rows.fault = Fault::None;
            return Err(StoreError::Unanswered("the memory store was told to lose it".into()));
        }
        Ok(outcome)
    }

    fn record(&self, rows: &mut Rows, record: Record) {
        let at = self.shared.clock.now();
        if let Some(event) = record.event {
            let seq = rows.events.last().map_or(0, |kept| kept.event.seq) + 1;
            let event = StoredEvent {
                seq,
                at,
                kind: event.kind.to_owned(),
                chain: event.chain,
                subject: event.subject,
                detail: event.detail.to_string(),
            };
            rows.events.push(logs::Kept { event, from: at + self.shared.terms.late(seq) });
        }
        self.enter(rows, record.note);
    }

    fn enter(&self, rows: &mut Rows, note: impl Into<TextNote>) {
        let note = note.into();
        let end = rows.ends.get(&self.owner).copied().unwrap_or_default();
        let mut entry = Entry {
            seq: rows.audit.last().map_or(0, |entry| entry.seq) + 1,
            chain: self.owner,
            place: end.place + 1,
            at: note.at.unwrap_or_else(|| self.shared.clock.now()),
            action: note.action.into_owned(),
            actor: note.actor.0.as_ref().to_owned(),
            subject: note.subject.as_ref().to_owned(),
            detail: note.detail.as_ref().to_owned(),
            anchors: None,
            hash: [0; 32],
        };
        entry.hash = audit_key().hash(&end.hash, &entry);
        rows.ends.insert(self.owner, Link { place: entry.place, hash: entry.hash });
        rows.audit.push(entry);
    }

    /// The chain as this process sees it: client and block resolved, claim judged.
    fn view(&self, rows: &Rows, row: &ChainRow) -> Chain {
        let mut chain = row.chain.clone();
        chain.client = clients::resolve(rows, row);
        chain.block = rows.blocks.get(&clients::fingerprint(&self.shared.hasher, rows, row)).cloned();
        if let Some(claim) = &mut chain.claim {
            claim.holder = match claim.owner {
                owner if owner == self.owner => Holder::Mine,
                owner if self.is_gone(rows, owner, row.claimed_until) => Holder::Gone,
                _ => Holder::Alive,
            };
        }
        chain
    }

    /// Whether a claim's owner cannot act on it any more: it died, or let the claim expire.
    fn is_gone(&self, rows: &Rows, owner: OwnerId, until: Option<Timestamp>) -> bool {
        let has_expired = until.is_some_and(|until| until <= self.shared.clock.now());
        rows.dead.contains(&owner) || has_expired
    }
}

impl Terms {
    /// Every third event is late, by a share of the time that depends on its number alone.
    fn late(&self, seq: i64) -> Duration {
        let Some(most) = self.latecomers.filter(|_| seq % 3 == 0) else { return Duration::ZERO };
        most.mul_f64(f64::from(u32::try_from(seq.rem_euclid(7)).unwrap_or(0)) / 7.0)
    }
}

impl Rows {
    fn by_id(&self, id: CredentialId) -> Option<&Credential> {
        self.credentials.values().find(|credential| credential.id == id)
    }

    fn member(&self, chain: ChainId) -> Option<&Credential> {
        self.credentials.values().find(|credential| credential.chain == chain)
    }
}

fn audit_key() -> ChainKey {
    ChainKey::new([7; 32])
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the memory store was told to fail".into())
}

/// Wakes every process of one installation, at once.
#[derive(Clone)]
pub struct MemoryBell(Arc<Installation>);

impl MemoryBell {
    /// The bell of that installation.
    pub fn new(installation: &Arc<Installation>) -> Self {
        Self(Arc::clone(installation))
    }
}

#[async_trait]
impl Coordinator for MemoryBell {
    fn announce(&self) {
        self.0.changed.notify_waiters();
    }

    async fn changed(&self) {
        // The bounded poll that every coordinator owes its callers.
        let _ = tokio::time::timeout(Duration::from_millis(50), self.0.changed.notified()).await;
    }
}

#[cfg(test)]
mod tests;
