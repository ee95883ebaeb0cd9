//! Someone who can write to the database but has no key: what was moved does not open, and an edited log is found.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::audit::Broken;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    AuditStore, ClientStore, CredentialStore, NamedClient, ProfileStore, StoredProfile,
};

use super::bed::{Bed, create, name, note, record, refresh};
use crate::store::forgery::{
    CUT_TO, FORGED_CUTS, FORGERIES, Forge, is_found, is_found_above_a_cut, what_nobody_has_seen,
};
use crate::store::postgres::PostgresStore;

/// What an expression gives for the chain of one credential, to be put into the chain of another one.
async fn put(bed: &Bed, column: &str, value: &str, from: &str, into: &str) {
    let of = |name: &str| format!("(SELECT chain FROM credentials WHERE name = '{name}')");
    let (from, into) = (of(from), of(into));
    let sql = format!(
        "UPDATE chains SET {column} = (SELECT {value} FROM chains c WHERE c.id = {from}) WHERE id = {into}"
    );
    bed.meddle(&sql).await;
}

async fn check_corrupt(store: &PostgresStore, label: &str, what: &str) {
    match store.credential(&name(label)).await {
        Err(StoreError::Corrupt(problem)) => assert!(problem.contains(what), "{problem}"),
        other => panic!("{label} was read: {other:?}"),
    }
}

#[tokio::test]
async fn a_sealed_value_opens_only_in_its_row_and_column() {
    let bed = Bed::new().await;
    let store = bed.store().await;
    for label in ["a", "b", "c", "d"] {
        create(&store, label, label).await;
    }
    put(&bed, "access_token", "access_token", "a", "b").await;
    check_corrupt(&store, "b", "chains.access_token").await;
    put(&bed, "client_secret", "refresh_token", "c", "c").await;
    check_corrupt(&store, "c", "chains.client_secret").await;
    bed.meddle("UPDATE chains c SET id = 5 FROM credentials n WHERE n.chain = c.id AND n.name = 'd'; UPDATE credentials SET chain = 5 WHERE name = 'd'")
        .await;
    check_corrupt(&store, "d", "of row 5").await;
    assert!(store.credential(&name("a")).await.unwrap().is_some(), "the others are none the worse");
}

#[tokio::test]
async fn an_older_generation_does_not_open_in_a_newer_one_nor_a_newer_in_an_older() {
    let bed = Bed::new().await;
    let store = bed.store().await;
    let made = create(&store, "a", "t1").await;
    bed.meddle("CREATE TABLE kept AS SELECT access_token, refresh_token, generation FROM chains").await;
    refresh(&store, &made.chain, "t2").await;
    bed.meddle("UPDATE chains SET refresh_token = (SELECT refresh_token FROM kept)").await;
    check_corrupt(&store, "a", "chains.refresh_token").await;
    bed.meddle("UPDATE chains SET generation = 7, refresh_token = NULL").await;
    check_corrupt(&store, "a", "chains.access_token").await;
}

#[tokio::test]
async fn clients_and_profiles_do_not_open_under_other_names() {
    let bed = Bed::new().await;
    let store = bed.store().await;
    for label in ["a", "b"] {
        let secret = Some(format!("secret of {label}").as_str().into());
        let client =
            NamedClient { name: name(label), provider: "acme".into(), id: "id".into(), secret, block: None };
        store.put_client(client, record("client")).await.unwrap();
        let profile = StoredProfile { name: label.into(), text: format!("text of {label}") };
        store.put_profile(profile, record("profile")).await.unwrap();
    }
    bed.meddle("UPDATE clients SET secret = (SELECT secret FROM clients WHERE name = 'a')").await;
    assert!(matches!(store.clients().await, Err(StoreError::Corrupt(_))));
    bed.meddle("UPDATE profiles SET name = 'c' WHERE name = 'a'").await;
    assert!(matches!(store.profiles().await, Err(StoreError::Corrupt(_))));
}

/// Two processes' entries in turns.
async fn check_log(damage: &str, expected: impl Fn(&Broken) -> bool) {
    let bed = looking().await;
    let (one, two) = (bed.store().await, bed.store().await);
    for _ in 0..3 {
        one.append(note("one")).await.unwrap();
        two.append(note("two")).await.unwrap();
    }
    assert_eq!(one.verify().await.unwrap().broken, None);
    bed.meddle(damage).await;
    let broken = one.verify().await.unwrap().broken;
    assert!(broken.as_ref().is_some_and(expected), "after {damage}: {broken:?}");
}

#[tokio::test]
async fn an_edited_log_is_found() {
    check_log("UPDATE audit SET action = 'three' WHERE seq = 3", |broken| {
        *broken == Broken::Edited { seq: 3 }
    })
    .await;
    check_log("UPDATE audit SET at = at + 1 WHERE seq = 2", |broken| *broken == Broken::Edited { seq: 2 })
        .await;
    check_log("DELETE FROM audit WHERE seq = 3", |broken| *broken == Broken::Unseen { seq: 4 }).await;
    check_log("DELETE FROM audit WHERE seq IN (3, 4)", |broken| *broken == Broken::Gap { seq: 5 }).await;
    check_log("DELETE FROM audit WHERE seq > 4", |broken| matches!(broken, Broken::Truncated { .. })).await;
    check_log("DELETE FROM audit_heads", |broken| matches!(broken, Broken::Truncated { .. })).await;
    let swap = "UPDATE audit SET seq = 100 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 5; \
                UPDATE audit SET seq = 5 WHERE seq = 100";
    check_log(&format!("ALTER TABLE audit ALTER seq DROP IDENTITY; {swap}"), |_| true).await;
}

#[async_trait]
impl Forge for Bed {
    async fn meddle(&self, sql: &str) {
        Bed::meddle(self, sql).await;
    }

    fn renumbering(&self) -> &'static str {
        ""
    }
}

/// Where processes look at each other with every entry.
async fn looking() -> Bed {
    let mut bed = Bed::new().await;
    bed.bounds.anchor_every = Duration::ZERO;
    bed
}

#[tokio::test]
async fn forgeries_are_found() {
    for number in 0..FORGERIES {
        let bed = looking().await;
        let (one, two) = (bed.store().await, bed.store().await);
        is_found(&bed, number, &one, &two).await;
    }
}

#[tokio::test]
async fn forgeries_of_a_trimmed_log_are_found() {
    for number in 0..FORGED_CUTS {
        let mut bed = looking().await;
        bed.bounds.audit_entries_max = Some(CUT_TO);
        let (one, two) = (bed.store().await, bed.store().await);
        is_found_above_a_cut(&bed, number, &one, &two).await;
    }
}

#[tokio::test]
async fn what_nobody_has_seen_is_not_found() {
    let bed = looking().await;
    let (one, two) = (bed.store().await, bed.store().await);
    what_nobody_has_seen(&bed, &one, &two).await;
}
