//! A full disk, a read-only one, a busy one, a damaged file, a caller that leaves: each said for what it is, and over
//! when it is over.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{AuditStore, CredentialStore, Verified};
use sqlx::{ConnectOptions, Executor};

use super::bed::{Bed, create, name, new, note, record};
use crate::store::sqlite::SqliteStore;
use crate::store::statement::query;

/// A pragma for the writing connection as it is now.
async fn cripple(store: &SqliteStore, pragma: &'static str) {
    let mut write = store.write().await.unwrap();
    write.execute(query(pragma)).await.unwrap();
    write.commit_silently().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_said_and_loses_nothing() {
    let bed = Bed::new();
    let store = bed.store().await;
    create(&store, "acme-1", "t1").await;
    cripple(&store, "PRAGMA max_page_count = 1").await;
    let long = "x".repeat(60_000);
    let mut big = new(&store, "acme-2", "t2");
    big.draft.attributes = serde_json::json!({ "long": long });
    let refused = store.create(big.clone(), record("create")).await;
    let Err(StoreError::Unwritable(problem)) = refused else { panic!("{refused:?}") };
    assert!(problem.contains("keyherd.db") && problem.contains("no space"), "{problem}");
    // The connection with the limit is gone with its failed transaction: there is space again.
    store.create(big, record("create")).await.unwrap();
    assert_eq!(store.verify().await, Ok(Verified { entries: 2, broken: None }));
}

#[tokio::test]
async fn a_store_that_may_not_be_written_is_read_all_the_same() {
    let bed = Bed::new();
    let store = bed.store().await;
    create(&store, "acme-1", "t1").await;
    cripple(&store, "PRAGMA query_only = 1").await;
    let refused = store.append(note("n")).await;
    let Err(StoreError::Unwritable(problem)) = refused else { panic!("{refused:?}") };
    assert!(problem.contains("keyherd.db"), "{problem}");
    assert!(store.credential(&name("acme-1")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_that_others_hold_is_unavailable_within_a_bound() {
    let mut bed = Bed::new();
    bed.options.bounds.busy_timeout = Duration::from_millis(1);
    bed.options.bounds.queue_timeout = Duration::from_millis(500);
    let store = bed.store().await;
    create(&store, "acme-1", "t1").await;
    let mut other = store.engine.connect_options.connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let refused = store.append(note("n")).await;
    assert!(
        matches!(&refused, Err(StoreError::Unavailable(problem)) if problem.contains("held")),
        "{refused:?}"
    );
    assert!(store.credential(&name("acme-1")).await.unwrap().is_some(), "reading goes on");
    other.execute("ROLLBACK").await.unwrap();
    let held = store.write().await.unwrap();
    let queued = store.append(note("n")).await;
    assert!(matches!(queued, Err(StoreError::Unavailable(_))), "{queued:?}");
    held.cancel().await.unwrap();
    store.append(note("n")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_said_to_be_damaged() {
    let bed = Bed::new();
    let store = bed.store().await;
    let many: Vec<_> = (0..200).map(|n| new(&store, &format!("acme-{n}"), &format!("t{n}"))).collect();
    store.import_many(&many, record("import")).await.unwrap();
    store.close().await;
    drop(store);
    let file = fs::OpenOptions::new().read(true).write(true).open(bed.path()).unwrap();
    let len = file.metadata().unwrap().len();
    // The first page says what it is, and the second begins the tables' own.
    let garbage = vec![0xa5; usize::try_from(len - 3 * 4096).unwrap()];
    file.write_all_at(&garbage, 3 * 4096).unwrap();
    drop(file);
    let error = match SqliteStore::open(bed.options.clone()).await {
        Err(error) => error.to_string(),
        Ok(store) => {
            assert!(!store.integrity_check().await.unwrap().is_empty());
            let read = store.credentials(None, 1_000).await.unwrap_err();
            assert!(matches!(read, StoreError::Corrupt(_)), "{read:?}");
            read.to_string()
        }
    };
    assert!(error.contains("keyherd.db") && error.contains("backup"), "{error}");
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_change_along() {
    let bed = Bed::new();
    let store = bed.store().await;
    create(&store, "acme-1", "t1").await;
    for polls in 1..40 {
        let mut making = Box::pin(store.create(new(&store, "acme-2", "t2"), record("create")));
        // Polled so often and no more: wherever it stands then, it is dropped.
        for _ in 0..polls {
            if futures_util::poll!(making.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(making);
    }
    store.append(note("after")).await.unwrap();
    let is_there = store.credential(&name("acme-2")).await.unwrap().is_some();
    let entries = store.entries(0, 1_000).await.unwrap();
    let made = entries.iter().filter(|entry| entry.action == "create").count();
    assert_eq!(made, 1 + usize::from(is_there), "its entry is there if and only if it is");
    assert_eq!(store.verify().await.unwrap().broken, None);
}
