//! The PostgreSQL engine: the wire's lanes behind the rooms' seam.
//!
//! Owns how kinds of transactions are kept apart, by locks that end with the transaction: behind a pooler nothing else
//! holds. An audit chain belongs to a lane of this process. The database refuses an entry that does not follow the
//! chain's recorded end, so that a commit whose reply was lost and which lands late cannot fork it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all};
use keyherd_core::audit::Link;
use keyherd_core::credential::Holder;
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::{Entropy, StoreError};

use super::fault::{explain, told};
use super::row::{neutral, params};
use crate::postgres::{Last, Tx, Wire, WireError};
use crate::store::engine::{Engine, Finished, Kind, Lane, Transaction, Whole};
use crate::store::fault::Fault;
use crate::store::statement::{Row, Statement};

/// Names of the locks that end with their transaction. Random, so that no other program's are the same.
pub(super) mod lock {
    /// Who makes the store or upgrades it.
    pub(in crate::store::postgres) const UPGRADE: &str = "SELECT pg_advisory_xact_lock(5721849023178456101)";
    pub(super) const KEY_SHARED: &str = "SELECT pg_advisory_xact_lock_shared(5721849023178456102)";
    pub(in crate::store::postgres) const KEY: &str = "SELECT pg_advisory_xact_lock(5721849023178456102)";
    /// Who rotates the master key, for as long as that takes.
    pub(in crate::store::postgres) const ROTATION: &str = "SELECT pg_advisory_xact_lock(5721849023178456104)";
    pub(super) const ADMINISTRATION: &str = "SELECT pg_advisory_xact_lock(5721849023178456103)";
}

/// One process's way into the database.
pub(super) struct PostgresEngine {
    pub(super) wire: Wire,
    pub(super) owner: OwnerId,
    pub(super) claim_life: Duration,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) lanes: Mutex<HashMap<u32, Known>>,
}

/// What is known of a lane's audit chain, as of a session of that lane.
#[derive(Clone, Copy)]
pub(super) struct Known {
    chain: OwnerId,
    session: u64,
    end: Option<Link>,
    /// How often the lane was taken. What a transaction knows of its end counts only while nobody took the lane after
    /// it, which may be before it hears of its own commit.
    taken: u64,
}

impl PostgresEngine {
    pub(super) fn told<T>(&self, outcome: Result<T, WireError>) -> Result<T, Fault> {
        outcome.map_err(|error| told(error, self.wire.target()))
    }

    /// The lane's chain, and its end where nothing happened to the lane since it was left; and which time it is.
    fn lane_of(&self, tx: &Tx) -> (Lane, u64) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Known {
            chain: OwnerId::from_i64(self.entropy.id()),
            session: tx.session(),
            end: None,
            taken: 0,
        };
        let known = lanes.entry(tx.lane()).or_insert_with(fresh);
        let end = known.end.take().filter(|_| known.session == tx.session());
        known.taken += 1;
        (Lane { chain: known.chain, end }, known.taken)
    }

    fn remember(&self, number: u32, session: u64, lane: Lane, taken: u64) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lanes.get_mut(&number).filter(|known| known.taken == taken) {
            (known.session, known.end) = (session, lane.end);
        }
    }
}

#[async_trait]
impl Engine for PostgresEngine {
    async fn read(&self, statement: Statement) -> Result<Vec<Row>, Fault> {
        let rows = self.wire.read(statement.sql.postgres, &params(&statement.values)).await;
        self.told(rows).map(neutral)
    }

    async fn begin(&self, kind: Kind) -> Result<Box<dyn Transaction + '_>, Fault> {
        let tx = self.told(self.wire.begin().await)?;
        let owed: &[&str] = match kind {
            Kind::Plain => &[],
            Kind::Sealing => &[lock::KEY_SHARED],
            // Always in this order: no two of them wait for each other.
            Kind::Administrative => &[lock::ADMINISTRATION, lock::KEY_SHARED],
            Kind::Rotating => &[lock::ADMINISTRATION, lock::KEY],
        };
        let (lane, taken) = self.lane_of(&tx);
        Ok(Box::new(Turn { engine: self, tx, owed, lane, taken }))
    }

    fn explain(&self, fault: Fault) -> StoreError {
        explain(fault, self.wire.target())
    }

    fn owner(&self) -> OwnerId {
        self.owner
    }

    /// The claim's own life does.
    fn vouch(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn claim_life(&self) -> Option<Duration> {
        Some(self.claim_life)
    }

    /// A claim of ours is ours while it stands: nobody else ends one whose life is renewed.
    fn holder(&self, owner: OwnerId, is_over: Option<bool>) -> Holder {
        match is_over {
            _ if owner == self.owner => Holder::Mine,
            Some(false) => Holder::Alive,
            // A claim without a life was never written by a program that works on this schema.
            Some(true) | None => Holder::Gone,
        }
    }

    fn numbers_every_entry(&self) -> bool {
        false
    }

    /// A number is drawn by the insertion of its event, which is among the last statements before the commit, and it is seen when
    /// the commit has ended; so one that is drawn first may be seen last. How much later is bounded by the server alone,
    /// whatever becomes of the host: the insertion ends within `statement_timeout`, and a COMMIT that has not come after
    /// `idle_in_transaction_session_timeout` never will. Committing itself takes a moment, for which there is a margin:
    /// where it takes longer, as with a synchronous replica that is away, an event may come after it was given up, which
    /// has made every snapshot stale then; a poll and the claim stand behind it. A number that was never committed
    /// is such a hole too: after a rollback, or some dozens at once after the server's end. Every host is taken to have
    /// the same bounds.
    fn latecomers(&self) -> Option<Duration> {
        Some(self.wire.commit_delay_max())
    }

    fn tidy(&self) {}

    async fn close(&self) {
        self.wire.close();
    }
}

fn changing(statement: &Statement) -> Last<'_> {
    Last::Change(statement.sql.postgres, params(&statement.values))
}

/// A transaction on a lane.
struct Turn<'a> {
    engine: &'a PostgresEngine,
    tx: Tx,
    /// Locks that are still to be taken: they travel before the first statement, in the same packet, and the server
    /// comes to that one when it has them. What it sees is of that moment then.
    owed: &'static [&'static str],
    lane: Lane,
    taken: u64,
}

impl Turn<'_> {
    /// `before`: so many of the statements travel ahead of the last one.
    async fn locked<T>(
        &mut self,
        before: usize,
        statement: impl AsyncFnOnce(&Tx) -> Result<T, WireError>,
    ) -> Result<T, Fault> {
        let owed = std::mem::take(&mut self.owed);
        self.tx.send_ahead(owed.len() + before);
        let locks = join_all(owed.iter().map(|lock| self.tx.query(lock, &[])));
        let (locks, done) = join(locks, statement(&self.tx)).await;
        self.tx.send_ahead(0);
        for lock in locks {
            self.engine.told(lock)?;
        }
        self.engine.told(done)
    }
}

#[async_trait]
impl Transaction for Turn<'_> {
    async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, Fault> {
        let (sql, params) = (statement.sql.postgres, params(&statement.values));
        let rows = self.locked(0, async |tx| tx.query(sql, &params).await).await;
        rows.map(neutral)
    }

    async fn execute(&mut self, statement: Statement) -> Result<u64, Fault> {
        let (sql, params) = (statement.sql.postgres, params(&statement.values));
        self.locked(0, async |tx| tx.execute(sql, &params).await).await
    }

    async fn execute_then_fetch(
        &mut self,
        changes: Vec<Statement>,
        look: Statement,
    ) -> Result<(Vec<u64>, Vec<Row>), Fault> {
        let changes: Vec<_> = changes.iter().map(|one| (one.sql.postgres, params(&one.values))).collect();
        let look = (look.sql.postgres, params(&look.values));
        let done = self.locked(changes.len(), async |tx| {
            let changed = join_all(changes.iter().map(|(sql, params)| tx.execute(sql, params)));
            let (changed, rows) = join(changed, tx.query(look.0, &look.1)).await;
            // The first that failed is why the others did.
            Ok((changed.into_iter().collect::<Result<_, _>>()?, rows?))
        });
        let (changed, rows) = done.await?;
        Ok((changed, neutral(rows)))
    }

    fn lane(&self) -> Lane {
        self.lane
    }

    async fn commit(self: Box<Self>, last: Vec<Statement>, end: Option<Link>) -> Result<(), Fault> {
        let Self { engine, tx, owed, lane, taken } = *self;
        let (number, session) = (tx.lane(), tx.session());
        let locks = owed.iter().map(|lock| Last::Change(lock, Vec::new()));
        let last = locks.chain(last.iter().map(changing)).collect();
        tx.send_ahead(owed.len());
        engine.told(tx.commit_with(last).await)?;
        engine.remember(number, session, Lane { end, ..lane }, taken);
        Ok(())
    }

    async fn finish(self: Box<Self>, whole: Whole) -> Result<Finished, Fault> {
        let Self { engine, tx, owed, lane, taken } = *self;
        let (number, session) = (tx.lane(), tx.session());
        let locks = owed.iter().map(|lock| Last::Look(lock, Vec::new()));
        let all = locks
            .chain(whole.changes.iter().map(changing))
            .chain(whole.looks.iter().map(|look| Last::Look(look.sql.postgres, params(&look.values))))
            .chain(whole.last.iter().map(changing));
        tx.send_ahead(owed.len() + whole.changes.len());
        let mut done = engine.told(tx.commit_with(all.collect()).await)?.into_iter().skip(owed.len());
        let is_done = done.by_ref().take(whole.changes.len()).last().is_some_and(|last| last.changed > 0);
        let seen = done.take(whole.looks.len()).map(|done| neutral(done.rows)).collect();
        let end = if is_done { whole.end } else { whole.end_before };
        engine.remember(number, session, Lane { end, ..lane }, taken);
        Ok(Finished { is_done, seen })
    }

    async fn rollback(self: Box<Self>) -> Result<(), Fault> {
        let engine = self.engine;
        engine.told(self.tx.rollback().await)
    }
}
