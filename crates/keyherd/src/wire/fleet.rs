//! A process of a fleet: PostgreSQL as the store, and Redis beside it where there is one.
//!
//! Owns which adapters that takes, and the guards of a store's birth: a master key is made only while the database is
//! empty, and the process that came second takes its own back. The journal is this host's, in a folder named by the
//! installation, so that two installations on one host never meet.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use keyherd_adapters::coordinator::{FleetCoordinator, FleetPlaces};
use keyherd_adapters::journal::{CopiedJournal, FileJournal};
use keyherd_adapters::postgres::{ServerClock, Wire};
use keyherd_adapters::seal::{KeyError, KeySource, Keyring};
use keyherd_adapters::store::postgres::{OpenError, PostgresOptions, PostgresStore};
use keyherd_adapters::system::{OsEntropy, SystemClock};
use keyherd_core::broker::Ports;
use keyherd_core::ports::{Journal, StoreError};

use super::engine::Fleet;
use super::{Engine, Shared, WireError, Wired};
use crate::config::{FleetSettings, Settings};

/// Opens everything.
pub(super) async fn open(settings: &Settings, fleet: &FleetSettings) -> Result<Wired, WireError> {
    let wire = Wire::new(fleet.database.clone(), fleet.wire.clone());
    let clock = clock(&wire, fleet).await?;
    let entropy = Arc::new(OsEntropy::new()?);
    let key = Key::find(&settings.master_key, &wire).await?;
    let store = PostgresStore::open(PostgresOptions {
        wire: wire.clone(),
        keyring: key.keyring.clone(),
        keys: Some(settings.master_key.clone()),
        clock: clock.clone(),
        entropy: entropy.clone(),
        claim_life: fleet.claim_life,
        crowds: fleet.crowds,
        upgrade_timeout: fleet.upgrade_timeout,
        bounds: fleet.bounds.clone(),
    });
    let store = Arc::new(store.await.map_err(|error| key.refused(error))?);
    let installation = store.installation();
    let coordinator = Arc::new(FleetCoordinator::start(
        FleetPlaces {
            wire,
            listen: fleet.listen.clone(),
            redis: fleet.redis.clone(),
            installation: installation.id,
        },
        clock.clone(),
        fleet.coordination.clone(),
    ));
    let folder = journal_folder(settings, &installation.id);
    let journal = FileJournal::open(folder, store.keyring(), installation.id)?;
    journal.follow(settings.master_key.clone());
    let copied =
        coordinator.link().map(|link| CopiedJournal::new(journal.clone(), link, fleet.copies.clone()));
    let written: Arc<dyn Journal> = match &copied {
        Some(copied) => Arc::new(copied.clone()),
        None => Arc::new(journal.clone()),
    };
    let Shared { profiles, provider, courier } = Shared::of(settings, clock.clone())?;
    profiles.reload(&**store).await.map_err(OpenError::from)?;
    let ports = Ports {
        store: store.rooms(),
        coordinator: coordinator.clone(),
        provider,
        courier,
        profiles: profiles.clone(),
        journal: written,
        clock: clock.clone(),
        entropy,
        hasher: installation.hasher.clone(),
    };
    let profiles_every = fleet.profiles_every;
    let engine = Engine::Fleet(Fleet { store: store.clone(), coordinator, copied, clock, profiles_every });
    Ok(Wired::new(ports, settings, store.rooms(), journal, profiles, engine))
}

/// Whether there is no store yet.
pub(super) async fn is_empty(fleet: &FleetSettings) -> Result<bool, WireError> {
    let wire = Wire::new(fleet.database.clone(), fleet.wire.clone());
    let is_empty = PostgresStore::is_empty(&wire).await?;
    wire.close();
    Ok(is_empty)
}

/// The server's clock, by which the whole fleet judges.
async fn clock(wire: &Wire, fleet: &FleetSettings) -> Result<Arc<ServerClock>, WireError> {
    let follow = || ServerClock::follow(Arc::new(wire.clone()), Arc::new(SystemClock), fleet.clock.clone());
    if let Ok(clock) = follow().await {
        return Ok(Arc::new(clock));
    }
    // The store says better what stands in the way. Where nothing does any more, the clock can be asked.
    PostgresStore::is_empty(wire).await?;
    let unknown = |error| format!("{}: it does not say what time it is ({error}): try again", wire.target());
    let clock = follow().await.map_err(|error| OpenError::Store(StoreError::Unavailable(unknown(error))))?;
    Ok(Arc::new(clock))
}

/// On this host alone, whatever else works on the store.
fn journal_folder(settings: &Settings, installation: &[u8; 16]) -> PathBuf {
    let mut name = String::from("journal-");
    for byte in installation {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    settings.data.join(name)
}

/// The master keys, and whether this process made them.
struct Key {
    keyring: Keyring,
    made: Option<PathBuf>,
    place: String,
}

impl Key {
    /// Makes a key where there is none and the database is empty.
    async fn find(source: &KeySource, wire: &Wire) -> Result<Self, WireError> {
        let place = wire.target().to_string();
        let found = |keyring| Self { keyring, made: None, place: place.clone() };
        match (source.load(), source) {
            (Err(KeyError::Missing { .. }), KeySource::File(path))
                if PostgresStore::is_empty(wire).await? =>
            {
                match KeySource::create_file(path) {
                    Err(KeyError::Exists { .. }) => Ok(found(source.load()?)),
                    made => Ok(Self { made: Some(path.clone()), ..found(made?) }),
                }
            }
            // Between the two looks another process of this host may have made both.
            (Err(KeyError::Missing { .. }), KeySource::File(path)) => match source.load() {
                Err(KeyError::Missing { .. }) => Err(elsewhere(path.clone(), place)),
                loaded => Ok(found(loaded?)),
            },
            (loaded, _) => Ok(found(loaded?)),
        }
    }

    /// Another host made the store first: a key that was made for nothing must not stay and look like the store's.
    fn refused(self, error: OpenError) -> WireError {
        match (self.made, &error) {
            (Some(path), OpenError::WrongKey { .. }) => {
                // What stays in spite of this is refused by name at the next start.
                let _ = std::fs::remove_file(&path);
                elsewhere(path, self.place)
            }
            _ => error.into(),
        }
    }
}

fn elsewhere(path: PathBuf, place: String) -> WireError {
    WireError::KeyElsewhere { path, place }
}
