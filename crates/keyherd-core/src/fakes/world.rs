//! A fleet in one process: hosts that share a store and a provider, and may die.

use std::sync::Arc;

use super::{
    FixedProfiles, Installation, MemoryBell, MemoryJournal, MemoryStore, PausedClock, RecordingCourier,
    SeededEntropy,
};
use crate::broker::{Broker, Options, Ports};
use crate::ids::OwnerId;
use crate::ports::ProviderClient;
use crate::provider::Profile;
use crate::secret::Hasher;

/// What all hosts share.
pub struct Fleet {
    /// The store.
    pub installation: Arc<Installation>,
    /// The machine's journal: one, since all hosts here share a disk.
    pub journal: MemoryJournal,
    /// Everyone's clock.
    pub clock: Arc<PausedClock>,
    /// Bounds of every broker opened from now on.
    pub options: Options,
    profiles: Arc<FixedProfiles>,
    provider: Arc<dyn ProviderClient>,
    hosts: std::sync::atomic::AtomicI64,
    /// The way to channels.
    pub courier: Arc<RecordingCourier>,
}

/// One process of the fleet.
pub struct Host {
    /// Its broker.
    pub broker: Broker,
    /// Its handle on the store.
    pub store: MemoryStore,
    /// Its name as a claim's owner.
    pub owner: OwnerId,
}

impl Fleet {
    /// A fleet with that provider behind every profile.
    pub fn new(provider: Arc<dyn ProviderClient>, profiles: impl IntoIterator<Item = Profile>) -> Self {
        let clock = Arc::new(PausedClock::new());
        Self {
            installation: Installation::new(clock.clone(), Hasher::new([3; 32])),
            journal: MemoryJournal::default(),
            clock,
            options: Options::default(),
            profiles: Arc::new(FixedProfiles::new(profiles)),
            provider,
            hosts: std::sync::atomic::AtomicI64::new(1),
            courier: Arc::default(),
        }
    }

    /// Opens one more process on the store.
    pub fn host(&self) -> Host {
        let number = self.hosts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let owner = OwnerId::from_i64(number);
        let store = self.installation.open(owner);
        let ports = Ports {
            store: Arc::new(store.clone()),
            coordinator: Arc::new(MemoryBell::new(&self.installation)),
            provider: Arc::clone(&self.provider),
            profiles: Arc::clone(&self.profiles) as _,
            journal: Arc::new(self.journal.clone()),
            courier: Arc::clone(&self.courier) as _,
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::new(SeededEntropy::new(number.unsigned_abs())),
            hasher: Hasher::new([3; 32]),
        };
        Host { broker: Broker::new(ports, self.options.clone()), store, owner }
    }

    /// That process died: its claims have no owner any more.
    pub fn bury(&self, host: &Host) {
        self.installation.bury(host.owner);
    }
}
