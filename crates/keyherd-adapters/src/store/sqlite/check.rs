//! What only a file can be asked: whether it is sound, at which schema, and whether anyone wrote to it. And who may
//! change its master key.

use std::fs::File;

use keyherd_core::ports::StoreError;

use super::fault::FileFault;
use super::open::hold;
use super::{OpenError, SqliteStore};

/// Held from before a new key is put into the key source until the old one is taken out of it: two rotations at once
/// would each take the other's key away.
#[derive(Debug)]
pub struct Rotation(#[expect(dead_code, reason = "dropping it frees the lock")] File);

impl SqliteStore {
    /// Looks through the whole file. Empty: it is sound; else what is wrong, at most a hundred lines.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub async fn integrity_check(&self) -> Result<Vec<String>, StoreError> {
        self.said(self.check_integrity().await)
    }

    /// The schema that the file is at.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn schema_version(&self) -> Result<i64, StoreError> {
        self.said(self.read_version().await)
    }

    /// A number that differs after any commit by anyone but the asking connection: cheap to ask for, again and again.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn data_version(&self) -> Result<i64, StoreError> {
        self.said(self.engine.data_version().await)
    }

    /// The right to rotate the master key: one process at a time. Waits as an opening does.
    ///
    /// # Errors
    /// [`OpenError::Upgrading`] while another process rotates, or makes the store over.
    pub async fn rotation(&self) -> Result<Rotation, OpenError> {
        hold(&self.engine.place, self.engine.bounds.upgrade_timeout).await.map(Rotation)
    }

    async fn check_integrity(&self) -> Result<Vec<String>, FileFault> {
        let mut reader = self.engine.readers.take().await?;
        let check = sqlx::query_scalar::<_, String>("PRAGMA integrity_check");
        let lines = check.fetch_all(reader.connection()?).await?;
        reader.done();
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    async fn read_version(&self) -> Result<i64, FileFault> {
        let mut reader = self.engine.readers.take().await?;
        let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(reader.connection()?).await?;
        reader.done();
        Ok(version)
    }

    fn said<T>(&self, outcome: Result<T, FileFault>) -> Result<T, StoreError> {
        outcome.map_err(|fault| fault.explain(self.path()))
    }
}
