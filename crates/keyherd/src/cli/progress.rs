//! Progress on standard error: on a terminal only, and only for what takes longer than a second.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keyherd_adapters::system::SystemClock;
use keyherd_core::ports::Clock;

/// Before it nothing is shown.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(120);

/// A bar that shows itself when its work turns out to be long.
pub(crate) struct Progress {
    bar: ProgressBar,
    began: Duration,
}

impl Progress {
    /// Work of `total` steps; 0: nobody knows.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let bar = match total {
            0 => ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
            _ => ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()),
        };
        let template = if total == 0 { "{msg} {spinner} {pos}" } else { "{msg} {wide_bar} {pos}/{len}" };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_message(what);
        Self { bar, began: SystemClock.uptime() }
    }

    /// So much is done.
    pub(super) fn reach(&self, done: u64) {
        self.reveal();
        self.bar.set_position(done);
    }

    /// So much of so much is done.
    pub(super) fn reach_of(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.reach(done);
    }

    fn reveal(&self) {
        if self.bar.is_hidden() && SystemClock.uptime().saturating_sub(self.began) > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Waits for something that has no steps, with a spinner if it is long.
pub(super) async fn waiting<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        return done;
    }
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {spinner} {elapsed}");
    spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.set_message(what);
    spinner.enable_steady_tick(TURN);
    let done = work.await;
    spinner.finish_and_clear();
    done
}
