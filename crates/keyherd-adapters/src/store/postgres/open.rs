//! Opening: from a wire and a keyring to a store that is known to be ours and readable with these keys.
//!
//! Owns the store's birth: tables and installation keys in one transaction, under a lock that ends with it, whoever is
//! first. Never makes keys for a store that has some, and never changes the key in force: hosts list their keys in
//! different orders while a new one is brought to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use keyherd_core::ids::OwnerId;
use keyherd_core::ports::StoreError;

use super::engine::{PostgresEngine, lock};
use super::fault::{explain, told};
use super::row::{neutral, params};
use super::schema::{IS_THERE, SCHEMA, SET_VERSION, Schema, VERSION};
use super::{PostgresOptions, PostgresStore};
use crate::postgres::{Tx, Wire, WireError};
use crate::store::SqlStore;
use crate::store::engine::Engine;
use crate::store::fault::Fault;
use crate::store::rooms::crowd::Crowds;
use crate::store::rooms::installation::{Sealed, Unopened, install};
use crate::store::rooms::seen::Seen;
use crate::store::sql;
use crate::store::statement::Row;

/// Why a store cannot be opened. Every message names the database and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A newer keyherd made it what this one cannot work on.
    #[error(
        "{place} was upgraded by a newer keyherd (it needs schema {needed}, this one knows {known}): use that version, or a newer one"
    )]
    Newer {
        /// The database.
        place: String,
        /// The schema that a program must know.
        needed: i64,
        /// Ours.
        known: i64,
    },
    /// It was sealed under another master key.
    #[error(
        "{place} is sealed under master key {wanted}, which is not here (given: {given}): bring back its master key"
    )]
    WrongKey {
        /// The database.
        place: String,
        /// The key that it needs.
        wanted: String,
        /// The keys that were given.
        given: String,
    },
    /// Another program's tables have the names of ours.
    #[error(
        "{place} holds another program's tables: make a database for keyherd alone, and name it with --database-url"
    )]
    NotOurs {
        /// The database.
        place: String,
    },
    /// Another process has the right to rotate the master key.
    #[error("another process rotates the master key of {place}: wait until it is done, then run this again")]
    Rotating {
        /// The database.
        place: String,
    },
    /// The store itself says no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PostgresStore {
    /// Opens a store; makes it where there is none, and upgrades an older one.
    ///
    /// # Errors
    /// See [`OpenError`]: nothing was changed by a refusal.
    pub async fn open(given: PostgresOptions) -> Result<Self, OpenError> {
        Self::open_at(given, &SCHEMA).await
    }

    /// As a program that knows this schema.
    pub(super) async fn open_at(given: PostgresOptions, schema: &Schema) -> Result<Self, OpenError> {
        Self::open_on(given, schema, |engine| engine).await
    }

    /// On what is made of the engine: for who wants to see what it is asked.
    pub(super) async fn open_on(
        given: PostgresOptions,
        schema: &Schema,
        through: impl FnOnce(Arc<dyn Engine>) -> Arc<dyn Engine>,
    ) -> Result<Self, OpenError> {
        let wire = given.wire.clone();
        let said = |fault| OpenError::from(explain(fault, wire.target()));
        if schema.is_behind(&wire, version(&wire).await.map_err(said)?)? {
            upgrade(&given, schema).await?;
        }
        let row = first(&wire, sql::INSTALLATION).await.map_err(said)?;
        let sealed = row.ok_or_else(|| Fault::Damaged("the installation is missing".into()));
        let sealed = sealed.and_then(|row| Sealed::of_row(&row)).map_err(said)?;
        let (vault, installation) =
            sealed.unseal(given.keyring, given.keys).map_err(|unopened| refuse(&wire, unopened))?;
        let engine = PostgresEngine {
            wire: given.wire,
            owner: OwnerId::from_i64(given.entropy.id()),
            claim_life: given.claim_life,
            entropy: Arc::clone(&given.entropy),
            lanes: Mutex::new(HashMap::new()),
        };
        let rooms = Arc::new_cyclic(|store| SqlStore {
            engine: through(Arc::new(engine)),
            bounds: given.bounds,
            clock: given.clock,
            entropy: given.entropy,
            installation,
            vault,
            seen: Seen::default(),
            crowds: Crowds::new(store, Some(given.crowds)),
        });
        Ok(Self { rooms, wire, upgrade_timeout: given.upgrade_timeout })
    }

    /// The schema that the database is at: another program's where a newer one has upgraded it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn schema_version(&self) -> Result<i64, StoreError> {
        let found = version(&self.wire).await.map_err(|fault| explain(fault, self.wire.target()))?;
        Ok(found.map_or(0, |found| found.version))
    }

    /// Whether a database has no store yet: only then may a master key be made for it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn is_empty(wire: &Wire) -> Result<bool, OpenError> {
        let found = version(wire).await.map_err(|fault| explain(fault, wire.target()))?;
        Ok(found.is_none())
    }
}

/// The store's schema, and the oldest that a program must know.
#[derive(Debug, Clone, Copy)]
struct Found {
    version: i64,
    oldest: i64,
}

impl Schema {
    /// Whether the store has to be upgraded before a program that knows this schema works on it.
    fn is_behind(&self, wire: &Wire, found: Option<Found>) -> Result<bool, OpenError> {
        match found {
            Some(found) if found.oldest > self.version => Err(OpenError::Newer {
                place: wire.target().to_string(),
                needed: found.oldest,
                known: self.version,
            }),
            Some(found) => Ok(found.version < self.version),
            None => Ok(true),
        }
    }
}

async fn version(wire: &Wire) -> Result<Option<Found>, Fault> {
    let is_there = match first(wire, IS_THERE).await? {
        Some(row) => row.try_get("is_there")?,
        None => false,
    };
    if is_there { found(first(wire, VERSION).await?.as_ref()) } else { Ok(None) }
}

fn found(row: Option<&Row>) -> Result<Option<Found>, Fault> {
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Found { version: row.try_get("version")?, oldest: row.try_get("oldest")? }))
}

async fn first(wire: &Wire, statement: &str) -> Result<Option<Row>, Fault> {
    let rows = wire.read(statement, &[]).await.map_err(|error| told(error, wire.target()))?;
    Ok(neutral(rows).into_iter().next())
}

/// Whoever is first does it, while the others wait for the lock and then find it done. Tried again where it stood in the
/// way of a program at work and had to give way.
async fn upgrade(given: &PostgresOptions, schema: &Schema) -> Result<(), OpenError> {
    let mut retries = 0;
    loop {
        match upgrade_once(given, schema).await {
            Err(Stopped::Wire(WireError::Serialization)) if retries < given.bounds.contention_retries_max => {
                retries += 1;
            }
            outcome => return outcome.map_err(|stopped| stopped.explain(&given.wire)),
        }
    }
}

/// In one transaction: a program that ends in the middle leaves the store as it was.
async fn upgrade_once(given: &PostgresOptions, schema: &Schema) -> Result<(), Stopped> {
    let wire = &given.wire;
    let tx = wire.begin_within(given.upgrade_timeout).await?;
    tx.query(lock::UPGRADE, &[]).await?;
    // Looks again under the lock: another process may have done it.
    let before = version_in(&tx).await?;
    if !schema.is_behind(wire, before)? {
        return Ok(tx.rollback().await?);
    }
    let from = before.map_or(0, |found| found.version);
    for (_, migration) in schema.migrations.iter().filter(|(version, _)| *version > from) {
        tx.batch(migration).await?;
    }
    if before.is_none() {
        let install = install(&given.keyring, &*given.entropy, &*given.clock)?;
        tx.execute(install.sql.postgres, &params(&install.values)).await?;
    }
    let version = [schema.version.into(), schema.oldest.into()];
    tx.execute(SET_VERSION, &params(&version)).await?;
    Ok(tx.commit().await?)
}

async fn version_in(tx: &Tx) -> Result<Option<Found>, Stopped> {
    let rows = neutral(tx.query(IS_THERE, &[]).await?);
    let is_there = rows.first().map_or(Ok(false), |row| row.try_get("is_there"))?;
    if !is_there {
        return Ok(None);
    }
    let rows = neutral(tx.query(VERSION, &[]).await?);
    Ok(found(rows.first())?)
}

/// Why an upgrade did not come about.
enum Stopped {
    Wire(WireError),
    Fault(Fault),
    Refused(OpenError),
}

impl Stopped {
    fn explain(self, wire: &Wire) -> OpenError {
        match self {
            // duplicate_table, duplicate_function.
            Self::Wire(WireError::Other { code, .. }) if matches!(code.as_str(), "42P07" | "42723") => {
                OpenError::NotOurs { place: wire.target().to_string() }
            }
            Self::Wire(error) => explain(told(error, wire.target()), wire.target()).into(),
            Self::Fault(fault) => explain(fault, wire.target()).into(),
            Self::Refused(refused) => refused,
        }
    }
}

impl From<WireError> for Stopped {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<OpenError> for Stopped {
    fn from(refused: OpenError) -> Self {
        Self::Refused(refused)
    }
}

fn refuse(wire: &Wire, unopened: Unopened) -> OpenError {
    let place = wire.target().to_string();
    match unopened {
        Unopened::WrongKey { wanted, given } => {
            OpenError::WrongKey { place, wanted: wanted.to_string(), given }
        }
        Unopened::Fault(fault) => explain(fault, wire.target()).into(),
    }
}
