//! Opening: from a path and a keyring to a store that is known to be ours, whole, and readable with these keys.
//!
//! Owns a store's birth. A new one grows under another name, schema and installation keys together, and takes its own
//! name when it is whole: so there is never half a store, however many processes begin at once. Never makes keys for a
//! store that is there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyherd_core::ids::OwnerId;
use keyherd_core::ports::StoreError;
use sqlx::sqlite::SqliteJournalMode;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::connection::options;
use super::engine::SqliteEngine;
use super::fault::FileFault;
use super::owners::Owners;
use super::place::{Place, unusable};
use super::row::{FileRow, bound};
use super::schema::{SCHEMA_VERSION, Stamp, migrate, stamp};
use super::{SqliteOptions, SqliteStore};
use crate::store::SqlStore;
use crate::store::rooms::crowd::Crowds;
use crate::store::rooms::installation::{Sealed, Unopened, install};
use crate::store::rooms::seen::Seen;
use crate::store::sql;
use crate::store::statement::{Row, query};

/// Between two looks at another process's birth or upgrade of the store.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// Why a store cannot be opened. Every message names the file and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The path names no file.
    #[error("{path} is no file to keep a store in: name a file")]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("{path} cannot be used: {problem}")]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// Others than its owner can read or replace it.
    #[error("{path} is open to others (mode {mode:04o}): run 'chmod {wanted} {path}'")]
    TooOpen {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        wanted: &'static str,
    },
    /// The folder is on a network file system.
    #[error(
        "{path} is on a network file system ({kind}), where file locks do not hold: use a local disk, or a postgres:// store"
    )]
    NetworkFolder {
        /// The folder.
        path: PathBuf,
        /// Which.
        kind: String,
    },
    /// The database is missing, its write-ahead log is not.
    #[error(
        "{path} is missing but {wal} is there: bring back the database, or move both out of the way to begin anew"
    )]
    Orphan {
        /// The database.
        path: PathBuf,
        /// What is left of it.
        wal: PathBuf,
    },
    /// Another program's database.
    #[error("{path} is another program's database: choose another --data or --database-url")]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A newer keyherd made it.
    #[error(
        "{path} was made by a newer keyherd (schema {found}, this one knows {known}): use that version, or a newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Another process makes, upgrades or rotates it, for too long.
    #[error(
        "{path} is being made, upgraded or given a new key by another process: try again, or see who holds {lock}"
    )]
    Upgrading {
        /// The file.
        path: PathBuf,
        /// What is held.
        lock: PathBuf,
    },
    /// It was sealed under another master key.
    #[error(
        "{path} is sealed under master key {wanted}, which is not here (given: {given}): bring back its master key"
    )]
    WrongKey {
        /// The file.
        path: PathBuf,
        /// The key that it needs.
        wanted: String,
        /// The keys that were given.
        given: String,
    },
    /// The store itself says no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SqliteStore {
    /// Opens a store; makes it where there is none.
    ///
    /// # Errors
    /// See [`OpenError`]: nothing was changed by a refusal.
    pub async fn open(given: SqliteOptions) -> Result<Self, OpenError> {
        let place = Place::prepare(&given.path)?;
        if !place.exists()? {
            under_lock(&place, &given, birth(&place, &given)).await?;
        }
        let told = |fault: FileFault| fault.explain(&place.path);
        let connect_options = options(&place.path, given.bounds.busy_timeout, given.bounds.cache_kib);
        let mut connection = connect_options.connect().await.map_err(FileFault::from).map_err(told)?;
        let found = stamp(&mut connection).await.map_err(told)?;
        check_stamp(&place, found)?;
        if found.version < SCHEMA_VERSION {
            under_lock(&place, &given, upgrade(&place, &mut connection)).await?;
        }
        write_ahead(&mut connection).await.map_err(told)?;
        let sealed = read_installation(&mut connection).await.map_err(told)?;
        let me = OwnerId::from_i64(given.entropy.id());
        let owners = Owners::new(place.owners(), me);
        let (vault, installation) =
            sealed.unseal(given.keyring, given.keys).map_err(|unopened| refuse(&place, unopened))?;
        let engine =
            Arc::new(SqliteEngine::new(place, given.bounds.clone(), owners, connect_options, connection));
        let rooms = Arc::new_cyclic(|store| SqlStore {
            engine: engine.clone(),
            bounds: given.bounds.store,
            clock: given.clock,
            entropy: given.entropy,
            installation,
            vault,
            seen: Seen::default(),
            crowds: Crowds::new(store, None),
        });
        if rooms.vault.keyring().sealing() != sealed.key_id {
            rooms.told(rooms.take_over(sealed.key_id).await)?;
        }
        Ok(Self { rooms, engine })
    }

    /// Whether a path has no store yet: only then may a master key be made for it.
    ///
    /// # Errors
    /// As [`SqliteStore::open`] has them for the path.
    pub fn is_empty(path: &Path) -> Result<bool, OpenError> {
        let place = Place::prepare(path)?;
        let is_empty = !place.exists()?;
        if is_empty {
            place.check_no_orphan()?;
        }
        Ok(is_empty)
    }
}

fn refuse(place: &Place, unopened: Unopened) -> OpenError {
    match unopened {
        Unopened::WrongKey { wanted, given } => {
            OpenError::WrongKey { path: place.path.clone(), wanted: wanted.to_string(), given }
        }
        Unopened::Fault(fault) => FileFault::from(fault).explain(&place.path).into(),
    }
}

async fn read_installation(connection: &mut SqliteConnection) -> Result<Sealed, FileFault> {
    let row = bound(query(sql::INSTALLATION)).fetch_one(connection).await?;
    Ok(Sealed::of_row(&Row::new(FileRow(row)))?)
}

fn check_stamp(place: &Place, found: Stamp) -> Result<(), OpenError> {
    if !found.is_ours() {
        return Err(OpenError::NotOurs { path: place.path.clone() });
    }
    if found.version > SCHEMA_VERSION {
        return Err(OpenError::Newer {
            path: place.path.clone(),
            found: found.version,
            known: SCHEMA_VERSION,
        });
    }
    Ok(())
}

/// One process at a time; the others wait, within a bound.
async fn under_lock(
    place: &Place,
    given: &SqliteOptions,
    work: impl Future<Output = Result<(), OpenError>>,
) -> Result<(), OpenError> {
    let _held = hold(place, given.bounds.upgrade_timeout).await?;
    work.await
}

/// The store's one lock for what changes all of it; freed when the file is dropped.
pub(super) async fn hold(place: &Place, wait: Duration) -> Result<File, OpenError> {
    let lock = place.lock();
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
    let file = file.map_err(|error| unusable(&lock, &error))?;
    match tokio::time::timeout(wait, locked(&file)).await {
        Ok(Ok(())) => Ok(file),
        Ok(Err(error)) => Err(unusable(&lock, &error)),
        Err(_elapsed) => Err(OpenError::Upgrading { path: place.path.clone(), lock }),
    }
}

async fn locked(file: &File) -> io::Result<()> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

async fn birth(place: &Place, given: &SqliteOptions) -> Result<(), OpenError> {
    if place.exists()? {
        return Ok(());
    }
    place.check_no_orphan()?;
    let unborn = place.unborn();
    for left in ["", "-wal", "-shm", "-journal"] {
        let mut name = unborn.as_os_str().to_owned();
        name.push(left);
        // What an interrupted birth left behind.
        let _ = fs::remove_file(PathBuf::from(name));
    }
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unborn);
    new.map_err(|error| unusable(&unborn, &error))?;
    grow(&unborn, given).await.map_err(|fault| fault.explain(&place.path))?;
    place.bear(&unborn).map_err(|error| unusable(&place.path, &error))
}

async fn grow(unborn: &Path, given: &SqliteOptions) -> Result<(), FileFault> {
    let options = options(unborn, given.bounds.busy_timeout, given.bounds.cache_kib);
    let mut connection = options.journal_mode(SqliteJournalMode::Wal).connect().await?;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await?;
    migrate(&mut connection, 0).await?;
    let install = install(&given.keyring, &*given.entropy, &*given.clock)?;
    bound(install).execute(&mut connection).await?;
    sqlx::query("COMMIT").execute(&mut connection).await?;
    // The last connection's end folds the write-ahead log into the file.
    Ok(connection.close().await?)
}

/// Looks again under the lock: another process may have done it.
async fn upgrade(place: &Place, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let told = |fault: FileFault| fault.explain(&place.path);
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(FileFault::from).map_err(told)?;
    let found = stamp(connection).await.map_err(told)?;
    check_stamp(place, found)?;
    migrate(connection, found.version).await.map_err(told)?;
    sqlx::query("COMMIT").execute(connection).await.map_err(FileFault::from).map_err(told)?;
    Ok(())
}

/// A copy made by `VACUUM INTO` has lost the mode. Where it is set already, this only reads it.
async fn write_ahead(connection: &mut SqliteConnection) -> Result<(), FileFault> {
    sqlx::query("PRAGMA journal_mode = WAL").execute(connection).await?;
    Ok(())
}
