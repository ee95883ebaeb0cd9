//! NOTIFY and LISTEN: notices through the store's own PostgreSQL, proven to arrive, with a poll where they do not.
//!
//! Owns one connection that listens, and the batching of what is announced: however much is committed meanwhile, one
//! notice is under way. It is sent after the commit, in a transaction of its own: commits that notify wait for one another
//! in the server. Never decides anything.

mod hearing;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::ids::ChainId;
use keyherd_core::ports::Coordinator;
use keyherd_core::spell::Spell;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::ears::Ears;
use crate::postgres::{Target, Type, Wire, WireError};

/// The channel, which is the database's: an installation is one database.
pub(super) const CHANNEL: &str = "keyherd";

/// Bounds of the notices.
#[derive(Debug, Clone)]
pub struct PostgresBellOptions {
    /// How often the store is looked at while notices are proven to arrive.
    pub poll_proven: Duration,
    /// How often while they are not.
    pub poll_unproven: Duration,
    /// How often it is proven again that notices arrive.
    pub prove_every: Duration,
    /// How long a notice to oneself may take.
    pub prove_within: Duration,
    /// The first rest after the listening connection was lost; it doubles.
    pub reconnect_first: Duration,
    /// The longest rest.
    pub reconnect_max: Duration,
    /// How long opening the listening connection may take.
    pub connect_timeout: Duration,
    /// How long a notice waits for others to travel with while a faster way is open.
    pub spacing: Duration,
    /// How long [`PostgresBell::settled`] waits.
    pub settle_timeout: Duration,
}

impl Default for PostgresBellOptions {
    fn default() -> Self {
        Self {
            poll_proven: Duration::from_secs(1),
            poll_unproven: Duration::from_millis(100),
            prove_every: Duration::from_secs(15),
            prove_within: Duration::from_secs(2),
            reconnect_first: Duration::from_millis(100),
            // One try a second is little beside the polls meanwhile; and so soon it is heard that all is well again.
            reconnect_max: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(5),
            spacing: Duration::from_millis(50),
            settle_timeout: Duration::from_secs(1),
        }
    }
}

/// Whether notices arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hearing {
    /// Not tried yet.
    Unknown,
    /// One to oneself came back.
    Proven,
    /// It did not, or the connection is gone: why, in a word.
    Deaf(&'static str),
}

/// A coordinator that needs nothing but the store. Nothing is set up until somebody announces or waits.
pub struct PostgresBell {
    shared: Arc<Shared>,
    speaker: Mutex<Option<AbortHandle>>,
    listener: Mutex<Option<AbortHandle>>,
}

struct Shared {
    wire: Wire,
    listen: Target,
    options: PostgresBellOptions,
    ears: Arc<Ears>,
    hearing: watch::Sender<Hearing>,
    /// Connections that listened in vain.
    deaf: Spell,
    proofs: watch::Sender<u64>,
    wanted: Notify,
    /// A faster way is open: this one may take its time.
    unhurried: AtomicBool,
    /// Up to where it was said what was announced.
    said: watch::Sender<u64>,
    notices: AtomicU64,
    unsaid: Spell,
    mute: Mutex<Option<&'static str>>,
}

impl PostgresBell {
    /// Notices are sent on `wire` and heard at `listen`, which has to be the same database, reached without a pooler in
    /// transaction mode.
    pub fn new(wire: Wire, listen: Target, options: PostgresBellOptions) -> Self {
        Self::with_ears(wire, listen, options, Arc::new(Ears::new()))
    }

    pub(super) fn with_ears(
        wire: Wire,
        listen: Target,
        options: PostgresBellOptions,
        ears: Arc<Ears>,
    ) -> Self {
        let shared = Shared {
            wire,
            listen,
            options,
            ears,
            hearing: watch::Sender::new(Hearing::Unknown),
            deaf: Spell::default(),
            proofs: watch::Sender::new(0),
            wanted: Notify::new(),
            unhurried: AtomicBool::new(false),
            said: watch::Sender::new(0),
            notices: AtomicU64::new(0),
            unsaid: Spell::default(),
            mute: Mutex::default(),
        };
        Self { shared: Arc::new(shared), speaker: Mutex::default(), listener: Mutex::default() }
    }

    /// Returns when everything that was announced was said to the server, or after a bound: for a process that ends.
    pub async fn settled(&self) {
        let announced = self.shared.ears.announced();
        self.shared.unhurried.store(false, Ordering::Release);
        let mut said = self.shared.said.subscribe();
        let _ = tokio::time::timeout(
            self.shared.options.settle_timeout,
            said.wait_for(|count| *count >= announced),
        )
        .await;
    }

    /// Listens, and returns when it is known whether notices arrive.
    pub(super) async fn tried(&self) {
        self.listen();
        let bound = self.shared.options.connect_timeout * 2 + self.shared.options.prove_within;
        let mut hearing = self.shared.hearing.subscribe();
        let _ = tokio::time::timeout(bound, hearing.wait_for(|hearing| *hearing != Hearing::Unknown)).await;
    }

    /// Says to others what the ears have counted, soon.
    pub(super) fn say(&self, unhurried: bool) {
        self.shared.unhurried.store(unhurried, Ordering::Release);
        start(&self.speaker, || Arc::clone(&self.shared).speak());
        self.shared.wanted.notify_one();
    }

    pub(super) fn listen(&self) {
        start(&self.listener, || hearing::listen(Arc::clone(&self.shared)));
    }

    #[cfg(test)]
    pub(super) async fn until_proven(&self) {
        let _ = self.shared.hearing.subscribe().wait_for(|hearing| *hearing == Hearing::Proven).await;
    }

    /// How long a poll may be away, for what is known of notices.
    pub(super) fn poll(&self) -> Duration {
        let proven = *self.shared.hearing.borrow() == Hearing::Proven;
        let options = &self.shared.options;
        if proven { options.poll_proven } else { options.poll_unproven }
    }
}

#[async_trait]
impl Coordinator for PostgresBell {
    fn announce(&self) {
        self.shared.ears.announce();
        self.say(false);
    }

    fn announce_chain(&self, chain: ChainId) {
        self.shared.ears.announce_chain(chain);
        self.say(false);
    }

    fn named(&self) -> Vec<ChainId> {
        self.shared.ears.named()
    }

    async fn changed(&self) {
        self.listen();
        // That nothing rang is no reason not to look.
        let _ = tokio::time::timeout(self.poll(), self.shared.ears.rang()).await;
    }

    async fn trouble(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Hearing::Deaf(problem) = &*self.shared.hearing.borrow() {
            lines.push(format!(
                "LISTEN at {} does not work ({problem}): the store is polled every {} ms; behind a pooler in transaction mode set \
                 KEYHERD_LISTEN_URL to the server itself",
                self.shared.listen,
                self.shared.options.poll_unproven.as_millis(),
            ));
        }
        if let Some(problem) = &*self.shared.mute.lock().unwrap_or_else(PoisonError::into_inner) {
            lines.push(format!(
                "other processes cannot be notified at {}: {problem}",
                self.shared.wire.target()
            ));
        }
        lines
    }
}

impl Drop for PostgresBell {
    fn drop(&mut self) {
        for task in [&mut self.speaker, &mut self.listener] {
            if let Some(task) = task.get_mut().unwrap_or_else(PoisonError::into_inner) {
                task.abort();
            }
        }
    }
}

/// Runs a task once. One that ended with its runtime is begun anew; where there is no runtime, nothing is heard or said,
/// and others find out by their poll.
pub(super) fn start<F>(place: &Mutex<Option<AbortHandle>>, task: impl FnOnce() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if place.as_ref().is_none_or(AbortHandle::is_finished)
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        *place = Some(runtime.spawn(task()).abort_handle());
    }
}

impl Shared {
    /// One notice at a time: whatever is announced while it is under way makes one more.
    async fn speak(self: Arc<Self>) {
        let mut told = 0;
        loop {
            self.wanted.notified().await;
            if self.unhurried.load(Ordering::Acquire) {
                tokio::time::sleep(self.options.spacing).await;
            }
            let count = self.ears.announced();
            let said = self.notify(&self.ears.word(told)).await;
            let problem = said.as_ref().err().map(WireError::word);
            *self.mute.lock().unwrap_or_else(PoisonError::into_inner) = problem;
            if let Err(error) = said {
                if self.unsaid.failed() {
                    tracing::warn!(%error, "other processes cannot be notified");
                }
                tokio::time::sleep(self.options.reconnect_first).await;
                self.wanted.notify_one();
            } else {
                if let Some(times) = self.unsaid.over() {
                    tracing::info!(times, "other processes are notified again");
                }
                told = count;
                self.said.send_replace(count);
            }
        }
    }

    async fn notify(&self, word: &str) -> Result<(), WireError> {
        self.notices.fetch_add(1, Ordering::Relaxed);
        let params = [(&CHANNEL as _, Type::TEXT), (&word as _, Type::TEXT)];
        self.wire.read("SELECT pg_notify($1, $2)", &params).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
