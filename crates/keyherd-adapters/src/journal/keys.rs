//! The journal's keyring, which follows the master key's rotation.
//!
//! Owns the moment at which the key source is read again: before each entry is sealed, so that none is under a key
//! that was retired meanwhile, and when one is met that another process sealed under a newer key.

use std::sync::{OnceLock, PoisonError, RwLock};

use keyherd_core::ports::{JournalEntry, JournalError};
use keyherd_core::secret::TokenHash;

use super::document::Sealer;
use crate::seal::{KeySource, Keyring};

/// A keyring bound to an installation.
#[derive(Debug)]
pub(super) struct Keys {
    installation: [u8; 16],
    keyring: RwLock<Keyring>,
    source: OnceLock<KeySource>,
}

impl Keys {
    pub(super) fn new(installation: [u8; 16], keyring: Keyring) -> Self {
        Self { installation, keyring: RwLock::new(keyring), source: OnceLock::new() }
    }

    pub(super) fn follow(&self, source: KeySource) {
        // A second source would be the same one: what was set first stays.
        let _ = self.source.set(source);
    }

    pub(super) fn replace(&self, keyring: Keyring) {
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = keyring;
    }

    /// Reads the key source, where there is one: some microseconds beside an fsync.
    pub(super) fn seal(&self, entry: &JournalEntry) -> Result<Vec<u8>, JournalError> {
        self.reload();
        self.sealer().seal(entry)
    }

    /// The same of several, for which the source is read once.
    pub(super) fn seal_all(&self, entries: &[JournalEntry]) -> Vec<Result<Vec<u8>, JournalError>> {
        self.reload();
        let sealer = self.sealer();
        entries.iter().map(|entry| sealer.seal(entry)).collect()
    }

    pub(super) fn open(
        &self,
        spent: &TokenHash,
        name: &str,
        file: &[u8],
    ) -> Result<JournalEntry, JournalError> {
        if self.sealer().lacks_key(file).is_some() {
            self.reload();
        }
        let sealer = self.sealer();
        if let Some(key) = sealer.lacks_key(file) {
            let problem = format!(
                "it is sealed under master key {key}, which is not here: give that key as well, or remove the file to \
                 give its answer up"
            );
            return Err(JournalError::Sealed { name: name.to_owned(), problem });
        }
        sealer.open(spent, name, file)
    }

    /// Whether a file is under the key that seals now.
    pub(super) fn is_current(&self, file: &[u8]) -> bool {
        self.sealer().is_current(file)
    }

    /// A source that cannot be read now changes nothing: an answer is better sealed under an older key than lost.
    fn reload(&self) {
        match self.source.get().map(KeySource::load) {
            Some(Ok(keyring)) => self.replace(keyring),
            Some(Err(error)) => tracing::warn!(%error, "the journal goes on with the master key it has"),
            None => {}
        }
    }

    fn sealer(&self) -> Sealer {
        let keyring = self.keyring.read().unwrap_or_else(PoisonError::into_inner).clone();
        Sealer { keyring, installation: self.installation }
    }
}
