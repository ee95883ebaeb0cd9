//! Credentials by name: made, joined to chains, reconnected, amended, rested, removed.

use async_trait::async_trait;
use serde_json::Value;

use super::{Record, StoreError};
use crate::binding::User;
use crate::credential::{ClientChoice, Cooldown, Draft, Loaded, Tokens};
use crate::ids::{ChainId, ClaimId, CredentialId, Name};
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// A credential to be made. The chain's fields are ready to be written.
#[derive(Debug, Clone)]
pub struct NewCredential {
    /// Its id, random.
    pub id: CredentialId,
    /// The id of its chain, where it founds one.
    pub chain: ChainId,
    /// What was handed in.
    pub draft: Draft,
    /// The first generation's tokens.
    pub tokens: Tokens,
    /// Hash of what the next call would spend.
    pub spend_hash: Option<TokenHash>,
    /// When the background looks at it.
    pub due_at: Option<Timestamp>,
}

/// What became of a creation.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// It is there. `joined`: it joined an existing chain, whose tokens are unchanged.
    Done {
        /// As it stands now.
        loaded: Box<Loaded>,
        /// Joined rather than founded a chain.
        joined: bool,
    },
    /// The name is taken: nothing was changed.
    NameTaken(Box<Loaded>),
    /// Something else forbids it: nothing was changed.
    Conflict(Conflict),
}

/// Why tokens were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// This refresh token is another live chain's current one.
    #[error(
        "this refresh token is already held by credential '{holder}': one token in two places would be spent twice; use one credential, or give both the same 'chain'"
    )]
    TokenHeld {
        /// A credential of that chain.
        holder: String,
    },
    /// This refresh token was spent here already, and its chain lives.
    #[error(
        "this refresh token was already spent: it was generation {generation} of credential '{holder}', which is now at generation {current}; log in again, or leave it as it is"
    )]
    TokenSpent {
        /// A credential of that chain.
        holder: String,
        /// Which generation it was.
        generation: u64,
        /// Which generation is current.
        current: u64,
    },
    /// The chain exists with another client, token URL, scopes, provider or resource.
    #[error(
        "chain '{chain}' exists, and not with the same {field}: members of a chain agree on provider, client, token URL, scopes and resource"
    )]
    ChainDiffers {
        /// The chain's name.
        chain: String,
        /// The first field that differs.
        field: &'static str,
    },
    /// A pool has the name.
    #[error("a pool is named '{pool}': pools and credentials share one namespace")]
    NameOfPool {
        /// Its name.
        pool: String,
    },
    /// The named client app does not exist for this provider.
    #[error(
        "client '{client}' of provider '{provider}' does not exist: make it with 'keyherd client set {client} --provider {provider}'"
    )]
    NoClient {
        /// Its name.
        client: String,
        /// The provider.
        provider: String,
    },
}

/// What became of a reconnect.
#[derive(Debug, Clone, PartialEq)]
pub enum Reconnected {
    /// The chain has the new tokens, and a new generation if the refresh token changed.
    Done(Box<Loaded>),
    /// No credential of that name.
    NotFound,
    /// Nothing was changed.
    Conflict(Conflict),
}

/// What became of an amendment.
#[derive(Debug, Clone, PartialEq)]
pub enum Amended {
    /// As it stands now.
    Done(Box<Loaded>),
    /// No credential of that name.
    NotFound,
    /// Nothing was changed.
    Conflict(Conflict),
}

/// What became of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Done,
    /// It was not there.
    NotFound,
    /// It would be missed: nothing was changed.
    Used(User),
    /// Its chain's claim is not the one that was seen: nothing was changed.
    Claimed,
    /// It is a member of that pool: nothing was changed.
    Pooled(Name),
}

/// The most scopes of one credential that rest at once.
pub const SCOPES_RESTING_MAX: usize = 256;

/// An amendment, ready to be written.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Switch it off or on.
    pub disabled: Option<bool>,
    /// Replaces the attributes.
    pub attributes: Option<Value>,
    /// Another client app for the chain.
    pub client: Option<ClientChoice>,
    /// Another token endpoint for the chain.
    pub token_url: Option<String>,
    /// Another set of scopes for the chain.
    pub scopes: Option<Vec<String>>,
    /// When the background looks at the chain next; `None` leaves it.
    pub due_at: Option<Timestamp>,
}

/// Credentials by name.
#[async_trait]
pub trait CredentialStore: Send + Sync + 'static {
    /// One credential with its chain: one read.
    async fn credential(&self, name: &Name) -> Result<Option<Loaded>, StoreError>;

    /// Credentials after a name, in order of names.
    async fn credentials(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Loaded>, StoreError>;

    /// How many credentials are in each chain state and switch: word and count.
    async fn census(&self, now: Timestamp) -> Result<Vec<(String, u64)>, StoreError>;

    /// Makes a credential, or joins one to a named chain that exists.
    async fn create(&self, new: NewCredential, record: Record) -> Result<Created, StoreError>;

    /// Replaces the chain's tokens. Wins over a refresh in flight: the generation moves, the claim is dissolved and
    /// trouble ends. The same refresh token again keeps generation and claim. A spent one over a live chain is a conflict.
    async fn reconnect(&self, new: NewCredential, record: Record) -> Result<Reconnected, StoreError>;

    /// Changes switches, attributes or the client.
    async fn amend(&self, name: &Name, change: Change, record: Record) -> Result<Amended, StoreError>;

    /// Lets a credential rest, or that scope of it: only ever extends. `false`: nothing changed, and no event was written.
    /// Of scopes that rest at once a credential has [`SCOPES_RESTING_MAX`] at most; no more are taken.
    async fn cool(&self, id: CredentialId, cooldown: &Cooldown, record: Record) -> Result<bool, StoreError>;

    /// Ends the rest of that reason, of the whole account or of just that scope. `false`: there was none.
    async fn warm(
        &self,
        id: CredentialId,
        scope: Option<&str>,
        reason: &str,
        record: Record,
    ) -> Result<bool, StoreError>;

    /// Removes a credential; its chain goes with its last member. Only while the chain's claim is the one that was
    /// `seen` (none, or one whose owner is gone): a token that is being spent is not forgotten.
    async fn remove(
        &self,
        id: CredentialId,
        seen: Option<ClaimId>,
        record: Record,
    ) -> Result<Removed, StoreError>;
}
