//! The one place where a bench reads a clock.

use std::time::{Duration, Instant};

/// Time since it was started.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a bench measures the time that really passes")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    #[expect(clippy::disallowed_methods, reason = "a bench measures the time that really passes")]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
