//! The wire to PostgreSQL: bounded lanes, transactions in few round trips, and errors that say what may be concluded.
//!
//! Owns connections and their bounds. Never knows a table. Statements are sent unnamed with their parameters' types
//! (Parse, Bind, Execute, Sync in one packet): one round trip each, and nothing is left in a session, so that consecutive
//! transactions may run in different ones, behind a pooler in transaction mode. Where sessions are known to be ours,
//! statements that are used often get names.

mod clock;
mod fault;
mod lanes;
mod names;
mod target;
mod tls;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join3;
pub use tokio_postgres::Row;
pub use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};

pub use self::clock::{ClockOptions, ClockSource, ServerClock};
pub use self::fault::WireError;
pub(crate) use self::lanes::open;
use self::lanes::{Lanes, Loan};
use self::names::Names;
pub use self::target::{BadTarget, Target};
pub use self::transaction::{Done, Last, Tx};

/// A parameter: its value, and the type it has in the statement.
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Bounds of the wire.
#[derive(Debug, Clone)]
pub struct WireOptions {
    /// How many connections there are at once.
    pub lanes_max: u32,
    /// How long opening one may take, with TLS and password.
    pub connect_timeout: Duration,
    /// How long a caller waits for a lane.
    pub queue_timeout: Duration,
    /// How long the server works on one statement of a transaction (`statement_timeout`).
    pub statement_timeout: Duration,
    /// How long the server keeps a transaction, with its locks, whose next statement does not come
    /// (`idle_in_transaction_session_timeout`). Below `statement_timeout`, so that whoever waits for a host that was
    /// stopped in the middle of one outlives that, and is served.
    pub idle_in_transaction_timeout: Duration,
    /// How long an answer is waited for beyond `statement_timeout`.
    pub answer_margin: Duration,
    /// A connection that is older is replaced before it is used again.
    pub connection_age_max: Duration,
    /// Statements that are used often may be prepared, where sessions are known to be ours.
    pub prepared_statements: bool,
    /// The plans of such statements are made anew when they are older: tables grow. What changes most is planned anew by the
    /// server itself, when autovacuum has been there.
    pub plan_age_max: Duration,
}

impl Default for WireOptions {
    fn default() -> Self {
        Self {
            lanes_max: 8,
            connect_timeout: Duration::from_secs(5),
            queue_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(4),
            answer_margin: Duration::from_secs(2),
            connection_age_max: Duration::from_secs(30 * 60),
            prepared_statements: true,
            plan_age_max: Duration::from_secs(10 * 60),
        }
    }
}

/// One process's way to one database. Cheap to clone. Nothing is opened before it is needed.
#[derive(Clone)]
pub struct Wire(Arc<Lanes>);

impl Wire {
    /// With these bounds, to this database.
    pub fn new(target: Target, options: WireOptions) -> Self {
        Self(Lanes::new(target, options))
    }

    /// Where it leads.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// Rows of one statement that changes nothing, in a transaction of its own: one round trip. Sent a second time, on a
    /// new connection, where the first one turns out to be lost.
    ///
    /// # Errors
    /// [`WireError`]: nothing was changed.
    pub async fn read(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, WireError> {
        let mut loan = self.0.take().await?;
        let first = self.ask(&loan, sql, params).await;
        let read = match first {
            Err(WireError::Unavailable(_)) if !loan.fresh => {
                loan.renew().await?;
                self.ask(&loan, sql, params).await
            }
            first => first,
        };
        match &read {
            Ok(_) => loan.teach(self.answer_timeout()),
            Err(error) if error.breaks() => loan.discard(),
            Err(_) => {}
        }
        read
    }

    /// A transaction, read committed. Sends nothing yet: the beginning travels with the first statement.
    ///
    /// # Errors
    /// [`WireError::Unavailable`] or [`WireError::TimedOut`]: there is no lane, or no connection for it.
    pub async fn begin(&self) -> Result<Tx, WireError> {
        self.begin_within(self.0.options.statement_timeout).await
    }

    /// The same with another bound for each of its statements: for migrations, which may rewrite a table.
    ///
    /// # Errors
    /// As [`Wire::begin`].
    pub async fn begin_within(&self, statement_timeout: Duration) -> Result<Tx, WireError> {
        let loan = self.0.take().await?;
        let answer_timeout = statement_timeout + self.0.options.answer_margin;
        let question = loan.names().and_then(Names::question);
        let opening = self.0.opening(statement_timeout, question.as_deref());
        Ok(Tx::new(loan, opening, question.is_some(), answer_timeout))
    }

    /// Whether sessions are known to be ours: statements get names from then on, or no more.
    pub(crate) fn sessions_are_ours(&self, are_ours: bool) {
        self.0.sessions_are_ours(are_ours);
    }

    /// How long after its last statement was begun a transaction may yet be seen to be committed, by these bounds.
    pub fn commit_delay_max(&self) -> Duration {
        let options = &self.0.options;
        options.statement_timeout + options.idle_in_transaction_timeout + options.answer_margin
    }

    /// Another way to the same database, with lanes of its own.
    pub(crate) fn apart(&self, lanes_max: u32) -> Self {
        Self::new(self.0.target.clone(), WireOptions { lanes_max, ..self.0.options.clone() })
    }

    /// How long the server keeps a transaction whose next statement does not come.
    pub(crate) fn idle_in_transaction_timeout(&self) -> Duration {
        self.0.options.idle_in_transaction_timeout
    }

    /// Ends connections that are idle.
    pub fn close(&self) {
        self.0.close();
    }

    async fn ask(&self, loan: &Loan, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, WireError> {
        let Some(client) = loan.client() else {
            return Err(WireError::Unavailable("the connection is gone".into()));
        };
        if let Some((question, statement)) = loan.names().and_then(|names| names.known(sql, params)) {
            match self.in_time(by_name(client, &question, &statement, params)).await {
                Err(WireError::Forgotten) => loan.names_failed(),
                asked => return asked,
            }
        }
        self.in_time(client.query_typed(sql, params)).await
    }

    async fn in_time(
        &self,
        asked: impl Future<Output = Result<Vec<Row>, tokio_postgres::Error>>,
    ) -> Result<Vec<Row>, WireError> {
        let asked = tokio::time::timeout(self.answer_timeout(), asked).await;
        Ok(asked.map_err(|_elapsed| WireError::TimedOut("a read was not answered in time"))??)
    }

    fn answer_timeout(&self) -> Duration {
        self.0.options.statement_timeout + self.0.options.answer_margin
    }
}

/// A read by a name that the session knows, and before it the question whether it is that session: all in one packet.
async fn by_name(
    client: &Client,
    question: &str,
    statement: &Statement,
    params: &[Param<'_>],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let (begin, values) = (format!("BEGIN READ ONLY{question}"), values(params));
    let sent =
        join3(client.batch_execute(&begin), client.query(statement, &values), client.batch_execute("COMMIT"));
    let (begun, rows, ended) = sent.await;
    begun?;
    let rows = rows?;
    ended.map(|()| rows)
}

fn values<'a>(params: &[Param<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    params.iter().map(|(value, _)| *value).collect()
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({})", self.0.target)
    }
}

#[cfg(test)]
pub(crate) mod tests;
