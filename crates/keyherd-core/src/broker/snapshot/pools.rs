//! Pools in memory: whose turn it is, without asking the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::{Snapshots, Stamp, UNWATCHED_MAX};
use crate::pool::{Pool, Turns};
use crate::time::Timestamp;

/// A pool as it was read.
pub(in crate::broker) struct KnownPool {
    pub(in crate::broker) pool: Arc<Pool>,
    /// This process's turns; they outlive a reading that found the pool as it was.
    pub(in crate::broker) turns: Arc<Turns>,
    read_at: Timestamp,
    /// When it is to be read anew, in milliseconds.
    reread_at: AtomicI64,
    stamp: Stamp,
    /// It changed elsewhere.
    is_stale: AtomicBool,
}

impl Snapshots {
    /// Looks a pool up, without allocating, where memory may be trusted: see [`Snapshots::with`].
    pub(in crate::broker) fn with_pool<R>(
        &self,
        name: &str,
        now: Timestamp,
        look: impl FnOnce(&KnownPool) -> R,
    ) -> Option<R> {
        let pinned = self.pools.pin();
        let known = pinned.get(name)?;
        let is_recent = known.read_at <= now && now < known.read_at + UNWATCHED_MAX;
        let is_followed = self.watched.load(Ordering::Relaxed) || is_recent;
        let is_fresh = !known.is_stale.load(Ordering::Acquire) && self.changes.has_no_general(known.stamp);
        (is_followed && is_fresh).then(|| look(known))
    }

    /// As [`Snapshots::is_aged`].
    pub(in crate::broker) fn is_aged_pool(&self, known: &KnownPool, now: Timestamp) -> bool {
        self.is_due(&known.reread_at, now)
    }

    /// The pool of that name, however old what is known may be.
    pub(in crate::broker) fn old_pool(&self, name: &str) -> Option<Arc<Pool>> {
        self.pools.pin().get(name).map(|known| Arc::clone(&known.pool))
    }

    /// Keeps what was read since `stamp`, unless just that changed meanwhile. `first`: whose turn it is where turns go
    /// round and this process has given none yet.
    pub(in crate::broker) fn put_pool(
        &self,
        stamp: Stamp,
        pool: &Arc<Pool>,
        read_at: Timestamp,
        first: usize,
    ) {
        let pinned = self.pools.pin();
        if pinned.len() >= self.max {
            pinned.clear();
        }
        let turns = match pinned.get(&pool.name) {
            // A reading that took longer than another one: nothing older replaces what is newer. A store that was restored
            // may be older than memory; by then memory is known to be stale.
            Some(known)
                if known.pool.id == pool.id
                    && known.pool.epoch > pool.epoch
                    && !known.is_stale.load(Ordering::Acquire) =>
            {
                return;
            }
            Some(known) if known.pool.id == pool.id && known.pool.epoch == pool.epoch => {
                Arc::clone(&known.turns)
            }
            Some(known) if known.pool.id == pool.id => Arc::new(turns_of(pool, pool.active)),
            _ => Arc::new(turns_of(pool, first)),
        };
        let is_stale = AtomicBool::new(!self.changes.has_none_of(stamp, &pool.name));
        let reread_at = AtomicI64::new(self.reread_at(read_at));
        let known =
            Arc::new(KnownPool { pool: Arc::clone(pool), turns, read_at, reread_at, stamp, is_stale });
        let is_same = |old: &Arc<KnownPool>| old.pool.id == pool.id && old.pool.epoch == pool.epoch;
        if !pinned.insert(pool.name.clone(), Arc::clone(&known)).is_some_and(is_same) {
            self.secrets_changed();
        }
        // A change between the look and the insertion was noted before it marks pools.
        if !self.changes.has_none_of(stamp, &pool.name) {
            known.is_stale.store(true, Ordering::Release);
        }
    }

    /// A pool as a change of this process left it, which began at `stamp`. It is kept if it is surely the newest: nothing
    /// else was told of it since, and memory has no later epoch. Else it is to be read anew.
    pub(in crate::broker) fn pool_is(
        &self,
        stamp: Stamp,
        pool: &Arc<Pool>,
        read_at: Timestamp,
        first: usize,
    ) {
        // Readings that are under way may be from before it.
        let (last, tick) = self.changes.of_name(pool.name.as_str());
        let mut is_newest = last <= stamp.tick();
        if let Some(known) = self.pools.pin().get(&pool.name) {
            is_newest &= known.pool.id != pool.id || known.pool.epoch <= pool.epoch;
            known.is_stale.store(true, Ordering::Release);
        }
        if is_newest {
            self.put_pool(Stamp::at(tick), pool, read_at, first);
        }
    }

    /// A pool changed elsewhere, or is gone.
    pub(in crate::broker) fn pool_changed(&self, name: &str) {
        self.changes.of_name(name);
        if let Some(known) = self.pools.pin().get(name) {
            known.is_stale.store(true, Ordering::Release);
        }
    }

    /// There is no pool of that name any more.
    pub(in crate::broker) fn drop_pool(&self, name: &str) {
        self.pools.pin().remove(name);
    }
}

fn turns_of(pool: &Pool, first: usize) -> Turns {
    Turns::new(pool.strategy, pool.members.len(), first % pool.members.len().max(1))
}
