//! Token chains: claims, their compare-and-set ends, and what is due.

use std::time::Duration;

use async_trait::async_trait;

use super::{Record, StoreError};
use crate::credential::{Chain, Purpose};
use crate::ids::{ChainId, ClaimId, Name};
use crate::refresh::Settlement;
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// A claim to be taken: conditional on the row being what the asker decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimAsk {
    /// The new claim's id, random.
    pub id: ClaimId,
    /// The chain.
    pub chain: ChainId,
    /// The row's revision that the decision was made on.
    pub revision: u64,
    /// What for.
    pub purpose: Purpose,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// It is ours; the row as re-read by the claiming statement.
    Granted(Box<Chain>),
    /// The row is another one by now, or claimed; `None`: it is gone.
    Missed(Option<Box<Chain>>),
}

/// What became of a settlement.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    /// Committed; the row as it stands now.
    Done(Box<Chain>),
    /// The claim was not ours any more, or the row moved on: nothing was changed. `None`: the row is gone.
    Superseded(Option<Box<Chain>>),
}

/// How a claim ends.
#[derive(Debug, Clone)]
pub struct Settling {
    /// The chain.
    pub chain: ChainId,
    /// The claim that is resolved by it.
    pub claim: ClaimId,
    /// The generation it was taken at.
    pub generation: u64,
    /// The row's next state.
    pub settlement: Settlement,
    /// Hash of what the next call would spend, for [`Settlement::Granted`].
    pub spend_hash: Option<TokenHash>,
    /// For [`Settlement::Granted`]: the refresh followed a rejection.
    pub minted_by_rejection: bool,
    /// When the background looks at it next.
    pub due_at: Option<Timestamp>,
}

/// A chain the background should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub chain: ChainId,
    /// One of its credentials, for logs and lookups.
    pub name: Name,
    /// Its provider, for bounds.
    pub provider: String,
    /// Its own token endpoint, if it has one, for the endpoint's bounds.
    pub token_url: Option<String>,
    /// Since when it is due.
    pub due_at: Timestamp,
}

/// Token chains: claims and compare-and-set.
#[async_trait]
pub trait ChainStore: Send + Sync + 'static {
    /// One chain.
    async fn chain(&self, id: ChainId) -> Result<Option<Chain>, StoreError>;

    /// Takes a claim, unless the row moved or an unresolved claim stands. One conditional statement, which returns the
    /// row. The owner's liveness is recorded with it.
    async fn claim(&self, ask: &ClaimAsk, record: Record) -> Result<Claimed, StoreError>;

    /// How long a granted claim lives on the store's clock unless it is renewed. `None`: as long as its owner's
    /// process, which the store can see.
    fn claim_life(&self) -> Option<Duration> {
        None
    }

    /// Gives a claim of this process its whole life again. `false`: it is ours no more. No change of revision, and no
    /// audit entry: nothing was decided.
    async fn renew(&self, _chain: ChainId, _claim: ClaimId) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// Ends a claim by compare-and-set on (chain, claim, generation). A claim of another process is ended only while
    /// its owner is gone.
    async fn settle(&self, settling: Settling, record: Record) -> Result<Settled, StoreError>;

    /// Commits an answer that was journaled, whoever holds the claim or none: compare-and-set on (chain, generation,
    /// hash of the spent token).
    async fn roll_forward(
        &self,
        spent: &TokenHash,
        settling: Settling,
        record: Record,
    ) -> Result<Settled, StoreError>;

    /// Chains that are due, the longest due first.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError>;

    /// Moves a chain's due time from what was seen, without a change of revision. Where it is another one by now,
    /// somebody knew better, and it stays.
    async fn reschedule(
        &self,
        chain: ChainId,
        seen: Option<Timestamp>,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// How many claims are unresolved.
    async fn unresolved(&self) -> Result<u64, StoreError>;

    /// How many unresolved claims were taken before that moment on the store's clock.
    async fn claimed_before(&self, at: Timestamp) -> Result<u64, StoreError>;
}
