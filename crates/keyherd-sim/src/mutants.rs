//! Broken engines: each is the real one with one thing wrong, made by a port that lies to it. The rules must catch each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::credential::Chain;
use keyherd_core::fakes::MemoryStore;
use keyherd_core::ids::ChainId;
use keyherd_core::ports::store::{ChainStore, ClaimAsk, Claimed, Record, Settled, Settling};
use keyherd_core::ports::{Aged, Journal, JournalEntry, JournalError, StoreError};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

use crate::ports::{Seat, SimJournal};

/// What is wrong with the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Answers are not kept anywhere before the store may fail.
    NoJournal,
    /// A claim is taken without writing it down.
    NoClaim,
    /// What a claim is taken on is the row as it was once read.
    NoReread,
    /// How a claim ended is told for whatever claim stands, whoever owns it.
    UnownedRelease,
    /// Who has a turn needs no claim.
    CoordinatorAuthorises,
    /// Whether the claim still stands is not looked at before the request is sent.
    DeafGate,
    /// Callers with different windows do not share a flight.
    WindowInKey,
    /// What other processes of a host leave in its journal is looked for at the start alone.
    OwnAnswersOnly,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NoJournal,
        Self::NoClaim,
        Self::NoReread,
        Self::UnownedRelease,
        Self::CoordinatorAuthorises,
        Self::DeafGate,
        Self::WindowInKey,
        Self::OwnAnswersOnly,
    ];

    /// What is wrong, in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::NoJournal => "no journal",
            Self::NoClaim => "no claim",
            Self::NoReread => "no re-read",
            Self::UnownedRelease => "unowned release",
            Self::CoordinatorAuthorises => "a coordinator that authorises",
            Self::DeafGate => "a lost claim goes unnoticed",
            Self::WindowInKey => "window in the key",
            Self::OwnAnswersOnly => "a journal looked into at start only",
        }
    }
}

/// A journal as a broken engine uses it.
pub(crate) struct BentJournal {
    mutant: Option<Mutant>,
    inner: SimJournal,
    /// What was pending when this process began.
    at_start: Mutex<Option<BTreeSet<TokenHash>>>,
}

/// A store's handle as a broken engine uses it.
pub(crate) struct BentStore {
    mutant: Option<Mutant>,
    inner: MemoryStore,
    seat: Seat,
    /// Rows as they were read, by revision.
    read: Mutex<BTreeMap<(ChainId, u64), Chain>>,
}

impl BentStore {
    pub(crate) fn new(seat: &Seat, inner: MemoryStore) -> Self {
        Self { mutant: seat.world.mutant, inner, seat: seat.clone(), read: Mutex::default() }
    }

    pub(crate) fn was_read(&self, row: &Chain) {
        if self.mutant == Some(Mutant::NoReread) {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.insert((row.id, row.revision), row.clone());
        }
    }

    pub(crate) fn claim_life(&self) -> Option<Duration> {
        match self.mutant {
            Some(Mutant::DeafGate) => Some(Duration::from_secs(86_400)),
            _ => self.inner.claim_life(),
        }
    }

    pub(crate) async fn claim(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, StoreError> {
        match self.mutant {
            Some(Mutant::NoClaim) => self.unwritten(ask).await,
            Some(Mutant::CoordinatorAuthorises) if self.has_turn(ask.chain) => self.unwritten(ask).await,
            Some(Mutant::NoReread) => self.unread(ask, record).await,
            _ => self.inner.claim(ask, record).await,
        }
    }

    async fn unwritten(&self, ask: &ClaimAsk) -> Result<Claimed, StoreError> {
        let row = self.inner.chain(ask.chain).await?;
        Ok(row.map_or(Claimed::Missed(None), |row| Claimed::Granted(Box::new(row))))
    }

    fn has_turn(&self, chain: ChainId) -> bool {
        let mut state = self.seat.world.lock();
        let is_ours = state.turns.get(&chain).is_some_and(|(owner, _)| *owner == self.seat.owner);
        is_ours || !state.reaches_coordinator(self.seat.host)
    }

    async fn unread(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, StoreError> {
        let Some(now) = self.inner.chain(ask.chain).await? else { return Ok(Claimed::Missed(None)) };
        let known = {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.get(&(ask.chain, ask.revision)).cloned()
        };
        let claimed = self.inner.claim(&ClaimAsk { revision: now.revision, ..ask.clone() }, record).await?;
        Ok(match (claimed, known) {
            (Claimed::Granted(_), Some(known)) => Claimed::Granted(Box::new(known)),
            (claimed, _) => claimed,
        })
    }

    pub(crate) async fn settle(&self, settling: Settling, record: Record) -> Result<Settled, StoreError> {
        let row = self.inner.chain(settling.chain).await?;
        match row.and_then(|row| row.claim).filter(|_| self.mutant == Some(Mutant::UnownedRelease)) {
            Some(held) => {
                let anyone = self.seat.world.installation.open(held.owner);
                anyone.settle(Settling { claim: held.id, ..settling }, record).await
            }
            None => self.inner.settle(settling, record).await,
        }
    }
}

impl BentJournal {
    pub(crate) fn new(mutant: Option<Mutant>, inner: SimJournal) -> Self {
        Self { mutant, inner, at_start: Mutex::default() }
    }
}

#[async_trait]
impl Journal for BentJournal {
    async fn write(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        self.inner.write(entry).await?;
        match self.mutant {
            // A disk that says it has written.
            Some(Mutant::NoJournal) => self.inner.forget(&entry.spent).await,
            _ => Ok(()),
        }
    }

    async fn find(&self, spent: &TokenHash) -> Result<Option<JournalEntry>, JournalError> {
        self.inner.find(spent).await
    }

    async fn find_for(
        &self,
        spent: &TokenHash,
        chain: ChainId,
        generation: u64,
    ) -> Result<Option<JournalEntry>, JournalError> {
        self.inner.find_for(spent, chain, generation).await
    }

    async fn committed(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.inner.committed(spent).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<TokenHash>, JournalError> {
        let pending = self.inner.pending(limit).await?;
        if self.mutant != Some(Mutant::OwnAnswersOnly) {
            return Ok(pending);
        }
        let mut at_start = self.at_start.lock().unwrap_or_else(PoisonError::into_inner);
        let known = at_start.get_or_insert_with(|| pending.iter().copied().collect());
        Ok(pending.into_iter().filter(|spent| known.contains(spent)).collect())
    }

    async fn aged(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<Vec<Aged>, JournalError> {
        self.inner.aged(now, keep, limit).await
    }

    async fn forget(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.inner.forget(spent).await
    }
}
