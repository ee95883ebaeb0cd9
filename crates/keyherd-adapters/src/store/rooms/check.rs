//! How many rows there are: what `keyherd doctor` asks of any store.

use keyherd_core::ports::StoreError;

use super::SqlStore;
use super::row::unsigned;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::query;

/// How many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Credentials.
    pub credentials: u64,
    /// Token chains.
    pub chains: u64,
    /// Named clients.
    pub clients: u64,
    /// Entries of the audit log, those that carry lines once.
    pub audit: u64,
    /// Events in the outbox.
    pub events: u64,
    /// Chains with a claim that is not resolved.
    pub claims: u64,
}

impl SqlStore {
    /// Rows by kind. Reads an index of each table from end to end.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.told(self.read_counts().await)
    }

    async fn read_counts(&self) -> Result<Counts, Fault> {
        let Some(row) = self.read_first(query(sql::COUNTS)).await? else { return Ok(Counts::default()) };
        let count = |column| unsigned(&row, column);
        Ok(Counts {
            credentials: count("credentials")?,
            chains: count("chains")?,
            clients: count("clients")?,
            audit: count("audit")?,
            events: count("events")?,
            claims: count("claims")?,
        })
    }
}
