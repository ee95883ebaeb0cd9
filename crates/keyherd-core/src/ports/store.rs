//! The store, room by room: each mutating call is one transaction that carries its audit note and its event.
//!
//! Conditions (who may claim, which generation is current) are decided by the store, in the same statement that
//! changes the row; outcomes that the domain expects are values, errors are for what went wrong.

use async_trait::async_trait;
use serde_json::Value;

use crate::audit::{Broken, Entry, Note};
use crate::credential::{Block, Chain, Client, ClientChoice, Cooldown, Draft, Loaded, Purpose, Tokens};
use crate::ids::{ChainId, ClaimId, CredentialId, Name};
use crate::refresh::Settlement;
use crate::secret::{Secret, TokenHash};
use crate::time::Timestamp;

/// What went wrong with the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or not in time.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// It is full, read-only, or not permitted.
    #[error("the store cannot be written: {0}")]
    Unwritable(String),
    /// What it holds is damaged, or from another program.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// What it holds was sealed under a key that is not here.
    #[error("the store's secrets cannot be opened: {0}")]
    Sealed(String),
}

/// Everything the broker keeps.
pub trait Store: CredentialStore + ChainStore + ClientStore + AuditStore + EventStore {}

impl<T: CredentialStore + ChainStore + ClientStore + AuditStore + EventStore> Store for T {}

/// Something that others want to know: written with the change, read by every process and by the events door.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `refreshed`, `reauth_required`, `cooldown`, `credential_changed`, …
    pub kind: &'static str,
    /// The chain whose snapshots are stale now.
    pub chain: Option<ChainId>,
    /// The credential or client by name.
    pub subject: String,
    /// What the events door adds. Never a secret.
    pub detail: Value,
}

/// An event as it stands in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Rising, given by the store.
    pub seq: i64,
    /// When, on the store's clock.
    pub at: Timestamp,
    /// See [`Event::kind`].
    pub kind: String,
    /// See [`Event::chain`].
    pub chain: Option<ChainId>,
    /// See [`Event::subject`].
    pub subject: String,
    /// JSON text.
    pub detail: String,
}

/// What travels with every change: why the log will know of it, and who is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// For the audit log.
    pub note: Note,
    /// For the outbox; none where nobody's snapshot changes.
    pub event: Option<Event>,
}

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
        "chain '{chain}' exists with another {field}: members of a chain agree on provider, client, token URL, scopes and resource"
    )]
    ChainDiffers {
        /// The chain's name.
        chain: String,
        /// The first field that differs.
        field: &'static str,
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

    /// Lets a credential rest: only ever extends. `false`: nothing changed, and no event was written.
    async fn cool(&self, id: CredentialId, cooldown: &Cooldown, record: Record) -> Result<bool, StoreError>;

    /// Ends a rest of that reason. `false`: there was none.
    async fn warm(&self, id: CredentialId, reason: &str, record: Record) -> Result<bool, StoreError>;

    /// Removes a credential; its chain goes with its last member. `false`: it was not there.
    async fn remove(&self, id: CredentialId, record: Record) -> Result<bool, StoreError>;
}

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

    /// Ends a claim by compare-and-set on (chain, claim, generation).
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

    /// Moves a chain's due time, without a change of revision.
    async fn reschedule(&self, chain: ChainId, due_at: Option<Timestamp>) -> Result<(), StoreError>;

    /// How many claims are unresolved.
    async fn unresolved(&self) -> Result<u64, StoreError>;
}

/// A client app that credentials share by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedClient {
    /// Its name, unique within the provider.
    pub name: Name,
    /// The provider.
    pub provider: String,
    /// The `client_id`.
    pub id: String,
    /// None for a public client.
    pub secret: Option<Secret>,
    /// Set while the provider refuses it.
    pub block: Option<Block>,
}

/// Client apps.
#[async_trait]
pub trait ClientStore: Send + Sync + 'static {
    /// All of them, in order of provider and name.
    async fn clients(&self) -> Result<Vec<NamedClient>, StoreError>;

    /// Makes or replaces one. A new configuration lifts its block. `true`: it is new.
    async fn put_client(&self, client: NamedClient, record: Record) -> Result<bool, StoreError>;

    /// Removes one. `None`: it was not there; `Some(name)`: a credential uses it and nothing was changed.
    async fn remove_client(&self, name: &Name, record: Record) -> Result<ClientRemoved, StoreError>;

    /// The named client, resolved for a chain of that provider.
    async fn client(&self, provider: &str, name: &Name) -> Result<Option<Client>, StoreError>;
}

/// What became of a client's removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRemoved {
    /// It is gone.
    Done,
    /// It was not there.
    NotFound,
    /// This credential uses it: nothing was changed.
    InUse(Name),
}

/// What a look through the whole log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Entries read.
    pub entries: u64,
    /// The first thing wrong, if anything is.
    pub broken: Option<Broken>,
}

/// The audit log.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Writes an entry that stands for itself, such as a refused attempt.
    async fn append(&self, note: Note) -> Result<(), StoreError>;

    /// Entries after `after`, in order.
    async fn entries(&self, after: i64, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// The last entries, in order.
    async fn tail(&self, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Checks every entry's hash, order and the recorded ends.
    async fn verify(&self) -> Result<Verified, StoreError>;
}

/// The outbox.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// The last event's number; 0 where there is none.
    async fn last_event(&self) -> Result<i64, StoreError>;

    /// Events after `after`, in order.
    async fn events(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// Drops what is older than its time to keep: events, spent hashes, blocks nobody has. Returns how many rows.
    async fn trim(&self, now: Timestamp) -> Result<u64, StoreError>;
}
