//! Connections: a few readers, one writer, and the writer's transactions with the audit chain's end.
//!
//! Owns the rule that every change is one `BEGIN IMMEDIATE` transaction with its audit entry and event. Connections are
//! opened when they are first needed. One whose transaction did not end cleanly is closed, which rolls it back; it is
//! never used again, and neither is what was remembered beside it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keyherd_core::audit::{Entry, Link, Note};
use keyherd_core::ports::store::{Event, Record};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tokio::sync::{MutexGuard, Semaphore, SemaphorePermit};

use super::SqliteStore;
use super::fault::Fault;
use super::row::{bytes32, unsigned};
use crate::store::sql;

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

    pub(super) async fn take(&self) -> Result<Reader<'_>, Fault> {
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
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, Fault> {
        self.connection.as_mut().ok_or(Fault::Busy)
    }

    pub(super) fn done(mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.lock().push(connection);
        }
    }
}

/// The writing connection, and the end of this process's audit chain as its last commit left it. `None`: not known,
/// since the connection is new: a former one may still be committing what its caller did not wait for.
pub(super) struct Line {
    connection: SqliteConnection,
    end: Option<Link>,
}

impl Line {
    pub(super) async fn close(self) {
        let _ = self.connection.close().await;
    }
}

/// A write transaction. Dropped without [`Write::commit`] it is rolled back.
pub(super) struct Write<'a> {
    store: &'a SqliteStore,
    place: MutexGuard<'a, Option<Line>>,
    line: Line,
    has_notes: bool,
}

impl SqliteStore {
    /// Begins a write transaction: waits its turn here, then for other processes.
    pub(super) async fn write(&self) -> Result<Write<'_>, Fault> {
        let wait = tokio::time::timeout(self.bounds.queue_timeout, self.line.lock()).await;
        let mut place = wait.map_err(|_elapsed| Fault::Busy)?;
        let mut line = match place.take() {
            Some(line) => line,
            None => Line { connection: self.connect_options.connect().await?, end: None },
        };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut line.connection).await?;
        Ok(Write { store: self, place, line, has_notes: false })
    }
}

impl Write<'_> {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.line.connection
    }

    /// Ends the transaction with what was done and who is told.
    pub(super) async fn commit(mut self, record: Record) -> Result<(), Fault> {
        self.note(record.note).await?;
        if let Some(event) = record.event {
            self.tell(event).await?;
        }
        self.commit_silently().await
    }

    /// Ends the transaction without a word: for housekeeping, and for entries that stand for themselves.
    pub(super) async fn commit_silently(mut self) -> Result<(), Fault> {
        sqlx::query("COMMIT").execute(&mut self.line.connection).await?;
        *self.place = Some(self.line);
        Ok(())
    }

    /// Nothing was to be changed.
    pub(super) async fn cancel(mut self) -> Result<(), Fault> {
        sqlx::query("ROLLBACK").execute(&mut self.line.connection).await?;
        if !self.has_notes {
            *self.place = Some(self.line);
        }
        Ok(())
    }

    /// Writes an audit entry as the next link of this process's chain.
    pub(super) async fn note(&mut self, note: Note) -> Result<(), Fault> {
        let end = self.end().await?;
        let mut entry = Entry {
            seq: 0,
            chain: self.store.owners.me(),
            place: end.place + 1,
            at: self.store.clock.now(),
            action: note.action.to_owned(),
            actor: note.actor.0,
            subject: note.subject,
            detail: note.detail.to_string(),
            hash: [0; 32],
        };
        entry.hash = self.store.installation.audit.hash(&end.hash, &entry);
        self.has_notes = true;
        self.line.end = Some(Link { place: entry.place, hash: entry.hash });
        self.insert(entry).await
    }

    /// Read under the write lock, where it is not known.
    async fn end(&mut self) -> Result<Link, Fault> {
        if let Some(end) = self.line.end {
            return Ok(end);
        }
        let query = sqlx::query(sql::AUDIT_END).bind(self.store.owners.me().as_i64());
        match query.fetch_optional(&mut self.line.connection).await? {
            None => Ok(Link::default()),
            Some(row) => Ok(Link { place: unsigned(&row, "place")?, hash: bytes32(&row, "hash")? }),
        }
    }

    async fn insert(&mut self, entry: Entry) -> Result<(), Fault> {
        let insert = sqlx::query(sql::AUDIT)
            .bind(entry.chain.as_i64())
            .bind(i64::try_from(entry.place).unwrap_or(i64::MAX))
            .bind(entry.at.as_millis())
            .bind(entry.action)
            .bind(entry.actor)
            .bind(entry.subject)
            .bind(entry.detail)
            .bind(entry.hash.to_vec());
        insert.execute(&mut self.line.connection).await?;
        Ok(())
    }

    async fn tell(&mut self, event: Event) -> Result<(), Fault> {
        let insert = sqlx::query(sql::EVENT)
            .bind(self.store.clock.now().as_millis())
            .bind(event.kind)
            .bind(event.chain.map(keyherd_core::ids::ChainId::as_i64))
            .bind(event.subject)
            .bind(event.detail.to_string());
        insert.execute(&mut self.line.connection).await?;
        Ok(())
    }

    /// The row's first column, as a number.
    pub(super) async fn number(&mut self, query: &'static str, id: i64) -> Result<Option<i64>, Fault> {
        let row = sqlx::query(query).bind(id).fetch_optional(&mut self.line.connection).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}
