//! What not every engine has, behind one face: where it is, its end, its soundness, the right to rotate its key.

use std::sync::Arc;

use keyherd_adapters::coordinator::FleetCoordinator;
use keyherd_adapters::store::postgres::{self, PostgresStore};
use keyherd_adapters::store::sqlite::{self, SqliteStore};
use keyherd_core::ports::StoreError;

use super::{WireError, Wired};

/// The engine under the rooms.
pub(super) enum Engine {
    /// A file.
    Sqlite(Arc<SqliteStore>),
    /// A server that many hosts share.
    Fleet(Fleet),
}

/// A fleet's store, and what announces its commits.
pub(super) struct Fleet {
    pub(super) store: Arc<PostgresStore>,
    pub(super) coordinator: Arc<FleetCoordinator>,
}

/// Held from before a new key is put into the key source until the old one is taken out of it.
pub(crate) struct Rotation(#[expect(dead_code, reason = "dropping it frees the lock")] sqlite::Rotation);

impl Wired {
    /// The store's file or database, as it is shown.
    pub(crate) fn place(&self) -> String {
        match &self.engine {
            Engine::Sqlite(store) => store.path().display().to_string(),
            Engine::Fleet(fleet) => fleet.store.wire().target().to_string(),
        }
    }

    /// The last words to other processes, and the end of the connections.
    pub(crate) async fn close(&self) {
        if let Engine::Fleet(fleet) = &self.engine {
            fleet.coordinator.settled().await;
        }
        self.store.close().await;
    }

    /// What is wrong with the file, at most a hundred lines. A server looks after its own.
    pub(crate) async fn integrity_check(&self) -> Result<Vec<String>, StoreError> {
        match &self.engine {
            Engine::Sqlite(store) => store.integrity_check().await,
            Engine::Fleet(_) => Ok(Vec::new()),
        }
    }

    /// The schema that the store is at.
    pub(crate) async fn schema_version(&self) -> Result<i64, StoreError> {
        match &self.engine {
            Engine::Sqlite(store) => store.schema_version().await,
            // Opening brings it there.
            Engine::Fleet(_) => Ok(postgres::SCHEMA_VERSION),
        }
    }

    /// The right to rotate the master key: one process at a time.
    pub(crate) async fn rotation(&self) -> Result<Rotation, WireError> {
        match &self.engine {
            Engine::Sqlite(store) => Ok(Rotation(store.rotation().await?)),
            Engine::Fleet(_) => Err(WireError::NoRotation),
        }
    }
}
