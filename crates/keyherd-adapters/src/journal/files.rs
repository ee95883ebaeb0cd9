//! The journal's folder: names, places, ages.
//!
//! Owns where an entry's file lies and when it goes. Never opens what is sealed in it.

use std::fs::{self, DirEntry, File, ReadDir};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyherd_core::ports::{Aged, JournalEntry, JournalError};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::{Timestamp, millis};

use super::document::{HEAD_LEN, head_of, parse_hash};
use super::pack::{self, PACK_MAX};
use crate::durable;

/// The largest entry that is read, in bytes: several times the largest answer that is taken from a provider.
pub const ENTRY_LEN_MAX: u64 = 8 << 20;

/// The most that entries in one file have together, in bytes: each name that is left of it keeps all of it.
pub const PACK_LEN_MAX: usize = 256 << 10;

/// How many files one trim looks at in each place, which takes a fraction of a second; the next one goes on where it
/// stopped. At one trim in ten minutes this keeps up with a million entries an hour.
pub const SCAN_MAX: usize = 200_000;

/// Room that is put by for answers, in bytes: for dozens of usual ones.
pub const RESERVE_LEN: usize = 128 << 10;

/// After this time an unfinished file is nobody's any more.
pub const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// Which of the two folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In no store yet, as far as is known.
    Pending,
    /// In the store; kept for a while.
    Done,
}

/// The folders, and how far they were looked through.
#[derive(Debug)]
pub(super) struct Files {
    pending: PathBuf,
    done: PathBuf,
    reserve: PathBuf,
    scan_max: usize,
    sweep: Mutex<Option<ReadDir>>,
}

/// An entry's file, open.
#[derive(Debug)]
pub(super) struct Found {
    path: PathBuf,
    file: File,
}

/// See [`Files::look`].
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) entries: Vec<TokenHash>,
    /// With the token that each is about, where its name is one of ours.
    pub(super) unfinished: Vec<(Option<TokenHash>, Found)>,
}

impl Files {
    pub(super) fn open(dir: PathBuf, scan_max: usize) -> Result<Self, JournalError> {
        let pending = dir.join("pending");
        let reserve = dir.join("reserve");
        let mut done = dir;
        done.push("done");
        for folder in [&pending, &done] {
            durable::create_dir(folder).map_err(|error| io_error(folder, &error))?;
        }
        Ok(Self { pending, done, reserve, scan_max, sweep: Mutex::default() })
    }

    /// Pending first: an entry that is moved meanwhile is found in its new place.
    pub(super) fn find(&self, spent: &TokenHash) -> Result<Option<Found>, JournalError> {
        match self.find_in(spent, Place::Pending)? {
            None => self.find_in(spent, Place::Done),
            found => Ok(found),
        }
    }

    pub(super) fn find_in(&self, spent: &TokenHash, place: Place) -> Result<Option<Found>, JournalError> {
        found_at(self.path(spent, place))
    }

    /// What a writer has begun, who may have died before the last step.
    pub(super) fn unfinished(&self, spent: &TokenHash) -> Result<Option<Found>, JournalError> {
        found_at(durable::unfinished_at(&self.path(spent, Place::Pending)))
    }

    /// One look at what is pending: so many entries, and what a writer has begun, which is usually nothing.
    pub(super) fn look(&self, limit: usize) -> Result<Look, JournalError> {
        let mut look = Look::default();
        for file in list(&self.pending)?.take(self.scan_max) {
            let file = file.map_err(|error| io_error(&self.pending, &error))?;
            if let Some(spent) = hash_of(&file) {
                if look.entries.len() < limit {
                    look.entries.push(spent);
                }
                continue;
            }
            if is_unfinished(&file) {
                let name = file.file_name();
                let spent = name.to_str().and_then(|name| parse_hash(name.split('.').next()?));
                look.unfinished.extend(found_at(file.path())?.map(|found| (spent, found)));
            }
        }
        Ok(look)
    }

    /// Takes the last step in its writer's place, unless somebody has taken it meanwhile.
    pub(super) fn finish_for(&self, spent: &TokenHash, unfinished: &Found) -> Result<(), JournalError> {
        let path = self.path(spent, Place::Pending);
        match durable::finish_for(&unfinished.path, &path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&path, &error)),
            _ => Ok(()),
        }
    }

    /// When this returns, the entry survives a power cut. Its file bears the time the answer came, on the store's clock:
    /// the one that [`Files::aged`] is asked on.
    pub(super) fn write(&self, entry: &JournalEntry, place: Place, bytes: &[u8]) -> Result<(), JournalError> {
        let path = self.path(&entry.spent, place);
        let received = time_of(entry.received_at);
        let replace = match place {
            Place::Pending => durable::replace_traceably,
            Place::Done => durable::replace,
        };
        let written = match replace(&path, bytes, received) {
            Err(error) if is_full(&error) => {
                // What was put by for this very moment.
                let _ = fs::remove_file(&self.reserve);
                replace(&path, bytes, received)
            }
            written => written,
        };
        written.map_err(|error| io_error(&path, &error))
    }

    /// The same of several, by as few files as they fit in, which have all their names.
    pub(super) fn write_all(&self, entries: &[(JournalEntry, Vec<u8>)]) -> Vec<Result<(), JournalError>> {
        let mut written = Vec::with_capacity(entries.len());
        let mut rest = entries;
        while !rest.is_empty() {
            let mut len = 0;
            let fits = |(_, bytes): &&(JournalEntry, Vec<u8>)| {
                len += bytes.len();
                len <= PACK_LEN_MAX
            };
            let (pack, others) = rest.split_at(rest.iter().take(PACK_MAX).take_while(fits).count().max(1));
            written.extend(self.write_pack(pack));
            rest = others;
        }
        written
    }

    /// By one file. Where that cannot be done, each is written by itself.
    fn write_pack(&self, entries: &[(JournalEntry, Vec<u8>)]) -> Vec<Result<(), JournalError>> {
        if entries.len() > 1 {
            let paths: Vec<_> =
                entries.iter().map(|(entry, _)| self.path(&entry.spent, Place::Pending)).collect();
            // The last that came: none goes before its time.
            let received = entries.iter().filter_map(|(entry, _)| time_of(entry.received_at)).max();
            let documents = entries.iter().map(|(entry, bytes)| (&entry.spent, bytes.as_slice()));
            let packed = pack::packed(documents).ok_or(io::ErrorKind::InvalidInput.into());
            match packed.and_then(|packed| durable::replace_together(&paths, &packed, received)) {
                Ok(()) => return entries.iter().map(|_| Ok(())).collect(),
                Err(error) => tracing::debug!(%error, "journal entries are written one by one"),
            }
        }
        entries.iter().map(|(entry, bytes)| self.write(entry, Place::Pending, bytes)).collect()
    }

    /// Puts room by, so that an answer can be kept although the disk fills up while the provider is asked. One file for
    /// all processes; no request is sent without it.
    pub(super) fn put_room_by(&self) -> Result<(), JournalError> {
        match fs::metadata(&self.reserve) {
            Ok(found) if found.len() == RESERVE_LEN as u64 => Ok(()),
            _ => durable::replace(&self.reserve, &[1; RESERVE_LEN], None)
                .map_err(|error| io_error(&self.reserve, &error)),
        }
    }

    /// Moves an entry to `done`. Not fsynced: one that is pending again after a power cut is only rolled forward once
    /// more. One that is not there was moved before.
    pub(super) fn finish(&self, spent: &TokenHash) -> Result<(), JournalError> {
        let (path, done) = (self.path(spent, Place::Pending), self.path(spent, Place::Done));
        match fs::rename(&path, &done) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&path, &error)),
            _ => {}
        }
        // Of two names of one file a rename leaves both. A slow writer makes the second of the first.
        for name in [durable::unfinished_at(&path), path] {
            durable::remove_twin(&name, &done).map_err(|error| io_error(&name, &error))?;
        }
        Ok(())
    }

    /// Every entry, one after the other.
    pub(super) fn all(&self) -> Result<impl Iterator<Item = (TokenHash, Place)>, JournalError> {
        let hashes = |dir: &Path, place| {
            Ok(list(dir)?
                .filter_map(Result::ok)
                .filter_map(|file| hash_of(&file))
                .map(move |hash| (hash, place)))
        };
        Ok(hashes(&self.pending, Place::Pending)?.chain(hashes(&self.done, Place::Done)?))
    }

    /// Removes an unfinished file that nobody will finish any more.
    pub(super) fn remove_old(&self, unfinished: &Found, now: Timestamp) -> Result<(), JournalError> {
        let written = unfinished.file.metadata().and_then(|found| found.modified());
        let is_old = written.is_ok_and(|written| is_before(written, now - UNFINISHED_AGE_MAX));
        if is_old { remove(&unfinished.path) } else { Ok(()) }
    }

    pub(super) fn forget(&self, spent: &TokenHash) -> Result<(), JournalError> {
        remove(&self.path(spent, Place::Done))
    }

    /// Done entries that are older than that, from where the last call stopped.
    pub(super) fn aged(&self, before: Timestamp, limit: usize) -> Result<Vec<Aged>, JournalError> {
        let mut sweep = self.sweep.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = match sweep.take() {
            Some(files) => files,
            None => list(&self.done)?,
        };
        let mut aged = Vec::new();
        for _ in 0..self.scan_max {
            if aged.len() == limit {
                break;
            }
            let Some(file) = files.next() else { return Ok(aged) };
            let file = file.map_err(|error| io_error(&self.done, &error))?;
            if is_older(&file, before) {
                match aged_entry(&file) {
                    Ok(Some(entry)) => aged.push(entry),
                    // Unfinished, cut off or foreign: nothing that could be rolled forward.
                    Ok(None) => remove(&file.path())?,
                    Err(error) => tracing::warn!(%error, "a journal entry cannot be looked at now"),
                }
            }
        }
        *sweep = Some(files);
        Ok(aged)
    }

    fn path(&self, spent: &TokenHash, place: Place) -> PathBuf {
        let folder = match place {
            Place::Pending => &self.pending,
            Place::Done => &self.done,
        };
        folder.join(spent.to_hex())
    }
}

impl Found {
    /// What an error calls it: where it lies.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// What it has of that token.
    pub(super) fn read(&self, spent: &TokenHash) -> Result<Vec<u8>, JournalError> {
        let mut bytes = Vec::new();
        let read = (&self.file).take(ENTRY_LEN_MAX + 1).read_to_end(&mut bytes);
        let unreadable =
            |problem: &str| JournalError::Unreadable { name: self.name(), problem: problem.into() };
        match read.map_err(|error| io_error(&self.path, &error))? {
            len if len as u64 <= ENTRY_LEN_MAX => {
                pack::part_of(bytes, spent).ok_or_else(|| unreadable("it is cut off, or another token's"))
            }
            _ => Err(unreadable("it is too large")),
        }
    }
}

fn found_at(path: PathBuf) -> Result<Option<Found>, JournalError> {
    match File::open(&path) {
        Ok(file) => Ok(Some(Found { path, file })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(&path, &error)),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn list(dir: &Path) -> Result<ReadDir, JournalError> {
    fs::read_dir(dir).map_err(|error| io_error(dir, &error))
}

fn hash_of(file: &DirEntry) -> Option<TokenHash> {
    parse_hash(file.file_name().to_str()?)
}

/// `None`: it is no entry. An error says nothing of what it is.
fn aged_entry(file: &DirEntry) -> io::Result<Option<Aged>> {
    let Some(spent) = hash_of(file) else { return Ok(None) };
    let file = File::open(file.path())?;
    let mut beginning = Vec::with_capacity(pack::PLACES_END_MAX);
    (&file).take(pack::PLACES_END_MAX as u64).read_to_end(&mut beginning)?;
    let Some(place) = pack::place_of(&beginning, &spent) else { return Ok(None) };
    let mut head = [0; HEAD_LEN];
    match file.read_exact_at(&mut head, place.start as u64) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(head_of(&head).map(|(chain, generation)| Aged { spent, chain, generation })),
    }
}

/// As a file bears it.
fn time_of(at: Timestamp) -> Option<SystemTime> {
    let since = u64::try_from(at.as_millis()).ok().map(Duration::from_millis);
    since.and_then(|since| UNIX_EPOCH.checked_add(since))
}

fn is_unfinished(file: &DirEntry) -> bool {
    file.path().extension().is_some_and(|ending| ending == durable::UNFINISHED)
}

/// By the time its file bears. One whose time cannot be told is not old.
fn is_older(file: &DirEntry, than: Timestamp) -> bool {
    let written = file.metadata().and_then(|found| found.modified());
    written.is_ok_and(|written| is_before(written, than))
}

fn is_before(written: SystemTime, than: Timestamp) -> bool {
    let since = written.duration_since(UNIX_EPOCH);
    since.is_ok_and(|since| Timestamp::from_millis(millis(since)) < than)
}

/// Another process may have been faster.
fn remove(path: &Path) -> Result<(), JournalError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, &error)),
        _ => Ok(()),
    }
}

fn io_error(path: &Path, error: &io::Error) -> JournalError {
    JournalError::Io(format!("{}: {error}", path.display()))
}
