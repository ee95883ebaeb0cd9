//! Folders of runs, each locked for as long as its run lives.
//!
//! Owns who is alive: the kernel frees a lock at its holder's death, however it dies. Never trusts an age or a process id, never
//! follows a link, never touches what is another user's.

use std::fs::{self, DirBuilder, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, unlinkat};
use rustix::process::geteuid;

/// Before 16 hexadecimal digits. Programs that lock nothing named theirs without the 1.
const PREFIX: &str = "keyherd-run1-";
const DIGITS: usize = 16;
/// Bounds of one sweep: names that are read, folders that are tried, folders that are removed, and what is removed of each.
const NAMES_MAX: usize = 100_000;
const TRIED_MAX: usize = 1_000;
const REMOVED_MAX: usize = 100;
const ENTRIES_MAX: usize = 100;
/// Tries to make our own: each failure means that a sweep came between making and locking it.
const TRIES_MAX: usize = 100;

/// A folder of our own, removed when it is dropped.
pub(super) struct Lease {
    path: PathBuf,
    /// `None`: nothing can be locked there, by sweeps neither.
    _lock: Option<File>,
}

impl Lease {
    /// Makes one, named by the first good number.
    pub(super) fn new(parent: &Path, mut number: impl FnMut() -> i64) -> io::Result<Self> {
        for _ in 0..TRIES_MAX {
            let path = parent.join(format!("{PREFIX}{:016x}", number()));
            DirBuilder::new().mode(0o700).create(&path)?;
            if let Some(lock) = locked(&path)? {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::Error::other("it is removed again and again"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, "{} cannot be removed", self.path.display());
        }
    }
}

/// Its lock, if there are locks. `None`: a sweep took it for a dead run's, and removes it.
fn locked(path: &Path) -> io::Result<Option<Option<File>>> {
    let folder = match opened(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match folder.try_lock() {
        Ok(()) => Ok(is_still_there(path, &folder).then_some(Some(folder))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            tracing::debug!(%error, "{} cannot be locked", path.display());
            Ok(Some(None))
        }
    }
}

fn opened(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?.into())
}

/// Whether the path still names what is open.
fn is_still_there(path: &Path, folder: &File) -> bool {
    let (Ok(named), Ok(open)) = (fs::symlink_metadata(path), folder.metadata()) else { return false };
    (named.dev(), named.ino()) == (open.dev(), open.ino())
}

/// Removes folders of this user's runs that died before they could. Returns how many.
pub(super) fn sweep(parent: &Path) -> usize {
    let Ok(entries) = fs::read_dir(parent) else { return 0 };
    let named =
        entries.take(NAMES_MAX).flatten().filter(|entry| is_a_runs(entry.file_name().as_encoded_bytes()));
    let ours = named.filter(|entry| entry.metadata().is_ok_and(|found| is_this_users(&found)));
    ours.take(TRIED_MAX).filter(|entry| remove_if_dead(&entry.path())).take(REMOVED_MAX).count()
}

fn is_a_runs(name: &[u8]) -> bool {
    let digits = name.strip_prefix(PREFIX.as_bytes());
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
}

fn is_this_users(found: &Metadata) -> bool {
    found.uid() == geteuid().as_raw()
}

/// Removes it under its lock: who is just making it will see that, and make another one.
fn remove_if_dead(path: &Path) -> bool {
    opened(path).is_ok_and(|folder| {
        folder.metadata().is_ok_and(|found| is_this_users(&found))
            && folder.try_lock().is_ok()
            && is_still_there(path, &folder)
            && remove(path, &folder).is_ok()
    })
}

/// What lies in it goes by way of the folder that is open, and what lies deeper stays, and the folder with it.
fn remove(path: &Path, folder: &File) -> io::Result<()> {
    for entry in Dir::read_from(folder)?.take(ENTRIES_MAX + 2) {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let how =
            if entry.file_type() == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        unlinkat(folder, name, how)?;
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const DEAD: &str = "keyherd-run1-00000000000000ff";

    fn dead(parent: &Path) -> PathBuf {
        let path = parent.join(DEAD);
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        path
    }

    #[test]
    fn a_sweep_removes_the_dead_and_spares_the_living() {
        let parent = tempfile::tempdir().unwrap();
        let mut numbers = 0..;
        let alive = Lease::new(parent.path(), || numbers.next().unwrap()).unwrap();
        let dead = dead(parent.path());
        fs::write(dead.join("ca.pem"), "").unwrap();
        fs::create_dir(dead.join("empty")).unwrap();
        assert_eq!(sweep(parent.path()), 1);
        assert!(alive.path().exists() && !dead.exists());
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_runs_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        fs::create_dir(at("elsewhere")).unwrap();
        fs::write(at("elsewhere/file"), "").unwrap();
        symlink(at("elsewhere"), at(DEAD)).unwrap();
        fs::write(at("keyherd-run1-0000000000000001"), "").unwrap();
        for name in ["keyherd-run1-1", "keyherd-run1-000000000000000g", "keyherd-run1-00000000000000001"] {
            fs::create_dir(at(name)).unwrap();
        }
        assert_eq!(sweep(parent.path()), 0);
        assert!(at("elsewhere/file").exists() && fs::symlink_metadata(at(DEAD)).is_ok());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 6);
    }

    #[test]
    fn links_in_it_go_and_where_they_lead_stays() {
        let parent = tempfile::tempdir().unwrap();
        let dead = dead(parent.path());
        fs::create_dir(parent.path().join("elsewhere")).unwrap();
        fs::write(parent.path().join("elsewhere/file"), "").unwrap();
        symlink(parent.path().join("elsewhere"), dead.join("folder")).unwrap();
        symlink(parent.path().join("elsewhere/file"), dead.join("file")).unwrap();
        assert_eq!(sweep(parent.path()), 1);
        assert!(!dead.exists() && parent.path().join("elsewhere/file").exists());
    }

    #[test]
    fn one_that_was_swept_before_it_was_locked_is_made_anew() {
        let parent = tempfile::tempdir().unwrap();
        let path = dead(parent.path());
        // A sweep that has just found it.
        let sweeper = opened(&path).unwrap();
        sweeper.lock().unwrap();
        assert!(locked(&path).unwrap().is_none(), "it is the sweep's");
        fs::remove_dir(&path).unwrap();
        drop(sweeper);
        assert!(locked(&path).unwrap().is_none(), "it is gone");
    }

    #[test]
    fn runs_and_sweeps_at_once_leave_every_run_its_folder() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path();
        std::thread::scope(|scope| {
            for maker in 0..4 {
                scope.spawn(move || {
                    let mut numbers = maker * 1_000_000..;
                    for _ in 0..100 {
                        let lease = Lease::new(path, || numbers.next().unwrap()).unwrap();
                        assert!(lease.path().exists());
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(move || (0..200).map(|_| sweep(path)).sum::<usize>());
            }
        });
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }
}
