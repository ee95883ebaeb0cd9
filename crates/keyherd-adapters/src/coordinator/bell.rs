//! The bell: a file beside the store that every process on the machine touches after a commit, and watches.
//!
//! Owns the ringing, never the truth: a ring may be lost with its process, so that the store is asked now and then
//! whether it changed. Nothing is set up until somebody waits.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::ports::Coordinator;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::store::sqlite::SqliteStore;

/// How a bell is listened to.
#[derive(Debug, Clone)]
pub struct BellOptions {
    /// How often the store is asked whether it changed, should a ring be lost.
    pub poll_every: Duration,
}

impl Default for BellOptions {
    fn default() -> Self {
        Self { poll_every: Duration::from_millis(50) }
    }
}

/// What is asked where no bell rang: a number that differs after every commit. `None`: it does not answer.
#[async_trait]
pub trait Pulse: Send + Sync + 'static {
    /// The number now.
    async fn pulse(&self) -> Option<i64>;
}

#[async_trait]
impl Pulse for SqliteStore {
    async fn pulse(&self) -> Option<i64> {
        self.data_version().await.ok()
    }
}

/// One machine's coordinator.
pub struct Bell {
    path: PathBuf,
    options: BellOptions,
    pulse: Arc<dyn Pulse>,
    clapper: OnceLock<Option<File>>,
    rung: watch::Sender<u64>,
    told: AtomicU64,
    listener: Mutex<Option<AbortHandle>>,
}

impl Bell {
    /// A bell at `path`, which all processes on one store share.
    pub fn new(path: PathBuf, pulse: Arc<dyn Pulse>, options: BellOptions) -> Self {
        Self {
            path,
            options,
            pulse,
            clapper: OnceLock::new(),
            rung: watch::Sender::new(0),
            told: AtomicU64::new(0),
            listener: Mutex::new(None),
        }
    }

    /// Begins to listen, once. A listener that ended with its runtime is begun anew.
    fn listen(&self) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.as_ref().is_none_or(AbortHandle::is_finished) {
            let task = Listener {
                ears: Ears::on(&self.path),
                pulse: Arc::clone(&self.pulse),
                poll_every: self.options.poll_every,
                rung: self.rung.clone(),
            };
            *listener = Some(tokio::spawn(task.run()).abort_handle());
        }
    }
}

#[async_trait]
impl Coordinator for Bell {
    fn announce(&self) {
        self.rung.send_modify(|count| *count += 1);
        let clapper = self.clapper.get_or_init(|| bell_file(&self.path).ok());
        if let Some(file) = clapper {
            // Others find out by their poll, should this fail.
            let _ = file.write_at(b"!", 0);
        }
    }

    /// Made for one listener in a process: of two that wait one after the other, each may hear for both.
    async fn changed(&self) {
        self.listen();
        let mut rung = self.rung.subscribe();
        let told = self.told.load(Ordering::Acquire);
        // The sender lives in this very struct: waiting cannot end otherwise.
        if let Ok(count) = rung.wait_for(|count| *count > told).await {
            self.told.fetch_max(*count, Ordering::AcqRel);
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get_mut().unwrap_or_else(PoisonError::into_inner) {
            listener.abort();
        }
    }
}

fn bell_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The one task that hears rings of other processes.
struct Listener {
    ears: Ears,
    pulse: Arc<dyn Pulse>,
    poll_every: Duration,
    rung: watch::Sender<u64>,
}

impl Listener {
    async fn run(mut self) {
        let mut last = self.pulse.pulse().await;
        // What was committed before the first look is news as well.
        self.ring();
        loop {
            if tokio::time::timeout(self.poll_every, self.ears.rang()).await.is_ok() {
                self.ring();
                continue;
            }
            let now = self.pulse.pulse().await;
            if now != last {
                last = now;
                self.ring();
            }
        }
    }

    fn ring(&self) {
        self.rung.send_modify(|count| *count += 1);
    }
}

#[cfg(target_os = "linux")]
mod ears {
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// The kernel's word that the file was touched; deaf where it gives none.
    pub(super) struct Ears(Option<AsyncFd<OwnedFd>>);

    impl Ears {
        pub(super) fn on(path: &Path) -> Self {
            Self(open(path).ok())
        }

        /// Returns after the file was touched, however often.
        pub(super) async fn rang(&mut self) {
            let Some(fd) = &self.0 else { return std::future::pending().await };
            loop {
                let Ok(mut ready) = fd.readable().await else { return std::future::pending().await };
                let rings = drain(fd.get_ref());
                ready.clear_ready();
                if rings > 0 {
                    return;
                }
            }
        }
    }

    #[expect(
        deprecated,
        reason = "its successor is unsafe, for fds that change; an OwnedFd is the same one for life"
    )]
    fn open(path: &Path) -> std::io::Result<AsyncFd<OwnedFd>> {
        super::bell_file(path)?;
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&fd, path, WatchFlags::MODIFY)?;
        AsyncFd::with_interest(fd, Interest::READABLE)
    }

    fn drain(fd: &OwnedFd) -> usize {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut reader = inotify::Reader::new(fd, &mut buffer);
        let mut rings = 0;
        while reader.next().is_ok() {
            rings += 1;
        }
        rings
    }
}

#[cfg(not(target_os = "linux"))]
mod ears {
    /// Deaf: the poll finds out.
    pub(super) struct Ears;

    impl Ears {
        pub(super) fn on(_path: &std::path::Path) -> Self {
            Self
        }

        pub(super) async fn rang(&mut self) {
            std::future::pending().await
        }
    }
}

use self::ears::Ears;

#[cfg(test)]
mod tests;
