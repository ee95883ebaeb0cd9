//! Pools: members in order, and the pointer that is the same on every host.

use async_trait::async_trait;

use super::{PoolRemoved, Record, StoreError};
use crate::credential::Loaded;
use crate::ids::{CredentialId, Name, PoolId};
use crate::pool::{Edit, Pool, PoolConflict, Strategy};
use crate::time::Timestamp;

/// A pool to be made; its first member is the active one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPool {
    /// Its id, random.
    pub id: PoolId,
    /// Its name.
    pub name: Name,
    /// How its turns go.
    pub strategy: Strategy,
    /// Its members, in order.
    pub members: Vec<Name>,
}

/// What became of a new pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolCreated {
    /// As it stands.
    Done(Box<Pool>),
    /// Nothing was changed.
    Conflict(PoolConflict),
}

/// What becomes of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolChange {
    /// Another way of taking turns.
    pub strategy: Option<Strategy>,
    /// Other members.
    pub edit: Option<Edit>,
}

/// What became of a pool's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolChanged {
    /// As it stands now.
    Done(Box<Pool>),
    /// No pool of that name.
    NotFound,
    /// Nothing was changed.
    Conflict(PoolConflict),
}

/// A move of the pointer, conditional on the epoch that it was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolTurn {
    /// Which pool.
    pub pool: PoolId,
    /// The epoch that was seen.
    pub epoch: u64,
    /// Who is active now: a member at that epoch.
    pub to: CredentialId,
    /// A person chose it.
    pub is_rotated: bool,
}

/// What became of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolTurned {
    /// As it stands now: the next epoch.
    Done(Box<Pool>),
    /// It is another epoch by now: nothing was changed. `None`: the pool is gone.
    Missed(Option<Box<Pool>>),
}

/// Pools.
#[async_trait]
pub trait PoolStore: Send + Sync + 'static {
    /// One pool with its members: one read.
    async fn pool(&self, name: &Name) -> Result<Option<Pool>, StoreError>;

    /// Pools after a name, in order of names.
    async fn pools(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Pool>, StoreError>;

    /// The members as credentials, in their order: one read.
    async fn members(&self, pool: PoolId) -> Result<Vec<Loaded>, StoreError>;

    /// Makes a pool. Names of pools and credentials are one namespace; each member is a credential, and in no pool.
    async fn create_pool(&self, new: NewPool, record: Record) -> Result<PoolCreated, StoreError>;

    /// Changes members or strategy: the next epoch. Where that leaves all as it is, nothing is written.
    async fn change_pool(
        &self,
        name: &Name,
        change: PoolChange,
        record: Record,
    ) -> Result<PoolChanged, StoreError>;

    /// Moves the pointer by compare-and-set on the epoch.
    async fn turn_pool(&self, turn: PoolTurn, record: Record) -> Result<PoolTurned, StoreError>;

    /// Notes that all members rest, the first one until then. `false`: another epoch, or it was said already and that
    /// time is not over.
    async fn exhaust_pool(
        &self,
        pool: PoolId,
        epoch: u64,
        until: Timestamp,
        record: Record,
    ) -> Result<bool, StoreError>;

    /// Removes a pool that nobody would miss; its members stay as credentials.
    async fn remove_pool(&self, name: &Name, record: Record) -> Result<PoolRemoved, StoreError>;
}
