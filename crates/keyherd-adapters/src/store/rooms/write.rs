//! A change: a transaction with its audit entry and its event.
//!
//! Owns the rule that nothing is committed without them, and where an entry stands in its lane's chain. Entries and
//! events are run last, with the commit.

use keyherd_core::audit::{Entry, Link, Note};
use keyherd_core::ids::ChainId;
use keyherd_core::ports::store::{Event, Record};

use super::SqlStore;
use super::row::{bytes32, key_in_force, unsigned};
use crate::store::engine::{Kind, Transaction};
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, Statement, query};

/// A transaction that writes. Dropped without [`Write::commit`] it is rolled back.
pub(in crate::store) struct Write<'a> {
    store: &'a SqlStore,
    transaction: Box<dyn Transaction + 'a>,
    /// The lane's end before this transaction's entries.
    before: Option<Link>,
    last: Vec<Statement>,
}

impl SqlStore {
    /// For single conditional statements.
    pub(in crate::store) async fn write(&self) -> Result<Write<'_>, Fault> {
        self.begin(Kind::Plain).await
    }

    /// For single conditional statements that seal.
    pub(super) async fn write_sealed(&self) -> Result<Write<'_>, Fault> {
        self.begin_sealed(Kind::Sealing).await
    }

    /// For what looks, then writes what it decided; it may seal.
    pub(super) async fn administer(&self) -> Result<Write<'_>, Fault> {
        self.begin_sealed(Kind::Administrative).await
    }

    pub(super) async fn begin(&self, kind: Kind) -> Result<Write<'_>, Fault> {
        let mut transaction = self.engine.begin(kind).await?;
        let before = transaction.lane().end;
        Ok(Write { store: self, transaction, before, last: Vec::new() })
    }

    /// Under the key that is in force while the transaction lasts.
    pub(super) async fn begin_sealed(&self, kind: Kind) -> Result<Write<'_>, Fault> {
        let mut write = self.begin(kind).await?;
        let row = write.one(query(sql::IN_FORCE)).await?;
        self.vault.follow(key_in_force(&row)?)?;
        Ok(write)
    }
}

impl Write<'_> {
    /// How many rows the statement changed.
    pub(in crate::store) async fn execute(&mut self, statement: Statement) -> Result<u64, Fault> {
        self.transaction.execute(statement).await
    }

    /// Whether the statement changed a row.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<bool, Fault> {
        Ok(self.execute(statement).await? > 0)
    }

    pub(in crate::store) async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, Fault> {
        self.transaction.fetch(statement).await
    }

    /// Whether each change changed a row, and the first row of a look after them all; in one trip, see
    /// [`Transaction::execute_then_fetch`].
    pub(super) async fn run_then_first(
        &mut self,
        changes: Vec<Statement>,
        look: Statement,
    ) -> Result<(Vec<bool>, Option<Row>), Fault> {
        let (changed, rows) = self.transaction.execute_then_fetch(changes, look).await?;
        Ok((changed.into_iter().map(|rows| rows > 0).collect(), rows.into_iter().next()))
    }

    pub(super) async fn first(&mut self, statement: Statement) -> Result<Option<Row>, Fault> {
        Ok(self.fetch(statement).await?.into_iter().next())
    }

    /// The row of a statement that always has one.
    pub(super) async fn one(&mut self, statement: Statement) -> Result<Row, Fault> {
        let row = self.first(statement).await?;
        row.ok_or_else(|| Fault::Damaged("a row is missing that every store has".into()))
    }

    /// The column `number` of the first row, if there is one.
    pub(super) async fn number(&mut self, query: &'static str, id: i64) -> Result<Option<i64>, Fault> {
        let row = self.first(crate::store::statement::query(query).bind(id)).await?;
        row.map(|row| row.try_get("number")).transpose()
    }

    /// To be run with the commit, where nothing depends on what it does.
    pub(super) fn lastly(&mut self, statement: Statement) {
        self.last.push(statement);
    }

    /// Ends the transaction with what was done and who is told.
    pub(super) async fn commit(mut self, record: Record) -> Result<(), Fault> {
        self.note(&record.note).await?;
        if let Some(event) = record.event {
            self.tell(event);
        }
        self.commit_silently().await
    }

    /// Ends the transaction without a word: for housekeeping, and for entries that stand for themselves.
    pub(in crate::store) async fn commit_silently(self) -> Result<(), Fault> {
        self.transaction.commit(grouped(self.last)).await
    }

    /// Nothing was to be changed.
    pub(in crate::store) async fn cancel(mut self) -> Result<(), Fault> {
        self.transaction.lane().end = self.before;
        self.transaction.rollback().await
    }

    /// Writes an audit entry as the next link of this lane's chain.
    pub(super) async fn note(&mut self, note: &Note) -> Result<(), Fault> {
        let end = self.end().await?;
        let mut entry = Entry {
            seq: 0,
            chain: self.transaction.lane().chain,
            place: end.place + 1,
            at: self.store.clock.now(),
            action: note.action.to_owned(),
            actor: note.actor.0.clone(),
            subject: note.subject.clone(),
            detail: note.detail.to_string(),
            hash: [0; 32],
        };
        entry.hash = self.store.installation.audit.hash(&end.hash, &entry);
        self.transaction.lane().end = Some(Link { place: entry.place, hash: entry.hash });
        self.last.push(insert(entry));
        Ok(())
    }

    /// Read inside the transaction, where it is not known.
    async fn end(&mut self) -> Result<Link, Fault> {
        let lane = *self.transaction.lane();
        if let Some(end) = lane.end {
            return Ok(end);
        }
        match self.first(query(sql::AUDIT_END).bind(lane.chain.as_i64())).await? {
            None => Ok(Link::default()),
            Some(row) => Ok(Link { place: unsigned(&row, "place")?, hash: bytes32(&row, "hash")? }),
        }
    }

    fn tell(&mut self, event: Event) {
        let insert = query(sql::EVENT)
            .bind(self.store.clock.now().as_millis())
            .bind(event.kind)
            .bind(event.chain.map(ChainId::as_i64))
            .bind(event.subject)
            .bind(event.detail.to_string());
        self.last.push(insert);
    }
}

/// Entries that follow each other, many in one statement: a statement costs more than a row.
fn grouped(statements: Vec<Statement>) -> Vec<Statement> {
    if statements.len() < sql::AUDIT_ROWS {
        return statements;
    }
    let mut grouped: Vec<Statement> = Vec::with_capacity(statements.len());
    let mut run = Vec::with_capacity(sql::AUDIT_ROWS);
    for statement in statements {
        if statement.sql != sql::AUDIT.into() {
            grouped.append(&mut run);
            grouped.push(statement);
            continue;
        }
        run.push(statement);
        if run.len() == sql::AUDIT_ROWS {
            let values = run.drain(..).flat_map(|statement| statement.values).collect();
            grouped.push(Statement { sql: sql::AUDIT_MANY.as_str().into(), values });
        }
    }
    grouped.append(&mut run);
    grouped
}

fn insert(entry: Entry) -> Statement {
    query(sql::AUDIT)
        .bind(entry.chain.as_i64())
        .bind(i64::try_from(entry.place).unwrap_or(i64::MAX))
        .bind(entry.at.as_millis())
        .bind(entry.action)
        .bind(entry.actor)
        .bind(entry.subject)
        .bind(entry.detail)
        .bind(entry.hash.to_vec())
}
