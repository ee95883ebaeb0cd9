//! The journal, as files: providers' answers, sealed and fsynced before the store may fail.
//!
//! Owns one folder. An entry lies in `pending/` under the hash of the token that was spent for it, and is moved to
//! `done/` when the store has it: looking for what is pending costs what is pending, however much is kept. Several
//! processes may work in one folder at once. Never decides what an entry is good for: the broker does.

mod document;
mod files;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::ports::{Journal, JournalEntry, JournalError};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

use self::document::Sealer;
pub use self::files::{ENTRY_LEN_MAX, SCAN_MAX, UNFINISHED_AGE_MAX};
use self::files::{Files, Place};
use crate::seal::Keyring;

/// A [`Journal`] in a folder of this machine.
#[derive(Debug)]
pub struct FileJournal {
    files: Arc<Files>,
    sealer: RwLock<Sealer>,
}

/// What a look through all entries did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Entries that are under the first key now, and were not before.
    pub resealed: usize,
    /// Entries that could not be opened: left as they are, under whatever key they are.
    pub unreadable: Vec<JournalError>,
}

impl FileJournal {
    /// Opens the journal in a folder, which is made for its owner alone where it is missing.
    ///
    /// # Errors
    /// [`JournalError::Io`] names the folder.
    pub fn open(dir: PathBuf, keyring: Keyring, installation: [u8; 16]) -> Result<Self, JournalError> {
        let files = Arc::new(Files::open(dir)?);
        Ok(Self { files, sealer: RwLock::new(Sealer { keyring, installation }) })
    }

    /// Seals and opens with these keys from now on.
    pub fn rekey(&self, keyring: Keyring) {
        self.sealer.write().unwrap_or_else(PoisonError::into_inner).keyring = keyring;
    }

    /// Puts every entry under the first key. Entries that come or go meanwhile are safe: the worst that happens is that
    /// one which was just committed is pending once more.
    ///
    /// # Errors
    /// [`JournalError::Io`]: some entries may still be under an older key. Entries that cannot be opened are reported
    /// in the result instead.
    pub async fn reseal_all(&self) -> Result<Resealed, JournalError> {
        let sealer = self.sealer();
        self.blocking(move |files| {
            let mut done = Resealed::default();
            for (spent, place) in files.all()? {
                match reseal(files, &sealer, &spent, place) {
                    Ok(resealed) => done.resealed += usize::from(resealed),
                    Err(unreadable @ JournalError::Unreadable { .. }) => done.unreadable.push(unreadable),
                    Err(error) => return Err(error),
                }
            }
            Ok(done)
        })
        .await
    }

    fn sealer(&self) -> Sealer {
        self.sealer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Work that waits for a disk is kept off the runtime's own threads. It is finished even when nobody waits any more.
    async fn blocking<T, W>(&self, work: W) -> Result<T, JournalError>
    where
        T: Send + 'static,
        W: FnOnce(&Files) -> Result<T, JournalError> + Send + 'static,
    {
        let files = Arc::clone(&self.files);
        let worker = tokio::task::spawn_blocking(move || work(&files));
        worker.await.unwrap_or_else(|error| Err(JournalError::Io(format!("its worker failed: {error}"))))
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn write(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        let (sealer, entry) = (self.sealer(), entry.clone());
        self.blocking(move |files| files.write(&entry, Place::Pending, &sealer.seal(&entry)?)).await
    }

    /// Looks on the calling thread: that there is no entry, which is the usual case, is known after two lookups in the
    /// kernel's cache (a few microseconds, less than it takes to wake another thread). An entry is read elsewhere.
    async fn find(&self, spent: &TokenHash) -> Result<Option<JournalEntry>, JournalError> {
        let Some(found) = self.files.find(spent)? else { return Ok(None) };
        let (sealer, spent) = (self.sealer(), *spent);
        let read = move |_: &Files| sealer.open(&spent, &found.name(), &found.read()?);
        self.blocking(read).await.map(Some)
    }

    async fn committed(&self, spent: &TokenHash) -> Result<(), JournalError> {
        let spent = *spent;
        self.blocking(move |files| files.finish(&spent)).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<TokenHash>, JournalError> {
        self.blocking(move |files| files.pending(limit)).await
    }

    async fn trim(&self, now: Timestamp, keep: Duration) -> Result<usize, JournalError> {
        self.blocking(move |files| files.trim(now, keep)).await
    }
}

/// `false`: it was under the first key already, or is gone.
fn reseal(files: &Files, sealer: &Sealer, spent: &TokenHash, place: Place) -> Result<bool, JournalError> {
    let Some(found) = files.find_in(spent, place)? else { return Ok(false) };
    let bytes = found.read()?;
    if sealer.is_current(&bytes) {
        return Ok(false);
    }
    let entry = sealer.open(spent, &found.name(), &bytes)?;
    files.write(&entry, place, &sealer.seal(&entry)?)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
