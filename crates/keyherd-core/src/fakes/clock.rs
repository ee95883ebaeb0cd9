//! A clock that follows tokio's, which tests pause and advance.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::ports::Clock;
use crate::time::Timestamp;

/// Starts at a fixed point in time and moves with tokio's clock; the wall clock can be set wrong.
#[derive(Debug)]
pub struct PausedClock {
    origin: tokio::time::Instant,
    skew_ms: AtomicI64,
}

impl PausedClock {
    /// 2026-01-01T00:00:00Z, in milliseconds.
    pub const START_MS: i64 = 1_767_225_600_000;

    /// Starts now, in tokio's time.
    #[expect(clippy::new_without_default, reason = "when it starts matters")]
    #[expect(clippy::disallowed_methods, reason = "tokio's clock is the one that tests pause")]
    pub fn new() -> Self {
        Self { origin: tokio::time::Instant::now(), skew_ms: AtomicI64::new(0) }
    }

    /// Sets the wall clock this far ahead (or behind) from now on.
    pub fn skew(&self, millis: i64) {
        self.skew_ms.store(millis, Ordering::Relaxed);
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let at = Timestamp::from_millis(Self::START_MS + self.skew_ms.load(Ordering::Relaxed));
        at + self.uptime()
    }

    #[expect(clippy::disallowed_methods, reason = "tokio's clock is the one that tests pause")]
    fn uptime(&self) -> Duration {
        self.origin.elapsed()
    }
}
