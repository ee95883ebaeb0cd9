//! Pools: reads and writes like any other.

use async_trait::async_trait;
use keyherd_core::credential::Loaded;
use keyherd_core::ids::{Name, PoolId};
use keyherd_core::pool::Pool;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    NewPool, PoolChange, PoolChanged, PoolCreated, PoolRemoved, PoolStore, PoolTurn, PoolTurned, Record,
};
use keyherd_core::time::Timestamp;

use super::CountingStore;

#[async_trait]
impl PoolStore for CountingStore {
    async fn pool(&self, name: &Name) -> Result<Option<Pool>, StoreError> {
        self.read().pool(name).await
    }

    async fn pools(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Pool>, StoreError> {
        self.read().pools(after, limit).await
    }

    async fn members(&self, pool: PoolId) -> Result<Vec<Loaded>, StoreError> {
        self.read().members(pool).await
    }

    async fn create_pool(&self, new: NewPool, record: Record) -> Result<PoolCreated, StoreError> {
        self.write().create_pool(new, record).await
    }

    async fn change_pool(
        &self,
        name: &Name,
        change: PoolChange,
        record: Record,
    ) -> Result<PoolChanged, StoreError> {
        self.write().change_pool(name, change, record).await
    }

    async fn turn_pool(&self, turn: PoolTurn, record: Record) -> Result<PoolTurned, StoreError> {
        self.write().turn_pool(turn, record).await
    }

    async fn exhaust_pool(
        &self,
        pool: PoolId,
        epoch: u64,
        until: Timestamp,
        record: Record,
    ) -> Result<bool, StoreError> {
        self.write().exhaust_pool(pool, epoch, until, record).await
    }

    async fn remove_pool(&self, name: &Name, record: Record) -> Result<PoolRemoved, StoreError> {
        self.write().remove_pool(name, record).await
    }
}
