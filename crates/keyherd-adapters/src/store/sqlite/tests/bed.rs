//! A folder, and as many stores open on it as a test wants.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use keyherd_core::contract::{Process, Testbed};
use keyherd_core::ports::Clock;
use keyherd_core::time::Timestamp;
use tempfile::TempDir;

use crate::seal::{Keyring, MasterKey};
use crate::store::sqlite::{OpenError, SqliteBounds, SqliteOptions, SqliteStore};
use crate::system::{OsEntropy, SystemClock};

pub(super) struct Bed {
    pub(super) folder: TempDir,
    pub(super) options: SqliteOptions,
}

impl Bed {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path().join("keyherd.db"), keyring(1));
        Self { folder, options }
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
}

pub(super) fn options(path: PathBuf, keyring: Keyring) -> SqliteOptions {
    SqliteOptions {
        path,
        keyring,
        keys: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy::new().unwrap()),
        bounds: SqliteBounds::default(),
    }
}

pub(super) fn keyring(seed: u8) -> Keyring {
    Keyring::new(vec![MasterKey::from_bytes([seed; 32])]).unwrap()
}

#[async_trait]
impl Testbed for Bed {
    async fn open(&self) -> Process {
        let store = self.store().await;
        Process { owner: store.owner(), store: Arc::new(store) }
    }

    async fn kill(&self, process: Process) {
        assert_eq!(Arc::strong_count(&process.store), 1, "it must be the last handle");
    }

    fn now(&self) -> Timestamp {
        self.options.clock.now()
    }
}
