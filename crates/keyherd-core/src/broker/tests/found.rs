//! What the simulation found: mistakes that take several hosts, a stop or a failover to show.

use super::*;
use crate::fakes::granted;

/// A token's life begins at its request: the answer may have lain unread in a process that was stopped.
#[tokio::test(start_paused = true)]
async fn a_late_answer_is_an_old_token() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(50 * SECOND);
    let begun = stage.fleet.clock.now();
    let got = token(stage.ask(Ask::foreground(MINUTE)).await);
    assert!(got.expires_at().is_some_and(|end| end <= begun + HOUR), "{got:?}");
}
