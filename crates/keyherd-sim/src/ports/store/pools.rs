//! Pools, reached as all else.

use async_trait::async_trait;
use keyherd_core::credential::Loaded;
use keyherd_core::ids::{Name, PoolId};
use keyherd_core::pool::Pool;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    NewPool, PoolChange, PoolChanged, PoolCreated, PoolRemoved, PoolStore, PoolTurn, PoolTurned, Record,
};
use keyherd_core::time::Timestamp;

use super::SimStore;

#[async_trait]
impl PoolStore for SimStore {
    async fn pool(&self, name: &Name) -> Result<Option<Pool>, StoreError> {
        self.step("pool", None, self.inner.pool(name), |_| None).await
    }

    async fn pools(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Pool>, StoreError> {
        self.step("pools", None, self.inner.pools(after, limit), |_| None).await
    }

    async fn members(&self, pool: PoolId) -> Result<Vec<Loaded>, StoreError> {
        self.step("members", None, self.inner.members(pool), |_| None).await
    }

    async fn create_pool(&self, new: NewPool, record: Record) -> Result<PoolCreated, StoreError> {
        self.step("create pool", None, self.inner.create_pool(new, record), |_| None).await
    }

    async fn change_pool(
        &self,
        name: &Name,
        change: PoolChange,
        record: Record,
    ) -> Result<PoolChanged, StoreError> {
        self.step("change pool", None, self.inner.change_pool(name, change, record), |_| None).await
    }

    async fn turn_pool(&self, turn: PoolTurn, record: Record) -> Result<PoolTurned, StoreError> {
        self.step("turn pool", None, self.inner.turn_pool(turn, record), |_| None).await
    }

    async fn exhaust_pool(
        &self,
        pool: PoolId,
        epoch: u64,
        until: Timestamp,
        record: Record,
    ) -> Result<bool, StoreError> {
        self.step("exhaust pool", None, self.inner.exhaust_pool(pool, epoch, until, record), |_| None).await
    }

    async fn remove_pool(&self, name: &Name, record: Record) -> Result<PoolRemoved, StoreError> {
        self.step("remove pool", None, self.inner.remove_pool(name, record), |_| None).await
    }
}
