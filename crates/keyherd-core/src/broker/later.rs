//! What the store could not be told at once: tried again until it takes it, or until this process has to end.
//!
//! What a provider granted is never given up before its last tries; what only says that a claim ended may be, because
//! a claim whose owner is gone is resolved by others.

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;

use super::Broker;
use super::tenure::Tenure;
use crate::ids::{ChainId, ClaimId};
use crate::ports::StoreError;
use crate::ports::store::{Record, Settled, Settling};
use crate::refresh::Settlement;
use crate::secret::TokenHash;

/// Rests between tries to tell the store.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Tries at shutdown to say how a claim ended, and the rest between them.
const LAST_TRIES: u32 = 3;
const LAST_REST_MAX: Duration = Duration::from_millis(200);
/// The commit of a claim may still be on its way when its reply is lost: it is looked for once more after this long.
const LATE_CLAIM: Duration = Duration::from_secs(5);
/// How long the one last try may take that only gives a claim back.
const GIVE_BACK_MAX: Duration = Duration::from_secs(1);

impl Broker {
    /// The store cannot be told how a claim ended: remembered, and tried until it can. The claim, where it was surely
    /// granted, is kept meanwhile: others would find its outcome unknown, although it is known here.
    pub(super) fn settle_later(&self, settling: Settling, record: Record, tenure: Option<Tenure>) {
        let claim = settling.claim;
        let only_gives_back = matches!(settling.settlement, Settlement::Released);
        self.unsettled().insert(claim, (settling, record));
        let broker = self.clone();
        self.0.tasks.spawn(async move {
            let _tenure = tenure;
            broker.tell(claim, only_gives_back).await;
            broker.unsettled().remove(&claim);
        });
    }

    /// It is not known whether that claim was granted: given back until the store has answered, and once more a while
    /// later. Until then it is remembered that nothing was sent under it.
    pub(super) fn give_back_later(&self, settling: Settling, record: Record) {
        let claim = settling.claim;
        self.unsettled().insert(claim, (settling, record));
        let broker = self.clone();
        self.0.tasks.spawn(async move {
            broker.tell(claim, true).await;
            if !broker.0.stop.is_cancelled() {
                broker.pause(LATE_CLAIM, Duration::ZERO).await;
                broker.tell(claim, true).await;
            }
            broker.unsettled().remove(&claim);
        });
    }

    /// Tries until the store has answered, or this process has to end.
    async fn tell(&self, claim: ClaimId, only_gives_back: bool) {
        let mut last_tries = if only_gives_back { 1 } else { LAST_TRIES };
        let mut rest = RETRY_FIRST;
        while last_tries > 0 {
            self.pause(rest, LAST_REST_MAX).await;
            last_tries -= u32::from(self.0.stop.is_cancelled());
            let Some(known) = self.unsettled().get(&claim).cloned() else { return };
            let told = self.settle_known(known);
            let told = if only_gives_back { self.briefly(told).await } else { Some(told.await) };
            if matches!(told, Some(Ok(_))) {
                return;
            }
            rest = (rest * 2).min(RETRY_MAX);
        }
    }

    /// Gives back the claim on that chain of which it is not known whether it was granted, if there is one.
    pub(super) async fn settle_owed(&self, chain: ChainId) -> Result<Option<Settled>, StoreError> {
        let is_owed = |(settling, _): &&(Settling, Record)| {
            settling.chain == chain && matches!(settling.settlement, Settlement::Released)
        };
        let owed = self.unsettled().values().find(is_owed).cloned();
        match owed {
            Some(owed) => self.settle_known(owed).await.map(Some),
            None => Ok(None),
        }
    }

    /// Tells the store how a claim of this process ended. What finds no such claim is not forgotten yet: it may appear.
    pub(super) async fn settle_known(
        &self,
        (settling, record): (Settling, Record),
    ) -> Result<Settled, StoreError> {
        let claim = settling.claim;
        let settled = self.0.ports.store.settle(settling, record).await?;
        if matches!(settled, Settled::Done(_)) {
            self.unsettled().remove(&claim);
        }
        if let Settled::Done(row) | Settled::Superseded(Some(row)) = &settled {
            self.publish(row);
        }
        Ok(settled)
    }

    /// A granted answer that the store could not take: tried until it is durable. Its claim is kept meanwhile.
    pub(super) async fn commit_later(
        &self,
        spent: TokenHash,
        settling: Settling,
        record: Record,
        _tenure: Tenure,
    ) {
        let mut rest = RETRY_FIRST;
        loop {
            self.pause(rest, RETRY_MAX).await;
            self.journal_again(&spent).await;
            match self.0.ports.store.roll_forward(&spent, settling.clone(), record.clone()).await {
                Ok(settled) => {
                    self.settle_journal(&spent).await;
                    if let Settled::Done(row) | Settled::Superseded(Some(row)) = settled {
                        self.0.snapshots.publish_settled(&row, settling.generation + 1);
                        self.0.ports.coordinator.announce();
                    }
                    return;
                }
                Err(error) => tracing::debug!(%error, "a granted token still waits for the store"),
            }
            rest = (rest * 2).min(RETRY_MAX);
            if self.0.stop.is_cancelled() && rest >= RETRY_MAX {
                return;
            }
        }
    }

    /// Tries as long as it is owed, and until it is told. At shutdown once more.
    pub(super) async fn until_told<T: Future<Output = bool>>(
        &self,
        is_owed: impl Fn() -> bool,
        tell: impl Fn() -> T,
    ) {
        let mut rest = RETRY_FIRST;
        loop {
            self.pause(rest, LAST_REST_MAX).await;
            let is_last = self.0.stop.is_cancelled();
            if !is_owed() || self.briefly(tell()).await == Some(true) || is_last {
                return;
            }
            rest = (rest * 2).min(RETRY_MAX);
        }
    }

    /// What could not be journaled at first is tried again: a disk may have room by now.
    async fn journal_again(&self, spent: &TokenHash) {
        let homeless = self.homeless().get(spent).cloned();
        if let Some(entry) = homeless
            && self.0.ports.journal.write(&entry).await.is_ok()
        {
            self.homeless().remove(spent);
        }
    }

    /// A rest between two tries. Shutdown ends it, and bounds those that come after.
    async fn pause(&self, rest: Duration, last: Duration) {
        if self.0.stop.is_cancelled() {
            sleep(rest.min(last)).await;
        } else {
            let _ = self.0.stop.run_until_cancelled(sleep(rest)).await;
        }
    }

    /// As long as it takes, but at shutdown for a moment only. `None`: that was not enough.
    async fn briefly<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let end = async {
            self.0.stop.cancelled().await;
            sleep(GIVE_BACK_MAX).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = end => None,
        }
    }
}
