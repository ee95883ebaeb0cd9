//! The SQLite store: every process on one machine opens the same file, and none is special.
//!
//! Owns the handle, its options and what an installation is. Durable by WAL with `synchronous = FULL`; safe between
//! processes by `BEGIN IMMEDIATE` and conditional statements; the liveness of a claim's owner is a file lock. Network
//! file systems are refused. Never calls a provider, never reads a clock that it was not given.

mod amend;
mod audit;
mod bulk;
mod census;
mod chains;
mod check;
mod clients;
mod configure;
mod connection;
mod create;
mod credentials;
mod events;
mod fault;
mod network;
mod open;
mod owners;
mod place;
mod reconnect;
mod rekey;
mod row;
mod schema;
mod settle;
mod vault;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyherd_core::audit::ChainKey;
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::{Clock, Entropy, StoreError};
use keyherd_core::secret::Hasher;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::Mutex;

pub use self::check::Counts;
use self::connection::{Line, Readers};
use self::fault::Fault;
pub use self::open::OpenError;
use self::owners::Owners;
use self::place::Place;
pub use self::rekey::Rotation;
pub use self::schema::SCHEMA_VERSION;
use self::vault::Vault;
use crate::seal::{KeySource, Keyring};

/// How a store is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The database file. Locks and the bell lie in its folder.
    pub path: PathBuf,
    /// The master keys: the first one seals.
    pub keyring: Keyring,
    /// Where the keyring came from, read again when the master key was rotated meanwhile; `None`: never.
    pub keys: Option<KeySource>,
    /// The store's clock.
    pub clock: Arc<dyn Clock>,
    /// For ids and the installation's own keys.
    pub entropy: Arc<dyn Entropy>,
    /// Its bounds.
    pub bounds: SqliteBounds,
}

/// Bounds of a store. Every one is a configuration value of the same name.
#[derive(Debug, Clone)]
pub struct SqliteBounds {
    /// How long a statement waits for other processes' writes.
    pub busy_timeout: Duration,
    /// How long a call waits for this process's own connections.
    pub queue_timeout: Duration,
    /// How long an opening waits for another process that makes or upgrades the store.
    pub upgrade_timeout: Duration,
    /// The most connections that read at once.
    pub readers_max: usize,
    /// Page cache of each connection, in KiB.
    pub cache_kib: u32,
    /// The most spent refresh tokens remembered for each chain, the newest ones.
    pub spent_tokens_max: u64,
    /// How long events are kept.
    pub events_keep: Duration,
    /// The most events kept.
    pub events_max: u32,
    /// Rows that one transaction trims.
    pub trim_batch: u32,
    /// Transactions that one call trims with, at most.
    pub trim_batches_max: u32,
    /// Rows that one transaction seals anew.
    pub rekey_batch: u32,
    /// Entries that a check of the audit log reads at once.
    pub verify_batch: u32,
    /// Files of dead owners looked at in one sweep.
    pub owners_swept_max: usize,
}

impl Default for SqliteBounds {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            queue_timeout: Duration::from_secs(10),
            upgrade_timeout: Duration::from_secs(30),
            readers_max: 4,
            cache_kib: 8 * 1024,
            spent_tokens_max: 100,
            events_keep: Duration::from_secs(24 * 3600),
            events_max: 100_000,
            trim_batch: 1_000,
            trim_batches_max: 100,
            rekey_batch: 256,
            verify_batch: 1_000,
            owners_swept_max: 64,
        }
    }
}

/// What makes one installation, whatever process works on it.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Its id, in what is sealed.
    pub id: [u8; 16],
    /// Makes its token hashes.
    pub hasher: Hasher,
    /// Chains its audit log.
    pub audit: ChainKey,
}

/// A store in one SQLite file. Implements every port of [`keyherd_core::ports::store`].
pub struct SqliteStore {
    place: Place,
    bounds: SqliteBounds,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    installation: Installation,
    vault: Vault,
    owners: Owners,
    connect_options: SqliteConnectOptions,
    readers: Readers,
    line: Mutex<Option<Line>>,
    watch: Mutex<Option<sqlx::SqliteConnection>>,
}

impl SqliteStore {
    /// The installation that this store is.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// This process, as the owner of its claims and of its audit chain.
    pub fn owner(&self) -> OwnerId {
        self.owners.me()
    }

    /// The database file, where it really is.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// The file that is touched after each commit, for [`crate::coordinator::Bell`].
    pub fn bell_path(&self) -> PathBuf {
        self.place.bell()
    }

    /// The keys at work, as they were last read.
    pub fn keyring(&self) -> Keyring {
        self.vault.keyring()
    }

    /// Closes the connections in order: the last process to do so leaves one whole file behind. Dropping the store is
    /// as safe, but the file's write-ahead log may stay beside it.
    pub async fn close(&self) {
        self.readers.close().await;
        let line = self.line.lock().await.take();
        if let Some(line) = line {
            line.close().await;
        }
        if let Some(watch) = self.watch.lock().await.take() {
            let _ = sqlx::Connection::close(watch).await;
        }
    }

    fn told<T>(&self, outcome: Result<T, Fault>) -> Result<T, StoreError> {
        outcome.map_err(|fault| fault.explain(&self.place.path))
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.place.path)
            .field("owner", &self.owner())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
