//! How much all kept requests may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are still free. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<AtomicUsize>);

/// Bytes that were taken; free again when dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Room,
    len: usize,
}

impl Room {
    pub(crate) fn new(len: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(len)))
    }

    pub(super) fn none_yet(&self) -> Taken {
        Taken { room: self.clone(), len: 0 }
    }
}

impl Taken {
    /// Takes more. `false`: there is not so much.
    pub(super) fn more(&mut self, len: usize) -> bool {
        let taken =
            self.room.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(len));
        if taken.is_ok() {
            self.len += len;
        }
        taken.is_ok()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.len, Ordering::Relaxed);
    }
}
