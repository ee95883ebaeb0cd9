//! A change: a transaction with its audit entry and its event.
//!
//! Owns the rule that nothing is committed without them, and where an entry stands in its lane's chain. Entries and
//! events are run last, with the commit.

use std::collections::HashMap;

use keyherd_core::audit::{Anchors, Content, Link, Sheaf, TextNote};
use keyherd_core::ids::{ChainId, OwnerId};
use keyherd_core::ports::store::{Event, Record};
use keyherd_core::time::Timestamp;

use super::SqlStore;
use super::credentials::signed;
use super::row::{bytes32, key_in_force, unsigned};
use super::seen::Look;
use crate::store::engine::{Kind, Transaction, Whole};
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, Statement, Value, query, query_all};

/// A transaction that writes. Dropped without [`Write::commit`] it is rolled back.
pub(in crate::store) struct Write<'a> {
    store: &'a SqlStore,
    transaction: Box<dyn Transaction + 'a>,
    last: Vec<Statement>,
    /// What is last is run only where the transaction changed this chain.
    subject: Option<ChainId>,
    /// The chain's end as this transaction's entries leave it.
    end: Option<Link>,
    /// What its entries tell of other chains.
    look: Option<Look>,
    /// Whether it is known that there is nothing to be told, or that was told.
    has_asked: bool,
}

/// How a transaction is ended that is known before any of it is done; see [`Write::finish`].
#[derive(Clone)]
pub(super) struct Ending {
    /// The last of them is the one that all depends on.
    pub(super) changes: Vec<Statement>,
    /// After them.
    pub(super) look: Statement,
    /// Together with the record, and like it only where the last change changed the chain.
    pub(super) record: Record,
    /// What does no harm where it did not.
    pub(super) tidying: Option<Statement>,
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
        let transaction = self.engine.begin(kind).await?;
        Ok(Write {
            store: self,
            transaction,
            last: Vec::new(),
            subject: None,
            end: None,
            look: None,
            has_asked: false,
        })
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

    /// The rows of a look after the changes, in one trip.
    pub(super) async fn run_then_fetch(
        &mut self,
        changes: Vec<Statement>,
        look: Statement,
    ) -> Result<Vec<Row>, Fault> {
        Ok(self.transaction.execute_then_fetch(changes, look).await?.1)
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

    /// Several that were done by as many: a statement for all entries, and one for all events.
    pub(super) async fn record_all(&mut self, records: Vec<Record>) -> Result<(), Fault> {
        let (mut notes, mut events) = (Vec::with_capacity(records.len()), Vec::new());
        for record in records {
            notes.push(record.note.into());
            events.extend(record.event.map(|event| self.event(event).to_vec()));
        }
        self.rows(notes).await?;
        if !events.is_empty() {
            self.last.push(query_all(sql::crowd::EVENTS, events)?);
        }
        Ok(())
    }

    /// Ends the transaction without a word: for housekeeping, and for entries that stand for themselves.
    pub(in crate::store) async fn commit_silently(mut self) -> Result<(), Fault> {
        self.mark_end();
        let end = self.end.or(self.transaction.lane().end);
        self.transaction.commit(self.last, end).await?;
        if let Some(look) = self.look {
            self.store.seen.told(look);
        }
        Ok(())
    }

    /// All that is left of the transaction and its commit in one trip to the database: whether the chain was changed, and the
    /// first row of the look. Where it was not, nothing is written but the tidying.
    pub(super) async fn finish(
        mut self,
        chain: ChainId,
        ending: Ending,
    ) -> Result<(bool, Option<Row>), Fault> {
        self.subject = Some(chain);
        let end_before = self.transaction.lane().end;
        self.record(ending.record).await?;
        self.mark_end();
        self.last.extend(ending.tidying);
        let (store, lane, now) = (self.store, self.transaction.lane(), self.store.clock.uptime());
        let is_due = self.look.is_none() && store.seen.is_due(now, store.bounds.anchor_every);
        let others = is_due.then(|| self.look_at_chains());
        let whole = Whole {
            changes: ending.changes,
            looks: [ending.look].into_iter().chain(others).collect(),
            last: self.last,
            end: self.end,
            end_before,
        };
        let mut finished = self.transaction.finish(whole).await?;
        // Damage there is told by the next entry that looks before it writes: this one is committed.
        if is_due && let Ok((_, others)) = ends(lane.chain, &finished.seen.pop().unwrap_or_default()) {
            store.seen.keep(Look::new(others, now));
        }
        if let Some(look) = self.look.filter(|_| finished.is_done) {
            store.seen.told(look);
        }
        let row = finished.seen.pop().and_then(|rows| rows.into_iter().next());
        Ok((finished.is_done, row))
    }

    /// Nothing was to be changed.
    pub(in crate::store) async fn cancel(self) -> Result<(), Fault> {
        self.transaction.rollback().await
    }

    fn mark_end(&mut self) {
        let Some(end) = self.end else { return };
        let chain = self.transaction.lane().chain;
        let values: [Value; 5] = [
            chain.as_i64().into(),
            i64::try_from(end.place).unwrap_or(i64::MAX).into(),
            end.hash.to_vec().into(),
            self.store.installation.audit.seal(chain, &end).to_vec().into(),
            self.store.clock.now().as_millis().into(),
        ];
        self.end_with(sql::AUDIT_HEAD, values.into());
    }

    fn end_with(&mut self, ending: sql::Ending, values: Vec<Value>) {
        self.last.push(match self.subject {
            None => Statement { sql: ending.always.into(), values },
            Some(chain) => Statement { sql: ending.if_changed, values }.bind(chain.as_i64()),
        });
    }

    /// Writes an audit entry as the next link of this lane's chain.
    pub(super) async fn note(&mut self, note: impl Into<TextNote>) -> Result<(), Fault> {
        let entry = self.link(note.into()).await?;
        self.end_with(sql::AUDIT, values([entry].into_iter()));
        Ok(())
    }

    /// Writes lines: bound together where the log's numbers come in a run, and where there are enough of them.
    pub(super) async fn lines(&mut self, sheaf: &Sheaf) -> Result<(), Fault> {
        if !self.store.engine.numbers_every_entry() {
            return self.rows(sheaf.loose()).await;
        }
        if !sheaf.is_worth_binding() {
            for note in sheaf.loose() {
                self.note(note).await?;
            }
            return Ok(());
        }
        let entry = self.link(sheaf.bound()).await?;
        let statement = Statement { sql: sql::AUDIT_SHEAF.into(), values: values([entry].into_iter()) };
        self.lastly(statement.bind(signed(sheaf.len())));
        Ok(())
    }

    /// Writes many by one statement.
    async fn rows(&mut self, notes: Vec<TextNote>) -> Result<(), Fault> {
        let mut entries = Vec::with_capacity(notes.len());
        for note in notes {
            entries.push(values([self.link(note).await?].into_iter()));
        }
        if !entries.is_empty() {
            self.lastly(query_all(sql::crowd::AUDIT, entries)?);
        }
        Ok(())
    }

    async fn link(&mut self, note: TextNote) -> Result<Linked, Fault> {
        let (end, anchors) = match self.next_at_hand() {
            Some(end) => (end, None),
            None => Box::pin(self.end()).await?,
        };
        let (chain, place) = (self.transaction.lane().chain, end.place + 1);
        let at = note.at.unwrap_or_else(|| self.store.clock.now());
        let content = Content {
            chain,
            place,
            at,
            action: &note.action,
            actor: &note.actor.0,
            subject: &note.subject,
            detail: &note.detail,
            anchors: anchors.as_ref(),
        };
        let link = Link { place, hash: self.store.installation.audit.hash_of(&end.hash, &content) };
        self.end = Some(link);
        Ok(Linked { chain, at, note, anchors, link })
    }

    /// The chain's end, where it is known and nothing is to be told of other chains.
    fn next_at_hand(&mut self) -> Option<Link> {
        // Asked once in a transaction, however many entries it has.
        let (has_asked, store) = (std::mem::replace(&mut self.has_asked, true), self.store);
        let end = self.end.or(self.transaction.lane().end);
        end.filter(|_| has_asked || store.seen.is_quiet(store.clock.uptime(), store.bounds.anchor_every))
    }

    /// The chain's end, and what the next entry tells of other chains. Read inside the transaction, where the one is not
    /// known or the other is due; a transaction that is ended in one trip brings the other back with it, for a later entry.
    async fn end(&mut self) -> Result<(Link, Option<Anchors>), Fault> {
        let (lane, store, now) = (self.transaction.lane(), self.store, self.store.clock.uptime());
        let known = self.end.or(lane.end);
        let kept = if self.look.is_none() { store.seen.kept() } else { None };
        let is_due = self.look.is_none() && store.seen.is_due(now, store.bounds.anchor_every);
        let (end, look) = match (known, kept) {
            (Some(end), Some(kept)) => (end, kept),
            (Some(end), None) if !is_due || self.subject.is_some() => return Ok((end, None)),
            (known, _) => {
                let look = self.look_at_chains();
                let (own, others) = ends(lane.chain, &self.fetch(look).await?)?;
                (known.unwrap_or(own), Look::new(others, now))
            }
        };
        let anchors = store.seen.new_in(&look, lane.chain);
        self.look = Some(look);
        // A chain's first entry says that it is one of those that see others, also where there are none.
        Ok((end, Some(anchors).filter(|anchors| end.place == 0 || !anchors.is_empty())))
    }

    fn look_at_chains(&self) -> Statement {
        let chain = self.transaction.lane().chain;
        query(sql::AUDIT_SEEN).bind(chain.as_i64()).bind(self.store.bounds.anchors_max)
    }

    fn tell(&mut self, event: Event) {
        let values = self.event(event);
        self.end_with(sql::EVENT, values.into());
    }

    fn event(&self, event: Event) -> [Value; 5] {
        [
            self.store.clock.now().as_millis().into(),
            event.kind.into(),
            event.chain.map(ChainId::as_i64).into(),
            event.subject.into(),
            event.detail.to_string().into(),
        ]
    }
}

/// The chain's own end, and those of others.
fn ends(chain: OwnerId, rows: &[Row]) -> Result<(Link, HashMap<OwnerId, Link>), Fault> {
    let (mut own, mut others) = (Link::default(), HashMap::new());
    for row in rows {
        let end = Link { place: unsigned(row, "place")?, hash: bytes32(row, "hash")? };
        match OwnerId::from_i64(row.try_get("chain")?) {
            of if of == chain => own = end,
            of => drop(others.insert(of, end)),
        }
    }
    Ok((own, others))
}

/// An entry that is about to be written.
struct Linked {
    chain: OwnerId,
    at: Timestamp,
    note: TextNote,
    anchors: Option<Anchors>,
    link: Link,
}

/// What insertions of entries are given, one after the other.
fn values(entries: impl ExactSizeIterator<Item = Linked>) -> Vec<Value> {
    let room = Vec::with_capacity(entries.len() * sql::AUDIT_COLUMNS + 1);
    entries.fold(room, |mut values, Linked { chain, at, note, anchors, link }| {
        values.extend::<[Value; sql::AUDIT_COLUMNS]>([
            chain.as_i64().into(),
            i64::try_from(link.place).unwrap_or(i64::MAX).into(),
            at.as_millis().into(),
            note.action.into_owned().into(),
            note.actor.0.into(),
            note.subject.into(),
            note.detail.into(),
            anchors.map(|anchors| anchors.to_bytes()).into(),
            link.hash.to_vec().into(),
        ]);
        values
    })
}
