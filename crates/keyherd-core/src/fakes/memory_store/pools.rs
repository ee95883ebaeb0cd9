//! Pools, and the one namespace that they share with credentials.

use async_trait::async_trait;

use super::{MemoryStore, Rows};
use crate::credential::Loaded;
use crate::ids::{Name, PoolId};
use crate::pool::{Edit, Member, Pool, PoolConflict, successor};
use crate::ports::StoreError;
use crate::ports::store::{
    NewPool, PoolChange, PoolChanged, PoolCreated, PoolRemoved, PoolStore, PoolTurn, PoolTurned, Record,
};
use crate::time::Timestamp;

impl Rows {
    /// The pool that a credential is in.
    pub(super) fn pool_of(&self, member: &Name) -> Option<&Pool> {
        self.pools.values().find(|pool| pool.member(member).is_some())
    }

    fn pool_by_id(&mut self, id: PoolId) -> Option<&mut Pool> {
        self.pools.values_mut().find(|pool| pool.id == id)
    }

    /// Those names as members of the pool `own`: each a credential, and in no other pool.
    fn members(&self, own: &Name, names: &[Name]) -> Result<Vec<Member>, PoolConflict> {
        let member = |name: &Name| {
            let Some(credential) = self.credentials.get(name) else {
                return Err(PoolConflict::UnknownMember(name.clone()));
            };
            match self.pool_of(name) {
                Some(pool) if pool.name != *own => {
                    Err(PoolConflict::Pooled { member: name.clone(), pool: pool.name.clone() })
                }
                _ => Ok(Member { id: credential.id, name: name.clone() }),
            }
        };
        names.iter().map(member).collect()
    }

    fn create_pool(&mut self, new: NewPool, created_at: Timestamp) -> Result<Pool, PoolConflict> {
        if self.credentials.contains_key(&new.name) {
            return Err(PoolConflict::NameOfCredential(new.name));
        }
        if self.pools.contains_key(&new.name) {
            return Err(PoolConflict::NameOfPool(new.name));
        }
        let names = Edit::Replace(new.members).apply(&[])?;
        let pool = Pool {
            members: self.members(&new.name, &names)?,
            id: new.id,
            name: new.name,
            strategy: new.strategy,
            active: 0,
            is_rotated: false,
            epoch: 0,
            exhausted_until: None,
            created_at,
        };
        self.pools.insert(pool.name.clone(), pool.clone());
        Ok(pool)
    }

    fn change_pool(&mut self, name: &Name, change: PoolChange) -> Result<(PoolChanged, bool), PoolConflict> {
        let Some(mut pool) = self.pools.get(name).cloned() else { return Ok((PoolChanged::NotFound, false)) };
        let before = pool.names();
        let strategy = change.strategy.unwrap_or(pool.strategy);
        let after = change.edit.map_or_else(|| Ok(before.clone()), |edit| edit.apply(&before))?;
        let members = self.members(name, &after)?;
        if pool.is_already(&after, strategy) {
            return Ok((PoolChanged::Done(Box::new(pool)), false));
        }
        let chosen = pool.active_member().map(|member| member.id);
        pool.active = successor(&before, pool.active, &after);
        (pool.members, pool.strategy, pool.epoch) = (members, strategy, pool.epoch + 1);
        pool.is_rotated &= pool.active_member().map(|member| member.id) == chosen;
        pool.exhausted_until = None;
        self.pools.insert(name.clone(), pool.clone());
        Ok((PoolChanged::Done(Box::new(pool)), true))
    }

    fn turn_pool(&mut self, turn: PoolTurn) -> (PoolTurned, bool) {
        let Some(pool) = self.pool_by_id(turn.pool) else { return (PoolTurned::Missed(None), false) };
        let place = pool.members.iter().position(|member| member.id == turn.to);
        match place.filter(|_| pool.epoch == turn.epoch) {
            Some(place) => {
                (pool.active, pool.is_rotated, pool.epoch) = (place, turn.is_rotated, pool.epoch + 1);
                pool.exhausted_until = None;
                (PoolTurned::Done(Box::new(pool.clone())), true)
            }
            None => (PoolTurned::Missed(Some(Box::new(pool.clone()))), false),
        }
    }
}

#[async_trait]
impl PoolStore for MemoryStore {
    async fn pool(&self, name: &Name) -> Result<Option<Pool>, StoreError> {
        self.read(|rows| rows.pools.get(name).cloned())
    }

    async fn pools(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Pool>, StoreError> {
        self.read(|rows| {
            let pools = rows.pools.values().filter(|pool| after.is_none_or(|after| pool.name > *after));
            pools.take(limit).cloned().collect()
        })
    }

    async fn members(&self, pool: PoolId) -> Result<Vec<Loaded>, StoreError> {
        self.read(|rows| {
            let pool = rows.pools.values().find(|known| known.id == pool);
            let members = pool.map(|pool| pool.members.as_slice()).unwrap_or_default();
            members.iter().filter_map(|member| self.loaded(rows, &member.name)).collect()
        })
    }

    async fn create_pool(&self, new: NewPool, record: Record) -> Result<PoolCreated, StoreError> {
        let now = self.shared.clock.now();
        self.write(record, |rows| match rows.create_pool(new, now) {
            Ok(pool) => (PoolCreated::Done(Box::new(pool)), true),
            Err(conflict) => (PoolCreated::Conflict(conflict), false),
        })
    }

    async fn change_pool(
        &self,
        name: &Name,
        change: PoolChange,
        record: Record,
    ) -> Result<PoolChanged, StoreError> {
        self.write(record, |rows| {
            let changed = rows.change_pool(name, change);
            changed.unwrap_or_else(|conflict| (PoolChanged::Conflict(conflict), false))
        })
    }

    async fn turn_pool(&self, turn: PoolTurn, record: Record) -> Result<PoolTurned, StoreError> {
        self.write(record, |rows| rows.turn_pool(turn))
    }

    async fn exhaust_pool(
        &self,
        pool: PoolId,
        epoch: u64,
        until: Timestamp,
        record: Record,
    ) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        self.write(record, |rows| {
            let pool = rows.pool_by_id(pool).filter(|pool| pool.epoch == epoch);
            let pool = pool.filter(|pool| pool.exhausted_until.is_none_or(|said| said <= now));
            let is_new = pool.map(|pool| pool.exhausted_until = Some(until)).is_some();
            (is_new, is_new)
        })
    }

    async fn remove_pool(&self, name: &Name, record: Record) -> Result<PoolRemoved, StoreError> {
        self.write(record, |rows| match rows.user_of(name) {
            Some(user) if rows.pools.contains_key(name) => (PoolRemoved::Used(user), false),
            _ if rows.pools.remove(name).is_some() => (PoolRemoved::Done, true),
            _ => (PoolRemoved::NotFound, false),
        })
    }
}
