//! The PostgreSQL store: processes on many hosts work on one database, and none is special.
//!
//! Owns the handle and its options; the rooms are those of every store. Safe at READ COMMITTED by conditional statements,
//! and by locks that end with their transaction where something is looked at first. A claim lives until a time on the
//! server's clock. Behind a pooler in transaction mode it works the same: no prepared statements, no session state.

mod engine;
mod fault;
mod open;
mod rotation;
mod row;
mod schema;
mod server;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use keyherd_core::ports::{Clock, Entropy};

pub use self::open::OpenError;
pub use self::rotation::Rotation;
pub use self::schema::SCHEMA_VERSION;
pub use self::server::ServerState;
use super::{CrowdBounds, SqlStore, StoreBounds};
use crate::postgres::Wire;
use crate::seal::{KeySource, Keyring};

/// How a store is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The way to the database.
    pub wire: Wire,
    /// The master keys: the first one seals.
    pub keyring: Keyring,
    /// Where the keyring came from, read again when the master key was rotated meanwhile; `None`: never.
    pub keys: Option<KeySource>,
    /// The server's clock: [`crate::postgres::ServerClock`].
    pub clock: Arc<dyn Clock>,
    /// For ids and the installation's own keys.
    pub entropy: Arc<dyn Entropy>,
    /// How long a claim lives on the server's clock unless it is renewed.
    pub claim_life: Duration,
    /// What is done together when it comes at once.
    pub crowds: CrowdBounds,
    /// How long an opening waits for another process that makes or upgrades the store, and how long each of an upgrade's
    /// own steps may take.
    pub upgrade_timeout: Duration,
    /// What bounds a store on any engine.
    pub bounds: StoreBounds,
}

/// A store in one PostgreSQL database: a [`SqlStore`], and what only a server has.
pub struct PostgresStore {
    rooms: Arc<SqlStore>,
    wire: Wire,
    upgrade_timeout: Duration,
}

impl PostgresStore {
    /// The store's rooms, for whoever needs no more: every port of [`keyherd_core::ports::store`].
    pub fn rooms(&self) -> Arc<SqlStore> {
        Arc::clone(&self.rooms)
    }

    /// The way to the database.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }
}

impl Deref for PostgresStore {
    type Target = SqlStore;

    fn deref(&self) -> &SqlStore {
        &self.rooms
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresStore({})", self.wire.target())
    }
}

#[cfg(test)]
mod tests;
