//! A database of its own on the tests' server, or on another one, and as many stores open on it as a test wants.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::contract::{Process, Testbed};
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::Clock;
use keyherd_core::time::Timestamp;

use crate::postgres::{ClockOptions, Row, ServerClock, Target, Wire, WireOptions};
use crate::seal::{KeySource, Keyring, MasterKey};
use crate::store::engine::Engine;
pub(super) use crate::store::fixtures::{
    claim, create, grant, name, new, note, record, refresh, settling, tokens,
};
use crate::store::postgres::schema::{SCHEMA, Schema};
use crate::store::postgres::{OpenError, PostgresOptions, PostgresStore};
use crate::store::{CrowdBounds, StoreBounds};
use crate::system::{OsEntropy, SystemClock};
use crate::testing::{PrivatePgBouncer, PrivatePostgres};

pub(super) struct Bed {
    /// The database itself.
    direct: String,
    /// What stores are told.
    url: String,
    clock: Arc<dyn Clock>,
    _pooler: Option<PrivatePgBouncer>,
    pub(super) lanes: WireOptions,
    pub(super) bounds: StoreBounds,
    pub(super) crowds: CrowdBounds,
    pub(super) claim_life: Duration,
    pub(super) upgrade_timeout: Duration,
    pub(super) keys: Option<KeySource>,
}

impl Bed {
    pub(super) async fn new() -> Self {
        Self::at(database().await).await
    }

    /// On a server of the test's own.
    pub(super) async fn at(url: String) -> Self {
        let wire = Wire::new(Target::parse(&url, None).unwrap(), WireOptions::default());
        let options = ClockOptions::default();
        let clock = ServerClock::follow(Arc::new(wire), Arc::new(SystemClock), options).await.unwrap();
        Self {
            direct: url.clone(),
            url,
            clock: Arc::new(clock),
            _pooler: None,
            lanes: WireOptions { lanes_max: 3, ..WireOptions::default() },
            bounds: StoreBounds::default(),
            crowds: CrowdBounds::default(),
            claim_life: Duration::from_millis(1_500),
            upgrade_timeout: Duration::from_secs(30),
            keys: None,
        }
    }

    /// Behind a pooler in transaction mode.
    pub(super) async fn pooled() -> Self {
        let bed = Self::new().await;
        let starting = || PrivatePgBouncer::start(PrivatePostgres::shared().unwrap()).unwrap();
        let pooler = tokio::task::spawn_blocking(starting).await.unwrap();
        Self { url: pooler.url(&bed.direct), _pooler: Some(pooler), ..bed }
    }

    /// The same database by another port, such as a relay's.
    pub(super) fn through(mut self, port: u16) -> Self {
        let mut url = url::Url::parse(&self.url).unwrap();
        url.set_port(Some(port)).unwrap();
        self.url = url.to_string();
        self
    }

    pub(super) fn wire(&self) -> Wire {
        Wire::new(Target::parse(&self.url, None).unwrap(), self.lanes.clone())
    }

    /// Where the database itself is.
    pub(super) fn direct(&self) -> &str {
        &self.direct
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    pub(super) async fn store(&self) -> PostgresStore {
        self.open_with(&[1]).await.unwrap()
    }

    pub(super) async fn open_with(&self, seeds: &[u8]) -> Result<PostgresStore, OpenError> {
        self.open_under(keyring(seeds)).await
    }

    pub(super) async fn open_under(&self, keyring: Keyring) -> Result<PostgresStore, OpenError> {
        self.open_at(keyring, &SCHEMA).await
    }

    /// As a program that knows this schema.
    pub(super) async fn open_as(&self, schema: &Schema) -> Result<PostgresStore, OpenError> {
        self.open_at(keyring(&[1]), schema).await
    }

    async fn open_at(&self, keyring: Keyring, schema: &Schema) -> Result<PostgresStore, OpenError> {
        PostgresStore::open_at(self.options(keyring), schema).await
    }

    /// On what is made of the engine.
    pub(super) async fn store_on(
        &self,
        through: impl FnOnce(Arc<dyn Engine>) -> Arc<dyn Engine>,
    ) -> PostgresStore {
        PostgresStore::open_on(self.options(keyring(&[1])), &SCHEMA, through).await.unwrap()
    }

    fn options(&self, keyring: Keyring) -> PostgresOptions {
        PostgresOptions {
            wire: self.wire(),
            keyring,
            keys: self.keys.clone(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::new(OsEntropy::new().unwrap()),
            claim_life: self.claim_life,
            upgrade_timeout: self.upgrade_timeout,
            crowds: self.crowds,
            bounds: self.bounds.clone(),
        }
    }

    /// What nobody of ours would do: any SQL, committed.
    pub(super) async fn meddle(&self, sql: &str) {
        let tx = self.outside().begin_within(Duration::from_secs(60)).await.unwrap();
        tx.batch(sql).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(super) async fn look(&self, sql: &str) -> Vec<Row> {
        self.outside().read(sql, &[]).await.unwrap()
    }

    /// Until a statement's first column, a boolean, is true. It is asked in other connections than the stores'.
    pub(super) async fn until(&self, sql: &str) {
        let wire = self.outside();
        let asking = async {
            while !wire.read(sql, &[]).await.unwrap()[0].get::<_, bool>(0) {
                tokio::task::yield_now().await;
            }
        };
        soon(asking).await;
    }

    /// Until somebody in this database waits for another one's lock.
    pub(super) async fn until_somebody_waits(&self) {
        self.until(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock')",
        )
        .await;
    }

    /// Another program's connections.
    pub(super) fn outside(&self) -> Wire {
        Wire::new(Target::parse(&self.direct, None).unwrap(), WireOptions::default())
    }
}

/// Long enough for a busy machine; passing tests never wait for it.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("what is waited for does not come")
}

async fn database() -> String {
    let making = tokio::task::spawn_blocking(|| PrivatePostgres::shared().unwrap().database().unwrap());
    making.await.unwrap()
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
    let over = async {
        while wire.read(&living, &[]).await.unwrap()[0].get::<_, i64>("n") > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(over).await;
}

#[async_trait]
impl Testbed for Bed {
    async fn open(&self) -> Process {
        let store = self.store().await;
        Process { owner: store.owner(), store: store.rooms() }
    }

    /// It is seen to be gone when its claims' life has ended.
    async fn kill(&self, process: Process) {
        outlive(&self.outside(), process.owner).await;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
