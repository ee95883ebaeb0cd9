//! Agents and bindings in memory: all of them, read together, since there are few and every request needs them.
//!
//! What was added elsewhere makes them old, and they are read anew. What was removed is taken out here at once, and no
//! reading that began before brings it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::{Snapshots, Stamp, UNWATCHED_MAX};
use crate::broker::Access;
use crate::ids::{AgentId, BindingId};
use crate::time::Timestamp;

/// Agents and bindings as they were read.
pub(in crate::broker) struct KnownAccess {
    pub(in crate::broker) access: Arc<Access>,
    pub(in crate::broker) stamp: Stamp,
    pub(in crate::broker) read_at: Timestamp,
    /// When they are to be read anew, in milliseconds.
    reread_at: AtomicI64,
}

impl Snapshots {
    /// Looks at what is known, where memory may be trusted: see [`Snapshots::with`].
    pub(in crate::broker) fn with_access<R>(
        &self,
        now: Timestamp,
        look: impl FnOnce(&KnownAccess) -> R,
    ) -> Option<R> {
        // Not counted as a user: all requests look here, and would wait for each other's counting.
        let known = self.access.load();
        let known = known.as_ref()?;
        let is_recent = known.read_at <= now && now < known.read_at + UNWATCHED_MAX;
        let is_followed = self.watched.load(Ordering::Relaxed) || is_recent;
        let is_fresh = self.access_changed.load(Ordering::Acquire) <= known.stamp.tick()
            && self.changes.has_no_general(known.stamp);
        (is_followed && is_fresh).then(|| look(known))
    }

    /// What is known, however old: for when the store cannot be asked.
    pub(in crate::broker) fn old_access(&self) -> Option<Arc<KnownAccess>> {
        self.access.load_full()
    }

    /// Whether this is to be read anew now: as [`Snapshots::is_aged`].
    pub(in crate::broker) fn is_access_aged(&self, known: &KnownAccess, now: Timestamp) -> bool {
        let (due, next) = (known.reread_at.load(Ordering::Relaxed), self.reread_at(now));
        now.as_millis() >= due
            && known.reread_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Keeps what was read since `stamp`. `None`: something was removed meanwhile, and this may still have it.
    pub(in crate::broker) fn keep_access(
        &self,
        stamp: Stamp,
        access: Arc<Access>,
        read_at: Timestamp,
    ) -> Option<Arc<KnownAccess>> {
        let reread_at = AtomicI64::new(self.reread_at(read_at));
        let known = Arc::new(KnownAccess { access, stamp, read_at, reread_at });
        let is_whole = || self.access_removed.load(Ordering::SeqCst) <= stamp.tick();
        if !is_whole() {
            return None;
        }
        self.access.store(Some(Arc::clone(&known)));
        if is_whole() {
            return Some(known);
        }
        // A removal between the look and the storing was noted before it takes out.
        self.access.store(None);
        None
    }

    /// An agent or binding was added.
    pub(in crate::broker) fn access_changed(&self) {
        self.access_changed.fetch_max(self.changes.of_access(), Ordering::AcqRel);
    }

    /// That agent has no key any more.
    pub(in crate::broker) fn drop_agent(&self, id: AgentId) {
        self.take_out(|access| Access { agents: access.agents.without(id), ..access.clone() });
    }

    /// That binding is gone.
    pub(in crate::broker) fn drop_binding(&self, id: BindingId) {
        self.take_out(|access| Access { bindings: access.bindings.without(id), ..access.clone() });
    }

    /// Nothing is known any more of agents and bindings.
    pub(in crate::broker) fn drop_access(&self) {
        self.access_removed.fetch_max(self.changes.of_access(), Ordering::SeqCst);
        self.access.store(None);
    }

    fn take_out(&self, without: impl Fn(&Access) -> Access) {
        self.access_removed.fetch_max(self.changes.of_access(), Ordering::SeqCst);
        self.access.rcu(|known| {
            known.as_ref().map(|known| {
                Arc::new(KnownAccess {
                    access: Arc::new(without(&known.access)),
                    stamp: known.stamp,
                    read_at: known.read_at,
                    reread_at: AtomicI64::new(known.reread_at.load(Ordering::Relaxed)),
                })
            })
        });
    }
}
