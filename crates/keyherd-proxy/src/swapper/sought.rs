//! What an agent's answers are looked through for: the real secrets of all that it may use, in one search.
//!
//! Owns the bounds on how many, and on how long those are still looked for that were replaced: upstream may know them for
//! longer than keyherd. The search is made once for what memory holds, not for each answer; its memory has the secrets in
//! the clear, as the broker's own has them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyherd_core::broker::{Broker, RealSecret};
use keyherd_core::ids::Name;
use keyherd_core::phantom::{NEEDLE_LEN_MIN, Needle, Needles};
use keyherd_core::secret::Secret;

use super::SwapLimits;
use crate::swap::Renewed;

/// What stands in the place of a secret for which the agent has no phantom. Nothing in it needs to be escaped anywhere.
pub(super) const REMOVED: &str = "keyherd-removed-a-secret";

/// What stands for each name where the agent is.
pub(super) type Texts = Arc<HashMap<Name, Arc<str>>>;

/// One agent's.
pub(super) struct Sought {
    broker: Broker,
    names: Vec<Name>,
    secrets_max: usize,
    replaced_age_max: Duration,
    state: Mutex<State>,
}

struct State {
    /// Of the broker's memory, when it was looked at last.
    epoch: Option<u64>,
    texts: Texts,
    /// As the store had them.
    stored: Vec<RealSecret>,
    /// Those that are looked for, newest first.
    known: Vec<Known>,
    needles: Arc<Needles>,
    is_over: bool,
}

struct Known {
    needle: Needle,
    /// When it was last found to be one.
    seen_at: Duration,
}

impl Sought {
    /// Of what may be used by these names.
    pub(super) fn new(broker: Broker, names: Vec<Name>, limits: &SwapLimits) -> Self {
        let state = State {
            epoch: None,
            texts: Texts::default(),
            stored: Vec::new(),
            known: Vec::new(),
            needles: Arc::new(Needles::new([])),
            is_over: false,
        };
        Self {
            broker,
            names,
            secrets_max: limits.secrets_max,
            replaced_age_max: limits.replaced_age_max,
            state: Mutex::new(state),
        }
    }

    /// The store was read anew.
    pub(super) fn stored(&self, stored: Vec<RealSecret>, texts: Texts) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.epoch, state.stored, state.texts) = (None, stored, texts);
    }

    /// The search as of now, also for what was used just now.
    pub(super) fn needles(&self, used: &[(&Name, &str)]) -> Arc<Needles> {
        let epoch = self.broker.secrets_epoch();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.epoch != Some(epoch) || !used.iter().all(|(name, secret)| state.has(name, secret)) {
            state.epoch = Some(epoch);
            self.look_again(&mut state, used);
        }
        Arc::clone(&state.needles)
    }

    /// The search as an answer goes on, and for these beside.
    pub(super) fn later(self: &Arc<Self>, beside: Vec<Needle>) -> Renewed {
        let sought = Arc::clone(self);
        if beside.is_empty() {
            return Arc::new(move || sought.needles(&[]));
        }
        let made: Mutex<Option<[Arc<Needles>; 2]>> = Mutex::default();
        Arc::new(move || {
            let now = sought.needles(&[]);
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            match &*made {
                Some([of, both]) if Arc::ptr_eq(of, &now) => Arc::clone(both),
                _ => {
                    let both = Arc::new(now.and(beside.iter().cloned()));
                    *made = Some([now, Arc::clone(&both)]);
                    both
                }
            }
        })
    }

    fn look_again(&self, state: &mut State, used: &[(&Name, &str)]) {
        let now = self.broker.ports().clock.uptime();
        let used = used.iter().map(|&(name, secret)| (Some(name.clone()), Secret::from(secret)));
        let read = self.broker.secrets_at_hand(&self.names).into_iter().chain(state.stored.iter().cloned());
        let current = used.chain(read.map(|RealSecret { name, secret }| (name, secret)));
        let texts = Arc::clone(&state.texts);
        let current = current.map(|(name, secret)| {
            let instead = name.and_then(|name| texts.get(&name).cloned()).unwrap_or_else(|| REMOVED.into());
            Known { needle: Needle { secret, instead }, seen_at: now }
        });
        let replaced = std::mem::take(&mut state.known);
        let before = replaced.len();
        let replaced =
            replaced.into_iter().filter(|known| now.saturating_sub(known.seen_at) < self.replaced_age_max);
        let mut all: Vec<Known> = Vec::new();
        for one in current.chain(replaced).filter(|one| one.needle.secret.expose().len() >= NEEDLE_LEN_MIN) {
            if all.iter().any(|known| known.needle.secret.expose() == one.needle.secret.expose()) {
                continue;
            }
            if all.len() >= self.secrets_max {
                if !std::mem::replace(&mut state.is_over, true) {
                    tracing::warn!(
                        max = self.secrets_max,
                        "an agent may use more than is looked for in answers"
                    );
                }
                break;
            }
            all.push(one);
        }
        if before != all.len() || !state.looks_for(&all) {
            state.needles = Arc::new(Needles::new(all.iter().map(|known| known.needle.clone())));
        }
        state.known = all;
    }
}

impl State {
    fn has(&self, name: &Name, secret: &str) -> bool {
        let instead = || self.texts.get(name).map_or(REMOVED, |text| &**text);
        secret.len() < NEEDLE_LEN_MIN
            || self.needles.instead_of(secret).is_some_and(|text| **text == *instead())
    }

    /// Whether these are looked for already.
    fn looks_for(&self, all: &[Known]) -> bool {
        let is_there = |Known { needle, .. }: &Known| {
            self.needles.instead_of(needle.secret.expose()) == Some(&needle.instead)
        };
        all.iter().all(is_there)
    }
}
