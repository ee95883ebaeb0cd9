//! Transactions in each other's way: what may be tried again is, so many times, and decides by what it finds then.

use std::sync::atomic::{AtomicBool, Ordering};

use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{AuditStore, Created, CredentialStore, EventStore};

use tokio::sync::Notify;

use super::bed::{Bed, create, name, new, note, record};
use crate::postgres::{Tx, WireOptions};
use crate::store::fault::Fault;
use crate::store::postgres::PostgresStore;
use crate::store::statement::query;

async fn held(bed: &Bed, sql: &str) -> Tx {
    let tx = bed.outside().begin().await.unwrap();
    tx.batch(sql).await.unwrap();
    tx
}

#[tokio::test]
async fn a_row_that_came_between_the_look_and_the_write_is_looked_at() {
    let bed = Bed::new().await;
    let store = bed.store().await;
    create(&store, "acme-0", "t0").await;
    let renaming = held(&bed, "UPDATE credentials SET name = 'acme-1' WHERE name = 'acme-0'").await;
    let committing = async {
        bed.until_somebody_waits().await;
        renaming.commit().await.unwrap();
    };
    let (created, ()) = tokio::join!(store.create(new(&store, "acme-1", "t1"), record("create")), committing);
    let Ok(Created::NameTaken(loaded)) = created else { panic!("{created:?}") };
    assert_eq!(loaded.credential.name, name("acme-1"));
    assert_eq!(store.verify().await.unwrap().broken, None);
}

/// Moves both chains' due time, in that order; the first time only `between` comes in between.
async fn touch(
    store: &PostgresStore,
    [first, second]: [&'static str; 2],
    between: &Between,
) -> Result<(), Fault> {
    let sql =
        "UPDATE chains SET due_at = due_at + 1 WHERE id = (SELECT chain FROM credentials WHERE name = $1)";
    let mut write = store.write().await?;
    write.execute(query(sql).bind(first)).await?;
    if !between.is_over.swap(true, Ordering::Relaxed) {
        between.is_reached.notify_one();
        between.may_go_on.notified().await;
    }
    write.execute(query(sql).bind(second)).await?;
    write.commit_silently().await
}

/// Where the store stands once, with one row moved and one to move.
#[derive(Default)]
struct Between {
    is_over: AtomicBool,
    is_reached: Notify,
    may_go_on: Notify,
}

/// The store moves `a`, then `b`, while somebody who never gives way has moved `b` and waits for `a`. PostgreSQL looks for
/// a deadlock once, soon after somebody begins to wait: the other one must be waiting by then.
async fn deadlocked(bed: &Bed) -> Result<(), StoreError> {
    bed.meddle("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 20', current_database()); END $$")
        .await;
    let store = bed.store().await;
    create(&store, "a", "t1").await;
    create(&store, "b", "t2").await;
    let one = "UPDATE chains SET due_at = 0 WHERE id = (SELECT chain FROM credentials WHERE name = ";
    let other = held(bed, &format!("SET LOCAL deadlock_timeout = '1h'; {one} 'b')")).await;
    let between = Between::default();
    let crossing = async {
        between.is_reached.notified().await;
        let wanting = async {
            other.batch(&format!("{one} 'a')")).await.unwrap();
            other.commit().await.unwrap();
        };
        let letting_go_on = async {
            bed.until_somebody_waits().await;
            between.may_go_on.notify_one();
        };
        tokio::join!(wanting, letting_go_on);
    };
    let (touched, ()) = tokio::join!(store.insist(|| touch(&store, ["a", "b"], &between)), crossing);
    store.told(touched)
}

#[tokio::test]
async fn who_gives_way_in_a_deadlock_tries_again() {
    let bed = Bed::new().await;
    assert_eq!(deadlocked(&bed).await, Ok(()));
    let due = bed.look("SELECT due_at FROM chains").await;
    assert!(due.iter().all(|row| row.get::<_, i64>(0) == 1), "after the other one, and once");
}

#[tokio::test]
async fn who_may_not_try_again_is_told_what_stood_in_the_way() {
    let mut bed = Bed::new().await;
    bed.bounds.contention_retries_max = 0;
    let told = deadlocked(&bed).await;
    assert!(
        matches!(&told, Err(StoreError::Unavailable(why)) if why.contains("another transaction")),
        "{told:?}"
    );
}

#[tokio::test]
async fn an_entry_that_lands_late_is_followed_and_not_forked_from() {
    let mut bed = Bed::new().await;
    bed.lanes = WireOptions { lanes_max: 1, ..bed.lanes };
    let store = bed.store().await;
    store.append(note("one")).await.unwrap();
    // As a commit of this lane whose reply was lost would, which ends only now.
    bed.meddle(
        "INSERT INTO audit (chain, place, at, action, actor, subject, detail, hash) \
         SELECT chain, place + 1, at, 'late', actor, subject, detail, hash FROM audit",
    )
    .await;
    store.append(note("two")).await.unwrap();
    let entries = store.entries(0, 10).await.unwrap();
    let places: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.place)).collect();
    assert_eq!(places, [("one", 1), ("late", 2), ("two", 3)]);
}

#[tokio::test]
async fn a_number_is_waited_for_as_long_as_its_transaction_may_last() {
    let mut bed = Bed::new().await;
    let short = std::time::Duration::from_secs(1);
    bed.lanes = WireOptions {
        statement_timeout: short,
        idle_in_transaction_timeout: short,
        answer_margin: short,
        ..bed.lanes
    };
    let store = bed.store().await;
    assert_eq!(store.latecomers(), Some(3 * short));
    // A host that is stopped between an event and its commit.
    let stopped = bed.wire().begin().await.unwrap();
    let insert = "INSERT INTO events (at, kind, subject, detail) VALUES (0, 'k', 's', '{}')";
    stopped.query(insert, &[]).await.unwrap();
    create(&store, "acme", "t1").await;
    assert_eq!(store.events(0, 10).await.unwrap()[0].seq, 2, "the first one is a hole");
    let ended = "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
         AND state LIKE 'idle in transaction%')";
    bed.until(ended).await;
    assert!(stopped.commit().await.is_err());
    assert_eq!(store.events(0, 10).await.unwrap().len(), 1, "and stays one");
}
