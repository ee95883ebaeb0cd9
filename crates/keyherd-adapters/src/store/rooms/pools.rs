//! Pools: one namespace with credentials, one pool for each credential, and a pointer that moves by compare-and-set.

use async_trait::async_trait;
use keyherd_core::credential::Loaded;
use keyherd_core::ids::{CredentialId, Name, PoolId};
use keyherd_core::pool::{Edit, Member, Pool, PoolConflict, Strategy, successor};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    NewPool, PoolChange, PoolChanged, PoolCreated, PoolRemoved, PoolStore, PoolTurn, PoolTurned, Record,
};
use keyherd_core::time::Timestamp;

use super::SqlStore;
use super::credentials::signed;
use super::row::{name, needed, time, unreadable, unsigned};
use super::write::Write;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, query};

#[async_trait]
impl PoolStore for SqlStore {
    async fn pool(&self, name: &Name) -> Result<Option<Pool>, StoreError> {
        let rows = self.told(self.engine.read(query(sql::POOL).bind(name.as_str())).await)?;
        self.told(pools(&rows)).map(|pools| pools.into_iter().next())
    }

    async fn pools(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Pool>, StoreError> {
        let page = query(sql::POOLS).bind(after.map_or("", Name::as_str)).bind(signed(limit));
        let rows = self.told(self.engine.read(page).await)?;
        self.told(pools(&rows))
    }

    async fn members(&self, pool: PoolId) -> Result<Vec<Loaded>, StoreError> {
        let rows = self.told(self.engine.read(query(sql::LOADED_MEMBERS).bind(pool.as_i64())).await)?;
        self.told(rows.iter().map(|row| self.loaded(row)).collect())
    }

    async fn create_pool(&self, new: NewPool, record: Record) -> Result<PoolCreated, StoreError> {
        self.told(self.insist(|| self.make_pool(&new, record.clone())).await)
    }

    async fn change_pool(
        &self,
        name: &Name,
        change: PoolChange,
        record: Record,
    ) -> Result<PoolChanged, StoreError> {
        self.told(self.insist(|| self.edit_pool(name, &change, record.clone())).await)
    }

    async fn turn_pool(&self, turn: PoolTurn, record: Record) -> Result<PoolTurned, StoreError> {
        self.told(self.insist(|| self.turn_once(turn, record.clone())).await)
    }

    async fn exhaust_pool(
        &self,
        pool: PoolId,
        epoch: u64,
        until: Timestamp,
        record: Record,
    ) -> Result<bool, StoreError> {
        let update = query(sql::EXHAUST_POOL)
            .bind(until.as_millis())
            .bind(pool.as_i64())
            .bind(signed_epoch(epoch))
            .bind(self.clock.now().as_millis());
        self.told(self.change(update, record).await)
    }

    async fn remove_pool(&self, name: &Name, record: Record) -> Result<PoolRemoved, StoreError> {
        self.told(self.insist(|| self.drop_pool(name, record.clone())).await)
    }
}

impl SqlStore {
    async fn make_pool(&self, new: &NewPool, record: Record) -> Result<PoolCreated, Fault> {
        let mut write = self.administer().await?;
        let members = match write.members_of(new).await? {
            Ok(members) => members,
            Err(conflict) => {
                write.cancel().await?;
                return Ok(PoolCreated::Conflict(conflict));
            }
        };
        let insert = query(sql::INSERT_POOL)
            .bind(new.id.as_i64())
            .bind(new.name.as_str())
            .bind(new.strategy.as_str())
            .bind(members.first().map(|id| id.as_i64()))
            .bind(false)
            .bind(self.clock.now().as_millis());
        write.execute(insert).await?;
        write.insert_members(new.id, &members).await?;
        let pool = write.pool(new.id).await?.ok_or_else(vanished)?;
        write.commit(record).await?;
        Ok(PoolCreated::Done(Box::new(pool)))
    }

    async fn edit_pool(
        &self,
        name: &Name,
        change: &PoolChange,
        record: Record,
    ) -> Result<PoolChanged, Fault> {
        let mut write = self.administer().await?;
        let rows = write.fetch(query(sql::POOL).bind(name.as_str())).await?;
        let Some(old) = pools(&rows)?.into_iter().next() else {
            write.cancel().await?;
            return Ok(PoolChanged::NotFound);
        };
        let after = match write.edited(&old, change.edit.clone()).await? {
            Ok(after) => after,
            Err(conflict) => {
                write.cancel().await?;
                return Ok(PoolChanged::Conflict(conflict));
            }
        };
        let (names, members): (Vec<Name>, Vec<CredentialId>) = after.into_iter().unzip();
        let strategy = change.strategy.unwrap_or(old.strategy);
        if old.is_already(&names, strategy) {
            write.cancel().await?;
            return Ok(PoolChanged::Done(Box::new(old)));
        }
        let active = members.get(successor(&old.names(), old.active, &names));
        let update = query(sql::CHANGE_POOL)
            .bind(strategy.as_str())
            .bind(active.map(|id| id.as_i64()))
            .bind(old.id.as_i64())
            .bind(signed_epoch(old.epoch));
        if !write.run(update).await? {
            write.cancel().await?;
            return Err(Fault::Contended("the pool's pointer moved meanwhile".into()));
        }
        write.execute(query(sql::REMOVE_MEMBERS).bind(old.id.as_i64())).await?;
        write.insert_members(old.id, &members).await?;
        let pool = write.pool(old.id).await?.ok_or_else(vanished)?;
        write.commit(record).await?;
        Ok(PoolChanged::Done(Box::new(pool)))
    }

    async fn turn_once(&self, turn: PoolTurn, record: Record) -> Result<PoolTurned, Fault> {
        let mut write = self.write().await?;
        let update = query(sql::TURN_POOL)
            .bind(turn.to.as_i64())
            .bind(turn.is_rotated)
            .bind(turn.pool.as_i64())
            .bind(signed_epoch(turn.epoch));
        let has_moved = write.run(update).await?;
        let pool = write.pool(turn.pool).await?;
        if !has_moved {
            write.cancel().await?;
            return Ok(PoolTurned::Missed(pool.map(Box::new)));
        }
        write.commit(record).await?;
        Ok(PoolTurned::Done(Box::new(pool.ok_or_else(vanished)?)))
    }

    async fn drop_pool(&self, name: &Name, record: Record) -> Result<PoolRemoved, Fault> {
        let mut write = self.administer().await?;
        let rows = write.fetch(query(sql::POOL).bind(name.as_str())).await?;
        let Some(pool) = pools(&rows)?.into_iter().next() else {
            write.cancel().await?;
            return Ok(PoolRemoved::NotFound);
        };
        if let Some(user) = write.user_of(name).await? {
            write.cancel().await?;
            return Ok(PoolRemoved::Used(user));
        }
        write.execute(query(sql::REMOVE_POOL).bind(pool.id.as_i64())).await?;
        write.execute(query(sql::REMOVE_MEMBERS).bind(pool.id.as_i64())).await?;
        write.commit(record).await?;
        Ok(PoolRemoved::Done)
    }
}

impl Write<'_> {
    async fn pool(&mut self, id: PoolId) -> Result<Option<Pool>, Fault> {
        let rows = self.fetch(query(sql::POOL_BY_ID).bind(id.as_i64())).await?;
        Ok(pools(&rows)?.into_iter().next())
    }

    /// The members of a pool to be made, or what stands in its way.
    async fn members_of(&mut self, new: &NewPool) -> Result<Result<Vec<CredentialId>, PoolConflict>, Fault> {
        let row = self.one(query(sql::POOL_NAME).bind(new.name.as_str())).await?;
        if row.try_get::<Option<i64>>("credential")?.is_some() {
            return Ok(Err(PoolConflict::NameOfCredential(new.name.clone())));
        }
        if row.try_get::<Option<i64>>("pool")?.is_some() {
            return Ok(Err(PoolConflict::NameOfPool(new.name.clone())));
        }
        match Edit::Replace(new.members.clone()).apply(&[]) {
            Ok(names) => {
                let found = self.candidates(&new.name, &names).await?;
                Ok(found.map(|found| found.into_iter().map(|(_, id)| id).collect()))
            }
            Err(conflict) => Ok(Err(conflict)),
        }
    }

    /// The members after an edit, or what stands in its way.
    async fn edited(
        &mut self,
        old: &Pool,
        edit: Option<Edit>,
    ) -> Result<Result<Vec<(Name, CredentialId)>, PoolConflict>, Fault> {
        let before = old.names();
        match edit.map_or_else(|| Ok(before.clone()), |edit| edit.apply(&before)) {
            Ok(names) => self.candidates(&old.name, &names).await,
            Err(conflict) => Ok(Err(conflict)),
        }
    }

    /// Those names as members of the pool `own`: each a credential, and in no other pool.
    async fn candidates(
        &mut self,
        own: &Name,
        names: &[Name],
    ) -> Result<Result<Vec<(Name, CredentialId)>, PoolConflict>, Fault> {
        let mut found = Vec::with_capacity(names.len());
        for member in names {
            let Some(row) = self.first(query(sql::CANDIDATE).bind(member.as_str())).await? else {
                return Ok(Err(PoolConflict::UnknownMember(member.clone())));
            };
            if row.try_get::<Option<&str>>("pool")?.is_some_and(|pool| pool != own.as_str()) {
                let pool = name(&row, "pool")?;
                return Ok(Err(PoolConflict::Pooled { member: member.clone(), pool }));
            }
            found.push((member.clone(), CredentialId::from_i64(row.try_get("id")?)));
        }
        Ok(Ok(found))
    }

    async fn insert_members(&mut self, pool: PoolId, members: &[CredentialId]) -> Result<(), Fault> {
        for (place, member) in members.iter().enumerate() {
            let insert =
                query(sql::INSERT_MEMBER).bind(member.as_i64()).bind(pool.as_i64()).bind(signed(place));
            self.execute(insert).await?;
        }
        Ok(())
    }
}

/// Rows come pool by pool, each pool's members in order.
fn pools(rows: &[Row]) -> Result<Vec<Pool>, Fault> {
    let mut pools: Vec<Pool> = Vec::new();
    for row in rows {
        let id = PoolId::from_i64(row.try_get("id")?);
        if pools.last().is_none_or(|pool| pool.id != id) {
            pools.push(pool(row, id)?);
        }
        let member =
            Member { id: CredentialId::from_i64(row.try_get("credential")?), name: name(row, "member")? };
        if let Some(pool) = pools.last_mut() {
            if member.id.as_i64() == row.try_get::<i64>("active")? {
                pool.active = pool.members.len();
            }
            pool.members.push(member);
        }
    }
    Ok(pools)
}

fn pool(row: &Row, id: PoolId) -> Result<Pool, Fault> {
    Ok(Pool {
        id,
        name: name(row, "name")?,
        strategy: Strategy::parse(row.try_get("strategy")?).ok_or_else(|| unreadable("strategy"))?,
        members: Vec::new(),
        active: 0,
        is_rotated: row.try_get("rotated")?,
        epoch: unsigned(row, "epoch")?,
        exhausted_until: time(row, "exhausted_until")?,
        created_at: needed(row, "created_at")?,
    })
}

fn signed_epoch(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

fn vanished() -> Fault {
    Fault::Damaged("a pool is not there in the transaction that wrote it".into())
}
