//! Births, and everything that keeps a store from being opened.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use keyherd_core::ports::Clock;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{AuditStore, CredentialStore, EventStore, Verified};

use super::bed::{Bed, create, keyring, meddle, name, note, options};
use crate::store::sqlite::{OpenError, SCHEMA_VERSION, SqliteStore};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_new_store_is_for_its_owner_only() {
    let bed = Bed::new();
    let path = bed.folder.path().join("deep/er/keyherd.db");
    let store = SqliteStore::open(options(path.clone(), keyring(&[1]))).await.unwrap();
    let made = create(&store, "acme-1", "t").await;
    super::bed::claim(&store, &made.chain).await;
    let folder = path.parent().unwrap();
    assert_eq!(mode(folder), 0o700);
    assert_eq!(mode(&folder.join("owners")), 0o700);
    for file in fs::read_dir(folder).unwrap().chain(fs::read_dir(folder.join("owners")).unwrap()) {
        let file = file.unwrap().path();
        assert!(file.is_dir() || mode(&file) == 0o600, "{} has mode {:o}", file.display(), mode(&file));
    }
}

#[tokio::test]
async fn a_store_opens_again_as_the_same_installation() {
    let bed = Bed::new();
    assert_eq!(SqliteStore::is_empty(&bed.path()), Ok(true));
    let first = bed.store().await;
    assert_eq!(SqliteStore::is_empty(&bed.path()), Ok(false));
    create(&first, "acme-1", "t").await;
    let hash = first.installation().hasher.labelled(b"l", b"t");
    first.close().await;
    drop(first);
    let second = bed.store().await;
    assert_eq!(second.installation().hasher.labelled(b"l", b"t"), hash);
    assert!(second.credential(&name("acme-1")).await.unwrap().is_some());
    assert_eq!(second.schema_version().await, Ok(SCHEMA_VERSION));
    assert_eq!(second.integrity_check().await, Ok(Vec::new()));
    let counts = second.counts().await.unwrap();
    assert_eq!(
        (counts.credentials, counts.chains, counts.audit, counts.events, counts.claims),
        (1, 1, 1, 1, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_on_an_empty_folder_make_one_installation() {
    let bed = Arc::new(Bed::new());
    let opening: Vec<_> = (0..24)
        .map(|_| {
            let bed = Arc::clone(&bed);
            tokio::spawn(async move { bed.store().await.installation().id })
        })
        .collect();
    let mut ids = Vec::new();
    for id in opening {
        ids.push(id.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn an_interrupted_birth_is_begun_anew() {
    let bed = Bed::new();
    fs::write(bed.folder.path().join("keyherd.db.new"), "half a database").unwrap();
    fs::write(bed.path(), "").unwrap();
    assert_eq!(SqliteStore::is_empty(&bed.path()), Ok(true));
    bed.store().await;
    assert!(!bed.folder.path().join("keyherd.db.new").exists());
}

#[tokio::test]
async fn the_path_may_be_a_link_and_the_locks_are_where_the_file_is() {
    let bed = Bed::new();
    bed.store().await.close().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(bed.path(), &link).unwrap();
    let store = SqliteStore::open(options(link, keyring(&[1]))).await.unwrap();
    assert_eq!(store.path(), fs::canonicalize(bed.path()).unwrap());
    assert_eq!(store.bell_path(), fs::canonicalize(bed.folder.path()).unwrap().join("bell"));
}

#[tokio::test]
async fn another_master_key_opens_nothing_and_says_so() {
    let bed = Bed::new();
    bed.store().await;
    let wrong = bed.with(keyring(&[2, 3])).await.unwrap_err();
    let OpenError::WrongKey { wanted, given, .. } = &wrong else { panic!("{wrong:?}") };
    assert_eq!(*wanted, keyring(&[1]).sealing().to_hex());
    assert_eq!(*given, format!("{}, {}", keyring(&[2]).sealing(), keyring(&[3]).sealing()));
    assert!(wrong.to_string().contains("keyherd.db"), "{wrong}");
    bed.store().await;
}

#[tokio::test]
async fn a_file_or_folder_that_others_can_reach_is_refused() {
    let bed = Bed::new();
    bed.store().await;
    chmod(&bed.path(), 0o640);
    let refused = bed.refused().await;
    assert!(matches!(refused, OpenError::TooOpen { mode: 0o640, wanted: "600", .. }), "{refused:?}");
    chmod(&bed.path(), 0o600);
    chmod(bed.folder.path(), 0o770);
    let refused = bed.refused().await;
    assert!(matches!(refused, OpenError::TooOpen { mode: 0o770, wanted: "700", .. }), "{refused:?}");
    chmod(bed.folder.path(), 0o1777);
    bed.store().await;
    chmod(bed.folder.path(), 0o700);
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_refused_and_left_alone() {
    let bed = Bed::new();
    let text = "no database, ".repeat(1_000);
    fs::write(bed.path(), &text).unwrap();
    chmod(&bed.path(), 0o600);
    let refused = bed.refused().await;
    let OpenError::Store(StoreError::Corrupt(problem)) = &refused else { panic!("{refused:?}") };
    assert!(problem.contains("keyherd.db") && problem.contains("not a database"), "{problem}");
    assert_eq!(fs::read_to_string(bed.path()).unwrap(), text);
    fs::remove_file(bed.path()).unwrap();
    fs::create_dir(bed.path()).unwrap();
    assert!(matches!(bed.refused().await, OpenError::NoFile { .. }));
    fs::remove_dir(bed.path()).unwrap();
    // As long as an empty file, and none: a device is as little a place to put one.
    drop(UnixListener::bind(bed.path()).unwrap());
    assert!(matches!(bed.refused().await, OpenError::NoFile { .. }));
    assert!(fs::metadata(bed.path()).unwrap().file_type().is_socket());
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let bed = Bed::new();
    let store = bed.store().await;
    meddle(&store, "PRAGMA application_id = 7").await;
    store.close().await;
    assert!(matches!(bed.refused().await, OpenError::NotOurs { .. }));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let bed = Bed::new();
    let store = bed.store().await;
    meddle(&store, "PRAGMA user_version = 99").await;
    store.close().await;
    let refused = bed.refused().await;
    assert_eq!(
        refused,
        OpenError::Newer { path: fs::canonicalize(bed.path()).unwrap(), found: 99, known: SCHEMA_VERSION }
    );
}

#[tokio::test]
async fn an_orphaned_log_is_not_taken_into_a_new_store() {
    let bed = Bed::new();
    fs::write(bed.folder.path().join("keyherd.db-wal"), "frames").unwrap();
    assert!(matches!(SqliteStore::is_empty(&bed.path()), Err(OpenError::Orphan { .. })));
    assert!(matches!(bed.refused().await, OpenError::Orphan { .. }));
    assert!(!bed.path().exists());
}

#[tokio::test]
async fn a_vacuumed_copy_is_a_store_like_any_other() {
    let bed = Bed::new();
    let store = bed.store().await;
    create(&store, "acme-1", "t").await;
    let copy = bed.folder.path().join("copy.db");
    let into = sqlx::AssertSqlSafe(format!("VACUUM INTO '{}'", copy.display()));
    let mut connection = sqlx::ConnectOptions::connect(&store.engine.connect_options).await.unwrap();
    sqlx::raw_sql(into).execute(&mut connection).await.unwrap();
    chmod(&copy, 0o600);
    let copied = SqliteStore::open(options(copy, keyring(&[1]))).await.unwrap();
    assert_eq!(copied.installation().id, store.installation().id);
    assert!(copied.credential(&name("acme-1")).await.unwrap().is_some());
    let mut connection = sqlx::ConnectOptions::connect(&copied.engine.connect_options).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn a_birth_that_hangs_elsewhere_is_waited_for_within_a_bound() {
    let mut bed = Bed::new();
    bed.options.bounds.upgrade_timeout = std::time::Duration::from_millis(20);
    let lock = fs::File::create(bed.folder.path().join("keyherd.db.lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(bed.refused().await, OpenError::Upgrading { .. }));
    drop(lock);
    bed.store().await;
}

/// What the ninth migration made, taken back.
const WITHOUT_FLOORS: &str = "
ALTER TABLE audit_heads DROP COLUMN floor_place;
ALTER TABLE audit_heads DROP COLUMN floor_hash;
ALTER TABLE audit_heads DROP COLUMN floor_sees;
ALTER TABLE audit_heads DROP COLUMN floor_seal;
DROP TABLE audit_floor;
PRAGMA user_version = 8;
";

#[tokio::test]
async fn a_store_from_before_floors_is_upgraded_and_its_log_trimmed() {
    let mut bed = Bed::new();
    bed.options.bounds.store.audit_entries_max = Some(2);
    let old = bed.store().await;
    for _ in 0..3 {
        old.append(note("done")).await.unwrap();
    }
    meddle(&old, WITHOUT_FLOORS).await;
    old.close().await;
    let store = bed.store().await;
    assert_eq!(store.schema_version().await, Ok(SCHEMA_VERSION));
    assert_eq!(store.verify().await, Ok(Verified { entries: 3, broken: None }));
    assert_eq!(store.trim(bed.clock.now()).await.unwrap().rows, 2);
    assert_eq!(store.verify().await, Ok(Verified { entries: 2, broken: None }));
}
