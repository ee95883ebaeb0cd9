//! The SQLite store: every process on one machine opens the same file, and none is special.
//!
//! Owns the file, its options and its engine; the rooms are those of every store. Durable by WAL with `synchronous = FULL`; safe between
//! processes by `BEGIN IMMEDIATE` and conditional statements; the liveness of a claim's owner is a file lock. Network
//! file systems are refused. Never calls a provider, never reads a clock that it was not given.

mod briefly;
mod check;
mod connection;
mod engine;
mod fault;
mod network;
mod open;
mod owners;
mod place;
mod row;
mod schema;
mod visit;

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyherd_core::ports::{Clock, Entropy};

pub use self::check::Rotation;
use self::engine::SqliteEngine;
pub use self::open::OpenError;
pub use self::schema::SCHEMA_VERSION;
use super::{SqlStore, StoreBounds};
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
    /// Files of dead owners looked at in one sweep.
    pub owners_swept_max: usize,
    /// What bounds a store on any engine.
    pub store: StoreBounds,
}

impl Default for SqliteBounds {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            queue_timeout: Duration::from_secs(10),
            upgrade_timeout: Duration::from_secs(30),
            readers_max: 4,
            cache_kib: 8 * 1024,
            owners_swept_max: 64,
            store: StoreBounds::default(),
        }
    }
}

/// A store in one SQLite file: a [`SqlStore`], and what only a file has.
pub struct SqliteStore {
    rooms: Arc<SqlStore>,
    engine: Arc<SqliteEngine>,
}

impl SqliteStore {
    /// The store's rooms, for whoever needs no more: every port of [`keyherd_core::ports::store`].
    pub fn rooms(&self) -> Arc<SqlStore> {
        Arc::clone(&self.rooms)
    }

    /// The database file, where it really is.
    pub fn path(&self) -> &Path {
        &self.engine.place.path
    }

    /// The file that is touched after each commit, for [`crate::coordinator::Bell`].
    pub fn bell_path(&self) -> PathBuf {
        self.engine.place.bell()
    }

    /// The file and all that it keeps beside it, for who closes them to others: what comes only when it is needed is made.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        self.engine.place.files()
    }
}

impl Deref for SqliteStore {
    type Target = SqlStore;

    fn deref(&self) -> &SqlStore {
        &self.rooms
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.engine.place.path)
            .field("owner", &self.owner())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
