//! A host's journal: it outlives the process, dies with the disk, and may leave copies with the coordinator.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::fakes::MemoryJournal;
use keyherd_core::ids::ChainId;
use keyherd_core::ports::{Aged, Journal, JournalEntry, JournalError};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

use super::Seat;
use crate::hosts;
use crate::ledger::Receipt;
use crate::tally::Event;

pub(crate) struct SimJournal(pub(crate) Seat);

impl SimJournal {
    fn disk(&self) -> MemoryJournal {
        self.0.world.lock().hosts[self.0.host].journal.clone()
    }

    fn copied(&self, spent: &TokenHash) -> Option<JournalEntry> {
        let is_shared = self.0.world.lock().plan.shared_copies;
        if !is_shared || !self.0.contact().answers() {
            return None;
        }
        let mut state = self.0.world.lock();
        let found = state.copies.get(spent).cloned();
        if found.is_some() {
            state.tally.count(Event::CopyFound);
        }
        found
    }

    fn received(&self, entry: &JournalEntry) {
        let at = self.0.world.at();
        let mut state = self.0.world.lock();
        let receipt =
            Receipt { chain: entry.chain, generation: entry.generation, host: self.0.host, at, excuse: None };
        state.ledger.receipts.insert(entry.spent, receipt);
        state.ledger.open.insert(entry.spent);
        let is_shared = state.plan.shared_copies;
        drop(state);
        // Best effort, and nobody waits for it.
        if is_shared && self.0.contact().takes_effect() {
            self.0.world.lock().copies.insert(entry.spent, entry.clone());
        }
    }
}

#[async_trait]
impl Journal for SimJournal {
    async fn write(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        let seat = &self.0;
        seat.moment("before journaling").await;
        let fails = {
            let mut state = seat.world.lock();
            let rate = state.plan.journal_fails;
            state.dice.chance(rate)
        };
        let name = seat.world.lock().ledger.name(&entry.spent);
        if fails {
            seat.world.count(Event::JournalFull);
            seat.tell(Some(entry.chain), format!("journal: no room for the answer to {name}"));
            return Err(JournalError::Io("no space left".into()));
        }
        self.disk().write(entry).await?;
        self.received(entry);
        seat.tell(Some(entry.chain), format!("journal: has the answer to {name}"));
        hosts::may_leave(seat);
        seat.moment("after journaling").await;
        Ok(())
    }

    async fn find(&self, spent: &TokenHash) -> Result<Option<JournalEntry>, JournalError> {
        self.0.held().await;
        match self.disk().find(spent).await? {
            None => Ok(self.copied(spent)),
            found => Ok(found),
        }
    }

    async fn find_for(
        &self,
        spent: &TokenHash,
        chain: ChainId,
        generation: u64,
    ) -> Result<Option<JournalEntry>, JournalError> {
        self.0.held().await;
        match self.disk().find_for(spent, chain, generation).await? {
            None => Ok(self.copied(spent).filter(|entry| entry.answers(chain, generation))),
            found => Ok(found),
        }
    }

    async fn committed(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.0.moment("before marking a journal entry").await;
        self.disk().committed(spent).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<TokenHash>, JournalError> {
        self.0.held().await;
        self.disk().pending(limit).await
    }

    async fn aged(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<Vec<Aged>, JournalError> {
        self.0.held().await;
        self.disk().aged(now, keep, limit).await
    }

    async fn forget(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.0.held().await;
        self.disk().forget(spent).await
    }
}
