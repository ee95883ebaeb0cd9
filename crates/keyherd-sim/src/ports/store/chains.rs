//! Claims, settlements and commits on their way; the judge is told of each that took effect.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::credential::Chain;
use keyherd_core::ids::{ChainId, ClaimId};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{ChainStore, ClaimAsk, Claimed, Due, Record, Settled, Settling};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

use super::SimStore;
use crate::rows;
use crate::tally::Event;

/// A claim that takes effect after its answer was lost does so within this time.
const CLAIM_LATE_MAX_MS: u64 = 2_000;

impl SimStore {
    /// Broken engines claim in ways of their own, at once.
    fn claims_late(&self) -> Option<Duration> {
        let is_bent = self.seat.world.mutant.is_some();
        let mut state = self.seat.world.lock();
        let rate = state.plan.store_after;
        (!is_bent && state.dice.chance(rate)).then(|| state.dice.millis(1, CLAIM_LATE_MAX_MS))
    }

    /// The asker is told at once that the answer is lost; nothing that it does takes the claim back from its way.
    fn claim_later(&self, ask: &ClaimAsk, record: Record, late: Duration) -> StoreError {
        let (seat, inner, ask) = (self.seat.clone(), self.inner.clone(), ask.clone());
        tokio::spawn(async move {
            tokio::time::sleep(late).await;
            if let Ok(Claimed::Granted(row)) = inner.claim(&ask, record).await {
                let at = seat.world.at();
                seat.world.lock().ledger.claimed(seat.owner, &row, ask.id, ask.purpose, at);
                seat.world.count(Event::ClaimLate);
                seat.tell(Some(ask.chain), "store: claim is granted, and nobody is told".into());
                rows::check(&seat.world);
                seat.world.check();
            }
        });
        StoreError::Unanswered("the answer is lost".into())
    }
}

#[async_trait]
impl ChainStore for SimStore {
    async fn chain(&self, id: ChainId) -> Result<Option<Chain>, StoreError> {
        self.step("read chain", Some(id), self.inner.chain(id), |row| {
            Some(row.as_ref().map_or_else(|| "gone".to_owned(), |row| self.row(row)))
        })
        .await
    }

    async fn claim(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, StoreError> {
        if let Some(late) = self.claims_late() {
            let act = async { Err(self.claim_later(ask, record, late)) };
            return self.step("claim", Some(ask.chain), act, |_| None).await;
        }
        let act = async {
            let claimed = self.bent.claim(ask, record).await;
            if let Ok(Claimed::Granted(row)) = &claimed {
                let at = self.seat.world.at();
                let ledger = &mut self.seat.world.lock().ledger;
                ledger.claimed(self.seat.owner, row, ask.id, ask.purpose, at);
            }
            claimed
        };
        self.step("claim", Some(ask.chain), act, |claimed| {
            Some(match claimed {
                Claimed::Granted(row) => format!("granted: {}", self.row(row)),
                Claimed::Missed(Some(row)) => format!("missed: {}", self.row(row)),
                Claimed::Missed(None) => "missed: gone".into(),
            })
        })
        .await
    }

    fn claim_life(&self) -> Option<Duration> {
        self.bent.claim_life()
    }

    async fn renew(&self, chain: ChainId, claim: ClaimId) -> Result<bool, StoreError> {
        let shown = |ours: &bool| Some(if *ours { "ours" } else { "not ours" }.to_owned());
        self.step("renew", Some(chain), self.inner.renew(chain, claim), shown).await
    }

    async fn settle(&self, settling: Settling, record: Record) -> Result<Settled, StoreError> {
        let chain = settling.chain;
        let act = async {
            let settled = self.bent.settle(settling.clone(), record).await;
            if let Ok(settled) = &settled {
                self.settled(&settling, settled);
            }
            settled
        };
        self.step("settle", Some(chain), act, |settled| Some(self.settled_text(settled))).await
    }

    async fn roll_forward(
        &self,
        spent: &TokenHash,
        settling: Settling,
        record: Record,
    ) -> Result<Settled, StoreError> {
        let chain = settling.chain;
        let is_recovery = record.note.action == "refresh.recover";
        let act = async {
            let settled = self.inner.roll_forward(spent, settling, record).await;
            if is_recovery && matches!(settled, Ok(Settled::Done(_))) {
                self.seat.world.count(Event::Recovered);
            }
            settled
        };
        self.step("commit", Some(chain), act, |settled| Some(self.settled_text(settled))).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
        self.step("due", None, self.inner.due(now, limit), |_| None).await
    }

    async fn reschedule(
        &self,
        chain: ChainId,
        seen: Option<Timestamp>,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.step("reschedule", Some(chain), self.inner.reschedule(chain, seen, due_at), |()| None).await
    }

    async fn unresolved(&self) -> Result<u64, StoreError> {
        self.step("unresolved", None, self.inner.unresolved(), |_| None).await
    }

    async fn claimed_before(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.step("claimed before", None, self.inner.claimed_before(at), |_| None).await
    }
}
