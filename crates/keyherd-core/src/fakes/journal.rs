//! A journal in memory: it survives its broker, as a disk survives its process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::ports::{Aged, Journal, JournalEntry, JournalError};
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// One machine's journal. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<TokenHash, (JournalEntry, bool)>,
    fails: bool,
    unreadable: bool,
    no_reserve: bool,
}

impl MemoryJournal {
    /// From now on nothing can be written (a full disk), or it can again.
    pub fn set_failing(&self, fails: bool) {
        self.state().fails = fails;
    }

    /// From now on entries that exist cannot be read, or can again.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.state().unreadable = unreadable;
    }

    /// From now on no room can be put by for what a request may bring, so that none may be sent, or it can again.
    pub fn set_without_reserve(&self, no_reserve: bool) {
        self.state().no_reserve = no_reserve;
    }

    /// How many entries there are, committed ones included.
    pub fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn write(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        let mut state = self.state();
        if state.fails {
            return Err(JournalError::Io("no space left".into()));
        }
        state.entries.insert(entry.spent, (entry.clone(), false));
        Ok(())
    }

    async fn find(&self, spent: &TokenHash) -> Result<Option<JournalEntry>, JournalError> {
        let state = self.state();
        match state.entries.get(spent) {
            None if state.no_reserve => Err(JournalError::Io("no space left".into())),
            Some(_) if state.unreadable => {
                Err(JournalError::Unreadable { name: spent.to_hex(), problem: "cut off".into() })
            }
            found => Ok(found.map(|(entry, _)| entry.clone())),
        }
    }

    async fn committed(&self, spent: &TokenHash) -> Result<(), JournalError> {
        if let Some((_, committed)) = self.state().entries.get_mut(spent) {
            *committed = true;
        }
        Ok(())
    }

    async fn pending(&self, limit: usize) -> Result<Vec<TokenHash>, JournalError> {
        let state = self.state();
        let pending = state.entries.iter().filter(|(_, (_, committed))| !committed);
        Ok(pending.map(|(hash, _)| *hash).take(limit).collect())
    }

    async fn aged(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<Vec<Aged>, JournalError> {
        let state = self.state();
        let aged =
            state.entries.values().filter(|(entry, committed)| *committed && entry.received_at + keep < now);
        let aged = aged.map(|(entry, _)| Aged {
            spent: entry.spent,
            chain: entry.chain,
            generation: entry.generation,
        });
        Ok(aged.take(limit).collect())
    }

    async fn forget(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.state().entries.remove(spent);
        Ok(())
    }
}
