//! What repeats is logged when it begins and when it ends: a spell of one kind of failure, and how often it happened.
//!
//! Owns the count. Logs nothing itself, and asks no clock.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// One kind of failure at one place, by any number of tasks.
#[derive(Debug, Default)]
pub struct Spell(AtomicU64);

impl Spell {
    /// It failed. `true`: with this the spell begins, and it is worth a line.
    pub fn failed(&self) -> bool {
        self.0.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// It did not fail. How often it had, where with this a spell ends.
    pub fn over(&self) -> Option<NonZeroU64> {
        // The common case writes nothing.
        if self.0.load(Ordering::Acquire) == 0 {
            return None;
        }
        NonZeroU64::new(self.0.swap(0, Ordering::AcqRel))
    }
}

#[cfg(test)]
mod tests {
    use super::Spell;

    #[test]
    fn it_speaks_at_both_ends_only() {
        let spell = Spell::default();
        assert_eq!(spell.over(), None);
        for _ in 0..2 {
            assert!(spell.failed());
            assert!(!spell.failed());
            assert!(!spell.failed());
            assert_eq!(spell.over().map(u64::from), Some(3));
            assert_eq!(spell.over(), None);
        }
    }
}
