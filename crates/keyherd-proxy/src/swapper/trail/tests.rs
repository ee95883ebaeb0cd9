//! How fast lines are written.

use std::sync::Arc;

use keyherd_core::audit::Actor;
use keyherd_core::fakes::{Fleet, ScriptedProvider};
use serde_json::json;

use super::*;

/// In paused time, which goes on by itself where nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_full_batch_is_followed_at_once() {
    let fleet = Fleet::new(Arc::new(ScriptedProvider::new([])), []);
    let broker = fleet.host().broker;
    let limits = TrailLimits { write_every: Duration::from_secs(3_600), ..TrailLimits::default() };
    let trail = Trail::new(broker.clone(), &limits);
    let count = 3 * BATCH;
    for number in 0..count {
        let note = Note {
            action: "proxy.request",
            actor: Actor::new("agent:robot"),
            subject: number.to_string(),
            detail: json!({}),
        };
        trail.place().await.expect("is free").send(note);
    }
    let written = async {
        while broker.ports().store.tail(2 * count).await.expect("is there").len() < count {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), written).await.expect("nobody rests between full batches");
    trail.shutdown().await;
}
