//! Where the store lies: its file and its folder, and whether both can be trusted with secrets and locks.
//!
//! Owns the names of the files beside the database. Never opens the database file itself: closing any descriptor of it
//! would drop this process's locks on it (<https://www.sqlite.org/howtocorrupt.html>, 2.2).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;
use crate::durable;

/// A database file's place. All processes on one store must see the same files beside it, so they are named after
/// where the file really is, whatever path led there.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
}

impl Place {
    /// Makes the folder where it is missing, and refuses one that cannot be trusted.
    pub(super) fn prepare(path: &Path) -> Result<Self, OpenError> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        durable::create_dir(folder).map_err(|error| unusable(folder, &error))?;
        let place = match fs::canonicalize(path) {
            Ok(real) => Self { folder: real.parent().unwrap_or(folder).to_owned(), path: real },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = fs::canonicalize(folder).map_err(|error| unusable(folder, &error))?;
                let name = path.file_name().ok_or_else(|| OpenError::NoFile { path: path.to_owned() })?;
                Self { path: folder.join(name), folder }
            }
            Err(error) => return Err(unusable(path, &error)),
        };
        place.check_folder()?;
        Ok(place)
    }

    /// Whether a store is there. An empty file is none.
    pub(super) fn exists(&self) -> Result<bool, OpenError> {
        match fs::metadata(&self.path) {
            Ok(found) if !found.is_file() => Err(OpenError::NoFile { path: self.path.clone() }),
            Ok(found) if found.len() == 0 => Ok(false),
            Ok(found) => self.check_mode(&self.path, found.permissions().mode(), 0o077).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unusable(&self.path, &error)),
        }
    }

    /// A write-ahead log without its database: SQLite would take it for part of a new one.
    pub(super) fn check_no_orphan(&self) -> Result<(), OpenError> {
        let wal = self.beside("-wal");
        match fs::metadata(&wal) {
            Ok(found) if found.len() > 0 => Err(OpenError::Orphan { path: self.path.clone(), wal }),
            _ => Ok(()),
        }
    }

    /// Whoever makes or migrates the store holds this one.
    pub(super) fn lock(&self) -> PathBuf {
        self.beside(".lock")
    }

    /// Where a new store grows until it is whole.
    pub(super) fn unborn(&self) -> PathBuf {
        self.beside(".new")
    }

    /// Gives a whole store its name, for good.
    pub(super) fn bear(&self, unborn: &Path) -> io::Result<()> {
        fs::rename(unborn, &self.path)?;
        File::open(&self.folder)?.sync_all()
    }

    pub(super) fn owners(&self) -> PathBuf {
        self.folder.join("owners")
    }

    pub(super) fn bell(&self) -> PathBuf {
        self.folder.join("bell")
    }

    /// All that a store keeps here. What comes only when it is needed is made, so that whoever closes these to others has them all.
    pub(super) fn files(&self) -> io::Result<Vec<PathBuf>> {
        durable::create_dir(&self.owners())?;
        let mut files = vec![self.owners()];
        for file in [self.lock(), self.bell()] {
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file)?;
            files.push(file);
        }
        files.extend(["", "-wal", "-shm", "-journal"].map(|ending| self.beside(ending)));
        Ok(files)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    }

    fn check_folder(&self) -> Result<(), OpenError> {
        let found = fs::metadata(&self.folder).map_err(|error| unusable(&self.folder, &error))?;
        let mode = found.permissions().mode();
        // In a sticky folder (such as /tmp) others cannot replace our files.
        if mode & 0o1000 == 0 {
            self.check_mode(&self.folder, mode, 0o022)?;
        }
        match super::network::file_system(&self.folder) {
            Some(kind) => Err(OpenError::NetworkFolder { path: self.folder.clone(), kind }),
            None => Ok(()),
        }
    }

    fn check_mode(&self, path: &Path, mode: u32, forbidden: u32) -> Result<(), OpenError> {
        if mode & forbidden == 0 {
            return Ok(());
        }
        let wanted = if path == self.path { "600" } else { "700" };
        Err(OpenError::TooOpen { path: path.to_owned(), mode: mode & 0o7777, wanted })
    }
}

pub(super) fn unusable(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), problem: error.to_string() }
}
