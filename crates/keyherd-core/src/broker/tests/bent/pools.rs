//! Pools, as the store has them.

use std::sync::PoisonError;

use crate::credential::Loaded;
use crate::ids::{Name, PoolId};
use crate::pool::Pool;
use crate::ports::StoreError;
use crate::ports::store::{
    NewPool, PoolChange, PoolChanged, PoolCreated, PoolRemoved, PoolStore, PoolTurn, PoolTurned, Record,
};
use crate::time::Timestamp;
use async_trait::async_trait;

use super::BentStore;

#[async_trait]
impl PoolStore for BentStore {
    async fn pool(&self, name: &Name) -> Result<Option<Pool>, StoreError> {
        self.inner.pool(name).await
    }

    async fn pools(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Pool>, StoreError> {
        self.inner.pools(after, limit).await
    }

    async fn members(&self, pool: PoolId) -> Result<Vec<Loaded>, StoreError> {
        self.inner.members(pool).await
    }

    async fn create_pool(&self, new: NewPool, record: Record) -> Result<PoolCreated, StoreError> {
        self.inner.create_pool(new, record).await
    }

    async fn change_pool(
        &self,
        name: &Name,
        change: PoolChange,
        record: Record,
    ) -> Result<PoolChanged, StoreError> {
        self.inner.change_pool(name, change, record).await
    }

    async fn turn_pool(&self, turn: PoolTurn, record: Record) -> Result<PoolTurned, StoreError> {
        self.inner.turn_pool(turn, record).await
    }

    async fn exhaust_pool(
        &self,
        pool: PoolId,
        epoch: u64,
        until: Timestamp,
        record: Record,
    ) -> Result<bool, StoreError> {
        let took = *self.exhausts_for.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep(took).await;
        self.inner.exhaust_pool(pool, epoch, until, record).await
    }

    async fn remove_pool(&self, name: &Name, record: Record) -> Result<PoolRemoved, StoreError> {
        self.inner.remove_pool(name, record).await
    }
}
