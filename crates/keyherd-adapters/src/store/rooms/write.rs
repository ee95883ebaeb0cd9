//! A change: a transaction with its audit entry and its event.
//!
//! Owns the rule that nothing is committed without them, and where an entry stands in its lane's chain. Entries and
//! events are run last, with the commit.

use std::collections::HashMap;

use keyherd_core::audit::{Anchors, Entry, Link, TextNote};
use keyherd_core::ids::{ChainId, OwnerId};
use keyherd_core::ports::store::{Event, Record};

use super::SqlStore;
use super::row::{bytes32, key_in_force, unsigned};
use super::seen::Look;
use crate::store::engine::{Kind, Transaction};
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, Sql, Statement, query};

/// A transaction that writes. Dropped without [`Write::commit`] it is rolled back.
pub(in crate::store) struct Write<'a> {
    store: &'a SqlStore,
    transaction: Box<dyn Transaction + 'a>,
    /// The lane's end before this transaction's entries.
    before: Option<Link>,
    last: Vec<Statement>,
    /// The chain's end as this transaction's entries leave it.
    end: Option<Link>,
    /// What its entries tell of other chains.
    look: Option<Look>,
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
        Ok(Write { store: self, transaction, before, last: Vec::new(), end: None, look: None })
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
        self.record(record).await?;
        self.commit_silently().await
    }

    /// One thing that was done, of several.
    pub(super) async fn record(&mut self, record: Record) -> Result<(), Fault> {
        self.note(record.note).await?;
        if let Some(event) = record.event {
            self.tell(event);
        }
        Ok(())
    }

    /// Ends the transaction without a word: for housekeeping, and for entries that stand for themselves.
    pub(in crate::store) async fn commit_silently(mut self) -> Result<(), Fault> {
        if let Some(end) = self.end {
            let chain = self.transaction.lane().chain;
            let head = query(sql::AUDIT_HEAD)
                .bind(chain.as_i64())
                .bind(i64::try_from(end.place).unwrap_or(i64::MAX))
                .bind(end.hash.to_vec())
                .bind(self.store.installation.audit.seal(chain, &end).to_vec())
                .bind(self.store.clock.now().as_millis());
            self.last.push(head);
        }
        self.transaction.commit(self.last).await?;
        if let Some(look) = self.look {
            self.store.seen.told(look);
        }
        Ok(())
    }

    /// Nothing was to be changed.
    pub(in crate::store) async fn cancel(mut self) -> Result<(), Fault> {
        self.transaction.lane().end = self.before;
        self.transaction.rollback().await
    }

    /// Writes an audit entry as the next link of this lane's chain.
    pub(super) async fn note(&mut self, note: impl Into<TextNote>) -> Result<(), Fault> {
        let entry = self.link(note.into()).await?;
        self.last.push(insert(sql::AUDIT, [entry].into_iter()));
        Ok(())
    }

    /// Writes many, by as few statements as there are for that; for transactions that have no other entries.
    pub(super) async fn notes(&mut self, notes: &[TextNote]) -> Result<(), Fault> {
        let mut notes = notes.iter().cloned();
        for (entries, text) in &*sql::AUDIT_MANY {
            while notes.len() >= *entries {
                let mut linked = Vec::with_capacity(*entries);
                for note in notes.by_ref().take(*entries) {
                    linked.push(self.link(note).await?);
                }
                self.execute(insert(text, linked.into_iter())).await?;
            }
        }
        for note in notes {
            self.note(note).await?;
        }
        Ok(())
    }

    async fn link(&mut self, note: TextNote) -> Result<Entry, Fault> {
        let (end, anchors) = self.end().await?;
        let mut entry = Entry {
            seq: 0,
            chain: self.transaction.lane().chain,
            place: end.place + 1,
            at: self.store.clock.now(),
            action: note.action.to_owned(),
            actor: note.actor.0,
            subject: note.subject,
            detail: note.detail,
            anchors,
            hash: [0; 32],
        };
        entry.hash = self.store.installation.audit.hash(&end.hash, &entry);
        self.end = Some(Link { place: entry.place, hash: entry.hash });
        self.transaction.lane().end = self.end;
        Ok(entry)
    }

    /// The chain's end, and what the next entry tells of other chains. Read inside the transaction, where the one is not
    /// known or the other is due.
    async fn end(&mut self) -> Result<(Link, Option<Anchors>), Fault> {
        let (lane, store, now) = (*self.transaction.lane(), self.store, self.store.clock.uptime());
        let is_due = self.look.is_none() && store.seen.is_due(now, store.bounds.anchor_every);
        if let Some(end) = lane.end.filter(|_| !is_due) {
            return Ok((end, None));
        }
        let look = query(sql::AUDIT_SEEN).bind(lane.chain.as_i64()).bind(store.bounds.anchors_max);
        let (mut own, mut others) = (Link::default(), HashMap::new());
        for row in self.fetch(look).await? {
            let end = Link { place: unsigned(&row, "place")?, hash: bytes32(&row, "hash")? };
            match OwnerId::from_i64(row.try_get("chain")?) {
                chain if chain == lane.chain => own = end,
                chain => drop(others.insert(chain, end)),
            }
        }
        let look = Look::new(others, now);
        let (end, anchors) = (lane.end.unwrap_or(own), store.seen.new_in(&look));
        self.look = Some(look);
        // A chain's first entry says that it is one of those that see others, also where there are none.
        Ok((end, Some(anchors).filter(|anchors| end.place == 0 || !anchors.is_empty())))
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

fn insert(text: impl Into<Sql>, entries: impl ExactSizeIterator<Item = Entry>) -> Statement {
    let insert = query(text).with_room(entries.len() * sql::AUDIT_COLUMNS);
    entries.fold(insert, |insert, entry| {
        insert
            .bind(entry.chain.as_i64())
            .bind(i64::try_from(entry.place).unwrap_or(i64::MAX))
            .bind(entry.at.as_millis())
            .bind(entry.action)
            .bind(entry.actor)
            .bind(entry.subject)
            .bind(entry.detail)
            .bind(entry.anchors.map(|anchors| anchors.to_bytes()))
            .bind(entry.hash.to_vec())
    })
}
