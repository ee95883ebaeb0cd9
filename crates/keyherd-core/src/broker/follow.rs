//! Learning what other processes commit: one watch of the outbox per process, and waiting for another's claim to end.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Broker;
use super::outbox::{Cursor, Found};
use crate::credential::{Chain, Loaded};
use crate::ids::{ChainId, Name};
use crate::ports::StoreError;
use crate::ports::store::{RULES_CHANGED, StoredEvent};
use crate::spell::Spell;

/// Events read at once.
const BATCH: usize = 1_000;
/// Rest after the store did not answer the watch.
const WATCH_RETRY: Duration = Duration::from_millis(250);
/// The first sleep between two looks at another's claim; doubled up to the configured bound.
const POLL_FIRST: Duration = Duration::from_millis(25);
/// Where claims expire, their owner's death shows no sooner: between two looks passes at least this part of their life.
const POLL_LIFE: u32 = 12;
/// Who waits for a chain that was named has so long a start on the watch: both ask the same store.
const NAMED_FIRST: Duration = Duration::from_millis(20);
/// Between two looks at the outbox passes at least this time: where much happens, one look finds many events. Who waits
/// for a chain that is named does not wait for a look.
const LOOKS_APART: Duration = Duration::from_millis(20);
/// How long a coordinator may keep the watch asleep: it owes a bounded poll, and is not relied upon.
const CHANGED_MAX: Duration = Duration::from_secs(5);

/// Who waits for which chain to change.
#[derive(Default)]
pub(super) struct Notices {
    waiting: Mutex<HashMap<ChainId, Arc<Notify>>>,
    watching: AtomicBool,
    /// Cancelled when the watch knows where it begins: from then on no commit goes unnoticed.
    begun: CancellationToken,
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

    /// Whether somebody waits for it.
    fn wake(&self, chain: ChainId) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = waiting.get(&chain);
        notify.inspect(|notify| notify.notify_waiters()).is_some()
    }

    fn wake_all(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().for_each(|notify| notify.notify_waiters());
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

    /// Returns when the watch has begun: whatever is committed from then on is told. As long as the store does not answer,
    /// it does not begin.
    pub async fn watched(&self) {
        self.watch();
        self.0.notices.begun.cancelled().await;
    }

    /// The same, or it cannot begin for now.
    pub(super) async fn watching(&self) {
        let _ = timeout(WATCH_RETRY, self.watched()).await;
    }

    /// Whether this process hears of what others commit.
    pub(super) fn is_watching(&self) -> bool {
        self.0.notices.begun.is_cancelled()
    }

    async fn keep_watching(&self) {
        let (mut cursor, unread) = (None, Spell::default());
        loop {
            if let Err(error) = self.catch_up(&mut cursor).await {
                if unread.failed() {
                    tracing::warn!(%error, "the outbox cannot be read");
                }
                tokio::time::sleep(WATCH_RETRY).await;
                continue;
            }
            if let Some(times) = unread.over() {
                tracing::info!(times, "the outbox is read again");
            }
            let mut rested = pin!(tokio::time::sleep(LOOKS_APART));
            let _ = timeout(CHANGED_MAX, self.0.ports.coordinator.changed()).await;
            let mut is_awaited = self.wake_named();
            loop {
                tokio::select! {
                    biased;
                    () = rested.as_mut() => break,
                    () = self.0.ports.coordinator.changed() => is_awaited |= self.wake_named(),
                }
            }
            if is_awaited {
                tokio::time::sleep(NAMED_FIRST).await;
            }
        }
    }

    /// Who waits for the chains that a notice has named looks at the store by itself, and before the watch does.
    fn wake_named(&self) -> bool {
        let named = self.0.ports.coordinator.named();
        // Each of them, also when one was awaited.
        named.into_iter().filter(|chain| self.0.notices.wake(*chain)).count() > 0
    }

    /// Reads what was committed since the last time. At first, and where the outbox does not follow what was seen,
    /// nothing in memory is trusted any more.
    async fn catch_up(&self, cursor: &mut Option<Cursor>) -> Result<(), StoreError> {
        let store = &self.0.ports.store;
        let cursor_now = match cursor {
            Some(cursor) => cursor,
            None => {
                let last = store.last_event().await?;
                let begun =
                    cursor.insert(Cursor::new(last, store.latecomers(), self.0.options.event_holes_max));
                self.0.snapshots.watched();
                self.missed_of_asking();
                self.0.notices.begun.cancel();
                begun
            }
        };
        let mut after = cursor_now.after();
        loop {
            let top = cursor_now.top();
            let events = store.events(after, BATCH).await?;
            let is_last = events.len() < BATCH;
            let last_read = events.last().map(|last| last.seq);
            let went_back = match last_read {
                Some(last) => is_last && last < top,
                None => store.last_event().await? < top,
            };
            if went_back {
                self.distrust();
                *cursor = None;
                return Ok(());
            }
            let Found { news, is_broken } = cursor_now.take(events, self.0.ports.clock.uptime());
            if is_broken {
                self.distrust();
            }
            for event in news {
                self.apply(event);
            }
            after = last_read.unwrap_or(after);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Something may have happened that will not be told.
    fn distrust(&self) {
        self.0.snapshots.all_warmed();
        self.0.snapshots.mark_all_stale();
        self.0.notices.wake_all();
        self.missed_of_asking();
    }

    fn apply(&self, event: StoredEvent) {
        // Rules and approvals: no token changes with them.
        let is_asking = event.kind.starts_with("approval_") || event.kind == RULES_CHANGED;
        if event.chain.is_none() && (is_asking || event.kind.starts_with("channel_")) {
            if is_asking {
                self.heard_of_asking(&event);
                self.0.errands.something_is_due();
            } else {
                self.0.errands.channels_changed();
            }
            let _ = self.0.events.send(Arc::new(event));
            return;
        }
        match (event.kind.as_str(), event.chain) {
            // A rest is the credential's own: its tokens are what they were.
            ("cooldown", Some(_)) => self.0.snapshots.forget(&event.subject),
            ("cooldown_cleared", Some(_)) => {
                self.rest_cleared(&event);
                self.0.snapshots.forget(&event.subject);
            }
            ("refreshed", Some(chain)) => self.0.snapshots.chain_changed(chain, generation(&event)),
            (_, Some(chain)) => {
                self.0.snapshots.chain_changed(chain, None);
                self.0.snapshots.forget(&event.subject);
            }
            (kind, None) if kind == "failover" || kind.starts_with("pool_") => {
                self.0.snapshots.pool_changed(&event.subject);
            }
            (kind, None) if kind.starts_with("agent_") || kind.starts_with("binding_") => {
                // Answers to an agent go with it.
                self.heard_of_asking(&event);
                self.access_told(&event);
            }
            (_, None) => self.0.snapshots.mark_all_stale(),
        }
        if let Some(chain) = event.chain {
            self.0.notices.wake(chain);
        }
        // Nobody listening is no error.
        let _ = self.0.events.send(Arc::new(event));
    }

    /// Another process may have ended a rest that was set here.
    fn rest_cleared(&self, event: &StoredEvent) {
        let detail: Value = serde_json::from_str(&event.detail).unwrap_or_default();
        let text = |field: &str| detail.get(field).and_then(Value::as_str);
        if let (Ok(name), Some(reason)) = (Name::parse(&event.subject), text("reason")) {
            self.0.snapshots.warmed(&name, text("scope"), reason);
        }
    }

    /// Waits while `waits` says so of the chain, as it does of one that another process has claimed, and gives the
    /// credential as it is then. `None`: it is gone. `first_rest`: where no claim was seen, the first look is put off for
    /// so long, or until something is told of the chain. The caller bounds the time.
    pub(super) async fn follow(
        &self,
        name: &Name,
        chain: ChainId,
        first_rest: Option<Duration>,
        waits: fn(&Chain) -> bool,
    ) -> Result<Option<Loaded>, StoreError> {
        self.watch();
        let notify = Some(self.0.notices.subscribe(chain));
        let seat = Seat { notices: &self.0.notices, chain, notify };
        let Some(notify) = seat.notify.as_deref() else { return self.look(name, chain).await };
        // A commit before the watch begins would be told by nobody.
        let _ = timeout(WATCH_RETRY, self.0.notices.begun.cancelled()).await;
        let mut notified = Box::pin(notify.notified());
        notified.as_mut().enable();
        if let Some(rest) = first_rest {
            let _ = timeout(rest, notified.as_mut()).await;
        }
        let (mut rest, rest_max) = self.follow_rests();
        loop {
            // Registered before the look, so that a commit between the look and the sleep still wakes.
            notified.set(notify.notified());
            notified.as_mut().enable();
            match self.look(name, chain).await? {
                Some(held) if waits(&held.chain) => {}
                loaded => return Ok(loaded),
            }
            let _ = timeout(rest, notified.as_mut()).await;
            rest = (rest * 2).min(rest_max);
        }
    }

    /// The first sleep between two looks at another's claim, and the longest.
    fn follow_rests(&self) -> (Duration, Duration) {
        let bound = self.0.options.follow_poll_max;
        match self.0.ports.store.claim_life() {
            None => (POLL_FIRST, bound),
            Some(life) => (life / POLL_LIFE, bound.max(life / POLL_LIFE)),
        }
    }

    /// The credential as the store has it now, which memory keeps. `None`: it is gone, or on another chain.
    pub(super) async fn look(&self, name: &Name, chain: ChainId) -> Result<Option<Loaded>, StoreError> {
        let (stamp, read_at) = (self.0.snapshots.stamp(), self.now());
        let loaded = self.0.ports.store.credential(name).await?;
        let mut loaded = loaded.filter(|loaded| loaded.chain.id == chain);
        if let Some(loaded) = &mut loaded {
            self.0.snapshots.resting(loaded, self.now());
            self.0.snapshots.put(stamp, loaded, self.window(&loaded.chain.provider), read_at);
        }
        Ok(loaded)
    }
}

fn generation(event: &StoredEvent) -> Option<u64> {
    serde_json::from_str::<Value>(&event.detail).ok()?.get("generation")?.as_u64()
}
