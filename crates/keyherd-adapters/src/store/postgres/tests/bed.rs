//! A database of its own on the tests' server, and as many stores open on it as a test wants.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::contract::{Process, Testbed};
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::Clock;
use keyherd_core::time::Timestamp;

use crate::postgres::{ClockOptions, ServerClock, Target, Wire, WireOptions};
use crate::seal::{Keyring, MasterKey};
use crate::store::StoreBounds;
use crate::store::postgres::{OpenError, PostgresOptions, PostgresStore};
use crate::system::{OsEntropy, SystemClock};
use crate::testing::PrivatePostgres;

pub(super) struct Bed {
    url: String,
    clock: Arc<dyn Clock>,
}

impl Bed {
    pub(super) async fn new() -> Self {
        let making = tokio::task::spawn_blocking(|| PrivatePostgres::shared().unwrap().database().unwrap());
        let url = making.await.unwrap();
        let wire = Wire::new(Target::parse(&url, None).unwrap(), WireOptions::default());
        let options = ClockOptions::default();
        let clock = ServerClock::follow(Arc::new(wire), Arc::new(SystemClock), options).await.unwrap();
        Self { url, clock: Arc::new(clock) }
    }

    pub(super) fn wire(&self) -> Wire {
        let options = WireOptions { lanes_max: 3, ..WireOptions::default() };
        Wire::new(Target::parse(&self.url, None).unwrap(), options)
    }

    pub(super) async fn open_with(&self, seeds: &[u8]) -> Result<PostgresStore, OpenError> {
        let options = PostgresOptions {
            wire: self.wire(),
            keyring: keyring(seeds),
            keys: None,
            clock: Arc::clone(&self.clock),
            entropy: Arc::new(OsEntropy::new().unwrap()),
            claim_life: Duration::from_millis(1_500),
            upgrade_timeout: Duration::from_secs(30),
            bounds: StoreBounds::default(),
        };
        PostgresStore::open(options).await
    }
}

pub(super) fn keyring(seeds: &[u8]) -> Keyring {
    Keyring::new(seeds.iter().map(|seed| MasterKey::from_bytes([*seed; 32])).collect()).unwrap()
}

/// Until no claim of the owner lives, by the server's clock.
async fn outlive(wire: &Wire, owner: OwnerId) {
    let living = format!(
        "SELECT COUNT(*) AS n FROM chains WHERE claim_owner = {} \
         AND claim_until > CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        owner.as_i64()
    );
    while wire.read(&living, &[]).await.unwrap()[0].get::<_, i64>("n") > 0 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Testbed for Bed {
    async fn open(&self) -> Process {
        let store = self.open_with(&[1]).await.unwrap();
        Process { owner: store.owner(), store: store.rooms() }
    }

    /// It is seen to be gone when its claims' life has ended.
    async fn kill(&self, process: Process) {
        outlive(&self.wire(), process.owner).await;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
