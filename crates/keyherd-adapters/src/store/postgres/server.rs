//! What only a server can be asked: what it is, what a commit is worth there, and from where else it is used.

use keyherd_core::ports::StoreError;

use super::PostgresStore;
use super::fault::{explain, told};
use crate::postgres::WireError;

/// A session of the same role is seen whole; of another one's the address is hidden, and it counts for nothing.
const LOOK: &str = "SELECT current_setting('server_version') AS version, \
     current_setting('server_version_num')::bigint AS number, \
     current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS lasts, \
     (SELECT count(DISTINCT client_addr) FROM pg_stat_activity WHERE datname = current_database() \
      AND application_name = 'keyherd' AND client_addr <> inet_client_addr()) AS others";

/// The oldest server that is tried, as `server_version_num` counts.
const OLDEST: i64 = 130_000;

/// A PostgreSQL server, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Its version, in its own words.
    pub version: String,
    /// Whether it is older than those that keyherd is tried with.
    pub is_too_old: bool,
    /// Whether a commit is on its disk when it is acknowledged.
    pub commits_last: bool,
    /// Addresses other than ours from which keyherd is connected now. Behind a pooler all have the pooler's.
    pub other_hosts: u64,
}

impl PostgresStore {
    /// Asks the server.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn server(&self) -> Result<ServerState, StoreError> {
        let target = self.wire.target();
        self.look().await.map_err(|error| explain(told(error, target), target))
    }

    async fn look(&self) -> Result<ServerState, WireError> {
        let rows = self.wire.read(LOOK, &[]).await?;
        let row = rows.first().ok_or_else(|| WireError::Other {
            code: "client".into(),
            problem: "no row where there must be one".into(),
        })?;
        Ok(ServerState {
            version: row.try_get("version")?,
            is_too_old: row.try_get::<_, i64>("number")? < OLDEST,
            commits_last: row.try_get("lasts")?,
            other_hosts: row.try_get::<_, i64>("others")?.unsigned_abs(),
        })
    }
}
