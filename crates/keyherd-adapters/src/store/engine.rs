//! The seam between the rooms and a database: reading, and transactions of a few kinds.
//!
//! Owns what the rooms may ask of an engine, and nothing else: connections, dialects, faults and the judging of a
//! claim's owner are the engine's. Every statement that an engine is given runs on all of them.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::audit::Link;
use keyherd_core::credential::Holder;
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::StoreError;

use super::fault::Fault;
use super::statement::{Row, Statement};

/// What a transaction is about to do, which is what it must be kept apart from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Single conditional statements: the condition stands in the statement that writes.
    Plain,
    /// As [`Kind::Plain`], and it seals: the key in force must not change until it ends.
    Sealing,
    /// Looks, then writes what it decided: no other transaction of this kind runs meanwhile, and neither does
    /// [`Kind::Rotating`]. Chains that it looks at are looked at by the statements that lock them.
    Administrative,
    /// Changes the key in force or seals rows anew: nothing that seals runs meanwhile.
    Rotating,
}

/// A database that a store lives in.
#[async_trait]
pub(crate) trait Engine: Send + Sync + 'static {
    /// Reads outside of any transaction of ours: one statement, one moment.
    async fn read(&self, statement: Statement) -> Result<Vec<Row>, Fault>;

    /// Begins a transaction. Dropped without an end it is rolled back.
    async fn begin(&self, kind: Kind) -> Result<Box<dyn Transaction + '_>, Fault>;

    /// For callers outside: whose fault it was, and the way out.
    fn explain(&self, fault: Fault) -> StoreError;

    /// This process, as the owner of its claims.
    fn owner(&self) -> OwnerId;

    /// Sees to it that others can judge whether this process lives. Before every claim.
    fn vouch(&self) -> Result<(), Fault>;

    /// How long a claim lives on the database's clock unless it is renewed; `None`: as long as its owner, which
    /// [`Engine::holder`] can see.
    fn claim_life(&self) -> Option<Duration>;

    /// Whether a claim's owner can still act. `is_over`: the claim's life has ended, by the database's clock.
    fn holder(&self, owner: OwnerId, is_over: Option<bool>) -> Holder;

    /// Whether the audit log's numbers have no holes, since only commits use them up, and in their order.
    fn numbers_every_entry(&self) -> bool;

    /// For how long after an event's number was seen a lower one may still appear; `None`: never.
    fn latecomers(&self) -> Option<Duration>;

    /// Clears away what only this engine leaves behind.
    fn tidy(&self);

    /// Closes the connections in order.
    async fn close(&self);
}

/// A transaction at work.
#[async_trait]
pub(crate) trait Transaction: Send {
    /// Its rows. Statements that change rows go to [`Transaction::execute`].
    async fn fetch(&mut self, statement: Statement) -> Result<Vec<Row>, Fault>;

    /// How many rows it changed.
    async fn execute(&mut self, statement: Statement) -> Result<u64, Fault>;

    /// How many rows each change changed, and the rows of a look after them all, in one trip to the database: for what
    /// does not depend on what one before it did.
    async fn execute_then_fetch(
        &mut self,
        changes: Vec<Statement>,
        look: Statement,
    ) -> Result<(Vec<u64>, Vec<Row>), Fault>;

    /// Where this transaction's audit entries go.
    fn lane(&self) -> Lane;

    /// Runs what is last, and commits. All of it may travel in one piece. `end`: the lane's, after it.
    async fn commit(self: Box<Self>, last: Vec<Statement>, end: Option<Link>) -> Result<(), Fault>;

    /// All of it, and commits, in one trip to the database.
    async fn finish(self: Box<Self>, whole: Whole) -> Result<Finished, Fault>;

    /// Nothing was to be changed.
    async fn rollback(self: Box<Self>) -> Result<(), Fault>;
}

/// The rest of a transaction that is known before any of it is done.
pub(crate) struct Whole {
    pub(crate) changes: Vec<Statement>,
    pub(crate) looks: Vec<Statement>,
    /// Each with its own condition that the last of the changes changed a row.
    pub(crate) last: Vec<Statement>,
    /// The lane's end where it did.
    pub(crate) end: Option<Link>,
    /// The lane's end where it did not.
    pub(crate) end_before: Option<Link>,
}

/// What became of it.
pub(crate) struct Finished {
    /// Whether the last of the changes changed a row.
    pub(crate) is_done: bool,
    /// The rows of each look.
    pub(crate) seen: Vec<Vec<Row>>,
}

/// One connection's audit chain: transactions on the same lane follow each other, on different lanes they do not wait
/// for each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    /// The chain's name in the log. No two connections at work share one.
    pub(crate) chain: OwnerId,
    /// Its end as the lane's last commit left it. `None`: not known, since the connection is new: a former one may
    /// still be committing what its caller did not wait for.
    pub(crate) end: Option<Link>,
}
