//! The first try after a rest has ended: one caller goes, the others wait for a moment or go elsewhere.
//!
//! Each process tries for itself. What a try brought is told by reports; where nobody reports, the moment ends it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::credential::Cooldown;
use crate::time::Timestamp;
use crate::upstream::CooldownBounds;

/// Nobody has tried yet.
const UNTRIED: i64 = 0;
/// It works again.
const PROVEN: i64 = i64::MAX;

/// One rest's end.
pub(super) struct Probe {
    scope: Option<String>,
    until: Timestamp,
    /// [`UNTRIED`], [`PROVEN`], or when the first try began.
    state: AtomicI64,
    pub(super) told: Notify,
}

/// What a caller may do at a rest's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Go: the rest is over, or this is the first try.
    Go,
    /// Another one is trying: it is known in so long at the latest.
    Wait(Duration),
}

impl Probe {
    pub(super) fn new(cooldown: &Cooldown) -> Self {
        let (scope, until) = (cooldown.scope.clone(), cooldown.until);
        Self { scope, until, state: AtomicI64::new(UNTRIED), told: Notify::new() }
    }

    pub(super) fn is_of(&self, cooldown: &Cooldown) -> bool {
        self.until == cooldown.until && self.scope == cooldown.scope
    }

    pub(super) fn concerns(&self, scope: Option<&str>) -> bool {
        self.scope.is_none() || self.scope.as_deref() == scope
    }

    /// Whether another one is trying just now. Takes nothing.
    pub(super) fn look(&self, now: Timestamp, bounds: &CooldownBounds) -> Entry {
        if now < self.until || self.until + bounds.probe_within <= now {
            return Entry::Go;
        }
        match self.state.load(Ordering::Acquire) {
            UNTRIED | PROVEN => Entry::Go,
            since => left(Timestamp::from_millis(since), now, bounds.probe_wait),
        }
    }

    /// Goes, as the first one where nobody has.
    pub(super) fn enter(&self, now: Timestamp, bounds: &CooldownBounds) -> Entry {
        if now < self.until || self.until + bounds.probe_within <= now {
            return Entry::Go;
        }
        let mine = now.as_millis().max(UNTRIED + 1);
        match self.state.compare_exchange(UNTRIED, mine, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Entry::Go,
            Err(_) => self.look(now, bounds),
        }
    }

    /// A request went well: the first try, where the rest has ended. One that began before the rest says nothing of its
    /// end.
    pub(super) fn prove(&self, now: Timestamp) {
        if now < self.until {
            return;
        }
        self.state.store(PROVEN, Ordering::Release);
        self.told.notify_waiters();
    }

    /// It rests on, or for another reason: who waits looks again.
    pub(super) fn end(&self) {
        self.told.notify_waiters();
    }
}

/// A clock that was set back must not keep anybody waiting.
fn left(since: Timestamp, now: Timestamp, wait: Duration) -> Entry {
    let end = since + wait;
    if now < since || end <= now { Entry::Go } else { Entry::Wait(now.until(end)) }
}
