//! Getting tokens into a broker's memory, and seeing that they stay there.

use std::time::Duration;

use keyherd_core::audit::Actor;
use keyherd_core::broker::Broker;
use keyherd_core::refresh::Ask;

use crate::{Outcome, Stopwatch};

/// What is not hot by then will not be.
const HOT_WITHIN: Duration = Duration::from_secs(30);
/// Longer than memory is trusted that nobody watches, and than the watch takes to hear of a commit.
const SETTLED: Duration = Duration::from_millis(250);

/// Watches the store, as a server does, and asks for each token until all of them stay hot.
///
/// # Errors
/// They do not.
pub async fn heat(broker: &Broker, names: &[String], ask: &Ask) -> Outcome {
    let (watch, actor) = (Stopwatch::start(), Actor::new("bench"));
    broker.watched().await;
    loop {
        for name in names {
            broker.acquire(name, ask, &actor).await?;
        }
        tokio::time::sleep(SETTLED).await;
        if names.iter().all(|name| broker.hot(name, ask).is_some()) {
            return Ok(());
        }
        if watch.elapsed() > HOT_WITHIN {
            return Err("the tokens do not stay in memory".into());
        }
    }
}
