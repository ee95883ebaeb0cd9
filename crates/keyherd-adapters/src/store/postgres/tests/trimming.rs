//! What is older than its time to keep goes in bounded transactions, whichever hosts sweep at the same time.

use keyherd_core::ports::store::{EventStore, ProfileStore};
use keyherd_core::time::Timestamp;

use super::bed::{Bed, create, record, refresh};
use crate::store::postgres::PostgresStore;

const EVENTS: &str = "INSERT INTO events (at, kind, subject, detail) \
     SELECT 0, 'k', 's', '{}' FROM generate_series(1, 500)";

/// How many rows went.
async fn rows(store: &PostgresStore, now: Timestamp) -> u64 {
    store.trim(now).await.unwrap().rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_hosts_trim_at_once_and_each_only_so_much() {
    let mut bed = Bed::new().await;
    bed.bounds.trim_batch = 10;
    bed.bounds.trim_batches_max = 3;
    let first = bed.store().await;
    bed.meddle(EVENTS).await;
    let now = bed.clock().now();
    assert_eq!(rows(&first, now).await, 30, "three batches of ten");
    let mut sweeping = Vec::new();
    for _ in 0..4 {
        let store = bed.store().await;
        sweeping.push(tokio::spawn(async move {
            let mut trimmed = 0;
            loop {
                match rows(&store, now).await {
                    0 => return trimmed,
                    more => trimmed += more,
                }
            }
        }));
    }
    let mut trimmed = 30;
    for sweep in sweeping {
        trimmed += sweep.await.unwrap();
    }
    assert_eq!(trimmed, 499, "each row once, and the last number stays");
    assert_eq!(first.last_event().await, Ok(500));
}

#[tokio::test]
async fn nothing_that_is_needed_goes() {
    let mut bed = Bed::new().await;
    bed.bounds.spent_tokens_max = 3;
    let store = bed.store().await;
    let mut chain = create(&store, "acme", "t0").await.chain;
    for n in 1..=6 {
        chain = refresh(&store, &chain, &format!("t{n}")).await;
    }
    assert_eq!(bed.look("SELECT COUNT(*) FROM spent_tokens").await[0].get::<_, i64>(0), 3);
    assert_eq!(rows(&store, bed.clock().now()).await, 0);
    assert_eq!(store.remove_profile("none", record("remove")).await, Ok(false));
    assert_eq!(store.last_event().await, Ok(13), "every event has its number still");
}
