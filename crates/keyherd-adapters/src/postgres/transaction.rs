//! One transaction on one lane: begun with its first statement, ended with its last, in as few round trips as can be.
//!
//! Owns what is known of its end. A lane whose transaction did not end cleanly is rolled back before anybody has it
//! again. Never retries.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all, join3};
use tokio_postgres::{Client, Error, Row, Statement};

use super::fault::is_definite;
use super::lanes::Loan;
use super::{Param, WireError, values};

/// How many statements are sent with a COMMIT at once. What goes beyond is sent before.
const PIPELINE_MAX: usize = 16;

/// A statement that is sent together with the commit.
pub enum Last<'a> {
    /// One that changes rows.
    Change(&'a str, Vec<Param<'a>>),
    /// One whose rows are wanted.
    Look(&'a str, Vec<Param<'a>>),
}

/// What it did.
#[derive(Debug)]
pub struct Done {
    /// So many rows it changed.
    pub changed: u64,
    /// Of a look.
    pub rows: Vec<Row>,
}

/// A transaction. Statements that are awaited together (`join!`) travel together, in the order they were named. Dropped
/// without [`Tx::commit`] it is rolled back.
pub struct Tx {
    loan: Option<Loan>,
    opening: String,
    /// The session was asked whether it knows the names that its lane believes it does.
    uses_names: bool,
    answer_timeout: Duration,
    /// Statements that travel before the one that is asked, as of the last [`Tx::send_ahead`].
    ahead: AtomicU32,
    begun: AtomicBool,
    failed: AtomicBool,
    broken: AtomicBool,
}

impl Tx {
    pub(super) fn new(loan: Loan, opening: String, uses_names: bool, answer_timeout: Duration) -> Self {
        Self {
            loan: Some(loan),
            opening,
            uses_names,
            answer_timeout,
            ahead: AtomicU32::new(0),
            begun: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// The lane's number: below `lanes_max`, and the same for as long as the process lives.
    pub fn lane(&self) -> u32 {
        self.loan.as_ref().map_or(0, Loan::number)
    }

    /// Changes whenever what was remembered of the lane may not hold any more: another connection, a transaction that was
    /// not committed, a commit whose end is not known.
    pub fn session(&self) -> u64 {
        self.loan.as_ref().map_or(0, Loan::session)
    }

    /// So many statements travel with the next one and before it: each may take its time in the server, and the last
    /// one's answer comes after them all.
    pub(crate) fn send_ahead(&self, statements: usize) {
        self.ahead.store(u32::try_from(statements).unwrap_or(u32::MAX), Ordering::Release);
    }

    /// Rows of a statement.
    ///
    /// # Errors
    /// After any error nothing of the transaction will be committed.
    pub async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, WireError> {
        let client = self.client()?;
        self.settle(client, self.look(client, sql, params)).await
    }

    /// How many rows a statement changed.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, WireError> {
        let client = self.client()?;
        self.settle(client, self.change(client, sql, params)).await
    }

    /// Several statements without parameters, in one text: for migrations.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn batch(&self, sql: &str) -> Result<(), WireError> {
        let client = self.client()?;
        self.settle(client, client.batch_execute(sql)).await
    }

    /// Makes it last.
    ///
    /// # Errors
    /// [`WireError::UnknownOutcome`]: it may have been committed. Any other: it was not.
    pub async fn commit(self) -> Result<(), WireError> {
        self.commit_with(Vec::new()).await.map(drop)
    }

    /// Last statements and the commit, all sent at once; says what each statement did. For what does not depend on one
    /// another's result.
    ///
    /// # Errors
    /// As [`Tx::commit`].
    pub async fn commit_with(mut self, mut statements: Vec<Last<'_>>) -> Result<Vec<Done>, WireError> {
        let last = statements.split_off(statements.len().saturating_sub(PIPELINE_MAX));
        let mut done = Vec::with_capacity(statements.len() + last.len());
        for early in &statements {
            let client = self.client()?;
            done.push(self.settle(client, self.run(client, early)).await?);
        }
        if last.is_empty() && !self.begun.load(Ordering::Acquire) {
            return Ok(done);
        }
        match self.send_commit(&last).await {
            Ok(ended) => done.extend(ended),
            Err(error) => {
                self.note(&error, error.breaks());
                return Err(error);
            }
        }
        // Ended: the lane goes back as it is.
        if let Some(loan) = self.loan.take() {
            loan.teach(self.answer_timeout);
        }
        Ok(done)
    }

    /// Undoes it, and waits for that.
    ///
    /// # Errors
    /// None that matters: a connection that cannot be asked to is thrown away, which rolls it back as well.
    pub async fn rollback(mut self) -> Result<(), WireError> {
        match self.loan.take() {
            Some(loan) if self.begun.load(Ordering::Acquire) => {
                undo(loan, self.broken.load(Ordering::Acquire), self.answer_timeout).await;
            }
            _ => {}
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn client_is_open(&self) -> bool {
        self.client().is_ok_and(|client| !client.is_closed())
    }

    async fn send_commit(&self, last: &[Last<'_>]) -> Result<Vec<Done>, WireError> {
        let client = self.client()?;
        // COMMIT of a failed transaction is a ROLLBACK that succeeds. And what is not sent is not in doubt.
        if self.failed.load(Ordering::Acquire) {
            return Err(WireError::Other {
                code: "25P02".into(),
                problem: "a statement before failed".into(),
            });
        }
        if client.is_closed() {
            return Err(WireError::Unavailable("the connection was lost before the commit".into()));
        }
        let statements = join_all(last.iter().map(|last| self.run(client, last)));
        let sent = join3(self.begin_once(client), statements, client.batch_execute("COMMIT"));
        let Ok((begun, done, committed)) = tokio::time::timeout(self.bound(), sent).await else {
            return Err(WireError::UnknownOutcome("no answer in time".into()));
        };
        let done = begun.and_then(|()| done.into_iter().collect::<Result<Vec<Done>, Error>>());
        match (done, committed) {
            (Ok(done), Ok(())) => Ok(done),
            // The server goes on to the commit only when it is done with what stands before it.
            (Err(error), _) if error.as_db_error().is_some() => Err(error.into()),
            (_, Err(error)) if is_definite(&error) => Err(error.into()),
            (_, Err(error)) | (Err(error), Ok(())) => {
                Err(WireError::UnknownOutcome(WireError::from(error).to_string()))
            }
        }
    }

    async fn run(&self, client: &Client, statement: &Last<'_>) -> Result<Done, Error> {
        match statement {
            Last::Change(sql, params) => {
                let changed = self.change(client, sql, params).await?;
                Ok(Done { changed, rows: Vec::new() })
            }
            Last::Look(sql, params) => {
                let rows = self.look(client, sql, params).await?;
                Ok(Done { changed: 0, rows })
            }
        }
    }

    /// By its name, if the session knows it.
    async fn look(&self, client: &Client, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        match self.named(sql, params) {
            None => client.query_typed(sql, params).await,
            Some(named) => client.query(&named, &values(params)).await,
        }
    }

    /// By its name, if the session knows it.
    async fn change(&self, client: &Client, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        match self.named(sql, params) {
            None => client.execute_typed(sql, params).await,
            Some(named) => client.execute(&named, &values(params)).await,
        }
    }

    /// Names that come to be allowed while this is under way are not used: the session was not asked about them.
    fn named(&self, sql: &str, params: &[Param<'_>]) -> Option<Statement> {
        let names = self.loan.as_ref().and_then(Loan::names)?;
        names.find(sql, params).filter(|_| self.uses_names)
    }

    fn note(&self, error: &WireError, breaks: bool) {
        self.failed.store(true, Ordering::Release);
        self.broken.fetch_or(breaks, Ordering::AcqRel);
        if let (WireError::Forgotten, Some(loan)) = (error, &self.loan) {
            loan.names_failed();
        }
    }

    async fn settle<T>(
        &self,
        client: &Client,
        statement: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, WireError> {
        let both = join(self.begin_once(client), statement);
        let settled = match tokio::time::timeout(self.bound(), both).await {
            Ok((begun, done)) => {
                // A session in which nothing can be begun.
                self.broken.fetch_or(begun.is_err(), Ordering::AcqRel);
                begun.and(done).map_err(WireError::from)
            }
            Err(_elapsed) => {
                self.broken.store(true, Ordering::Release);
                Err(WireError::TimedOut("a statement was not answered in time"))
            }
        };
        if let Err(error) = &settled {
            self.note(error, error.is_of_session());
        }
        settled
    }

    /// For the answer to what is sent now.
    fn bound(&self) -> Duration {
        self.answer_timeout.saturating_mul(self.ahead.load(Ordering::Acquire).saturating_add(1))
    }

    /// The first to be polled sends the beginning, which so travels before its statement, in the same packet.
    async fn begin_once(&self, client: &Client) -> Result<(), Error> {
        if self.begun.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        client.batch_execute(&self.opening).await
    }

    fn client(&self) -> Result<&Client, WireError> {
        let client = self.loan.as_ref().and_then(Loan::client);
        client.ok_or_else(|| WireError::Unavailable("the connection is gone".into()))
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let Some(mut loan) = self.loan.take() else { return };
        if !self.begun.load(Ordering::Acquire) {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let (broken, timeout) = (self.broken.load(Ordering::Acquire), self.answer_timeout);
                // The lane goes back when this has ended.
                runtime.spawn(undo(loan, broken, timeout));
            }
            Err(_no_runtime) => loan.discard(),
        }
    }
}

/// Rolls back, also what is still under way in it, or throws the connection away.
async fn undo(mut loan: Loan, broken: bool, timeout: Duration) {
    loan.unsettle();
    let undone = match loan.client() {
        Some(client) if !broken => tokio::time::timeout(timeout, client.batch_execute("ROLLBACK")).await,
        _ => return loan.discard(),
    };
    if !matches!(undone, Ok(Ok(()))) {
        loan.discard();
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tx(lane {})", self.lane())
    }
}
