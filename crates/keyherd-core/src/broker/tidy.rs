//! Dropping what was kept long enough: journal entries, events, spent hashes, audit entries. Never anything that may still be needed.

use std::time::Duration;

use tokio::time::timeout;

use super::{AcquireError, Broker};
use crate::ports::store::Trimmed;

/// Aged journal entries looked at in one go.
const AGED_MAX: usize = 10_000;
/// The same where a process tidies once, beside its real work.
const AGED_ONCE_MAX: usize = 500;
/// A process that goes on tidies so long after its refresh; one that ends, at its end.
const ONCE_AFTER: Duration = Duration::from_secs(5);
/// How long that may take.
const ONCE_MAX: Duration = Duration::from_secs(1);

impl Broker {
    /// Recovers pending answers, and drops what has been kept long enough. Whether there is more of that.
    pub(super) async fn tidy(&self) -> bool {
        if let Err(error) = self.recover().await {
            tracing::warn!(%error, "the journal cannot be recovered now");
        }
        if let Err(error) = self.trim_journal().await {
            tracing::warn!(%error, "the journal cannot be trimmed now");
        }
        self.trim_store().await
    }

    /// Where no server runs, nobody else would ever tidy: a process that refreshed does so once, a bounded bit, when its
    /// caller has the answer.
    pub(super) fn tidy_once(&self) {
        if self.0.tidies.swap(true, std::sync::atomic::Ordering::AcqRel) {
            return;
        }
        let broker = self.clone();
        self.0.tasks.spawn(async move {
            let _ = timeout(ONCE_AFTER, broker.0.stop.cancelled()).await;
            let tidied = timeout(ONCE_MAX, async {
                if let Err(error) = broker.trim_some(AGED_ONCE_MAX).await {
                    tracing::debug!(%error, "the journal cannot be trimmed now");
                }
                broker.trim_store().await;
            });
            let _ = tidied.await;
        });
    }

    async fn trim_store(&self) -> bool {
        let trimmed = self.0.ports.store.trim(self.now()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the store cannot be trimmed now");
            Trimmed::default()
        });
        if let Err(error) = self.trim_approvals().await {
            tracing::warn!(%error, "approvals cannot be trimmed now");
        }
        trimmed.has_more
    }

    /// Drops journal entries that have been kept long enough and whose chain has gone on to a further generation: the
    /// newest one of a chain stays, so that a store restored from an old backup can still be rolled forward to it.
    pub async fn trim_journal(&self) -> Result<usize, AcquireError> {
        let mut dropped = 0;
        loop {
            let (looked_at, some) = self.trim_some(AGED_MAX).await?;
            dropped += some;
            if looked_at < AGED_MAX {
                return Ok(dropped);
            }
        }
    }

    /// Looks at so many aged entries at most. Returns how many it looked at, and how many it dropped.
    async fn trim_some(&self, limit: usize) -> Result<(usize, usize), AcquireError> {
        let journal = &self.0.ports.journal;
        let aged = journal.aged(self.now(), self.0.options.journal_keep, limit).await?;
        let (looked_at, mut dropped) = (aged.len(), 0);
        for entry in aged {
            let row = self.0.ports.store.chain(entry.chain).await?;
            if row.is_none_or(|row| row.generation > entry.generation + 1) {
                journal.forget(&entry.spent).await?;
                dropped += 1;
            }
        }
        Ok((looked_at, dropped))
    }
}
