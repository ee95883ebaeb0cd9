//! What is older than its time to keep goes, in bounded steps; what is not, stays.

use std::time::Duration;

use keyherd_core::credential::Block;
use keyherd_core::ports::Clock;
use keyherd_core::ports::store::{
    AuditStore, ChainStore, ClientStore, Created, CredentialStore, EventStore, Reconnected, Trimmed, Verified,
};
use keyherd_core::refresh::Settlement;
use keyherd_core::time::Timestamp;
use sqlx::{ConnectOptions, Row};

use super::bed::{Bed, claim, create, lines, new, note, record, refresh, settling};
use crate::store::sqlite::SqliteStore;

const HOUR_MS: i64 = 3_600_000;

async fn left(store: &SqliteStore) -> Vec<i64> {
    store.events(0, 1_000).await.unwrap().iter().map(|event| event.seq).collect()
}

/// How many rows went.
async fn trimmed(store: &SqliteStore, now: Timestamp) -> u64 {
    store.trim(now).await.unwrap().rows
}

#[tokio::test]
async fn events_go_by_age() {
    let mut bed = Bed::new();
    bed.options.bounds.store.trim_batch = 2;
    let store = bed.store().await;
    for n in 0..10 {
        bed.clock.skew(n * HOUR_MS);
        create(&store, &format!("acme-{n}"), &format!("t{n}")).await;
    }
    assert_eq!(trimmed(&store, bed.clock.now()).await, 0);
    // Not quite: the clock goes on while the test runs.
    bed.clock.skew(30 * HOUR_MS - 60_000);
    assert_eq!(trimmed(&store, bed.clock.now()).await, 6);
    assert_eq!(left(&store).await, [7, 8, 9, 10]);
    bed.clock.skew(300 * HOUR_MS);
    assert_eq!(trimmed(&store, bed.clock.now()).await, 3);
    assert_eq!(left(&store).await, [10], "the outbox's number never goes back");
    assert_eq!(store.last_event().await, Ok(10));
}

#[tokio::test]
async fn events_go_by_number() {
    let mut bed = Bed::new();
    bed.options.bounds.store.events_max = 4;
    bed.options.bounds.store.trim_batch = 2;
    bed.options.bounds.store.trim_batches_max = 2;
    let store = bed.store().await;
    for n in 0..10 {
        create(&store, &format!("acme-{n}"), &format!("t{n}")).await;
    }
    assert_eq!(trimmed(&store, bed.clock.now()).await, 4, "two batches of two");
    assert_eq!(trimmed(&store, bed.clock.now()).await, 2);
    assert_eq!(left(&store).await, [7, 8, 9, 10]);
    assert_eq!(trimmed(&store, bed.clock.now()).await, 0);
}

#[tokio::test]
async fn a_chain_remembers_the_newest_of_what_it_spent() {
    let mut bed = Bed::new();
    bed.options.bounds.store.spent_tokens_max = 3;
    let store = bed.store().await;
    let mut chain = create(&store, "acme-1", "t0").await.chain;
    create(&store, "other", "o0").await;
    for n in 1..=6 {
        chain = refresh(&store, &chain, &format!("t{n}")).await;
    }
    for n in 0..6 {
        let created =
            store.create(new(&store, &format!("again-{n}"), &format!("t{n}")), record("create")).await;
        let is_refused = matches!(created, Ok(Created::Conflict(_)));
        assert_eq!(is_refused, n >= 3, "t{n}: {created:?}");
    }
}

#[tokio::test]
async fn a_chain_remembers_the_newest_of_what_was_replaced() {
    let mut bed = Bed::new();
    bed.options.bounds.store.spent_tokens_max = 3;
    let store = bed.store().await;
    let mut chain = create(&store, "acme-1", "t0").await.chain;
    for n in 1..=6 {
        // Somebody may be spending it just now.
        claim(&store, &chain).await;
        let given = new(&store, "acme-1", &format!("t{n}"));
        let Ok(Reconnected::Done(loaded)) = store.reconnect(given, record("reconnect")).await else {
            panic!("t{n} was not taken");
        };
        chain = loaded.chain;
    }
    for n in 0..6 {
        let created =
            store.create(new(&store, &format!("again-{n}"), &format!("t{n}")), record("create")).await;
        let is_refused = matches!(created, Ok(Created::Conflict(_)));
        assert_eq!(is_refused, n >= 3, "t{n}: {created:?}");
    }
}

#[tokio::test]
async fn a_removed_chain_leaves_nothing_behind() {
    let bed = Bed::new();
    let store = bed.store().await;
    let made = create(&store, "acme-1", "t0").await;
    let chain = refresh(&store, &made.chain, "t1").await;
    let claimed = claim(&store, &chain).await;
    let block = Block { code: "invalid_client".into(), at: Timestamp::from_millis(1) };
    store.settle(settling(&claimed, Settlement::Blocked(block)), record("settle")).await.unwrap();
    assert_eq!(trimmed(&store, bed.clock.now()).await, 0, "a block in force stays");
    store.remove(made.credential.id, None, record("remove")).await.unwrap();
    assert_eq!(trimmed(&store, bed.clock.now()).await, 1);
    let mut connection = store.engine.connect_options.connect().await.unwrap();
    for table in ["chains", "credentials", "spent_tokens", "client_blocks"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let count: i64 = sqlx::query(sql).fetch_one(&mut connection).await.unwrap().get(0);
        assert_eq!(count, 0, "{table}");
    }
    assert_eq!(store.clients().await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_sweep_takes_dead_owners_along() {
    let bed = Bed::new();
    let store = bed.store().await;
    let made = create(&store, "acme-1", "t0").await;
    claim(&store, &made.chain).await;
    let dead = bed.folder.path().join("owners/00000000000000aa.lock");
    std::fs::write(&dead, "").unwrap();
    store.trim(bed.clock.now() + Duration::from_secs(1)).await.unwrap();
    assert!(!dead.exists());
    assert_eq!(std::fs::read_dir(bed.folder.path().join("owners")).unwrap().count(), 1, "our own stays");
}

/// The numbers that the log still has.
async fn entries_left(store: &SqliteStore) -> Vec<i64> {
    assert_eq!(store.verify().await.unwrap().broken, None);
    store.entries(0, 1_000).await.unwrap().iter().map(|entry| entry.seq).collect()
}

#[tokio::test]
async fn audit_entries_go_by_age() {
    let mut bed = Bed::new();
    bed.options.bounds.store.audit_keep = Some(Duration::from_secs(10 * 3_600));
    let store = bed.store().await;
    for n in 0..6 {
        bed.clock.skew(n * HOUR_MS);
        store.append(note("done")).await.unwrap();
    }
    bed.clock.skew(10 * HOUR_MS - 60_000);
    assert_eq!(trimmed(&store, bed.clock.now()).await, 0);
    bed.clock.skew(13 * HOUR_MS - 60_000);
    // Three have to, and one would have to within a 32nd part of the time.
    assert_eq!(trimmed(&store, bed.clock.now()).await, 4);
    assert_eq!(entries_left(&store).await, [5, 6, 7], "the last one tells of it");
    assert_eq!(trimmed(&store, bed.clock.now()).await, 0);
}

#[tokio::test]
async fn audit_entries_go_by_number_and_what_bounds_leave_is_told() {
    let mut bed = Bed::new();
    let store = &mut bed.options.bounds.store;
    (store.audit_keep, store.audit_entries_max) = (None, Some(4));
    (store.trim_batch, store.trim_batches_max) = (2, 2);
    let store = bed.store().await;
    for _ in 0..10 {
        store.append(note("done")).await.unwrap();
    }
    assert_eq!(store.trim(bed.clock.now()).await, Ok(Trimmed { rows: 4, has_more: true }), "two of two");
    assert_eq!(entries_left(&store).await, (5..=12).collect::<Vec<_>>());
    assert_eq!(store.trim(bed.clock.now()).await, Ok(Trimmed { rows: 4, has_more: true }));
    assert_eq!(store.trim(bed.clock.now()).await, Ok(Trimmed { rows: 4, has_more: true }));
    assert_eq!(entries_left(&store).await.len(), 4);
    let last = store.tail(1).await.unwrap();
    assert_eq!((last[0].action.as_str(), last[0].actor.as_str()), ("audit.trim", "keyherd"));
    assert_eq!(trimmed(&store, bed.clock.now()).await, 0, "what tells of a cut makes no further one");
}

#[tokio::test]
async fn without_bounds_no_audit_entry_goes() {
    let mut bed = Bed::new();
    let store = &mut bed.options.bounds.store;
    (store.audit_keep, store.audit_entries_max) = (None, None);
    let store = bed.store().await;
    for _ in 0..3 {
        store.append(note("done")).await.unwrap();
    }
    assert_eq!(trimmed(&store, bed.clock.now() + Duration::from_secs(1_000_000_000)).await, 0);
    assert_eq!(entries_left(&store).await, [1, 2, 3]);
}

/// Each cut ends between two rows of twenty lines, and the next one begins there.
#[tokio::test]
async fn lines_that_are_bound_go_together() {
    let mut bed = Bed::new();
    bed.options.bounds.store.audit_entries_max = Some(40);
    bed.options.bounds.store.trim_batch = 2;
    bed.options.bounds.store.trim_batches_max = 1;
    let store = bed.store().await;
    for _ in 0..5 {
        store.append_lines(&[lines(20)]).await.unwrap();
    }
    // 1 to 100; beyond 60 they are among the last forty, or in a row with one that is.
    for (expected, first) in [(40, 41), (20, 61), (0, 61)] {
        let now = bed.clock.now();
        assert_eq!(trimmed(&store, now).await, expected);
        let entries = store.entries(0, 1_000).await.unwrap();
        assert_eq!((entries[0].seq, store.verify().await.unwrap().broken), (first, None));
        let whole = Verified { entries: entries.len() as u64, broken: None };
        assert_eq!(store.verify().await, Ok(whole));
    }
    store.append_lines(&[lines(20)]).await.unwrap();
    assert_eq!(trimmed(&store, bed.clock.now()).await, 20);
    let entries = store.entries(0, 1_000).await.unwrap();
    assert_eq!((entries[0].seq, entries.len()), (81, 20 + 2 + 20 + 1));
    assert_eq!(store.verify().await.unwrap().broken, None);
}
