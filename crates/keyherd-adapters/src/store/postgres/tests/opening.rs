//! Births, and what keeps a store from being opened.

use std::sync::Arc;

use keyherd_core::ports::store::CredentialStore;

use super::bed::Bed;
use crate::store::postgres::{OpenError, PostgresStore, SCHEMA_VERSION};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_on_an_empty_database_make_one_installation() {
    let bed = Arc::new(Bed::new().await);
    assert_eq!(PostgresStore::is_empty(&bed.wire()).await, Ok(true));
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let bed = Arc::clone(&bed);
            tokio::spawn(async move { bed.open_with(&[1]).await.unwrap().installation().id })
        })
        .collect();
    let mut ids = Vec::new();
    for id in opening {
        ids.push(id.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(PostgresStore::is_empty(&bed.wire()).await, Ok(false));
}

#[tokio::test]
async fn another_master_key_opens_nothing_and_says_so() {
    let bed = Bed::new().await;
    bed.open_with(&[1]).await.unwrap();
    assert!(matches!(bed.open_with(&[2]).await, Err(OpenError::WrongKey { .. })));
    bed.open_with(&[2, 1]).await.unwrap();
    bed.open_with(&[1]).await.unwrap();
}

#[tokio::test]
async fn an_upgraded_store_takes_older_programs_until_it_says_otherwise() {
    let bed = Bed::new().await;
    let store = bed.open_with(&[1]).await.unwrap();
    bed.meddle("ALTER TABLE chains ADD COLUMN later TEXT; UPDATE keyherd_schema SET version = 99").await;
    let again = bed.open_with(&[1]).await.unwrap();
    assert_eq!(again.credentials(None, 10).await, Ok(Vec::new()));
    bed.meddle("UPDATE keyherd_schema SET oldest = 99").await;
    let refused = bed.open_with(&[1]).await.unwrap_err();
    assert!(matches!(&refused, OpenError::Newer { needed: 99, known: SCHEMA_VERSION, .. }), "{refused:?}");
    drop(store);
}

#[tokio::test]
async fn another_programs_tables_are_left_alone() {
    let bed = Bed::new().await;
    bed.meddle("CREATE TABLE chains (links INTEGER)").await;
    assert!(matches!(bed.open_with(&[1]).await, Err(OpenError::NotOurs { .. })));
    assert_eq!(PostgresStore::is_empty(&bed.wire()).await, Ok(true), "nothing was made");
}
