//! Who is alive: each process that claims holds a lock on a file of its own, for life.
//!
//! The kernel frees the lock at the process's death, however it dies, and not while it is stopped: so a dead owner's
//! claim can be taken over at once, and a paused one's never is. Never trusts a process id, which is used again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use keyherd_core::credential::Holder;
use keyherd_core::ids::OwnerId;

use crate::durable;

/// Tries to make our own file: each failure means that a sweep came between making and locking it.
const TRIES_MAX: usize = 100;

/// This process as an owner, and the judge of others.
#[derive(Debug)]
pub(super) struct Owners {
    folder: PathBuf,
    me: OwnerId,
    held: Mutex<Option<File>>,
}

impl Owners {
    pub(super) fn new(folder: PathBuf, me: OwnerId) -> Self {
        Self { folder, me, held: Mutex::new(None) }
    }

    pub(super) fn me(&self) -> OwnerId {
        self.me
    }

    /// Takes our own lock, once. Called before the first claim, which is worthless to others without it.
    pub(super) fn hold(&self) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            durable::create_dir(&self.folder)?;
            *held = Some(self.take()?);
        }
        Ok(())
    }

    /// Whether an owner can still act.
    pub(super) fn holder(&self, owner: OwnerId) -> Holder {
        if owner == self.me {
            return Holder::Mine;
        }
        match File::open(self.file(owner)) {
            // A shared lock, so that two judges do not take each other for the owner.
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Holder::Gone,
                Err(_) => Holder::Alive,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Holder::Gone,
            Err(_) => Holder::Alive,
        }
    }

    /// Removes files of dead owners; looks at no more than `limit` files. An owner without a file is gone as well.
    pub(super) fn sweep(&self, limit: usize) -> usize {
        let Ok(files) = fs::read_dir(&self.folder) else { return 0 };
        let mine = self.file(self.me);
        let others =
            files.take(limit).filter_map(|entry| Some(entry.ok()?.path())).filter(|path| *path != mine);
        others
            .filter(|path| path.extension().is_some_and(|ending| ending == "lock") && remove_if_dead(path))
            .count()
    }

    fn file(&self, owner: OwnerId) -> PathBuf {
        self.folder.join(format!("{:016x}.lock", owner.as_i64()))
    }

    fn take(&self) -> io::Result<File> {
        let path = self.file(self.me);
        for _ in 0..TRIES_MAX {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            file.lock()?;
            if is_still_there(&path, &file)? {
                return Ok(file);
            }
        }
        Err(io::Error::other("the owner's lock file is removed again and again"))
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        if held.is_some() {
            // What stays behind is swept by another process.
            let _ = fs::remove_file(self.folder.join(format!("{:016x}.lock", self.me.as_i64())));
        }
    }
}

/// Whether the path still names the file that is open: a sweep may have removed it before it was locked.
fn is_still_there(path: &Path, file: &File) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the file under its lock: an owner that is just taking it will see that, and make another one. Nobody removes
/// a file whose lock is another's, so that what the path named under the lock is what goes.
fn remove_if_dead(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| remove_if_unlocked(path, &file))
}

fn remove_if_unlocked(path: &Path, file: &File) -> bool {
    let is_ours = file.try_lock().is_ok() && is_still_there(path, file).unwrap_or(false);
    is_ours && fs::remove_file(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(folder: &Path, id: i64) -> Owners {
        Owners::new(folder.join("owners"), OwnerId::from_i64(id))
    }

    #[test]
    fn an_owner_lives_as_long_as_it_holds_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (owners(folder.path(), 1), owners(folder.path(), 2));
        assert_eq!(two.holder(OwnerId::from_i64(1)), Holder::Gone);
        one.hold().unwrap();
        assert_eq!(one.holder(OwnerId::from_i64(1)), Holder::Mine);
        assert_eq!(two.holder(OwnerId::from_i64(1)), Holder::Alive);
        drop(one);
        assert_eq!(two.holder(OwnerId::from_i64(1)), Holder::Gone);
    }

    #[test]
    fn a_judge_is_not_taken_for_the_owner() {
        let folder = tempfile::tempdir().unwrap();
        let judge = owners(folder.path(), 1);
        judge.hold().unwrap();
        let dead = judge.file(OwnerId::from_i64(2));
        fs::write(&dead, "").unwrap();
        let other_judge = File::open(&dead).unwrap();
        other_judge.lock_shared().unwrap();
        assert_eq!(judge.holder(OwnerId::from_i64(2)), Holder::Gone);
    }

    #[test]
    fn a_late_sweep_spares_the_file_that_took_the_dead_ones_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owner.lock");
        fs::write(&path, "").unwrap();
        let opened_before = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(!remove_if_unlocked(&path, &opened_before));
        assert!(path.exists());
        assert!(remove_if_dead(&path));
        assert!(!path.exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_owner_whose_file_was_swept_before_it_was_locked_makes_another() {
        let folder = tempfile::tempdir().unwrap();
        let (owner, judge) = (owners(folder.path(), 1), owners(folder.path(), 2));
        durable::create_dir(&owner.folder).unwrap();
        let path = owner.file(owner.me());
        fs::write(&path, "").unwrap();
        let sweeper = File::open(&path).unwrap();
        sweeper.lock().unwrap();
        std::thread::scope(|scope| {
            let taking = scope.spawn(|| owner.hold().unwrap());
            // The kernel's own list says when the owner waits for this very file.
            let waits = format!("{}", sweeper.metadata().unwrap().ino());
            let is_waiting = || {
                let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
                locks.lines().any(|line| line.contains("-> FLOCK") && line.contains(&waits))
            };
            while !is_waiting() && !taking.is_finished() {
                std::thread::yield_now();
            }
            fs::remove_file(&path).unwrap();
            drop(sweeper);
        });
        assert_eq!(judge.holder(owner.me()), Holder::Alive);
    }

    #[test]
    fn a_sweep_removes_the_dead_and_spares_the_living() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (owners(folder.path(), 1), owners(folder.path(), 2));
        one.hold().unwrap();
        two.hold().unwrap();
        fs::write(one.file(OwnerId::from_i64(3)), "").unwrap();
        fs::write(folder.path().join("owners/notes.txt"), "").unwrap();
        assert_eq!(one.sweep(0), 0);
        assert_eq!(one.sweep(100), 1);
        assert_eq!(one.holder(OwnerId::from_i64(2)), Holder::Alive);
        assert!(folder.path().join("owners/notes.txt").exists());
    }

    /// Takes the same owner's lock again and again; gives the last one, held.
    fn take_often(folder: &Path, id: i64) -> Owners {
        for _ in 0..50 {
            owners(folder, id).hold().unwrap();
        }
        let last = owners(folder, id);
        last.hold().unwrap();
        last
    }

    #[test]
    fn owners_and_sweeps_at_once_leave_every_owner_alive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::thread::scope(|scope| {
            let takers: Vec<_> = (1..=8).map(|id| scope.spawn(move || take_often(path, id))).collect();
            for sweeper in [98, 99] {
                scope.spawn(move || (0..500).map(|_| owners(path, sweeper).sweep(64)).sum::<usize>());
            }
            let judge = owners(path, 100);
            let held: Vec<_> = takers.into_iter().map(|taker| taker.join().unwrap()).collect();
            for owner in &held {
                assert_eq!(judge.holder(owner.me()), Holder::Alive);
            }
        });
    }
}
