//! What this process knows of the store: the hot path's only reading. Bounded, and never the truth.
//!
//! A name leads to its credential and to its chain's cell; a commit replaces the cell's content, so that all
//! credentials of a chain follow together. A cell that is stale serves nobody until it was read anew. A change elsewhere
//! keeps from memory what was read of that name or chain meanwhile, and nothing else.

mod changes;
mod pools;
mod rests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use self::changes::Changes;
pub(super) use self::changes::Stamp;
use self::pools::KnownPool;
use super::probe::Probe;
use crate::credential::{Chain, Credential, Loaded};
use crate::ids::{ChainId, CredentialId, Name};
use crate::time::Timestamp;

type Map<K, V> = papaya::HashMap<K, Arc<V>, foldhash::fast::RandomState>;

pub(super) struct Snapshots {
    names: Map<Name, Known>,
    cells: Map<ChainId, Cell>,
    pools: Map<Name, KnownPool>,
    /// Ends of rests, and who tries first: kept also where the credential is read anew.
    probes: Map<(CredentialId, Option<String>), Probe>,
    changes: Changes,
    /// Whether changes elsewhere reach this memory.
    watched: AtomicBool,
    max: usize,
}

/// How long memory is trusted where no watch tells of changes.
const UNWATCHED_MAX: Duration = Duration::from_millis(100);

/// One credential and where its chain's state is.
pub(super) struct Known {
    pub(super) credential: Credential,
    /// How long the token must live on for a caller who does not say.
    pub(super) window: Duration,
    /// When it was read.
    read_at: Timestamp,
    /// The same, among the changes.
    stamp: Stamp,
    pub(super) cell: Arc<Cell>,
    /// The ends of its rests.
    probes: Vec<Arc<Probe>>,
}

/// One chain's last known state.
pub(super) struct Cell {
    chain: ArcSwap<Chain>,
    /// The change by which it was found to be old; 0: it is not.
    stale_since: AtomicU64,
}

impl Known {
    /// Whether it is switched off, or rests now for requests in that scope: then no token of it is given.
    pub(super) fn is_resting(&self, scope: Option<&str>, now: Timestamp) -> bool {
        self.credential.disabled || self.credential.resting(scope, now).is_some()
    }
}

impl Cell {
    /// The state, unless it is known to be old.
    pub(super) fn fresh(&self) -> Option<arc_swap::Guard<Arc<Chain>>> {
        (self.stale_since.load(Ordering::Acquire) == 0).then(|| self.chain.load())
    }

    /// The state, old or not: for when the store cannot be asked.
    pub(super) fn last(&self) -> Arc<Chain> {
        self.chain.load_full()
    }
}

impl Snapshots {
    pub(super) fn new(max: usize) -> Self {
        Self {
            names: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            cells: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            pools: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            probes: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            changes: Changes::new(),
            watched: AtomicBool::new(false),
            max,
        }
    }

    /// Looks a name up, without allocating. While nobody watches what others commit, memory is good for a moment only.
    pub(super) fn with<R>(&self, name: &str, now: Timestamp, look: impl FnOnce(&Known) -> R) -> Option<R> {
        let pinned = self.names.pin();
        let known = pinned.get(name)?;
        let is_recent = known.read_at <= now && now < known.read_at + UNWATCHED_MAX;
        let is_followed = self.watched.load(Ordering::Relaxed) || is_recent;
        (is_followed && self.changes.has_no_general(known.stamp)).then(|| look(known))
    }

    /// Looks a name up, however old what is known may be: for when the store cannot be asked.
    pub(super) fn with_old<R>(&self, name: &str, look: impl FnOnce(&Known) -> R) -> Option<R> {
        self.names.pin().get(name).map(|known| look(known))
    }

    /// From now on somebody watches what others commit. What was read before is not trusted.
    pub(super) fn watched(&self) {
        self.mark_all_stale();
        self.watched.store(true, Ordering::Release);
    }

    /// Call before a read whose result goes to [`Snapshots::put`].
    pub(super) fn stamp(&self) -> Stamp {
        self.changes.stamp()
    }

    /// Keeps what was read since `stamp`, unless just that changed meanwhile.
    pub(super) fn put(&self, stamp: Stamp, loaded: &Loaded, window: Duration, read_at: Timestamp) {
        if self.names.len().max(self.cells.len()) >= self.max {
            self.clear();
            return;
        }
        let (credential, cell) = (loaded.credential.clone(), self.keep(stamp, &loaded.chain));
        let name = &loaded.credential.name;
        let is_fresh = || self.changes.has_none(stamp, loaded.chain.id, name);
        if is_fresh() {
            let probes = self.probes_at_ends(&credential);
            let known = Arc::new(Known { credential, window, read_at, stamp, cell, probes });
            self.names.pin().insert(name.clone(), known);
            // A change between the look and the insertion was noted before it removes names.
            if !is_fresh() {
                self.names.pin().remove(name.as_str());
            }
        }
    }

    /// A chain's newer state, where the chain is known here.
    pub(super) fn publish(&self, chain: &Chain) {
        if let Some(cell) = self.cells.pin().get(&chain.id) {
            replace(cell, chain);
        }
    }

    /// The chain changed elsewhere. `generation`: where it is known that this is all that changed.
    pub(super) fn chain_changed(&self, id: ChainId, generation: Option<u64>) {
        // Also where the chain is not known yet: a read that is under way may be older than this.
        let changed = self.changes.of_chain(id);
        if let Some(cell) = self.cells.pin().get(&id)
            && generation.is_none_or(|generation| cell.chain.load().generation < generation)
        {
            cell.stale_since.fetch_max(changed.tick(), Ordering::AcqRel);
        }
    }

    /// A credential's own fields changed, or it is gone.
    pub(super) fn forget(&self, name: &str) {
        self.changes.of_name(name);
        self.names.pin().remove(name);
    }

    /// Everything may have changed.
    pub(super) fn clear(&self) {
        self.changes.of_all();
        self.names.pin().clear();
        self.cells.pin().clear();
        self.pools.pin().clear();
    }

    /// Everything must be read anew, name by name, but may serve while the store cannot be asked.
    pub(super) fn mark_all_stale(&self) {
        self.changes.of_all();
    }

    fn keep(&self, stamp: Stamp, chain: &Chain) -> Arc<Cell> {
        let pinned = self.cells.pin();
        let cell = pinned.get_or_insert_with(chain.id, || {
            Arc::new(Cell { chain: ArcSwap::from_pointee(chain.clone()), stale_since: AtomicU64::new(0) })
        });
        let found_old = cell.stale_since.load(Ordering::Acquire);
        replace(cell, chain);
        if found_old != 0 && found_old <= stamp.tick() {
            // Only if it was not found old once more meanwhile.
            let _ = cell.stale_since.compare_exchange(found_old, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        Arc::clone(cell)
    }
}

/// Newer rows replace older ones, never the other way round.
fn replace(cell: &Cell, chain: &Chain) {
    cell.chain.rcu(|current| {
        if chain.revision >= current.revision { Arc::new(chain.clone()) } else { Arc::clone(current) }
    });
}

#[cfg(test)]
mod tests;
