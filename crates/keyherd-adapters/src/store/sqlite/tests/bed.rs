//! A folder, and as many stores open on it as a test wants.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use keyherd_core::contract::{Process, Testbed};
use keyherd_core::fakes::PausedClock;
use keyherd_core::ports::Clock;
use keyherd_core::time::Timestamp;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use crate::seal::{Keyring, MasterKey};
pub(super) use crate::store::fixtures::{
    claim, create, grant, lines, name, new, note, record, refresh, settling,
};
use crate::store::sqlite::{OpenError, SqliteBounds, SqliteOptions, SqliteStore};
use crate::system::OsEntropy;

pub(super) struct Bed {
    pub(super) folder: TempDir,
    pub(super) options: SqliteOptions,
    pub(super) clock: Arc<PausedClock>,
}

impl Bed {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(PausedClock::new());
        let options = SqliteOptions {
            clock: clock.clone(),
            ..options(folder.path().join("keyherd.db"), keyring(&[1]))
        };
        Self { folder, options, clock }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.options.path.clone()
    }

    pub(super) async fn store(&self) -> SqliteStore {
        SqliteStore::open(self.options.clone()).await.unwrap()
    }

    pub(super) async fn refused(&self) -> OpenError {
        SqliteStore::open(self.options.clone()).await.unwrap_err()
    }

    /// Opens with these keys.
    pub(super) async fn with(&self, keyring: Keyring) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(SqliteOptions { keyring, ..self.options.clone() }).await
    }
}

pub(super) fn options(path: PathBuf, keyring: Keyring) -> SqliteOptions {
    SqliteOptions {
        path,
        keyring,
        keys: None,
        clock: Arc::new(PausedClock::new()),
        entropy: Arc::new(OsEntropy::new().unwrap()),
        bounds: SqliteBounds::default(),
    }
}

pub(super) fn keyring(seeds: &[u8]) -> Keyring {
    Keyring::new(seeds.iter().map(|seed| MasterKey::from_bytes([*seed; 32])).collect()).unwrap()
}

#[async_trait]
impl Testbed for Bed {
    async fn open(&self) -> Process {
        let store = self.store().await;
        Process { owner: store.owner(), store: store.rooms() }
    }

    async fn kill(&self, process: Process) {
        assert_eq!(Arc::strong_count(&process.store), 1, "it must be the last handle");
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// What nobody of ours would do: any SQL, committed.
pub(super) async fn meddle(store: &SqliteStore, sql: &'static str) {
    outside(store, sqlx::AssertSqlSafe(sql)).await;
}

/// The same from a connection that is no store's, as another program would.
pub(super) async fn outside(store: &SqliteStore, sql: impl sqlx::SqlSafeStr) {
    let mut connection = store.engine.connect_options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
