//! Opening: from a wire and a keyring to a store that is known to be ours and readable with these keys.
//!
//! Owns the store's birth: tables and installation keys in one transaction, under a lock that ends with it, whoever is
//! first. Never makes keys for a store that has some.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use keyherd_core::ids::OwnerId;
use keyherd_core::ports::StoreError;

use super::engine::{PostgresEngine, lock};
use super::fault::{explain, told};
use super::row::{neutral, params};
use super::schema::{IS_THERE, MIGRATIONS, OLDEST, SCHEMA_VERSION, SET_VERSION, VERSION};
use super::{PostgresOptions, PostgresStore};
use crate::postgres::{Tx, Wire, WireError};
use crate::store::SqlStore;
use crate::store::fault::Fault;
use crate::store::rooms::installation::{Sealed, Unopened, install};
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
        let wire = given.wire.clone();
        let said = |fault| OpenError::from(explain(fault, wire.target()));
        if is_behind(&wire, version(&wire).await.map_err(said)?)? {
            upgrade(&given).await?;
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
        let rooms = SqlStore {
            engine: Arc::new(engine),
            bounds: given.bounds,
            clock: given.clock,
            entropy: given.entropy,
            installation,
            vault,
        };
        if rooms.vault.keyring().sealing() != sealed.key_id {
            rooms.told(rooms.take_over(sealed.key_id).await)?;
        }
        Ok(Self { rooms: Arc::new(rooms), wire })
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

fn is_behind(wire: &Wire, found: Option<Found>) -> Result<bool, OpenError> {
    match found {
        Some(found) if found.oldest > SCHEMA_VERSION => Err(OpenError::Newer {
            place: wire.target().to_string(),
            needed: found.oldest,
            known: SCHEMA_VERSION,
        }),
        Some(found) => Ok(found.version < SCHEMA_VERSION),
        None => Ok(true),
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

async fn upgrade(given: &PostgresOptions) -> Result<(), OpenError> {
    let wire = &given.wire;
    let said = |error| match error {
        // duplicate_table, duplicate_function.
        WireError::Other { code, .. } if matches!(code.as_str(), "42P07" | "42723") => {
            OpenError::NotOurs { place: wire.target().to_string() }
        }
        error => explain(told(error, wire.target()), wire.target()).into(),
    };
    let tx = wire.begin().await.map_err(said)?;
    let wait = format!("SET LOCAL statement_timeout = {}", given.upgrade_timeout.as_millis());
    tx.batch(&wait).await.map_err(said)?;
    tx.query(lock::UPGRADE, &[]).await.map_err(said)?;
    // Looks again under the lock: another process may have done it.
    let before = version_in(&tx, wire).await?;
    if !is_behind(wire, before)? {
        return tx.rollback().await.map_err(said);
    }
    let from = before.map_or(0, |found| found.version);
    for (_, migration) in MIGRATIONS.iter().filter(|(version, _)| *version > from) {
        tx.batch(migration).await.map_err(said)?;
    }
    if before.is_none() {
        let install = install(&given.keyring, &*given.entropy, &*given.clock);
        let install = install.map_err(|fault| explain(fault, wire.target()))?;
        tx.execute(install.sql.postgres, &params(&install.values)).await.map_err(said)?;
    }
    let version = [SCHEMA_VERSION.into(), OLDEST.into()];
    tx.execute(SET_VERSION, &params(&version)).await.map_err(said)?;
    tx.commit().await.map_err(said)
}

async fn version_in(tx: &Tx, wire: &Wire) -> Result<Option<Found>, OpenError> {
    let said = |error| explain(told(error, wire.target()), wire.target());
    let rows = neutral(tx.query(IS_THERE, &[]).await.map_err(said)?);
    let broken = |fault| explain(fault, wire.target());
    let is_there = rows.first().map_or(Ok(false), |row| row.try_get("is_there")).map_err(broken)?;
    if !is_there {
        return Ok(None);
    }
    let rows = neutral(tx.query(VERSION, &[]).await.map_err(said)?);
    Ok(found(rows.first()).map_err(broken)?)
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
