//! A token's handle, made once for each name and state of its chain: the hot path copies it, and touches nothing else.
//!
//! Owns when one is outdated. A cell counts its changes before and after each. A handle is of the number that had ended before its
//! content was looked at, and good while no more than those have begun: whoever could know of a change is given no older one.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::{Known, Snapshots};
use crate::broker::Token;
use crate::credential::outlasts;
use crate::time::Timestamp;

/// A handle, and of which state it is.
#[derive(Clone)]
pub(in crate::broker) struct Ready {
    /// How many changes its chain had seen.
    changes: u64,
    issued_at: Timestamp,
    pub(in crate::broker) token: Token,
}

impl Ready {
    /// As [`crate::credential::Tokens::outlasts`].
    pub(in crate::broker) fn outlasts(&self, window: Duration, now: Timestamp) -> bool {
        outlasts(self.issued_at, self.token.expires_at(), window, now)
    }
}

impl Known {
    /// The handle, unless the chain has another state by now, or may have.
    pub(in crate::broker) fn ready(&self) -> Option<&Ready> {
        let ready = self.ready.get()?;
        let begun = self.cell.changes_begun.load(Ordering::Acquire);
        (self.cell.is_fresh() && ready.changes == begun).then_some(ready)
    }

    fn make_ready(&self) -> Option<Ready> {
        // Before the content is looked at: see above.
        let changes = self.cell.changes_ended.load(Ordering::Acquire);
        let chain = self.cell.fresh()?;
        let token = Token::of(&self.credential, &chain)?;
        Some(Ready { changes, issued_at: chain.tokens.issued_at, token })
    }

    /// The same without a handle.
    pub(super) fn again(&self) -> Self {
        Self {
            credential: self.credential.clone(),
            window: self.window,
            read_at: self.read_at,
            reread_at: AtomicI64::new(self.reread_at.load(Ordering::Relaxed)),
            stamp: self.stamp,
            cell: Arc::clone(&self.cell),
            probes: self.probes.clone(),
            ready: OnceLock::new(),
        }
    }
}

impl Snapshots {
    /// Makes a handle, and keeps it for the next callers, if this is still what is known.
    #[cold]
    pub(in crate::broker) fn make_ready(&self, known: &Known) -> Option<Ready> {
        let ready = known.make_ready()?;
        if known.ready.set(ready.clone()).is_err() {
            self.names.pin().update(known.credential.name.clone(), |there| {
                if !std::ptr::eq(&raw const **there, known) {
                    return Arc::clone(there);
                }
                Arc::new(Known { ready: OnceLock::from(ready.clone()), ..known.again() })
            });
        }
        Some(ready)
    }
}

#[cfg(test)]
mod tests;
