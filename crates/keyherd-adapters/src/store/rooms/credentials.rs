//! Credentials by name: reading them, letting them rest, removing them.

use async_trait::async_trait;
use keyherd_core::credential::{Cooldown, Loaded};
use keyherd_core::ids::{ClaimId, CredentialId, Name};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    Amended, Change, Created, CredentialStore, NewCredential, Reconnected, Record, Removed,
    SCOPES_RESTING_MAX,
};
use keyherd_core::time::Timestamp;

use super::SqlStore;
use super::access::user;
use super::row::name;
use super::write::Write;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Statement, query};

#[async_trait]
impl CredentialStore for SqlStore {
    async fn credential(&self, name: &Name) -> Result<Option<Loaded>, StoreError> {
        self.told(self.read_credential(name).await)
    }

    async fn credentials(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Loaded>, StoreError> {
        self.told(self.read_page(after, limit).await)
    }

    async fn census(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.told(self.count_states(now).await)
    }

    async fn create(&self, new: NewCredential, record: Record) -> Result<Created, StoreError> {
        self.told(self.insist(|| self.create_credential(&new, record.clone())).await)
    }

    async fn reconnect(&self, new: NewCredential, record: Record) -> Result<Reconnected, StoreError> {
        self.told(self.insist(|| self.reconnect_credential(&new, record.clone())).await)
    }

    async fn amend(&self, name: &Name, change: Change, record: Record) -> Result<Amended, StoreError> {
        self.told(self.insist(|| self.amend_credential(name, &change, record.clone())).await)
    }

    async fn cool(&self, id: CredentialId, cooldown: &Cooldown, record: Record) -> Result<bool, StoreError> {
        let (until, reason) = (cooldown.until.as_millis(), cooldown.reason.clone());
        let update = match &cooldown.scope {
            None => query(sql::COOL).bind(until).bind(reason).bind(id.as_i64()),
            Some(scope) => query(sql::COOL_SCOPE)
                .bind(id.as_i64())
                .bind(scope)
                .bind(until)
                .bind(reason)
                .bind(self.clock.now().as_millis())
                .bind(signed(SCOPES_RESTING_MAX)),
        };
        self.told(self.change(update, record).await)
    }

    async fn warm(
        &self,
        id: CredentialId,
        scope: Option<&str>,
        reason: &str,
        record: Record,
    ) -> Result<bool, StoreError> {
        let update = match scope {
            None => query(sql::WARM).bind(id.as_i64()),
            Some(scope) => query(sql::WARM_SCOPE).bind(id.as_i64()).bind(scope),
        };
        let update = update.bind(reason).bind(self.clock.now().as_millis());
        self.told(self.change(update, record).await)
    }

    async fn remove(
        &self,
        id: CredentialId,
        seen: Option<ClaimId>,
        record: Record,
    ) -> Result<Removed, StoreError> {
        self.told(self.insist(|| self.remove_credential(id, seen, record.clone())).await)
    }
}

impl SqlStore {
    /// One conditional statement. Where it changes nothing, nothing is written.
    pub(super) async fn change(&self, statement: Statement, record: Record) -> Result<bool, Fault> {
        self.insist(|| self.change_once(statement.clone(), record.clone())).await
    }

    async fn change_once(&self, statement: Statement, record: Record) -> Result<bool, Fault> {
        let mut write = self.write().await?;
        if write.execute(statement).await? == 0 {
            write.cancel().await?;
            return Ok(false);
        }
        write.commit(record).await?;
        Ok(true)
    }

    async fn read_credential(&self, name: &Name) -> Result<Option<Loaded>, Fault> {
        let row = self.read_among(name).await?;
        row.map(|row| self.loaded(&row)).transpose()
    }

    async fn read_page(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Loaded>, Fault> {
        let page = query(sql::LOADED_PAGE).bind(after.map_or("", Name::as_str)).bind(signed(limit));
        let rows = self.engine.read(page).await?;
        rows.iter().map(|row| self.loaded(row)).collect()
    }

    /// Inside a transaction: what it will leave behind.
    pub(super) async fn loaded_in(
        &self,
        write: &mut Write<'_>,
        name: &Name,
    ) -> Result<Option<Loaded>, Fault> {
        let row = write.first(query(sql::LOADED).bind(name.as_str())).await?;
        row.map(|row| self.loaded(&row)).transpose()
    }

    /// For who decides by it what to write.
    pub(super) async fn loaded_locked(
        &self,
        write: &mut Write<'_>,
        name: &Name,
    ) -> Result<Option<Loaded>, Fault> {
        let row = write.first(query(sql::LOADED_LOCKED).bind(name.as_str())).await?;
        row.map(|row| self.loaded(&row)).transpose()
    }

    /// A credential that is known to be there.
    pub(super) async fn needed(&self, write: &mut Write<'_>, name: &Name) -> Result<Loaded, Fault> {
        let loaded = self.loaded_in(write, name).await?;
        loaded.ok_or_else(|| Fault::Damaged(format!("credential '{name}' has no chain")))
    }

    async fn remove_credential(
        &self,
        id: CredentialId,
        seen: Option<ClaimId>,
        record: Record,
    ) -> Result<Removed, Fault> {
        let mut write = self.administer().await?;
        let Some(row) = write.first(query(sql::CHAIN_OF_LOCKED).bind(id.as_i64())).await? else {
            write.cancel().await?;
            return Ok(Removed::NotFound);
        };
        if row.try_get::<Option<i64>>("claim_id")? != seen.map(ClaimId::as_i64) {
            write.cancel().await?;
            return Ok(Removed::Claimed);
        }
        if row.try_get::<Option<&str>>("pool")?.is_some() {
            write.cancel().await?;
            return Ok(Removed::Pooled(name(&row, "pool")?));
        }
        if let Some(user) = user(&row)? {
            write.cancel().await?;
            return Ok(Removed::Used(user));
        }
        let chain = row.try_get("id")?;
        write.execute(query(sql::REMOVE).bind(id.as_i64())).await?;
        write.execute(query(sql::REMOVE_SCOPES).bind(id.as_i64())).await?;
        if write.number(sql::MEMBERS, chain).await? == Some(0) {
            // The chain first: a refresh that is just being committed is then either gone or all there.
            write.execute(query(sql::REMOVE_CHAIN).bind(chain)).await?;
            write.execute(query(sql::REMOVE_SPENT).bind(chain)).await?;
        } else {
            write.execute(query(sql::TOUCH).bind(chain)).await?;
        }
        write.commit(record).await?;
        Ok(Removed::Done)
    }
}

pub(super) fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
