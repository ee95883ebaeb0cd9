//! How far it is, on one line of a terminal: never in a log or a pipe.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

/// One line that is written over.
pub(crate) struct Progress {
    all: u64,
    begun: Instant,
    is_shown: bool,
}

impl Progress {
    #[expect(clippy::disallowed_methods, reason = "how long it really takes is for the person who waits")]
    pub(crate) fn new(all: u64) -> Self {
        Self { all, begun: Instant::now(), is_shown: stderr().is_terminal() }
    }

    #[expect(clippy::disallowed_methods, reason = "how long it really takes is for the person who waits")]
    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    pub(crate) fn show(&self, done: u64, failed: usize) {
        if self.is_shown {
            let rate = done as f64 / self.seconds().max(0.001);
            let _ = write!(stderr(), "\r{done} of {} seeds, {rate:.0} a second, {failed} failed ", self.all);
        }
    }

    pub(crate) fn clear(&self) {
        if self.is_shown {
            let _ = write!(stderr(), "\r{:60}\r", "");
        }
    }
}
