//! Learning what other processes commit: one watch of the outbox per process, and waiting for another's claim to end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

use super::Broker;
use crate::credential::{Chain, Holder};
use crate::ids::ChainId;
use crate::ports::StoreError;
use crate::ports::store::StoredEvent;

/// Events read at once.
const BATCH: usize = 1_000;
/// Rest after the store did not answer the watch.
const WATCH_RETRY: Duration = Duration::from_millis(250);
/// The first sleep between two looks at another's claim; doubled up to the configured bound.
const POLL_FIRST: Duration = Duration::from_millis(25);

/// Who waits for which chain to change.
#[derive(Default)]
pub(super) struct Notices {
    waiting: Mutex<HashMap<ChainId, Arc<Notify>>>,
    watching: AtomicBool,
}

impl Notices {
    fn subscribe(&self, chain: ChainId) -> Arc<Notify> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(waiting.entry(chain).or_default())
    }

    fn leave(&self, chain: ChainId, notify: Arc<Notify>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        drop(notify);
        if waiting.get(&chain).is_some_and(|notify| Arc::strong_count(notify) == 1) {
            waiting.remove(&chain);
        }
    }

    fn wake(&self, chain: ChainId) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = waiting.get(&chain) {
            notify.notify_waiters();
        }
    }
}

/// A waiter's place, which is given up however the waiting ends.
struct Seat<'a> {
    notices: &'a Notices,
    chain: ChainId,
    notify: Option<Arc<Notify>>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Some(notify) = self.notify.take() {
            self.notices.leave(self.chain, notify);
        }
    }
}

impl Broker {
    /// Starts the watch, once per process.
    pub(super) fn watch(&self) {
        if !self.0.notices.watching.swap(true, Ordering::AcqRel) {
            let (broker, stop) = (self.clone(), self.0.stop.clone());
            self.0.tasks.spawn(async move {
                let _ = stop.run_until_cancelled(broker.keep_watching()).await;
            });
        }
    }

    async fn keep_watching(&self) {
        let mut seen = None;
        loop {
            if let Err(error) = self.catch_up(&mut seen).await {
                tracing::warn!(%error, "cannot read the outbox");
                tokio::time::sleep(WATCH_RETRY).await;
                continue;
            }
            self.0.ports.coordinator.changed().await;
        }
    }

    /// Reads what was committed since `seen`. At first, and where the outbox does not follow what was seen, nothing
    /// in memory is trusted any more.
    async fn catch_up(&self, seen: &mut Option<i64>) -> Result<(), StoreError> {
        let store = &self.0.ports.store;
        let mut after = match *seen {
            Some(after) => after,
            None => {
                let last = store.last_event().await?;
                self.0.snapshots.watched();
                last
            }
        };
        loop {
            *seen = Some(after);
            let events = store.events(after, BATCH).await?;
            let follows = events.first().is_none_or(|first| first.seq == after + 1);
            let went_back = events.is_empty() && store.last_event().await? < after;
            if !follows || went_back {
                self.0.snapshots.mark_all_stale();
            }
            if went_back {
                *seen = None;
                return Ok(());
            }
            let Some(last) = events.last() else { return Ok(()) };
            after = last.seq;
            for event in events {
                self.apply(event);
            }
        }
    }

    fn apply(&self, event: StoredEvent) {
        match (event.kind.as_str(), event.chain) {
            ("refreshed", Some(chain)) => self.0.snapshots.chain_changed(chain, generation(&event)),
            (_, Some(chain)) => {
                self.0.snapshots.chain_changed(chain, None);
                self.0.snapshots.forget(&event.subject);
            }
            (_, None) => self.0.snapshots.mark_all_stale(),
        }
        if let Some(chain) = event.chain {
            self.0.notices.wake(chain);
        }
        // Nobody listening is no error.
        let _ = self.0.events.send(Arc::new(event));
    }

    /// Waits until another process's claim on the chain has ended or its owner is gone, and gives the row as it is
    /// then. `None`: the chain is gone. The caller bounds the time.
    pub(super) async fn follow(&self, chain: ChainId) -> Result<Option<Chain>, StoreError> {
        self.watch();
        let notify = self.0.notices.subscribe(chain);
        let seat = Seat { notices: &self.0.notices, chain, notify: Some(notify) };
        match &seat.notify {
            Some(notify) => self.follow_by(chain, notify).await,
            None => self.0.ports.store.chain(chain).await,
        }
    }

    async fn follow_by(&self, chain: ChainId, notify: &Notify) -> Result<Option<Chain>, StoreError> {
        let mut rest = POLL_FIRST;
        loop {
            let mut notified = std::pin::pin!(notify.notified());
            // Registered before the look, so that a commit between the look and the sleep still wakes.
            notified.as_mut().enable();
            let row = self.0.ports.store.chain(chain).await?;
            match &row {
                Some(held) if held.claim.as_ref().is_some_and(|claim| claim.holder == Holder::Alive) => {}
                _ => return Ok(row),
            }
            let _ = tokio::time::timeout(rest, notified).await;
            rest = (rest * 2).min(self.0.options.follow_poll_max);
        }
    }
}

fn generation(event: &StoredEvent) -> Option<u64> {
    serde_json::from_str::<Value>(&event.detail).ok()?.get("generation")?.as_u64()
}
