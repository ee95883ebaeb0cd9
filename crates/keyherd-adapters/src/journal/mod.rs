//! The journal, as files: providers' answers, sealed and fsynced before the store may fail.
//!
//! Owns one folder. An entry lies in `pending/` under the hash of the token that was spent for it, and is moved to
//! `done/` when the store has it: looking for what is pending costs what is pending, however much is kept. Several
//! processes may work in one folder at once. Never decides what an entry is good for: the broker does.

mod copies;
mod document;
mod files;
mod keys;
mod line;
mod pack;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::ports::{Aged, Journal, JournalEntry, JournalError};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

pub use self::copies::{CopiedJournal, CopyOptions};
pub use self::files::{ENTRY_LEN_MAX, PACK_LEN_MAX, RESERVE_LEN, SCAN_MAX, UNFINISHED_AGE_MAX};
use self::files::{Files, Found, Look, Place};
use self::keys::Keys;
use self::line::Line;
use self::pack::PACK_MAX;
use crate::seal::{KeySource, Keyring};

/// Entries that one thread marks without a pause for others.
const COMMITS_MAX: usize = 64;

/// A [`Journal`] in a folder of this machine. Cheap to clone.
#[derive(Clone)]
pub struct FileJournal {
    inner: Arc<Inner>,
    writes: Line<JournalEntry>,
    commits: Line<TokenHash>,
}

struct Inner {
    files: Files,
    keys: Keys,
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
        Ok(Self::over(Files::open(dir, SCAN_MAX)?, Keys::new(installation, keyring)))
    }

    fn over(files: Files, keys: Keys) -> Self {
        let inner = Arc::new(Inner { files, keys });
        let (writer, finisher) = (Arc::clone(&inner), Arc::clone(&inner));
        let writes = Line::new(PACK_MAX, move |entries| writer.write_all(entries));
        let finish = move |spent| finisher.files.finish(&spent);
        let commits = Line::new(COMMITS_MAX, move |spent: Vec<_>| spent.into_iter().map(&finish).collect());
        Self { inner, writes, commits }
    }

    /// From now on reads this source again when another process may have rotated the master key. The first source that
    /// is set stays.
    pub fn follow(&self, source: KeySource) {
        self.inner.keys.follow(source);
    }

    /// Seals and opens with these keys from now on.
    pub fn rekey(&self, keyring: Keyring) {
        self.inner.keys.replace(keyring);
    }

    /// Puts every entry under the first key. Entries that come or go meanwhile are safe: the worst that happens is that
    /// one which was just committed is pending once more.
    ///
    /// # Errors
    /// [`JournalError::Io`]: some entries may still be under an older key. Entries that cannot be opened are reported
    /// in the result instead.
    pub async fn reseal_all(&self) -> Result<Resealed, JournalError> {
        self.blocking(Inner::reseal_all).await
    }

    /// An entry as it would stand in a file. Reads the key source, which may be a file or a command.
    async fn sealed(&self, entry: &JournalEntry) -> Result<Vec<u8>, JournalError> {
        let entry = entry.clone();
        self.blocking(move |inner| inner.keys.seal(&entry)).await
    }

    /// Whether such a document is under the key that seals now.
    fn is_current(&self, document: &[u8]) -> bool {
        self.inner.keys.is_current(document)
    }

    /// What [`FileJournal::sealed`] made, here or on another machine.
    async fn opened(&self, spent: &TokenHash, sealed: Vec<u8>) -> Result<JournalEntry, JournalError> {
        let spent = *spent;
        let name = format!("{} (a copy in Redis)", spent.to_hex());
        self.blocking(move |inner| inner.keys.open(&spent, &name, &sealed)).await
    }

    /// Work that waits for a disk is kept off the runtime's own threads. It is finished even when nobody waits any more.
    async fn blocking<T, W>(&self, work: W) -> Result<T, JournalError>
    where
        T: Send + 'static,
        W: FnOnce(&Inner) -> Result<T, JournalError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let worker = tokio::task::spawn_blocking(move || work(&inner));
        worker.await.unwrap_or_else(|error| Err(JournalError::Io(format!("its worker failed: {error}"))))
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn write(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        self.writes.join(entry.clone()).await
    }

    /// Looks on the calling thread: that there is no entry, which is the usual case, is known after three lookups in the
    /// kernel's cache (a few microseconds, less than it takes to wake another thread). An entry is read elsewhere.
    async fn find(&self, spent: &TokenHash) -> Result<Option<JournalEntry>, JournalError> {
        let spent = *spent;
        // In the order in which a writer leaves its places.
        let unfinished = self.inner.files.unfinished(&spent)?;
        if let Some(found) = self.inner.files.find(&spent)? {
            let open = move |inner: &Inner| inner.keys.open(&spent, &found.name(), &found.read(&spent)?);
            return self.blocking(open).await.map(Some);
        }
        if let Some(unfinished) = unfinished
            && let Some(entry) = self.blocking(move |inner| inner.finish_for(&spent, &unfinished)).await?
        {
            return Ok(Some(entry));
        }
        // This is asked before a token is spent: from here on there must be room for the answer.
        self.inner.files.put_room_by()?;
        Ok(None)
    }

    async fn committed(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.commits.join(*spent).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<TokenHash>, JournalError> {
        self.blocking(move |inner| inner.pending(limit)).await
    }

    async fn aged(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<Vec<Aged>, JournalError> {
        self.blocking(move |inner| inner.aged(now, keep, limit)).await
    }

    async fn forget(&self, spent: &TokenHash) -> Result<(), JournalError> {
        let spent = *spent;
        self.blocking(move |inner| inner.files.forget(&spent)).await
    }
}

/// An entry that nothing was said of.
fn unwritten() -> Result<(), JournalError> {
    Err(JournalError::Io("an entry was not written".into()))
}

impl Inner {
    /// Each is under the key that seals now.
    fn write_all(&self, entries: Vec<JournalEntry>) -> Vec<Result<(), JournalError>> {
        let sealed = self.keys.seal_all(&entries);
        let (mut whole, mut done) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
        for (entry, sealed) in entries.into_iter().zip(sealed) {
            done.push(sealed.map(|sealed| whole.push((entry, sealed))));
        }
        let mut written = self.files.write_all(&whole).into_iter();
        done.into_iter().map(|done| done.and_then(|()| written.next().unwrap_or_else(unwritten))).collect()
    }

    /// An entry that was written whole, but for its writer's last step: an answer that was received. `None`: it was cut
    /// off before.
    fn finish_for(
        &self,
        spent: &TokenHash,
        unfinished: &Found,
    ) -> Result<Option<JournalEntry>, JournalError> {
        let opened = unfinished.read(spent).and_then(|file| self.keys.open(spent, &unfinished.name(), &file));
        match opened {
            Ok(entry) => self.files.finish_for(spent, unfinished).map(|()| Some(entry)),
            Err(JournalError::Unreadable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn pending(&self, limit: usize) -> Result<Vec<TokenHash>, JournalError> {
        let Look { mut entries, unfinished } = self.files.look(limit)?;
        for (spent, unfinished) in &unfinished {
            if let Some(spent) = spent
                && self.finishes(spent, unfinished)?
                && entries.len() < limit
            {
                entries.push(*spent);
            }
        }
        Ok(entries)
    }

    fn aged(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<Vec<Aged>, JournalError> {
        for (spent, unfinished) in &self.files.look(0)?.unfinished {
            if let Some(spent) = spent {
                self.finishes(spent, unfinished)?;
            }
            self.files.remove_old(unfinished, now)?;
        }
        self.files.aged(now - keep, limit)
    }

    /// Whether that became an entry. One that cannot be opened now says so when its token is asked for.
    fn finishes(&self, spent: &TokenHash, unfinished: &Found) -> Result<bool, JournalError> {
        if self.files.find(spent)?.is_some() {
            return Ok(false);
        }
        match self.finish_for(spent, unfinished) {
            Ok(finished) => Ok(finished.is_some()),
            Err(error) => {
                tracing::debug!(%error, "an unfinished journal entry cannot be looked at now");
                Ok(false)
            }
        }
    }

    fn reseal_all(&self) -> Result<Resealed, JournalError> {
        let mut done = Resealed::default();
        for (spent, place) in self.files.all()? {
            match self.reseal(&spent, place) {
                Ok(resealed) => done.resealed += usize::from(resealed),
                Err(unreadable @ (JournalError::Unreadable { .. } | JournalError::Sealed { .. })) => {
                    done.unreadable.push(unreadable);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// `false`: it was under the first key already, or is gone.
    fn reseal(&self, spent: &TokenHash, place: Place) -> Result<bool, JournalError> {
        let Some(found) = self.files.find_in(spent, place)? else { return Ok(false) };
        let bytes = found.read(spent)?;
        if self.keys.is_current(&bytes) {
            return Ok(false);
        }
        let entry = self.keys.open(spent, &found.name(), &bytes)?;
        self.files.write(&entry, place, &self.keys.seal(&entry)?)?;
        Ok(true)
    }
}

impl std::fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FileJournal").field(&self.inner.files).finish()
    }
}

#[cfg(test)]
mod tests;
