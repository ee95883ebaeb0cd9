//! After a death: claims without an owner, and answers that are in the journal but not in the store.

use std::time::Duration;

use serde_json::json;

use super::AcquireError;
use super::Broker;
use super::lead::{End, Journaled, Lead, Step, looked};
use crate::audit::{Actor, Note};
use crate::credential::{Chain, Claim};
use crate::ports::store::{Event, Record, Settled};
use crate::ports::{JournalEntry, JournalError, StoreError};
use crate::refresh::{Happened, Rules, settlement};
use crate::secret::TokenHash;

/// Pending journal entries looked at in one go.
const PENDING_MAX: usize = 10_000;

/// In a claim's life that another process holds, this machine's journal is looked at this often for its answer.
const ANSWER_LOOKS: u32 = 24;

impl Lead {
    /// A claim whose owner cannot act any more: its answer is in the journal, or it is lost.
    pub(super) async fn resolve(&self, row: Box<Chain>, claim: Claim) -> Result<Step, AcquireError> {
        tracing::warn!(credential = %self.name, generation = row.generation, "a claim was left unresolved");
        if let Journaled::Entry(entry) = self.journaled(&row).await? {
            return self.roll_forward(*entry).await;
        }
        let known = self.broker.unsettled().get(&claim.id).cloned();
        if let Some(known) = known {
            return match self.broker.settle_known(known).await? {
                Settled::Done(row) => Ok(Step::Look(row)),
                Settled::Superseded(newer) => Ok(looked(newer.map(|row| *row))),
            };
        }
        // Where a claim's end shows no sooner than by its expiry, its owner may be back with the answer any moment.
        let expires = self.broker.0.ports.store.claim_life().is_some();
        let recovery = if expires { self.rules.bounds.owner_recovery } else { Duration::ZERO };
        let happened = Happened::OwnerGone { recovery };
        let share = self.broker.0.ports.entropy.share();
        let settlement = settlement(&row, claim.purpose, happened, &self.rules, self.broker.now(), share);
        match self.fail(row, claim.id, settlement, None).await? {
            // The owner is gone and its journal was read, or it had its time: what the row allows now is allowed at once.
            Step::End(Some(row), End::Refused(_)) => Ok(Step::Look(row)),
            step => Ok(step),
        }
    }

    /// What the journal knows of the token that the row would spend next.
    pub(super) async fn journaled(&self, row: &Chain) -> Result<Journaled, AcquireError> {
        let Some(hash) = &row.spend_hash else { return Ok(Journaled::Nothing) };
        let found = match self.broker.remembered(row, hash) {
            Some(entry) => Ok(Some(entry)),
            None => self.broker.0.ports.journal.find_for(hash, row.id, row.generation).await,
        };
        match found {
            Ok(Some(entry)) => Ok(Journaled::Entry(Box::new(entry))),
            Ok(None) => Ok(Journaled::Nothing),
            Err(error @ JournalError::Unreadable { .. }) => {
                tracing::error!(credential = %self.name, %error, "an answer is lost");
                Ok(Journaled::Unreadable)
            }
            Err(error @ (JournalError::Io(_) | JournalError::Sealed { .. })) => {
                Err(AcquireError::Unusable(error.to_string()))
            }
        }
    }

    /// Where claims expire, an owner that died stands for its claim's whole life; the answer that it left on this machine
    /// is there at once. Ends with that answer, or never.
    pub(super) async fn answered(&self, row: &Chain) -> JournalEntry {
        let Some(life) = self.broker.0.ports.store.claim_life() else { return std::future::pending().await };
        loop {
            if let Ok(Journaled::Entry(entry)) = self.journaled(row).await {
                return *entry;
            }
            tokio::time::sleep(life / ANSWER_LOOKS).await;
        }
    }

    /// Commits an answer that someone received before: no call is made for its token again.
    pub(super) async fn roll_forward(&self, entry: JournalEntry) -> Result<Step, AcquireError> {
        match self.broker.roll_entry(&entry, &self.actor, self.name.as_str(), &self.rules).await? {
            Some(Settled::Done(row)) => Ok(Step::Look(row)),
            Some(Settled::Superseded(newer)) => Ok(looked(newer.map(|row| *row))),
            None => Ok(looked(None)),
        }
    }
}

impl Broker {
    /// An answer that no journal could take: nobody but this process has it, or the store alone.
    fn remembered(&self, row: &Chain, spent: &TokenHash) -> Option<JournalEntry> {
        let is_it = |entry: &&JournalEntry| entry.spent == *spent && entry.answers(row.id, row.generation);
        let homeless = self.homeless().get(spent).filter(is_it).cloned();
        homeless.or_else(|| self.unjournaled().get(&row.id).filter(is_it).cloned())
    }

    #[cfg(test)]
    pub(super) fn remembers_unjournaled(&self) -> bool {
        !self.unjournaled().is_empty()
    }

    #[cfg(test)]
    pub(super) fn owes(&self) -> usize {
        self.unsettled().len()
    }

    /// Commits what the journal has and the store may lack. Returns how many entries the store took.
    pub async fn recover(&self) -> Result<usize, AcquireError> {
        Ok(self.recover_counting().await?.0)
    }

    /// How many entries the store took, and how many it could not be asked for.
    pub(super) async fn recover_counting(&self) -> Result<(usize, usize), AcquireError> {
        let journal = &self.0.ports.journal;
        let pending =
            journal.pending(PENDING_MAX).await.map_err(|error| AcquireError::Unusable(error.to_string()))?;
        metrics::gauge!("keyherd_journal_pending").set(u32::try_from(pending.len()).unwrap_or(u32::MAX));
        let (mut taken, mut left) = (0, 0);
        for spent in pending {
            match journal.find(&spent).await {
                Ok(Some(entry)) => match self.recover_entry(&entry).await {
                    Ok(was_taken) => taken += usize::from(was_taken),
                    Err(error) => {
                        left += 1;
                        if self.0.unrecovered.failed() {
                            tracing::error!(%error, "a journal entry cannot be recovered now");
                        }
                    }
                },
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "a journal entry cannot be recovered"),
            }
        }
        Ok((taken, left))
    }

    /// How many granted answers are in no store yet: those in the journal, and those that not even the journal could take
    /// and only this process's memory holds.
    pub async fn pending(&self) -> Result<usize, JournalError> {
        let homeless: Vec<_> = self.homeless().keys().copied().collect();
        let pending = self.0.ports.journal.pending(PENDING_MAX).await?;
        Ok(pending.len() + homeless.iter().filter(|spent| !pending.contains(spent)).count())
    }

    async fn recover_entry(&self, entry: &JournalEntry) -> Result<bool, AcquireError> {
        let Some(row) = self.0.ports.store.chain(entry.chain).await? else {
            self.settle_journal(&entry.spent).await;
            return Ok(false);
        };
        let rules = self.rules(&row.provider)?;
        let subject = format!("chain:{}", entry.chain.as_i64());
        let settled = self.roll_entry(entry, &Actor::new("recovery"), &subject, &rules).await?;
        Ok(matches!(settled, Some(Settled::Done(_))))
    }

    async fn roll_entry(
        &self,
        entry: &JournalEntry,
        actor: &Actor,
        subject: &str,
        rules: &Rules,
    ) -> Result<Option<Settled>, StoreError> {
        let Some(row) = self.0.ports.store.chain(entry.chain).await? else { return Ok(None) };
        let (next, settling) = self.granting(&row, entry, rules);
        let detail = json!({"generation": next.generation, "from": "journal"});
        let record = Record {
            note: Note {
                action: "refresh.recover",
                actor: actor.clone(),
                subject: subject.into(),
                detail: detail.clone(),
            },
            event: Some(Event {
                kind: "refreshed",
                chain: Some(entry.chain),
                subject: subject.into(),
                detail,
            }),
        };
        let settled = self.0.ports.store.roll_forward(&entry.spent, settling, record).await?;
        self.settle_journal(&entry.spent).await;
        if let Settled::Done(row) = &settled {
            self.publish(row);
        }
        Ok(Some(settled))
    }
}
