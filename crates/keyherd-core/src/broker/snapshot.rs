//! What this process knows of the store: the hot path's only reading. Bounded, and never the truth.
//!
//! A name leads to its credential and to its chain's cell; a commit replaces the cell's content, so that all
//! credentials of a chain follow together. A cell that is stale serves nobody until it was read anew. A change elsewhere
//! keeps from memory what was read of that name or chain meanwhile, and nothing else.

mod access;
mod changes;
mod pools;
mod ready;
mod rests;

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

pub(super) use self::access::KnownAccess;
use self::changes::Changes;
pub(super) use self::changes::Stamp;
use self::pools::KnownPool;
use self::ready::Ready;
use self::rests::SetHere;
use super::Token;
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
    access: ArcSwapOption<KnownAccess>,
    /// The last change of an agent or binding, but for those that are gone.
    access_changed: AtomicU64,
    /// The last time that one was gone.
    access_removed: AtomicU64,
    /// +1 whenever a secret in memory may be another one.
    pub(super) secrets_epoch: AtomicU64,
    /// Rests that this process set: a reading that began before their commit knows nothing of them.
    rests: Map<Name, Vec<SetHere>>,
    changes: Changes,
    /// Whether changes elsewhere reach this memory.
    watched: AtomicBool,
    max: usize,
    /// Where events may be missed: how old what is served may be before it is read anew.
    age_max: Option<Duration>,
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
    /// When it is to be read anew, in milliseconds: what was missed is not missed for ever.
    reread_at: AtomicI64,
    /// The same, among the changes.
    stamp: Stamp,
    pub(super) cell: Arc<Cell>,
    /// The ends of its rests.
    probes: Vec<Arc<Probe>>,
    /// Once somebody asked for it.
    ready: OnceLock<Ready>,
}

/// One chain's last known state.
pub(super) struct Cell {
    held: ArcSwap<Held>,
    /// +1 before each change of what is held, and +1 after it.
    changes_begun: AtomicU64,
    changes_ended: AtomicU64,
    /// The change by which it was found to be old; 0: it is not.
    stale_since: AtomicU64,
    told: Mutex<Told>,
}

/// The last change of a chain that was the coming of a generation, and nothing else: who reads that generation has it,
/// whenever the reading began.
#[derive(Clone, Copy, Default)]
struct Told {
    tick: u64,
    generation: u64,
    /// The last change before that was anything else.
    before: u64,
}

impl Told {
    fn is_in(self, tick: u64, stamp: Stamp, chain: &Chain) -> bool {
        tick == self.tick && self.generation <= chain.generation && self.before <= stamp.tick()
    }
}

/// A row in memory.
#[derive(Clone)]
pub(super) struct Held {
    chain: Chain,
    /// When it was had, among the changes.
    stamp: Stamp,
    /// A granted answer that no store has yet: nothing that is read takes its place but what is newer.
    is_uncommitted: bool,
}

impl Deref for Held {
    type Target = Chain;

    fn deref(&self) -> &Chain {
        &self.chain
    }
}

impl Known {
    /// Whether it is switched off, or rests now for requests in that scope: then no token of it is given.
    pub(super) fn is_resting(&self, scope: Option<&str>, now: Timestamp) -> bool {
        self.credential.disabled || self.credential.resting(scope, now).is_some()
    }
}

impl Cell {
    /// The state, unless it is known to be old.
    pub(super) fn fresh(&self) -> Option<arc_swap::Guard<Arc<Held>>> {
        self.is_fresh().then(|| self.held.load())
    }

    fn is_fresh(&self) -> bool {
        self.stale_since.load(Ordering::Acquire) == 0
    }

    fn told(&self) -> Told {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, old or not: for when the store cannot be asked.
    pub(super) fn last(&self) -> Arc<Held> {
        self.held.load_full()
    }
}

impl Snapshots {
    pub(super) fn new(max: usize, age_max: Option<Duration>) -> Self {
        Self {
            names: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            cells: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            pools: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            probes: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            access: ArcSwapOption::empty(),
            access_changed: AtomicU64::new(0),
            access_removed: AtomicU64::new(0),
            secrets_epoch: AtomicU64::new(0),
            rests: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            changes: Changes::new(),
            watched: AtomicBool::new(false),
            max,
            age_max,
        }
    }

    /// Whether this is to be read anew now, by who is told so: the next is told after as long again.
    pub(super) fn is_aged(&self, known: &Known, now: Timestamp) -> bool {
        self.is_due(&known.reread_at, now)
    }

    fn is_due(&self, reread_at: &AtomicI64, now: Timestamp) -> bool {
        let due = reread_at.load(Ordering::Relaxed);
        let next = || self.reread_at(now);
        now.as_millis() >= due
            && reread_at.compare_exchange(due, next(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn reread_at(&self, from: Timestamp) -> i64 {
        self.age_max.map_or(i64::MAX, |age| (from + age).as_millis())
    }

    /// Looks a name up, without allocating. While nobody watches what others commit, memory is good for a moment only.
    #[inline]
    pub(super) fn with<R>(&self, name: &str, now: Timestamp, look: impl FnOnce(&Known) -> R) -> Option<R> {
        let pinned = self.names.pin();
        let known = pinned.get(name)?;
        self.is_current(known, now).then(|| look(known))
    }

    #[inline]
    fn is_current(&self, known: &Known, now: Timestamp) -> bool {
        let is_recent = || known.read_at <= now && now < known.read_at + UNWATCHED_MAX;
        (self.watched.load(Ordering::Relaxed) || is_recent()) && self.changes.has_no_general(known.stamp)
    }

    /// A handle of that name's token, without a look at the chain itself, where `may_go`.
    #[inline]
    pub(super) fn token(
        &self,
        name: &str,
        now: Timestamp,
        may_go: impl FnOnce(&Known, &Ready) -> bool,
    ) -> Option<Token> {
        let pinned = self.names.pin();
        let known = pinned.get(name).filter(|known| self.is_current(known, now))?;
        let made;
        let ready = match known.ready() {
            Some(ready) => ready,
            None => {
                made = self.make_ready(known)?;
                &made
            }
        };
        if !may_go(known, ready) {
            return None;
        }
        Some(ready.token.clone())
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
        let is_fresh = || {
            let has = |tick| cell.told().is_in(tick, stamp, &loaded.chain);
            self.changes.has_none(stamp, loaded.chain.id, name, has)
        };
        if is_fresh() {
            let probes = self.probes_at_ends(&credential);
            let reread_at = AtomicI64::new(self.reread_at(read_at));
            let cell = Arc::clone(&cell);
            let ready = OnceLock::new();
            let known =
                Arc::new(Known { credential, window, read_at, reread_at, stamp, cell, probes, ready });
            let is_there = |old: &Arc<Known>| Arc::ptr_eq(&old.cell, &known.cell);
            if !self.names.pin().insert(name.clone(), Arc::clone(&known)).is_some_and(is_there) {
                self.secrets_changed();
            }
            // A change between the look and the insertion was noted before it removes names.
            if !is_fresh() {
                self.names.pin().remove(name.as_str());
            }
        }
    }

    /// A chain's newer state, where the chain is known here.
    pub(super) fn publish(&self, chain: &Chain) {
        self.replace(chain, false, is_older);
    }

    /// A granted answer that the store could not take yet.
    pub(super) fn publish_uncommitted(&self, chain: &Chain) {
        self.replace(chain, true, is_older);
    }

    /// What the store made of such an answer, which was to be that generation: its word counts, whatever the revision.
    pub(super) fn publish_settled(&self, chain: &Chain, generation: u64) {
        self.replace(chain, false, |held, chain| {
            is_older(held, chain) || (held.is_uncommitted && held.generation == generation)
        });
    }

    /// The chain changed elsewhere. `generation`: where it is known that this is all that changed.
    pub(super) fn chain_changed(&self, id: ChainId, generation: Option<u64>) {
        // Also where the chain is not known yet: a read that is under way may be older than this.
        let (last, tick) = self.changes.of_chain(id);
        let pinned = self.cells.pin();
        let Some(cell) = pinned.get(&id) else { return };
        if let Some(generation) = generation {
            let mut told = cell.told.lock().unwrap_or_else(PoisonError::into_inner);
            let before = if last == told.tick { told.before } else { last };
            *told = Told { tick, generation, before };
        }
        if generation.is_none_or(|generation| cell.held.load().generation < generation) {
            cell.stale_since.fetch_max(tick, Ordering::AcqRel);
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

    fn replace(&self, chain: &Chain, is_uncommitted: bool, gives_way: impl Fn(&Held, &Chain) -> bool) {
        if let Some(cell) = self.cells.pin().get(&chain.id) {
            let held = Held { chain: chain.clone(), stamp: self.changes.stamp(), is_uncommitted };
            if cell.replace(held, gives_way) {
                self.secrets_changed();
            }
        }
    }

    fn secrets_changed(&self) {
        self.secrets_epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// A store that lost commits has rows of lower revisions, and means them: once what is held is known to be old, a
    /// reading that began after that takes its place, whatever its revision.
    fn keep(&self, stamp: Stamp, chain: &Chain) -> Arc<Cell> {
        let pinned = self.cells.pin();
        let read = Held { chain: chain.clone(), stamp, is_uncommitted: false };
        let cell = pinned.get_or_insert_with(chain.id, || {
            let (stale_since, told) = (AtomicU64::new(0), Mutex::default());
            let held = ArcSwap::from_pointee(read.clone());
            let (changes_begun, changes_ended) = (AtomicU64::new(0), AtomicU64::new(0));
            Arc::new(Cell { held, changes_begun, changes_ended, stale_since, told })
        });
        let found_old = cell.stale_since.load(Ordering::Acquire);
        let old_since = found_old.max(self.changes.last_general());
        let is_later = old_since <= stamp.tick();
        let is_new = cell.replace(read, |held, chain| {
            let is_known_old = is_later && held.stamp.tick() < old_since && !held.is_uncommitted;
            is_known_old || is_older(held, chain)
        });
        if is_new {
            self.secrets_changed();
        }
        if found_old != 0 && (found_old <= stamp.tick() || cell.told().is_in(found_old, stamp, chain)) {
            // Only if it was not found old once more meanwhile.
            let _ = cell.stale_since.compare_exchange(found_old, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        Arc::clone(cell)
    }
}

impl Cell {
    /// Whether its secrets may be others now.
    fn replace(&self, next: Held, gives_way: impl Fn(&Held, &Chain) -> bool) -> bool {
        let next = Arc::new(next);
        self.changes_begun.fetch_add(1, Ordering::AcqRel);
        let last = self.held.rcu(|held| Arc::clone(if gives_way(held, &next.chain) { &next } else { held }));
        self.changes_ended.fetch_add(1, Ordering::AcqRel);
        last.chain.tokens != next.chain.tokens || last.chain.client != next.chain.client
    }
}

/// Newer rows replace older ones.
fn is_older(held: &Held, chain: &Chain) -> bool {
    chain.revision >= held.chain.revision
}

#[cfg(test)]
mod tests;
