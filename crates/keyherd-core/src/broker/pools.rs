//! Looking after pools: made, changed, rotated, removed, shown.

use std::sync::Arc;

use serde_json::json;

use super::manage::no;
use super::settle::pool_record;
use super::snapshot::Stamp;
use super::{Broker, ManageError, PAGE_MAX, Page};
use crate::audit::Actor;
use crate::credential::Loaded;
use crate::ids::{Name, PoolId};
use crate::pool::{Edit, Pool, PoolConflict, Strategy};
use crate::ports::store::{
    NewPool, PoolChange, PoolChanged, PoolCreated, PoolRemoved, PoolTurn, PoolTurned, Record,
};

/// How often a rotation looks anew because the pointer moved between its look and its write.
const ROTATE_TRIES: u32 = 8;

/// A pool, and its members as they stand, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolStatus {
    /// The pool.
    pub pool: Pool,
    /// Its members as credentials.
    pub members: Vec<Loaded>,
}

impl Broker {
    /// Makes a pool; its first member is the active one.
    pub async fn create_pool(
        &self,
        name: &Name,
        members: Vec<Name>,
        strategy: Strategy,
        actor: &Actor,
    ) -> Result<Pool, ManageError> {
        let members = Edit::Replace(members).apply(&[]).map_err(|conflict| refused(name, conflict))?;
        let id = PoolId::from_i64(self.0.ports.entropy.id());
        let detail = json!({"members": texts(&members), "strategy": strategy.as_str()});
        let record = pool_record(name, "pool.create", "pool_created", detail, actor);
        let new = NewPool { id, name: name.clone(), strategy, members };
        let stamp = self.0.snapshots.stamp();
        match self.0.ports.store.create_pool(new, record).await? {
            PoolCreated::Done(pool) => Ok(self.kept(stamp, *pool)),
            PoolCreated::Conflict(conflict) => Err(refused(name, conflict)),
        }
    }

    /// Changes a pool's members, its strategy, or both, in one step.
    pub async fn change_pool(
        &self,
        name: &Name,
        change: PoolChange,
        actor: &Actor,
    ) -> Result<Pool, ManageError> {
        let record = pool_record(name, "pool.change", "pool_changed", changed(&change), actor);
        let stamp = self.0.snapshots.stamp();
        match self.0.ports.store.change_pool(name, change, record).await? {
            PoolChanged::Done(pool) => Ok(self.kept(stamp, *pool)),
            PoolChanged::NotFound => Err(no_pool(name)),
            PoolChanged::Conflict(conflict) => Err(refused(name, conflict)),
        }
    }

    /// Moves the pointer by hand: to that member, or else to the next in order.
    pub async fn rotate_pool(
        &self,
        name: &Name,
        to: Option<&Name>,
        actor: &Actor,
    ) -> Result<Pool, ManageError> {
        let mut pool = self.pool(name).await?;
        for _ in 0..ROTATE_TRIES {
            let next = pool.members.get((pool.active + 1) % pool.members.len().max(1));
            let Some(member) = to.map_or(next, |to| pool.member(to)) else {
                let missing = to.unwrap_or(name).clone();
                return Err(refused(name, PoolConflict::NotAMember(missing)));
            };
            let turn = PoolTurn { pool: pool.id, epoch: pool.epoch, to: member.id, is_rotated: true };
            let record = rotation(&pool, &member.name, actor);
            let stamp = self.0.snapshots.stamp();
            match self.0.ports.store.turn_pool(turn, record).await? {
                PoolTurned::Done(pool) => return Ok(self.kept(stamp, *pool)),
                PoolTurned::Missed(Some(newer)) => pool = *newer,
                PoolTurned::Missed(None) => return Err(no_pool(name)),
            }
        }
        Err(ManageError::Unfit(format!("pool '{name}' keeps changing: try again")))
    }

    /// Removes a pool; its members stay as credentials.
    pub async fn remove_pool(&self, name: &Name, actor: &Actor) -> Result<(), ManageError> {
        let record = pool_record(name, "pool.remove", "pool_removed", json!({}), actor);
        let removed = self.0.ports.store.remove_pool(name, record).await?;
        if let PoolRemoved::Used(user) = removed {
            return Err(ManageError::Used { what: "pool", name: name.clone(), user });
        }
        self.0.snapshots.pool_changed(name.as_str());
        self.0.snapshots.drop_pool(name.as_str());
        self.0.ports.coordinator.announce();
        if removed == PoolRemoved::Done { Ok(()) } else { Err(no_pool(name)) }
    }

    /// One pool as the store has it.
    pub async fn pool(&self, name: &Name) -> Result<Pool, ManageError> {
        self.0.ports.store.pool(name).await?.ok_or_else(|| no_pool(name))
    }

    /// One pool with its members as they stand.
    pub async fn pool_status(&self, name: &Name) -> Result<PoolStatus, ManageError> {
        self.status_of(self.pool(name).await?).await
    }

    /// A pool that was just had, with its members as they stand.
    pub async fn status_of(&self, pool: Pool) -> Result<PoolStatus, ManageError> {
        let members = self.read_members(&pool).await?;
        Ok(PoolStatus { pool, members })
    }

    /// Pools in order of names, after the cursor.
    pub async fn pools(&self, after: Option<&Name>, limit: usize) -> Result<Page<Pool>, ManageError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut items = self.0.ports.store.pools(after, limit + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| last.name.to_string());
        Ok(Page { items, next })
    }

    fn kept(&self, stamp: Stamp, pool: Pool) -> Pool {
        let kept = Arc::new(pool);
        self.pool_is(stamp, &kept);
        Arc::unwrap_or_clone(kept)
    }
}

fn rotation(pool: &Pool, to: &Name, actor: &Actor) -> Record {
    let from = pool.active_member().map(|member| member.name.as_str());
    let detail = json!({"from": from, "to": to.as_str(), "epoch": pool.epoch + 1});
    pool_record(&pool.name, "pool.rotate", "pool_rotated", detail, actor)
}

fn changed(change: &PoolChange) -> serde_json::Value {
    let strategy = change.strategy.map(Strategy::as_str);
    match &change.edit {
        None => json!({"strategy": strategy}),
        Some(Edit::Replace(names)) => json!({"strategy": strategy, "members": texts(names)}),
        Some(Edit::Add(name)) => json!({"strategy": strategy, "added": name.as_str()}),
        Some(Edit::Drop(name)) => json!({"strategy": strategy, "dropped": name.as_str()}),
    }
}

fn texts(names: &[Name]) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}

fn refused(name: &Name, conflict: PoolConflict) -> ManageError {
    ManageError::Pool { name: name.clone(), conflict }
}

fn no_pool(name: &Name) -> ManageError {
    no("pool", name, "pool list")
}
