//! What this process's audit entries have seen of other chains: taken into an entry now and then, never written by itself.
//!
//! Owns when it is looked again, and what was told already. A look is one statement in a transaction that writes anyway;
//! who writes nothing looks at nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keyherd_core::audit::{Anchor, Anchors, Link};
use keyherd_core::ids::OwnerId;

/// The ends of other chains, as this process's entries have told them last.
#[derive(Default)]
pub(in crate::store) struct Seen(Mutex<Told>);

#[derive(Default)]
struct Told {
    ends: HashMap<OwnerId, Link>,
    /// When it was looked, by the clock that counts from the process's start.
    looked_at: Option<Duration>,
    /// A newer look that no entry has told yet.
    kept: Option<Look>,
}

/// A look at the ends of other chains.
#[derive(Debug, Clone)]
pub(super) struct Look {
    ends: HashMap<OwnerId, Link>,
    at: Duration,
}

impl Look {
    pub(super) fn new(ends: HashMap<OwnerId, Link>, at: Duration) -> Self {
        Self { ends, at }
    }
}

impl Seen {
    /// Whether the last look is that old.
    pub(super) fn is_due(&self, now: Duration, every: Duration) -> bool {
        let looked_at = self.0.lock().unwrap_or_else(PoisonError::into_inner).looked_at;
        looked_at.is_none_or(|at| now.saturating_sub(at) >= every)
    }

    /// A look that came with another transaction, for the next entry.
    pub(super) fn keep(&self, look: Look) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.looked_at.is_none_or(|at| at < look.at) {
            told.looked_at = Some(look.at);
            told.kept = Some(look);
        }
    }

    /// It stays until an entry that tells it is committed.
    pub(super) fn kept(&self) -> Option<Look> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).kept.clone()
    }

    /// Whether an entry has nothing to tell, and nothing to look for.
    pub(super) fn is_quiet(&self, now: Duration, every: Duration) -> bool {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.kept.is_none() && told.looked_at.is_some_and(|at| now.saturating_sub(at) < every)
    }

    /// What of a look was not told yet, for an entry of this chain.
    pub(super) fn new_in(&self, look: &Look, own: OwnerId) -> Anchors {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_others = look.ends.iter().filter(|(chain, _)| **chain != own);
        let new = of_others.filter(|(chain, end)| told.ends.get(*chain) != Some(*end));
        Anchors::new(new.map(|(chain, end)| Anchor::new(*chain, end)))
    }

    /// It was told, by an entry that is committed.
    pub(super) fn told(&self, look: Look) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = told.kept.take().filter(|kept| kept.at > look.at);
        *told = Told { ends: look.ends, looked_at: told.looked_at.max(Some(look.at)), kept: newer };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: OwnerId = OwnerId::from_i64(9);

    fn look(ends: &[(i64, u64)], at: u64) -> Look {
        let ends = ends
            .iter()
            .map(|(chain, place)| (OwnerId::from_i64(*chain), Link { place: *place, hash: [1; 32] }));
        Look::new(ends.collect(), Duration::from_millis(at))
    }

    #[test]
    fn only_what_is_new_is_told_and_only_so_often() {
        let (seen, every) = (Seen::default(), Duration::from_secs(1));
        assert!(seen.is_due(Duration::ZERO, every));
        let first = look(&[(1, 5), (2, 7)], 100);
        assert_eq!(seen.new_in(&first, ME).iter().count(), 2);
        assert_eq!(seen.new_in(&first, ME).iter().count(), 2, "it was not committed");
        seen.told(first);
        assert!(!seen.is_due(Duration::from_millis(1_099), every));
        assert!(seen.is_due(Duration::from_millis(1_100), every));
        let second = look(&[(1, 5), (2, 8), (3, 1)], 1_100);
        let new: Vec<_> = seen.new_in(&second, ME).iter().map(|anchor| anchor.chain.as_i64()).collect();
        assert_eq!(new.len(), 2);
        assert!(!new.contains(&1));
        seen.told(second);
        assert!(seen.new_in(&look(&[(2, 8)], 2_100), ME).is_empty());
    }

    #[test]
    fn what_came_by_the_way_is_kept_until_an_entry_has_told_it() {
        let (seen, every) = (Seen::default(), Duration::from_secs(1));
        seen.keep(look(&[(1, 5), (9, 3)], 100));
        assert!(!seen.is_due(Duration::from_millis(1_099), every));
        let kept = seen.kept().unwrap();
        let new: Vec<_> = seen.new_in(&kept, ME).iter().map(|anchor| anchor.chain.as_i64()).collect();
        assert_eq!(new, [1], "a chain's own end is nothing that it saw");
        assert!(seen.kept().is_some(), "it was not committed");
        seen.keep(look(&[(1, 6)], 1_100));
        seen.keep(look(&[(1, 4)], 50));
        seen.told(kept);
        assert!(seen.kept().is_some_and(|kept| !seen.new_in(&kept, ME).is_empty()), "a newer one");
        let newer = seen.kept().unwrap();
        assert_eq!(newer.ends[&OwnerId::from_i64(1)].place, 6, "an older look that comes late is not kept");
        seen.told(newer);
        assert!(seen.kept().is_none());
        assert!(!seen.is_due(Duration::from_millis(2_099), every));
    }
}
