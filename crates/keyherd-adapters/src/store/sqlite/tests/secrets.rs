//! What must not be in the files, and what must not open where it does not belong.

use std::fs;
use std::path::Path;

use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    AuditStore, ClientStore, CredentialStore, NamedClient, ProfileStore, Record, StoredProfile,
};

use super::bed::{Bed, create, meddle, name, note, record, refresh};
use crate::store::fixtures::{fill_access, fill_channels};
use crate::store::sqlite::SqliteStore;

fn holds(folder: &Path, needle: &[u8]) -> Option<std::path::PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find_map(|path| {
        if path.is_dir() {
            return holds(&path, needle);
        }
        let bytes = fs::read(&path).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle).then_some(path)
    })
}

#[tokio::test]
async fn no_secret_is_in_any_file() {
    let bed = Bed::new();
    let store = bed.store().await;
    let made = create(&store, "acme-1", "planted-1").await;
    refresh(&store, &made.chain, "planted-2").await;
    let client = NamedClient {
        name: name("app"),
        provider: "acme".into(),
        id: "id".into(),
        secret: Some("planted-3".into()),
        block: None,
    };
    store.put_client(client, record("client")).await.unwrap();
    fill_access(&store).await;
    fill_channels(&store).await;
    store.reconnect(super::bed::new(&store, "acme-1", "planted-4"), record("reconnect")).await.unwrap();
    // Every page of the log must be looked at before it is folded into the file, and after.
    let copy = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-r").arg(bed.folder.path()).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    store.close().await;
    drop(store);
    for folder in [copy.path(), bed.folder.path()] {
        assert_eq!(holds(folder, b"planted"), None);
        assert!(holds(folder, b"acme-1").is_some(), "the search finds what is there");
    }
}

async fn corrupt(store: &SqliteStore, label: &str) -> String {
    match store.credential(&name(label)).await {
        Err(StoreError::Corrupt(problem)) => problem,
        other => panic!("{label} was read: {other:?}"),
    }
}

#[tokio::test]
async fn a_sealed_value_opens_only_in_its_row() {
    let bed = Bed::new();
    let store = bed.store().await;
    create(&store, "acme-1", "t1").await;
    create(&store, "acme-2", "t2").await;
    create(&store, "acme-3", "t3").await;
    meddle(
        &store,
        "UPDATE chains SET access_token = (SELECT c.access_token FROM chains c JOIN credentials n ON n.chain = c.id \
         WHERE n.name = 'acme-1') WHERE id = (SELECT chain FROM credentials WHERE name = 'acme-2')",
    )
    .await;
    let problem = corrupt(&store, "acme-2").await;
    assert!(problem.contains("chains.access_token"), "{problem}");
    meddle(
        &store,
        "UPDATE chains SET client_secret = refresh_token WHERE id = (SELECT chain FROM credentials WHERE name = 'acme-3')",
    )
    .await;
    let problem = corrupt(&store, "acme-3").await;
    assert!(problem.contains("chains.client_secret"), "{problem}");
    assert!(store.credential(&name("acme-1")).await.unwrap().is_some(), "the others are none the worse");
}

#[tokio::test]
async fn an_older_generations_value_does_not_open_in_a_newer_one() {
    let bed = Bed::new();
    let store = bed.store().await;
    let made = create(&store, "acme-1", "t1").await;
    meddle(&store, "CREATE TABLE kept AS SELECT access_token, refresh_token FROM chains").await;
    refresh(&store, &made.chain, "t2").await;
    meddle(&store, "UPDATE chains SET refresh_token = (SELECT refresh_token FROM kept)").await;
    let problem = corrupt(&store, "acme-1").await;
    assert!(problem.contains("chains.refresh_token"), "{problem}");
}

#[tokio::test]
async fn no_error_or_debug_shows_what_is_sealed() {
    let bed = Bed::new();
    let store = bed.store().await;
    let made = create(&store, "acme-1", "planted").await;
    let again = store.create(super::bed::new(&store, "acme-2", "planted"), record("create")).await.unwrap();
    meddle(&store, "UPDATE chains SET access_token = substr(access_token, 1, 30)").await;
    let broken = store.credential(&name("acme-1")).await.unwrap_err();
    let told = format!(
        "{made:?} {again:?} {broken:?} {broken} {store:?} {:?} {:?}",
        store.installation(),
        bed.options.keyring
    );
    assert!(!told.contains("planted"), "{told}");
}

#[tokio::test]
async fn a_row_that_no_program_of_ours_wrote_is_damage_not_a_default() {
    let bed = Bed::new();
    let store = bed.store().await;
    for (label, damage) in [
        ("kind", "UPDATE chains SET kind = 'other'"),
        ("scopes", "UPDATE chains SET kind = 'oauth2', scopes = 'none'"),
        ("trouble", "UPDATE chains SET scopes = '[]', trouble = 'odd', trouble_code = '', trouble_count = 1"),
        ("verdict_hash", "UPDATE chains SET trouble = 'verdict', trouble_at = 1, verdict_hash = x'00'"),
        ("revision", "UPDATE chains SET trouble = NULL, revision = -1"),
    ] {
        if label == "kind" {
            create(&store, "acme-1", "t1").await;
        }
        meddle(&store, damage).await;
        let problem = corrupt(&store, "acme-1").await;
        assert!(problem.contains(label), "{label}: {problem}");
    }
    store.append(note("still written")).await.unwrap();
}

#[tokio::test]
async fn the_record_of_a_change_is_written_as_it_was_given() {
    let bed = Bed::new();
    let store = bed.store().await;
    let mut record: Record = record("create");
    record.note.subject = "acme's \"quoted\"; DROP TABLE audit".into();
    store.create(super::bed::new(&store, "acme-1", "t1"), record.clone()).await.unwrap();
    assert_eq!(store.tail(1).await.unwrap()[0].subject, record.note.subject);
}

#[tokio::test]
async fn a_profile_does_not_open_under_another_name() {
    let bed = Bed::new();
    let store = bed.store().await;
    for name in ["acme", "other"] {
        let profile = StoredProfile { name: name.into(), text: format!("text of {name}") };
        store.put_profile(profile, record("profile")).await.unwrap();
    }
    meddle(
        &store,
        "UPDATE profiles SET name = 'kept' WHERE name = 'acme'; UPDATE profiles SET name = 'acme' WHERE name = 'other'",
    )
    .await;
    assert!(matches!(store.profiles().await, Err(StoreError::Corrupt(_))));
}
