//! A process on a SQLite file, which the processes of one machine share.
//!
//! Owns which adapters that takes, and the guards of a file's birth. Makes what is missing in a new data folder, and
//! nothing in one that has a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyherd_adapters::coordinator::Bell;
use keyherd_adapters::journal::FileJournal;
use keyherd_adapters::seal::{KeyError, KeySource, Keyring};
use keyherd_adapters::store::sqlite::{SqliteOptions, SqliteStore};
use keyherd_adapters::system::{OsEntropy, SystemClock};
use keyherd_core::broker::Ports;

use super::{Engine, Shared, WireError, Wired};
use crate::config::{DATABASE_FILE, Settings, SqliteSettings};

/// Opens everything.
pub(super) async fn open(settings: &Settings, file: &SqliteSettings) -> Result<Wired, WireError> {
    file.check_folder()?;
    refuse_a_lost_store(&file.path)?;
    let keyring = keyring(&settings.master_key, &file.path)?;
    let clock = Arc::new(SystemClock);
    let entropy = Arc::new(OsEntropy::new()?);
    let store = SqliteStore::open(SqliteOptions {
        path: file.path.clone(),
        keyring,
        keys: Some(settings.master_key.clone()),
        clock: clock.clone(),
        entropy: entropy.clone(),
        bounds: file.bounds.clone(),
    });
    let store = Arc::new(store.await?);
    let journal = FileJournal::open(journal_folder(store.path()), store.keyring(), store.installation().id)?;
    journal.follow(settings.master_key.clone());
    let Shared { profiles, provider, courier } = Shared::of(settings, clock.clone())?;
    let ports = Ports {
        store: store.rooms(),
        coordinator: Arc::new(Bell::new(store.bell_path(), store.clone(), file.bell.clone())),
        provider,
        courier,
        profiles: profiles.clone(),
        journal: Arc::new(journal.clone()),
        clock,
        entropy,
        hasher: store.installation().hasher.clone(),
    };
    Ok(Wired::new(ports, settings, store.rooms(), journal, profiles, Engine::Sqlite(store)))
}

/// Whether there is no store yet.
pub(super) fn is_empty(file: &SqliteSettings) -> Result<bool, WireError> {
    Ok(SqliteStore::is_empty(&file.path)?)
}

/// Beside the store, whatever data folder a process was given: who takes over from a dead process must find what that
/// one had received.
pub(super) fn journal_folder(database: &Path) -> PathBuf {
    match database.file_name() {
        Some(name) if name != DATABASE_FILE => {
            let mut beside = name.to_owned();
            beside.push(".journal");
            database.with_file_name(beside)
        }
        _ => database.with_file_name("journal"),
    }
}

/// A journal with answers belongs to a store with credentials: where that one is empty, it was lost, and a new one in its
/// place would hide that.
fn refuse_a_lost_store(database: &Path) -> Result<(), WireError> {
    let journal = journal_folder(database);
    let has_answers = ["pending", "done"]
        .iter()
        .any(|folder| std::fs::read_dir(journal.join(folder)).is_ok_and(|mut files| files.next().is_some()));
    if has_answers && SqliteStore::is_empty(database)? {
        return Err(WireError::StoreLost { database: database.to_owned(), journal });
    }
    Ok(())
}

/// The master keys; made where there are none and the store is new. Of several processes that begin at once one makes
/// them, and the others find them.
fn keyring(source: &KeySource, database: &Path) -> Result<Keyring, WireError> {
    match (source.load(), source) {
        (Err(KeyError::Missing { .. }), KeySource::File(path)) if SqliteStore::is_empty(database)? => {
            match KeySource::create_file(path) {
                Err(KeyError::Exists { .. }) => Ok(source.load()?),
                made => Ok(made?),
            }
        }
        // Between the two looks another process may have made both.
        (Err(KeyError::Missing { .. }), _) => Ok(source.load()?),
        (loaded, _) => Ok(loaded?),
    }
}
