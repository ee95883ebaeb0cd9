//! The SQLite engine: readers, one writer, and the owner's lock files behind the rooms' seam.
//!
//! Owns the rule that every change is one `BEGIN IMMEDIATE` transaction, which keeps out every other writer and so
//! serves each kind alike. A connection whose transaction did not end cleanly is closed, which rolls it back; it is
//! never used again, and neither is what was remembered beside it.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::audit::Link;
use keyherd_core::credential::Holder;
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::StoreError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

use super::SqliteBounds;
use super::briefly::briefly;
use super::connection::Readers;
use super::fault::{FileFault, explain};
use super::owners::Owners;
use super::place::Place;
use super::row::{FileRow, bound};
use super::visit::{Done, run_all};
use crate::store::engine::{Engine, Finished, Kind, Lane, Transaction, Whole};
use crate::store::fault::Fault;
use crate::store::statement::{Row, Statement, query};

/// One process's way into the file.
pub(super) struct SqliteEngine {
    pub(super) place: Place,
    pub(super) bounds: SqliteBounds,
    pub(super) owners: Owners,
    pub(super) connect_options: SqliteConnectOptions,
    pub(super) readers: Readers,
    line: Mutex<Option<Line>>,
    watch: Mutex<Option<SqliteConnection>>,
}

/// The writing connection, and the end of this process's audit chain as its last commit left it.
struct Line {
    connection: SqliteConnection,
    lane: Lane,
}

impl SqliteEngine {
    pub(super) fn new(
        place: Place,
        bounds: SqliteBounds,
        owners: Owners,
        connect_options: SqliteConnectOptions,
        first: SqliteConnection,
    ) -> Self {
        let readers = Readers::new(connect_options.clone(), bounds.readers_max, bounds.queue_timeout, first);
        Self {
            place,
            bounds,
            owners,
            connect_options,
            readers,
            line: Mutex::new(None),
            watch: Mutex::new(None),
        }
    }

    pub(super) fn told<T>(&self, outcome: Result<T, FileFault>) -> Result<T, Fault> {
        outcome.map_err(|fault| fault.told(&self.place.path))
    }

    pub(super) async fn rows(&self, statement: Statement) -> Result<Vec<Row>, FileFault> {
        let mut reader = self.readers.take().await?;
        let rows = bound(statement).fetch_all(reader.connection()?).await?;
        reader.done();
        Ok(neutral(rows))
    }

    /// SQLite counts per connection: this one asks for nothing else.
    pub(super) async fn data_version(&self) -> Result<i64, FileFault> {
        let mut watch = self.watch.lock().await;
        let mut connection = match watch.take() {
            Some(connection) => connection,
            None => self.connect_options.connect().await?,
        };
        let version = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut connection).await?;
        *watch = Some(connection);
        Ok(version)
    }

    /// Waits its turn here, then for other processes.
    async fn turn(&self) -> Result<Turn<'_>, FileFault> {
        let wait = tokio::time::timeout(self.bounds.queue_timeout, self.line.lock()).await;
        let mut place = wait.map_err(|_elapsed| Fault::Busy)?;
        let line = match place.take() {
            Some(line) => line,
            None => Line {
                connection: self.connect_options.connect().await?,
                lane: Lane { chain: self.owners.me(), end: None },
            },
        };
        Ok(Turn { engine: self, place, line, has_begun: false })
    }
}

#[async_trait]
impl Engine for SqliteEngine {
    async fn read(&self, statement: Statement) -> Result<Vec<Row>, Fault> {
        self.told(self.rows(statement).await)
    }

    async fn begin(&self, _kind: Kind) -> Result<Box<dyn Transaction + '_>, Fault> {
        Ok(Box::new(self.told(self.turn().await)?))
    }

    fn explain(&self, fault: Fault) -> StoreError {
        explain(fault, &self.place.path)
    }

    fn owner(&self) -> OwnerId {
        self.owners.me()
    }

    fn vouch(&self) -> Result<(), Fault> {
        self.owners.hold().map_err(|error| {
            let path = self.place.path.display();
            let problem = format!("the owner's lock file cannot be made beside {path}: {error}");
            Fault::Told(StoreError::Unavailable(problem))
        })
    }

    fn claim_life(&self) -> Option<Duration> {
        None
    }

    fn holder(&self, owner: OwnerId, _is_over: Option<bool>) -> Holder {
        self.owners.holder(owner)
    }

    fn numbers_every_entry(&self) -> bool {
        true
    }

    fn latecomers(&self) -> Option<Duration> {
        None
    }

    fn tidy(&self) {
        self.owners.sweep(self.bounds.owners_swept_max);
    }

    /// The last process to do so leaves one whole file behind. Without it the write-ahead log may stay beside it.
    async fn close(&self) {
        self.readers.close().await;
        let line = self.line.lock().await.take();
        if let Some(line) = line {
            // Closing is best effort: the process's end does the same.
            let _ = line.connection.close().await;
        }
        if let Some(watch) = self.watch.lock().await.take() {
            let _ = watch.close().await;
        }
    }
}

/// The writer's turn: a transaction. It begins with its first statement, in the same visit.
struct Turn<'a> {
    engine: &'a SqliteEngine,
    place: MutexGuard<'a, Option<Line>>,
    line: Line,
    has_begun: bool,
}

impl Turn<'_> {
    /// What each statement did, in one visit.
    async fn visit(
        &mut self,
        statements: impl IntoIterator<Item = Statement>,
    ) -> Result<Vec<Done>, FileFault> {
        let begins = !std::mem::replace(&mut self.has_begun, true);
        let all = begins.then(|| query("BEGIN IMMEDIATE")).into_iter().chain(statements).collect();
        let mut done = briefly(run_all(&mut self.line.connection, all)).await?;
        done.drain(..usize::from(begins));
        Ok(done)
    }

    async fn only(&mut self, statement: Statement) -> Result<Done, FileFault> {
        Ok(self.visit([statement]).await?.pop().unwrap_or_default())
    }

    async fn finish_all(mut self, whole: Whole) -> Result<Finished, FileFault> {
        let (changes, looks) = (whole.changes.len(), whole.looks.len());
        let all = whole.changes.into_iter().chain(whole.looks).chain(whole.last).chain([query("COMMIT")]);
        let mut done = self.visit(all).await?.into_iter();
        let is_done = done.by_ref().take(changes).last().is_some_and(|last| last.changed > 0);
        let seen = done.take(looks).map(|done| neutral(done.rows)).collect();
        self.leave(if is_done { whole.end } else { whole.end_before });
        Ok(Finished { is_done, seen })
    }

    /// Ended in order: the line may be used again.
    fn leave(mut self, end: Option<Link>) {
        self.line.lane.end = end;
        *self.place = Some(self.line);
    }
}

#[async_trait]
impl Transaction for Turn<'_> {
    async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, Fault> {
        let done = self.only(statement).await;
        self.engine.told(done.map(|done| neutral(done.rows)))
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64, Fault> {
        let done = self.only(statement).await;
        self.engine.told(done.map(|done| done.changed))
    }

    async fn execute_then_fetch(
        &mut self,
        changes: Vec<Statement>,
        look: Statement,
    ) -> Result<(Vec<u64>, Vec<Row>), Fault> {
        let done = self.visit(changes.into_iter().chain([look])).await;
        let mut done = self.engine.told(done)?;
        let rows = done.pop().unwrap_or_default().rows;
        Ok((done.iter().map(|done| done.changed).collect(), neutral(rows)))
    }

    fn lane(&self) -> Lane {
        self.line.lane
    }

    async fn commit(mut self: Box<Self>, last: Vec<Statement>, end: Option<Link>) -> Result<(), Fault> {
        if self.has_begun || !last.is_empty() {
            let done = self.visit(last.into_iter().chain([query("COMMIT")])).await;
            self.engine.told(done)?;
        }
        self.leave(end);
        Ok(())
    }

    async fn finish(self: Box<Self>, whole: Whole) -> Result<Finished, Fault> {
        let engine = self.engine;
        engine.told(self.finish_all(whole).await)
    }

    async fn rollback(mut self: Box<Self>) -> Result<(), Fault> {
        if self.has_begun {
            let done = self.only(query("ROLLBACK")).await;
            self.engine.told(done)?;
        }
        let end = self.line.lane.end;
        self.leave(end);
        Ok(())
    }
}

fn neutral(rows: Vec<sqlx::sqlite::SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(|row| Row::new(FileRow(row))).collect()
}
