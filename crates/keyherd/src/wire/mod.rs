//! The composition root: from settings to a broker. The only place that names every adapter.
//!
//! Straight on purpose: what a process is made of is read here from top to bottom. Nothing that a hot token does not
//! need happens here: certificates are loaded, locks taken and writers opened when something first asks for them.

mod door;
mod error;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyherd_adapters::coordinator::Bell;
use keyherd_adapters::journal::FileJournal;
use keyherd_adapters::profile::FolderProfiles;
use keyherd_adapters::provider::{HttpOptions, HttpProvider};
use keyherd_adapters::seal::{KeyError, KeySource, Keyring};
use keyherd_adapters::store::sqlite::{SqliteOptions, SqliteStore};
use keyherd_adapters::system::{OsEntropy, SystemClock};
use keyherd_core::broker::{Broker, Ports};

pub(crate) use self::door::{ADMIN_TOKEN_FILE, Door, DoorError, admin_token};
pub(crate) use self::error::WireError;
use crate::config::{DATABASE_FILE, Settings};

/// A process at work on a store.
pub(crate) struct Wired {
    /// The verbs.
    pub(crate) broker: Broker,
    /// The store, for what only this engine has.
    pub(crate) store: Arc<SqliteStore>,
    /// The journal, for what only these files have.
    pub(crate) journal: FileJournal,
    /// Profiles, with their texts.
    pub(crate) profiles: Arc<FolderProfiles>,
}

/// Opens everything. Makes what is missing in a new data folder, and nothing in one that has a store.
pub(crate) async fn open(settings: &Settings) -> Result<Wired, WireError> {
    register_barrier();
    settings.prepare_data()?;
    settings.check_database_folder()?;
    refuse_a_lost_store(&settings.database)?;
    let keyring = keyring(&settings.master_key, &settings.database)?;
    let clock = Arc::new(SystemClock);
    let entropy = Arc::new(OsEntropy::new()?);
    let store = SqliteStore::open(SqliteOptions {
        path: settings.database.clone(),
        keyring,
        keys: Some(settings.master_key.clone()),
        clock: clock.clone(),
        entropy: entropy.clone(),
        bounds: settings.store.clone(),
    });
    let store = Arc::new(store.await?);
    let journal = FileJournal::open(journal_folder(store.path()), store.keyring(), store.installation().id)?;
    journal.follow(settings.master_key.clone());
    let profiles = Arc::new(FolderProfiles::open(Some(&settings.data)));
    let provider = HttpProvider::new(HttpOptions {
        ca_bundle: settings.ca_bundle.clone(),
        egress_proxy: settings.egress_proxy.clone(),
    })?;
    let ports = Ports {
        store: store.rooms(),
        coordinator: Arc::new(Bell::new(store.bell_path(), store.clone(), settings.bell.clone())),
        provider: Arc::new(provider),
        profiles: profiles.clone(),
        journal: Arc::new(journal.clone()),
        clock,
        entropy,
        hasher: store.installation().hasher.clone(),
    };
    let broker = Broker::new(ports, settings.options.clone());
    Ok(Wired { broker, store, journal, profiles })
}

/// The broker's maps register the process for membarrier(2). While it has one thread, that costs nothing; once the store
/// has started its own, the kernel waits for all processors, which is the longest part of a hot `keyherd token`.
fn register_barrier() {
    drop(papaya::HashMap::<(), ()>::new());
}

/// Beside the store, whatever data folder a process was given: who takes over from a dead process must find what that
/// one had received.
fn journal_folder(database: &Path) -> PathBuf {
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
