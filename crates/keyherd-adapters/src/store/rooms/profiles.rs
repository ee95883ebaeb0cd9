//! Provider profiles by name.
//!
//! They hold no secret, and are sealed all the same: a profile says where tokens are sent, and whoever can write to the
//! database must not be able to change that, nor to give one profile another one's name.

use async_trait::async_trait;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{ProfileStore, Record, StoredProfile};

use super::SqlStore;
use super::row::unsigned;
use super::vault::{PROFILE_TEXT, Slot};
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, query};

impl SqlStore {
    /// How many credentials are of that provider.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn users_of_provider(&self, provider: &str) -> Result<u64, StoreError> {
        let number = self.read_number(query(sql::USERS_OF_PROVIDER).bind(provider)).await;
        self.told(number).map(i64::unsigned_abs)
    }
}

#[async_trait]
impl ProfileStore for SqlStore {
    async fn profiles(&self) -> Result<Vec<StoredProfile>, StoreError> {
        self.told(self.read_profiles().await)
    }

    async fn put_profile(&self, profile: StoredProfile, record: Record) -> Result<bool, StoreError> {
        self.told(self.insist(|| self.write_profile(&profile, record.clone())).await)
    }

    async fn remove_profile(&self, name: &str, record: Record) -> Result<bool, StoreError> {
        self.told(self.change(query(sql::REMOVE_PROFILE).bind(name), record).await)
    }
}

impl SqlStore {
    async fn read_profiles(&self) -> Result<Vec<StoredProfile>, Fault> {
        let rows = self.engine.read(query(sql::PROFILES)).await?;
        rows.iter().map(|row| self.profile(row)).collect()
    }

    fn profile(&self, row: &Row) -> Result<StoredProfile, Fault> {
        let (id, name) = (row.try_get("id")?, row.try_get::<String>("name")?);
        let plain =
            self.vault.open(Slot::of(PROFILE_TEXT, id, unsigned(row, "version")?), row.try_get("text")?)?;
        let text = plain.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        match text {
            Some(text) => Ok(StoredProfile { text: text.to_owned(), name }),
            None => Err(Fault::Damaged(format!("{PROFILE_TEXT} of row {id} is another profile's"))),
        }
    }

    async fn write_profile(&self, profile: &StoredProfile, record: Record) -> Result<bool, Fault> {
        let mut write = self.administer().await?;
        let found = write.first(query(sql::PROFILE).bind(&profile.name)).await?;
        let old = found.as_ref().map(|row| self.profile(row)).transpose()?;
        if old.as_ref() == Some(profile) {
            write.cancel().await?;
            return Ok(false);
        }
        let (id, version) = match &found {
            Some(row) => (row.try_get("id")?, unsigned(row, "version")? + 1),
            None => (self.entropy.id(), 1),
        };
        let plain = format!("{}\n{}", profile.name, profile.text);
        let put = query(sql::PUT_PROFILE)
            .bind(id)
            .bind(&profile.name)
            .bind(self.vault.seal(Slot::of(PROFILE_TEXT, id, version), plain.as_bytes())?)
            .bind(i64::try_from(version).unwrap_or(i64::MAX));
        write.run(put).await?;
        write.commit(record).await?;
        Ok(found.is_none())
    }
}
