//! The audit lines of requests: each has its place before the request goes on, and all that have come are written
//! together.
//!
//! A request costs no transaction of its own, and under load no entry of its own: lines that come at once are bound to
//! sheaves. While the store is down lines wait, and when there is no more place for them, so do requests. What was not
//! written when the process is killed is lost: while the store is up, at most what came within
//! [`TrailLimits::write_every`].

use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyherd_core::audit::{Line, Sheaf};
use keyherd_core::broker::Broker;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
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

/// The most sheaves in one transaction.
const BATCH: usize = 16;
/// How long the writer rests after the store failed.
const REST: Duration = Duration::from_millis(500);
/// How often it tries once everything ends.
const LAST_TRIES: usize = 4;

/// Where audit lines go. Cheap to clone. With the last of them the writer ends, when it has written what has come.
#[derive(Clone)]
pub struct Trail {
    inner: Arc<Inner>,
    _ending: Arc<DropGuard>,
}

struct Inner {
    broker: Broker,
    lines_max: usize,
    /// One for each line that may still come. Closed: none may any more.
    places: Semaphore,
    gathered: Mutex<Gathered>,
    /// There are lines where there were none; or, in the end, a place was given back.
    news: Notify,
    line_wait: Duration,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// What has come and is not written.
#[derive(Default)]
struct Gathered {
    full: Vec<Sheaf>,
    open: Sheaf,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.full.is_empty() && self.open.is_empty()
    }
}

/// A line's place among those that are to be written. Dropped without a line it is given back.
pub(crate) struct Place(Option<Arc<Inner>>);

/// Tells the writer when it goes: a place may have come back by then.
struct Told<'a>(&'a Notify);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Trail {
    /// Begins writing to the broker's store.
    pub fn new(broker: Broker, limits: &TrailLimits) -> Self {
        let lines_max = limits.lines_max.clamp(1, Semaphore::MAX_PERMITS);
        let closing = CancellationToken::new();
        let ending = Arc::new(closing.clone().drop_guard());
        let inner = Arc::new(Inner {
            broker,
            lines_max,
            places: Semaphore::new(lines_max),
            gathered: Mutex::default(),
            news: Notify::new(),
            line_wait: limits.line_wait,
            tasks: TaskTracker::new(),
            closing,
        });
        let writer = Writer { trail: Arc::clone(&inner), write_every: limits.write_every };
        inner.tasks.spawn(writer.run());
        Self { inner, _ending: ending }
    }

    /// A place for a line.
    pub(crate) async fn place(&self) -> Result<Place, Fault> {
        match self.inner.places.try_acquire() {
            Ok(place) => place.forget(),
            // Seldom, and large.
            Err(_none) => Box::pin(self.inner.wait()).await?,
        }
        Ok(Place(Some(Arc::clone(&self.inner))))
    }

    /// Writes what has come, and ends. After whoever brings lines.
    pub async fn shutdown(&self) {
        self.inner.closing.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Place {
    /// Puts the line there: its time is now.
    pub(crate) fn take(mut self, line: Line<'_>) {
        if let Some(trail) = self.0.take() {
            trail.gather(line);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(trail) = self.0.take() {
            trail.places.add_permits(1);
            trail.news.notify_one();
        }
    }
}

impl Inner {
    /// Until a place is free, which is taken then.
    async fn wait(&self) -> Result<(), Fault> {
        // A place that was given to someone who does not take it comes back without a word: before this is dropped.
        let _told = Told(&self.news);
        match timeout(self.line_wait, self.places.acquire()).await {
            Ok(Ok(place)) => place.forget(),
            Ok(Err(_closed)) => return Err(Fault::Busy("keyherd is stopping".into())),
            Err(_elapsed) => return Err(Fault::Busy("the audit log cannot be written fast enough".into())),
        }
        Ok(())
    }

    fn gather(&self, line: Line<'_>) {
        let at = self.broker.now();
        let is_first = {
            let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = gathered.is_empty();
            gathered.open.push(at, line);
            if gathered.open.is_full() {
                let full = take(&mut gathered.open);
                gathered.full.push(full);
            }
            is_first
        };
        if is_first {
            self.news.notify_one();
        }
    }

    /// The oldest of what has come, as much as one transaction takes.
    fn batch(&self) -> Vec<Sheaf> {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let count = gathered.full.len().min(BATCH);
        let mut batch: Vec<_> = gathered.full.drain(..count).collect();
        if batch.len() < BATCH && !gathered.open.is_empty() {
            batch.push(take(&mut gathered.open));
        }
        batch
    }
}

struct Writer {
    trail: Arc<Inner>,
    write_every: Duration,
}

impl Writer {
    async fn run(self) {
        let Inner { places, news, closing, lines_max, .. } = &*self.trail;
        while !closing.is_cancelled() {
            let batch = self.trail.batch();
            match batch.len() {
                0 => drop(closing.run_until_cancelled(news.notified()).await),
                written => {
                    self.write(&batch).await;
                    // Where a batch is full, more have come than it holds.
                    if written < BATCH {
                        closing.run_until_cancelled(sleep(self.write_every)).await;
                    }
                }
            }
        }
        places.close();
        // Whoever has a place may still use it.
        loop {
            let batch = self.trail.batch();
            if !batch.is_empty() {
                self.write(&batch).await;
            } else if places.available_permits() < *lines_max {
                news.notified().await;
            } else {
                break;
            }
        }
    }

    async fn write(&self, batch: &[Sheaf]) {
        let lines = batch.iter().map(Sheaf::len).sum();
        let mut tries = 0;
        while let Err(error) = self.trail.broker.ports().store.append_lines(batch).await {
            tries += usize::from(self.trail.closing.is_cancelled());
            tracing::warn!(%error, lines, "audit lines of requests cannot be written");
            if tries >= LAST_TRIES {
                tracing::error!(
                    lines,
                    "audit lines of requests are lost: all ends, and they cannot be written"
                );
                break;
            }
            sleep(REST).await;
        }
        self.trail.places.add_permits(lines);
    }
}

#[cfg(test)]
mod tests;
