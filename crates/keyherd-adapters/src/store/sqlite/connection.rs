//! Connections to the file: a few readers on loan, and how each is opened.
//!
//! Connections are opened when they are first needed. One whose call failed or was left is closed and never used again.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::fault::FileFault;
use crate::store::fault::Fault;

/// How a connection to an existing database is opened.
pub(super) fn options(path: &Path, busy_timeout: Duration, cache_kib: u32) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(busy_timeout)
        .foreign_keys(false)
        // A commit must survive the power's loss: a rotated token cannot be had again.
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", format!("-{cache_kib}"))
        .disable_statement_logging()
}

/// Connections that only read, at most so many at once.
pub(super) struct Readers {
    options: SqliteConnectOptions,
    idle: Mutex<Vec<SqliteConnection>>,
    permits: Semaphore,
    wait: Duration,
}

impl Readers {
    pub(super) fn new(
        options: SqliteConnectOptions,
        max: usize,
        wait: Duration,
        first: SqliteConnection,
    ) -> Self {
        Self { options, idle: Mutex::new(vec![first]), permits: Semaphore::new(max.max(1)), wait }
    }

    pub(super) async fn take(&self) -> Result<Reader<'_>, FileFault> {
        let permit = tokio::time::timeout(self.wait, self.permits.acquire()).await;
        let permit = permit.map_err(|_elapsed| Fault::Busy)?.map_err(|_closed| Fault::Busy)?;
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(Reader { readers: self, connection: Some(connection), _permit: permit })
    }

    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.lock());
        for connection in idle {
            // Closing is best effort: the process's end does the same.
            let _ = connection.close().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader on loan. It goes back by [`Reader::done`]; after a failure or a cancelled call it is closed instead.
pub(super) struct Reader<'a> {
    readers: &'a Readers,
    connection: Option<SqliteConnection>,
    _permit: SemaphorePermit<'a>,
}

impl Reader<'_> {
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, FileFault> {
        self.connection.as_mut().ok_or(FileFault::Store(Fault::Busy))
    }

    pub(super) fn done(mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.lock().push(connection);
        }
    }
}
