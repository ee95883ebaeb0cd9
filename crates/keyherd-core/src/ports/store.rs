//! The store, room by room: each mutating call is one transaction that carries its audit note and its event.
//!
//! Conditions (who may claim, which generation is current) are decided by the store, in the same statement that
//! changes the row; outcomes that the domain expects are values, errors are for what went wrong.

mod access;
mod chains;
mod clients;
mod credentials;
mod logs;
mod pools;
mod profiles;
// Rules and approvals.
mod approvals;
mod rules;
// Channels.
mod channels;

pub use self::access::{AccessStore, AgentCreated, BindingAdded, PoolRemoved};
pub use self::chains::{ChainStore, ClaimAsk, Claimed, Due, Settled, Settling};
pub use self::clients::{ClientRemoved, ClientStore, NamedClient};
pub use self::credentials::{
    Amended, Change, Conflict, Created, CredentialStore, NewCredential, Reconnected, Removed,
    SCOPES_RESTING_MAX,
};
pub use self::logs::{AuditStore, Event, EventStore, Record, StoredEvent, Trimmed, Verified};
pub use self::pools::{NewPool, PoolChange, PoolChanged, PoolCreated, PoolStore, PoolTurn, PoolTurned};
pub use self::profiles::{PROFILE_CHANGED, ProfileStore, StoredProfile};
// Rules and approvals.
pub use self::approvals::{
    APPROVAL_ANSWERED, APPROVAL_OPENED, ApprovalStore, Closed, NewApproval, OpenBounds, Opened, WORD_LIFE,
    withdrawal,
};
pub use self::rules::{NewRule, RULES_CHANGED, RuleStore, RulesEdit, RulesEdited};
// Channels.
pub use self::channels::{ChannelAdded, ChannelStore};

/// What went wrong with the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or not in time: what was asked of it was not done.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// Its answer was lost: what was asked of it may have been done, or may be done yet.
    #[error("the store's answer was lost: {0}")]
    Unanswered(String),
    /// It is full, read-only, or not permitted.
    #[error("the store cannot be written: {0}")]
    Unwritable(String),
    /// It is not where it is said to be, or does not let us in: so it stays until somebody changes a setting.
    #[error("the store cannot be used: {0}")]
    Misconfigured(String),
    /// What it holds is damaged, or from another program.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// What it holds was sealed under a key that is not here.
    #[error("the store's secrets cannot be opened: {0}")]
    Sealed(String),
}

impl StoreError {
    /// Whether what was asked may have been done all the same, or may be done yet.
    pub fn may_have_been_done(&self) -> bool {
        matches!(self, Self::Unanswered(_))
    }
}

/// Everything the broker keeps.
pub trait Store:
    CredentialStore
    + PoolStore
    + ChainStore
    + ClientStore
    + ProfileStore
    + AccessStore
    + AuditStore
    + EventStore
    + RuleStore
    + ApprovalStore
    + ChannelStore
{
}

impl<T> Store for T where
    T: CredentialStore
        + PoolStore
        + ChainStore
        + ClientStore
        + ProfileStore
        + AccessStore
        + AuditStore
        + EventStore
        + RuleStore
        + ApprovalStore
        + ChannelStore
{
}
