//! What not every engine has, behind one face: where it is, its end, its soundness, the right to rotate its key.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyherd_adapters::coordinator::FleetCoordinator;
use keyherd_adapters::journal::CopiedJournal;
use keyherd_adapters::postgres::ServerClock;
use keyherd_adapters::store::postgres::{self, PostgresStore, ServerState};
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
    /// The journal with its copies, where there is a Redis.
    pub(super) copied: Option<CopiedJournal>,
    pub(super) clock: Arc<ServerClock>,
    pub(super) profiles_every: Duration,
}

/// The store's clock, seen from here.
pub(crate) struct ClockLead {
    /// How far it is ahead of this machine's, in milliseconds; negative: behind.
    pub(crate) millis: i64,
    /// How wrong what is known of it may be.
    pub(crate) error: Duration,
}

/// Held from before a new key is put into the key source until the old one is taken out of it.
pub(crate) enum Rotation {
    /// A lock on the file.
    File(#[expect(dead_code, reason = "dropping it frees the lock")] sqlite::Rotation),
    /// A lock on the server, which ends with the connection that it lives in.
    Fleet(postgres::Rotation),
}

impl Rotation {
    /// Whether it is still held. Asked before an old key is taken away.
    pub(crate) async fn is_held(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Fleet(rotation) => rotation.is_held().await,
        }
    }
}

impl Engine {
    /// The store's file or database, as it is shown.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Sqlite(store) => store.path().display().to_string(),
            Self::Fleet(fleet) => fleet.store.wire().target().to_string(),
        }
    }
}

impl Wired {
    /// The store's file or database, as it is shown.
    pub(crate) fn place(&self) -> String {
        self.engine.place()
    }

    /// What this machine has of the store, the journal among it, for who closes it to others.
    pub(crate) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let Engine::Sqlite(store) = &self.engine else { return Ok(Vec::new()) };
        let mut files = store.files()?;
        files.push(super::sqlite::journal_folder(store.path()));
        Ok(files)
    }

    /// The last words to other processes, and the end of the connections.
    pub(crate) async fn close(&self) {
        if let Engine::Fleet(fleet) = &self.engine {
            fleet.coordinator.settled().await;
        }
        self.store.close().await;
    }

    /// For a process that stays: refreshes what is due, and follows what other hosts import.
    pub(crate) fn run_background(&self) {
        self.broker.run_background();
        if let Engine::Fleet(fleet) = &self.engine {
            // Ends with the runtime: it holds nothing that must be ended in order.
            tokio::spawn(Arc::clone(&self.profiles).follow(self.broker.clone(), fleet.profiles_every));
        }
    }

    /// Whether the store is shared with other hosts.
    pub(crate) fn is_fleet(&self) -> bool {
        matches!(self.engine, Engine::Fleet(_))
    }

    /// What is wrong with the coordinator, after it was tried.
    pub(crate) async fn coordinator_trouble(&self) -> Vec<String> {
        if let Engine::Fleet(fleet) = &self.engine {
            fleet.coordinator.tried().await;
        }
        self.broker.ports().coordinator.trouble().await
    }

    /// A fleet's clock, which is its server's. `None`: this machine's own counts.
    pub(crate) fn clock_lead(&self) -> Option<ClockLead> {
        match &self.engine {
            Engine::Sqlite(_) => None,
            Engine::Fleet(fleet) => {
                Some(ClockLead { millis: fleet.clock.lead_millis(), error: fleet.clock.error() })
            }
        }
    }

    /// The server that a fleet's store is on.
    pub(crate) async fn server(&self) -> Result<Option<ServerState>, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(None),
            Engine::Fleet(fleet) => fleet.store.server().await.map(Some),
        }
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
            Engine::Fleet(fleet) => fleet.store.schema_version().await,
        }
    }

    /// Puts the journal's copies elsewhere under the first key, as far as they can be reached. Returns how many.
    pub(crate) async fn reseal_copies(&self) -> usize {
        match &self.engine {
            Engine::Fleet(Fleet { copied: Some(copied), .. }) => copied.reseal_copies().await,
            _ => 0,
        }
    }

    /// The right to rotate the master key: one process at a time.
    pub(crate) async fn rotation(&self) -> Result<Rotation, WireError> {
        match &self.engine {
            Engine::Sqlite(store) => Ok(Rotation::File(store.rotation().await?)),
            Engine::Fleet(fleet) => Ok(Rotation::Fleet(fleet.store.rotation().await?)),
        }
    }
}
