//! What `keyherd doctor` asks of the store, and what the bell polls.

use keyherd_core::ports::StoreError;
use sqlx::{ConnectOptions, Row};

use super::SqliteStore;
use super::fault::Fault;

/// How many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Credentials.
    pub credentials: u64,
    /// Token chains.
    pub chains: u64,
    /// Named clients.
    pub clients: u64,
    /// Entries of the audit log.
    pub audit: u64,
    /// Events in the outbox.
    pub events: u64,
    /// Chains with a claim that is not resolved.
    pub claims: u64,
}

impl SqliteStore {
    /// Looks through the whole file. Empty: it is sound; else what is wrong, at most a hundred lines.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub async fn integrity_check(&self) -> Result<Vec<String>, StoreError> {
        self.told(self.check_integrity().await)
    }

    /// The schema that the file is at.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn schema_version(&self) -> Result<i64, StoreError> {
        self.told(self.read_number("PRAGMA user_version").await)
    }

    /// Rows by kind. Reads an index of each table from end to end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.told(self.read_counts().await)
    }

    /// A number that differs after any commit by anyone but the asking connection: cheap to ask for, again and again.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn data_version(&self) -> Result<i64, StoreError> {
        self.told(self.read_data_version().await)
    }

    async fn check_integrity(&self) -> Result<Vec<String>, Fault> {
        let mut reader = self.readers.take().await?;
        let rows = sqlx::query("PRAGMA integrity_check").fetch_all(reader.connection()?).await?;
        reader.done();
        let lines = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    async fn read_number(&self, query: &'static str) -> Result<i64, Fault> {
        let mut reader = self.readers.take().await?;
        let number = sqlx::query(query).fetch_one(reader.connection()?).await?.try_get(0)?;
        reader.done();
        Ok(number)
    }

    async fn read_counts(&self) -> Result<Counts, Fault> {
        const COUNTS: &str = "SELECT (SELECT COUNT(*) FROM credentials) AS credentials, \
             (SELECT COUNT(*) FROM chains) AS chains, (SELECT COUNT(*) FROM clients) AS clients, \
             (SELECT COUNT(*) FROM audit) AS audit, (SELECT COUNT(*) FROM events) AS events, \
             (SELECT COUNT(*) FROM chains WHERE claim_id IS NOT NULL) AS claims";
        let mut reader = self.readers.take().await?;
        let row = sqlx::query(COUNTS).fetch_one(reader.connection()?).await?;
        reader.done();
        let count = |column| super::row::unsigned(&row, column);
        Ok(Counts {
            credentials: count("credentials")?,
            chains: count("chains")?,
            clients: count("clients")?,
            audit: count("audit")?,
            events: count("events")?,
            claims: count("claims")?,
        })
    }

    /// SQLite counts per connection: this one asks for nothing else.
    async fn read_data_version(&self) -> Result<i64, Fault> {
        let mut watch = self.watch.lock().await;
        let mut connection = match watch.take() {
            Some(connection) => connection,
            None => self.connect_options.connect().await?,
        };
        let version = sqlx::query("PRAGMA data_version").fetch_one(&mut connection).await?.try_get(0)?;
        *watch = Some(connection);
        Ok(version)
    }
}
