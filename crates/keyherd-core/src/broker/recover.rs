//! After a death: claims without an owner, and answers that are in the journal but not in the store.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use super::AcquireError;
use super::Broker;
use super::lead::{End, Journaled, Lead, Step, looked};
use crate::audit::{Actor, Note};
use crate::credential::{Chain, Claim, Trouble};
use crate::ports::store::{Event, Record, Settled};
use crate::ports::{JournalEntry, JournalError, StoreError};
use crate::refresh::{Happened, Refusal, Rules, settlement};
use crate::secret::TokenHash;

/// Pending journal entries looked at in one go.
const PENDING_MAX: usize = 10_000;

/// Between two looks of a server at what its machine's journal has and the store may lack.
const RECOVER_AGAIN: Duration = Duration::from_secs(2);

/// So many answers that the store did not take end a look: it is down, or nearly.
const FAILURES_MAX: usize = 3;

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

    /// Nothing may be done now. Before all who share this flight are told that an outcome is unknown, or was lost, the
    /// journal is looked into: another process of this machine may have had the answer and ended without the store.
    pub(super) async fn refuse(&self, row: Box<Chain>, refusal: Refusal) -> Result<Step, AcquireError> {
        let may_be_here = matches!(row.trouble, Trouble::Uncertain(_) | Trouble::Verdict(_));
        if may_be_here && let Ok(Some(entry)) = self.find(&row).await {
            return self.roll_forward(entry).await;
        }
        Ok(Step::End(Some(row), End::Refused(refusal)))
    }

    async fn find(&self, row: &Chain) -> Result<Option<JournalEntry>, JournalError> {
        let Some(hash) = &row.spend_hash else { return Ok(None) };
        match self.broker.remembered(row, hash) {
            Some(entry) => Ok(Some(entry)),
            None => self.broker.0.ports.journal.find_for(hash, row.id, row.generation).await,
        }
    }

    /// What the journal knows of the token that the row would spend next.
    pub(super) async fn journaled(&self, row: &Chain) -> Result<Journaled, AcquireError> {
        match self.find(row).await {
            Ok(Some(entry)) => Ok(Journaled::Entry(Box::new(entry))),
            Ok(None) => Ok(Journaled::Nothing),
            Err(error @ JournalError::Unreadable { .. }) => {
                tracing::error!(credential = %self.name, %error, "an answer is lost");
                Ok(Journaled::Unreadable)
            }
            Err(error @ (JournalError::Io(_) | JournalError::Sealed { .. })) => Err(error.into()),
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
        let pending = self.pending_now().await?;
        Ok(self.recover_some(pending).await.taken)
    }

    /// Commits what processes of this machine left in its journal: also those that ended meanwhile, and as soon as the
    /// store is back. What was not there at the last look is left to who wrote it, who is about to commit it.
    pub(super) async fn keep_recovering(&self) {
        let mut seen: HashSet<TokenHash> = HashSet::new();
        let mut tried: HashSet<TokenHash> = HashSet::new();
        loop {
            tokio::time::sleep(RECOVER_AGAIN).await;
            let pending = match self.pending_now().await {
                Ok(pending) => pending,
                Err(error) => {
                    tracing::debug!(%error, "the journal cannot be looked at now");
                    continue;
                }
            };
            let is_ripe = |spent: &&TokenHash| seen.contains(*spent) && !tried.contains(*spent);
            let ripe: Vec<TokenHash> = pending.iter().filter(is_ripe).copied().collect();
            seen = pending.into_iter().collect();
            tried.retain(|spent| seen.contains(spent));
            if !ripe.is_empty() {
                tried.extend(self.recover_some(ripe).await.tried);
            }
        }
    }

    async fn pending_now(&self) -> Result<Vec<TokenHash>, JournalError> {
        let pending = self.0.ports.journal.pending(PENDING_MAX).await?;
        metrics::gauge!("keyherd_journal_pending").set(u32::try_from(pending.len()).unwrap_or(u32::MAX));
        Ok(pending)
    }

    /// Whoever wrote them: the commit is a compare-and-set, and counts once.
    async fn recover_some(&self, pending: Vec<TokenHash>) -> Recovered {
        let mut recovered = Recovered::default();
        let mut failures = 0;
        for spent in pending {
            match self.recover_one(&spent).await {
                Ok(was_taken) => {
                    if let Some(times) = self.0.unrecovered.over() {
                        tracing::info!(times, "answers in the journal reach the store again");
                    }
                    recovered.taken += usize::from(was_taken);
                    recovered.tried.push(spent);
                }
                Err(AcquireError::Store(error)) if is_of_all(&error) => {
                    if self.0.unrecovered.failed() {
                        tracing::warn!(%error, "answers in the journal wait for the store");
                    }
                    failures += 1;
                    if failures == FAILURES_MAX {
                        break;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a journal entry cannot be recovered now");
                    recovered.tried.push(spent);
                }
            }
        }
        if recovered.taken > 0 {
            tracing::info!(taken = recovered.taken, "answers recovered from the journal");
        }
        recovered
    }

    async fn recover_one(&self, spent: &TokenHash) -> Result<bool, AcquireError> {
        // Of this entry alone: those behind it may well be readable.
        let found = self.0.ports.journal.find(spent).await;
        match found.map_err(|error| AcquireError::Unusable(error.to_string()))? {
            Some(entry) => self.recover_entry(&entry).await,
            None => Ok(false),
        }
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

/// What became of entries that were pending.
#[derive(Default)]
struct Recovered {
    /// So many the store took.
    taken: usize,
    /// What will not fare better in a moment: those that are pending still cannot be opened, used or marked as things are,
    /// and are tried again at the next clean-up, and when asked for.
    tried: Vec<TokenHash>,
}

/// Whether other entries would fare alike.
fn is_of_all(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(_)
        | StoreError::Unanswered(_)
        | StoreError::Unwritable(_)
        | StoreError::Misconfigured(_) => true,
        StoreError::Corrupt(_) | StoreError::Sealed(_) => false,
    }
}
