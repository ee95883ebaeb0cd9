//! The journal under the master key of the day: a key that another process rotated is taken up here too.
//!
//! Owns the moment when the journal's keys are read anew. Never changes a key.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyherd_adapters::journal::{FileJournal, Resealed};
use keyherd_adapters::seal::{KeySource, Keyring};
use keyherd_adapters::store::sqlite::SqliteStore;
use keyherd_core::ports::{Journal, JournalEntry, JournalError};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

/// A [`FileJournal`] that follows the store's keys.
///
/// The store learns of a rotation from the first row it reads: so an answer whose claim was taken after the rotation is
/// sealed under the new key, and one that was taken before is waited for by whoever rotates.
pub(crate) struct KeyedJournal {
    files: FileJournal,
    store: Arc<SqliteStore>,
    keys: KeySource,
}

impl KeyedJournal {
    pub(super) fn new(files: FileJournal, store: Arc<SqliteStore>, keys: KeySource) -> Self {
        Self { files, store, keys }
    }

    /// Puts every entry under the first of these keys.
    pub(crate) async fn reseal(&self, keyring: Keyring) -> Result<Resealed, JournalError> {
        self.files.rekey(keyring);
        self.files.reseal_all().await
    }

    /// Reads the keys where they are kept. Keys that cannot be read leave the known ones at work.
    fn reload(&self) {
        match self.keys.load() {
            Ok(keyring) => self.files.rekey(keyring),
            Err(error) => tracing::warn!(%error, "the master keys cannot be read again"),
        }
    }
}

#[async_trait]
impl Journal for KeyedJournal {
    async fn write(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        self.files.rekey(self.store.keyring());
        self.files.write(entry).await
    }

    async fn find(&self, spent: &TokenHash) -> Result<Option<JournalEntry>, JournalError> {
        match self.files.find(spent).await {
            Err(JournalError::Unreadable { .. }) => {
                self.reload();
                self.files.find(spent).await
            }
            found => found,
        }
    }

    async fn committed(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.files.committed(spent).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<TokenHash>, JournalError> {
        self.files.pending(limit).await
    }

    async fn trim(&self, now: Timestamp, keep: Duration) -> Result<usize, JournalError> {
        self.files.trim(now, keep).await
    }
}
