//! The rooms of a store, on whatever engine: every port of [`keyherd_core::ports::store`], once.
//!
//! Owns what a change is: one transaction with its conditions, its audit entry and its event. Never names a driver;
//! what differs between engines stands behind [`Engine`] and in the two texts of a [`super::statement::Sql`].

mod access;
mod amend;
mod audit;
mod bulk;
pub(super) mod census;
mod chains;
mod check;
mod clients;
mod configure;
mod create;
mod credentials;
pub(super) mod crowd;
mod events;
mod gather;
pub(super) mod installation;
mod pools;
mod profiles;
mod reconnect;
mod rekey;
mod row;
pub(super) mod seen;
mod settle;
mod trim;
pub(super) mod vault;
mod write;
// Rules and approvals.
mod approvals;
mod questions;
mod rules;
// Channels.
mod channels;

use std::sync::Arc;
use std::time::Duration;

use keyherd_core::audit::Retention;
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::{Clock, Entropy, StoreError};

pub use self::check::Counts;
use self::crowd::Crowds;
pub use self::gather::CrowdBounds;
pub use self::installation::Installation;
use self::seen::Seen;
use self::vault::Vault;
use super::engine::Engine;
use super::fault::Fault;
use super::statement::{Row, Statement};
use crate::seal::Keyring;

/// Bounds of a store on any engine. Every one is a configuration value of the same name.
#[derive(Debug, Clone)]
pub struct StoreBounds {
    /// The most spent refresh tokens remembered for each chain, the newest ones.
    pub spent_tokens_max: u64,
    /// How long events are kept.
    pub events_keep: Duration,
    /// The most events kept.
    pub events_max: u32,
    /// How old an entry of the audit log may become; `None`: as old as it gets.
    pub audit_keep: Option<Duration>,
    /// The most entries of the audit log, by their numbers; `None`: as many as there are.
    pub audit_entries_max: Option<u64>,
    /// How often a change is tried again that another transaction stood in the way of.
    pub contention_retries_max: u32,
    /// Rows that one transaction trims.
    pub trim_batch: u32,
    /// Transactions that one call trims with, at most.
    pub trim_batches_max: u32,
    /// Rows that one transaction seals anew.
    pub rekey_batch: u32,
    /// Entries that a check of the audit log reads at once.
    pub verify_batch: u32,
    /// How old what audit entries have told of other processes' chains becomes before it is told anew.
    pub anchor_every: Duration,
    /// Chains that one entry tells of, those that moved last.
    pub anchors_max: u32,
}

impl Default for StoreBounds {
    fn default() -> Self {
        Self {
            spent_tokens_max: 100,
            events_keep: Duration::from_secs(24 * 3600),
            events_max: 100_000,
            audit_keep: Retention::default().keep,
            audit_entries_max: Retention::default().entries_max,
            contention_retries_max: 4,
            trim_batch: 1_000,
            trim_batches_max: 100,
            rekey_batch: 256,
            verify_batch: 1_000,
            anchor_every: Duration::from_secs(1),
            anchors_max: 32,
        }
    }
}

/// A store on an engine. Implements every port of [`keyherd_core::ports::store`].
pub struct SqlStore {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) bounds: StoreBounds,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) installation: Installation,
    pub(super) vault: Vault,
    pub(super) seen: Seen,
    pub(super) crowds: Crowds,
}

impl SqlStore {
    /// The installation that this store is.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// This process, as the owner of its claims.
    pub fn owner(&self) -> OwnerId {
        self.engine.owner()
    }

    /// The keys at work, as they were last read.
    pub fn keyring(&self) -> Keyring {
        self.vault.keyring()
    }

    /// Closes the connections in order. Dropping the store is as safe.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    pub(super) fn told<T>(&self, outcome: Result<T, Fault>) -> Result<T, StoreError> {
        outcome.map_err(|fault| self.engine.explain(fault))
    }

    /// Makes a change, and makes it anew where another transaction stood in its way: everything is looked at again, so
    /// that the second try decides by what the other one left. Nothing else is tried again, a commit whose reply was lost
    /// least of all.
    pub(super) async fn insist<T, F>(&self, change: impl Fn() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut retries = 0;
        loop {
            match change().await {
                Err(Fault::Contended(problem)) if retries < self.bounds.contention_retries_max => {
                    retries += 1;
                    tracing::debug!(problem, retries, "a change is tried again");
                }
                outcome => return outcome,
            }
        }
    }

    async fn read_first(&self, statement: Statement) -> Result<Option<Row>, Fault> {
        Ok(self.engine.read(statement).await?.into_iter().next())
    }

    /// The column `number` of the first row; 0 where there is none.
    async fn read_number(&self, statement: Statement) -> Result<i64, Fault> {
        let row = self.read_first(statement).await?;
        row.map_or(Ok(0), |row| row.try_get("number"))
    }
}

impl std::fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlStore").field("owner", &self.owner()).finish_non_exhaustive()
    }
}
