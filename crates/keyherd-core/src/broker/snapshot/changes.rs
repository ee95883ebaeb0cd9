//! When which name and chain was last found to have changed: what was read from the store before does not count as fresh.
//!
//! Bounded whatever there is: names and chains share a fixed number of places. Two that share one cost a reading that
//! memory does not keep, and never an old one that it does.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::ids::{ChainId, Name};

/// 128 KiB. A change hits a given reading, which looks at two places, by chance once in 8,000 times.
const PLACES: usize = 16_384;

pub(super) struct Changes {
    /// +1 at each change. It only orders changes and readings: it makes nothing old by itself.
    ticks: AtomicU64,
    /// The tick of the last change of each place.
    places: Box<[AtomicU64]>,
    /// The tick of the last change that may have been of anything.
    all: AtomicU64,
    hasher: foldhash::fast::RandomState,
}

/// When a reading began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) struct Stamp(u64);

impl Changes {
    pub(super) fn new() -> Self {
        Self {
            ticks: AtomicU64::new(0),
            places: std::iter::repeat_with(|| AtomicU64::new(0)).take(PLACES).collect(),
            all: AtomicU64::new(0),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    /// Now: all that was found to have changed so far is in what is read from now on.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp(self.ticks.load(Ordering::Acquire))
    }

    /// That chain changed. Returns the tick of the last change before, and this one's. A change is never tick 0.
    pub(super) fn of_chain(&self, chain: ChainId) -> (u64, u64) {
        self.note(self.place(chain))
    }

    /// What belongs to that name changed. As [`Changes::of_chain`].
    pub(super) fn of_name(&self, name: &str) -> (u64, u64) {
        self.note(self.place(name))
    }

    /// An agent or binding changed. Returns when.
    pub(super) fn of_access(&self) -> u64 {
        self.note(None).1
    }

    /// Anything may have changed.
    pub(super) fn of_all(&self) {
        self.note(Some(&self.all));
    }

    /// Whether neither that chain nor what belongs to that name is known to have changed since `stamp`, but for a change of
    /// the chain that the reading `has` nevertheless. What may have been
    /// of anything is not asked for here: it keeps a reading from the hot path, and not from those who find the store gone.
    pub(super) fn has_none(
        &self,
        stamp: Stamp,
        chain: ChainId,
        name: &Name,
        has: impl Fn(u64) -> bool,
    ) -> bool {
        // Pairs with the one in `note`: of a keeper that looks after it has kept, and of a change that removes after it was
        // noted, at least one sees the other.
        fence(Ordering::SeqCst);
        let last = |place: Option<&AtomicU64>| place.map_or(0, |place| place.load(Ordering::Acquire));
        let of_chain = last(self.place(chain));
        last(self.place(name.as_str())) <= stamp.0 && (of_chain <= stamp.0 || has(of_chain))
    }

    /// Whether what belongs to that name is not known to have changed since `stamp`: as [`Changes::has_none`].
    pub(super) fn has_none_of(&self, stamp: Stamp, name: &Name) -> bool {
        fence(Ordering::SeqCst);
        self.place(name.as_str()).is_none_or(|place| place.load(Ordering::Acquire) <= stamp.0)
    }

    /// Whether nothing has happened since `stamp` that may have been of anything: the hot path's look.
    pub(super) fn has_no_general(&self, stamp: Stamp) -> bool {
        self.all.load(Ordering::Acquire) <= stamp.0
    }

    /// When something last happened that may have been of anything; 0: never.
    pub(super) fn last_general(&self) -> u64 {
        self.all.load(Ordering::Acquire)
    }

    fn place(&self, key: impl Hash) -> Option<&AtomicU64> {
        let hash = self.hasher.hash_one(key);
        self.places.get(usize::try_from(hash % PLACES as u64).unwrap_or_default())
    }

    fn note(&self, place: Option<&AtomicU64>) -> (u64, u64) {
        let tick = self.ticks.fetch_add(1, Ordering::AcqRel) + 1;
        let last = place.map_or(0, |place| place.fetch_max(tick, Ordering::AcqRel));
        fence(Ordering::SeqCst);
        (last, tick)
    }
}

impl Stamp {
    pub(super) fn at(tick: u64) -> Self {
        Self(tick)
    }

    pub(super) fn tick(self) -> u64 {
        self.0
    }
}
