//! Time, as a port: the wall clock that expiry is judged on, and a clock for deadlines.

use std::time::Duration;

use crate::time::Timestamp;

/// Two clocks. Waiting itself is tokio's, which tests pause.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, to a few milliseconds: cheap enough for every request.
    fn now(&self) -> Timestamp;

    /// Time since some fixed point, never stepping back, counting the time the machine was suspended.
    fn uptime(&self) -> Duration;
}
