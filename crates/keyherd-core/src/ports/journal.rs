//! Providers' answers, kept on this machine before the store may fail.

use std::time::Duration;

use async_trait::async_trait;

use crate::credential::Tokens;
use crate::ids::{ChainId, ClaimId};
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// One provider's answer, as it will stand in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Whose answer.
    pub chain: ChainId,
    /// The claim it was made under.
    pub claim: ClaimId,
    /// The generation whose token was spent.
    pub generation: u64,
    /// Hash of what was spent: the entry's name.
    pub spent: TokenHash,
    /// The next generation's tokens, merged.
    pub tokens: Tokens,
    /// The refresh followed a rejection upstream.
    pub minted_by_rejection: bool,
    /// When the answer came.
    pub received_at: Timestamp,
}

impl JournalEntry {
    /// Whether it is what followed when that chain spent its token at that generation.
    pub fn answers(&self, chain: ChainId, generation: u64) -> bool {
        self.chain == chain && self.generation == generation
    }
}

/// A committed entry that has been kept long enough, as far as time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aged {
    /// The entry's name.
    pub spent: TokenHash,
    /// Whose answer it is.
    pub chain: ChainId,
    /// The generation whose token was spent for it.
    pub generation: u64,
}

/// Why the journal could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The file system said no.
    #[error("the journal cannot be used: {0}")]
    Io(String),
    /// An entry is sealed under a key that is not here: nothing is lost yet.
    #[error("journal entry {name} cannot be opened: {problem}")]
    Sealed {
        /// The entry's name.
        name: String,
        /// Which key is missing.
        problem: String,
    },
    /// An entry does not open: cut off, changed, or another token's.
    #[error("journal entry {name} cannot be read: {problem}")]
    Unreadable {
        /// The entry's name.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// Sealed, fsynced, one entry per spent token.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Keeps an entry. When this returns, it survives the process and the machine's power.
    async fn write(&self, entry: &JournalEntry) -> Result<(), JournalError>;

    /// The answer that was had for a token, if one was.
    async fn find(&self, spent: &TokenHash) -> Result<Option<JournalEntry>, JournalError>;

    /// The answer that was had for a token when that chain spent it at that generation. A token that a provider leaves as
    /// it is has one for each generation, and an older one must not hide the one that is asked for: where there are
    /// several places, all are looked at.
    async fn find_for(
        &self,
        spent: &TokenHash,
        chain: ChainId,
        generation: u64,
    ) -> Result<Option<JournalEntry>, JournalError> {
        Ok(self.find(spent).await?.filter(|entry| entry.answers(chain, generation)))
    }

    /// The store has it: the entry stays for roll-forward, but is pending no more.
    async fn committed(&self, spent: &TokenHash) -> Result<(), JournalError>;

    /// Entries that are in no store yet, as far as is known; at most `limit`.
    async fn pending(&self, limit: usize) -> Result<Vec<TokenHash>, JournalError>;

    /// Some of the committed entries that are older than `keep`, the ones after those that the last call gave; and
    /// clears away what nobody will finish. Whether an entry may go is for the store to say: see [`Journal::forget`].
    async fn aged(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<Vec<Aged>, JournalError>;

    /// Drops a committed entry.
    async fn forget(&self, spent: &TokenHash) -> Result<(), JournalError>;
}
