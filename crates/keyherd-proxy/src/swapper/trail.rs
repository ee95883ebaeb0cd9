//! The audit lines of requests: each has its place before the request goes on, and all that have come are written
//! together.
//!
//! A request costs no transaction of its own. While the store is down lines wait, and when there is no more place for
//! them, so do requests. What was not written when the process is killed is lost: at most what came within
//! [`TrailLimits::write_every`].

use std::sync::Arc;
use std::time::Duration;

use keyherd_core::audit::TextNote;
use keyherd_core::broker::Broker;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, OwnedPermit, Receiver, Sender};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fault::Fault;

/// Bounds of the trail. Each is a configuration value of the same name, under `[proxy.audit]`.
#[derive(Debug, Clone)]
pub struct TrailLimits {
    /// Lines that wait to be written. Default 16,384.
    pub lines_max: usize,
    /// How long a request waits for its line's place. Default 10 s.
    pub line_wait: Duration,
    /// Lines are written together, so often. Default 50 ms.
    pub write_every: Duration,
}

impl Default for TrailLimits {
    fn default() -> Self {
        Self { lines_max: 16_384, line_wait: Duration::from_secs(10), write_every: Duration::from_millis(50) }
    }
}

/// A line's place among those that are to be written.
pub(crate) type Place = OwnedPermit<TextNote>;

/// The most lines in one transaction.
const BATCH: usize = 1_024;
/// How long the writer rests after the store failed.
const REST: Duration = Duration::from_millis(500);
/// How often it tries once everything ends.
const LAST_TRIES: usize = 4;

/// Where audit lines go. Cheap to clone.
#[derive(Clone)]
pub struct Trail(Arc<Inner>);

struct Inner {
    sender: Sender<TextNote>,
    line_wait: Duration,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Trail {
    /// Begins writing to the broker's store.
    pub fn new(broker: Broker, limits: &TrailLimits) -> Self {
        let (sender, lines) = mpsc::channel(limits.lines_max.max(1));
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let writer = Writer { broker, closing: closing.clone(), write_every: limits.write_every };
        tasks.spawn(writer.run(lines));
        Self(Arc::new(Inner { sender, line_wait: limits.line_wait, tasks, closing }))
    }

    /// A place for a line, where one is free. `None`: ask [`Trail::place`].
    pub(crate) fn place_at_hand(&self) -> Option<Place> {
        self.0.sender.clone().try_reserve_owned().ok()
    }

    /// A place for a line.
    pub(crate) async fn place(&self) -> Result<Place, Fault> {
        let stopping = || Fault::Busy("keyherd is stopping".into());
        let full = match self.0.sender.clone().try_reserve_owned() {
            Ok(place) => return Ok(place),
            Err(TrySendError::Closed(_)) => return Err(stopping()),
            Err(TrySendError::Full(full)) => full,
        };
        match timeout(self.0.line_wait, full.reserve_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(stopping()),
            Err(_elapsed) => Err(Fault::Busy("the audit log cannot be written fast enough".into())),
        }
    }

    /// Writes what has come, and ends. After whoever brings lines.
    pub async fn shutdown(&self) {
        self.0.closing.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

struct Writer {
    broker: Broker,
    closing: CancellationToken,
    write_every: Duration,
}

impl Writer {
    async fn run(self, mut lines: Receiver<TextNote>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let closing = self.closing.clone();
            let Some(got) = closing.run_until_cancelled(lines.recv_many(&mut batch, BATCH)).await else {
                break;
            };
            if got == 0 {
                return;
            }
            self.write(&mut batch).await;
            // Where a batch is full, more have come than it holds.
            if got < BATCH {
                closing.run_until_cancelled(sleep(self.write_every)).await;
            }
        }
        lines.close();
        while lines.recv_many(&mut batch, BATCH).await > 0 {
            self.write(&mut batch).await;
        }
    }

    async fn write(&self, batch: &mut Vec<TextNote>) {
        let mut tries = 0;
        while let Err(error) = self.broker.ports().store.append_all(batch).await {
            tries += usize::from(self.closing.is_cancelled());
            tracing::warn!(%error, lines = batch.len(), "audit lines of requests cannot be written");
            if tries >= LAST_TRIES {
                break;
            }
            sleep(REST).await;
        }
        batch.clear();
    }
}
