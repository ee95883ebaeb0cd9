//! The composition root: from settings to a broker. The only place that names every adapter.
//!
//! Straight on purpose: what a process is made of is read from top to bottom, in [`sqlite`] for a file and in [`fleet`]
//! for PostgreSQL. Nothing that a hot token does not need happens here: certificates are loaded, locks taken and writers
//! opened when something first asks for them.

mod ca;
mod descriptors;
mod door;
mod engine;
mod error;
mod fleet;
mod forward;
mod gateway;
mod listener;
mod neighbours;
mod profiles;
mod shelf;
mod sqlite;
mod tls;

use std::sync::Arc;

use keyherd_adapters::courier::HttpCourier;
use keyherd_adapters::journal::FileJournal;
use keyherd_adapters::provider::{HttpOptions, HttpProvider};
use keyherd_adapters::store::SqlStore;
use keyherd_core::broker::{Broker, Ports};
use keyherd_core::ports::Clock;

pub(crate) use self::ca::{CaState, ca_state};
pub(crate) use self::descriptors::{bound_connections, raise_limit};
pub(crate) use self::door::{ADMIN_TOKEN_FILE, Door, DoorError, admin_token};
use self::engine::Engine;
pub(crate) use self::engine::{ClockLead, Rotation};
pub(crate) use self::error::WireError;
pub(crate) use self::forward::{ForwardDoor, ca_file, constrained_ca_file, own_authority, read_names};
pub(crate) use self::gateway::GatewayDoor;
pub(crate) use self::listener::bind;
pub(crate) use self::neighbours::post;
pub(crate) use self::profiles::LayeredProfiles;
pub(crate) use self::shelf::{Shelf, into_folder, out_of_folder, own_file, read};
use crate::config::{Settings, StoreSettings};

/// A process at work on a store.
pub(crate) struct Wired {
    /// The verbs.
    pub(crate) broker: Broker,
    /// The store's rooms, the same on every engine.
    pub(crate) store: Arc<SqlStore>,
    /// This machine's journal, for what only these files have.
    pub(crate) journal: FileJournal,
    /// Profiles, with their texts.
    pub(crate) profiles: Arc<LayeredProfiles>,
    /// Where imported ones are kept.
    pub(crate) shelf: Arc<Shelf>,
    engine: Engine,
}

/// Opens everything. Makes what is missing for a new store, and nothing for one that is there.
pub(crate) async fn open(settings: &Settings) -> Result<Wired, WireError> {
    register_barrier();
    settings.prepare_data()?;
    match &settings.store {
        StoreSettings::Sqlite(file) => sqlite::open(settings, file).await,
        StoreSettings::Fleet(fleet) => fleet::open(settings, fleet).await,
    }
}

/// Whether there is a store to be opened.
pub(crate) async fn has_store(settings: &Settings) -> Result<bool, WireError> {
    let is_empty = match &settings.store {
        StoreSettings::Sqlite(file) => sqlite::is_empty(file),
        StoreSettings::Fleet(fleet) => fleet::is_empty(fleet).await,
    };
    Ok(!is_empty?)
}

/// What a process is made of, whatever its store.
struct Shared {
    profiles: Arc<LayeredProfiles>,
    provider: Arc<HttpProvider>,
    courier: Arc<HttpCourier>,
}

impl Shared {
    fn of(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, WireError> {
        let outwards = HttpOptions {
            ca_bundle: settings.ca_bundle.clone(),
            egress_proxy: settings.egress_proxy.clone(),
        };
        let provider = HttpProvider::new(outwards.clone())?;
        let courier = HttpCourier::new(outwards, &settings.options.channels, clock)?;
        let profiles = Arc::new(LayeredProfiles::open(&settings.data));
        Ok(Self { profiles, provider: Arc::new(provider), courier: Arc::new(courier) })
    }
}

impl Wired {
    fn new(
        ports: Ports,
        settings: &Settings,
        store: Arc<SqlStore>,
        journal: FileJournal,
        profiles: Arc<LayeredProfiles>,
        engine: Engine,
    ) -> Self {
        let folder = match engine {
            Engine::Sqlite(_) => Some(settings.data.clone()),
            Engine::Fleet(_) => None,
        };
        let (coordinator, place) = (Arc::clone(&ports.coordinator), engine.place());
        let shelf =
            Arc::new(Shelf::new(folder, place, Arc::clone(&store), coordinator, Arc::clone(&profiles)));
        let broker = Broker::new(ports, settings.options.clone());
        Self { broker, store, journal, profiles, shelf, engine }
    }
}

/// The broker's maps register the process for membarrier(2). While it has one thread, that costs nothing; once the store
/// has started its own, the kernel waits for all processors, which is the longest part of a hot `keyherd token`.
fn register_barrier() {
    drop(papaya::HashMap::<(), ()>::new());
}
