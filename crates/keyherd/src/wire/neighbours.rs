//! The listeners of all keyherd processes on one data folder: no proxy of theirs leads to one of them.
//!
//! Owns `DIR/listeners`: a file for each process that listens, locked by it for as long as it lives. The kernel frees a lock at its
//! holder's death, so what a dead process left counts no more. Never trusts a process id.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use keyherd_adapters::durable;
use keyherd_proxy::forward::Neighbours;

use super::Wired;

const FOLDER: &str = "listeners";
/// How the name of a file ends that is not locked yet.
const UNFINISHED: &str = "tmp";
/// The most names that are read, files that are looked at, and bytes that are read of each.
const NAMES_MAX: usize = 10_000;
const FILES_MAX: usize = 1_000;
const BYTES_MAX: u64 = 4_096;

/// This process's listeners, known to the others until it is dropped.
pub(crate) struct Posted {
    path: PathBuf,
    _lock: File,
}

/// Makes these known. Where that cannot be done, others hold them for anybody's.
pub(crate) fn post(wired: &Wired, data: &Path, listeners: &[SocketAddr]) -> Option<Posted> {
    let number = wired.broker.ports().entropy.id();
    let posted = Posted::new(&data.join(FOLDER), number, listeners);
    posted.inspect_err(|error| tracing::warn!(%error, "our listeners are not known to other processes: their proxies may lead here")).ok()
}

impl Posted {
    fn new(folder: &Path, number: i64, listeners: &[SocketAddr]) -> io::Result<Self> {
        durable::create_dir(folder)?;
        sweep(folder);
        let path = folder.join(format!("{number:016x}"));
        let unfinished = path.with_added_extension(UNFINISHED);
        let mut lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        lock.lock()?;
        let lines: String = listeners.iter().map(|listener| format!("{listener}\n")).collect();
        lock.write_all(lines.as_bytes())?;
        fs::rename(&unfinished, &path)?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        // What stays behind is swept by another process.
        let _ = fs::remove_file(&self.path);
    }
}

/// The listeners of the processes on one data folder, as they are when somebody asks.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn of(data: &Path) -> Self {
        Self(data.join(FOLDER))
    }
}

impl Neighbours for Folder {
    fn listeners(&self) -> Vec<SocketAddr> {
        files(&self.0).filter_map(|path| read_if_alive(&path).ok()).flatten().collect()
    }
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(NAMES_MAX).flatten();
    let finished = entries.map(|entry: DirEntry| entry.path()).filter(|path| path.extension().is_none());
    finished.take(FILES_MAX)
}

fn read_if_alive(path: &Path) -> io::Result<Vec<SocketAddr>> {
    let file = File::open(path)?;
    // A shared lock, so that two who look do not take each other for the owner. Where nothing can be locked, all count.
    if file.try_lock_shared().is_ok() {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Removes what dead processes left. Nobody's name is used again, and each is locked before it has its name.
fn sweep(folder: &Path) {
    for path in files(folder) {
        if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            // Another one may have done it.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_known_as_long_as_their_process_lives() {
        let data = tempfile::tempdir().unwrap();
        let known = || {
            let mut known = Folder::of(data.path()).listeners();
            known.sort();
            known
        };
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(known(), []);
        let folder = data.path().join(FOLDER);
        let one = Posted::new(&folder, 1, &[at("127.0.0.1:1"), at("[::]:2")]).unwrap();
        let two = Posted::new(&folder, 2, &[at("127.0.0.1:3")]).unwrap();
        assert_eq!(known(), [at("127.0.0.1:1"), at("127.0.0.1:3"), at("[::]:2")]);
        drop(one);
        assert_eq!(known(), [at("127.0.0.1:3")]);
        drop(two);
        assert_eq!(known(), []);
    }

    #[test]
    fn what_a_dead_process_left_counts_no_more_and_is_swept() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join(FOLDER);
        durable::create_dir(&folder).unwrap();
        fs::write(folder.join("00000000000000ff"), "127.0.0.1:1\n").unwrap();
        assert_eq!(Folder::of(data.path()).listeners(), []);
        let _posted = Posted::new(&folder, 1, &[]).unwrap();
        let left: Vec<_> = files(&folder).collect();
        assert_eq!(left, [folder.join("0000000000000001")]);
    }
}
