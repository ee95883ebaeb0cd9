//! The store as one host reaches it: cut off, slow, failing before or after it took effect.
//!
//! Owns the faults of the way there. What the store does is the memory store's.

mod access;
mod approvals;
mod chains;
mod channels;
mod pools;
mod rooms;

use std::future::Future;
use std::time::Duration;

use keyherd_core::credential::{Chain, Trouble};
use keyherd_core::fakes::MemoryStore;
use keyherd_core::ids::ChainId;
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{Settled, Settling};
use keyherd_core::refresh::Settlement;

use super::{Seat, since_start};
use crate::mutants::BentStore;
use crate::rows;
use crate::tally::Event;
use crate::world::State;

/// Looks that go on all the time: left out of the trace where they fail.
const POLLS: [&str; 4] = ["events", "last event", "due", "trim"];

/// What changes something.
const WRITES: [&str; 10] = [
    "claim",
    "renew",
    "settle",
    "commit",
    "create",
    "reconnect",
    "amend",
    "remove",
    "put client",
    "reschedule",
];

pub(crate) struct SimStore {
    seat: Seat,
    inner: MemoryStore,
    bent: BentStore,
}

/// What the way to the store does to one call.
struct Way {
    out: Duration,
    back: Duration,
    fails_before: bool,
    fails_after: bool,
}

impl SimStore {
    pub(crate) fn new(seat: &Seat) -> Self {
        let inner = seat.world.installation.open(seat.owner);
        Self { seat: seat.clone(), bent: BentStore::new(seat, inner.clone()), inner }
    }

    fn way(&self) -> Way {
        let mut state = self.seat.world.lock();
        let (before, after, slow) = (state.plan.store_before, state.plan.store_after, state.plan.store_slow);
        let longest = if state.dice.chance(slow) { 2_000 } else { 4 };
        if longest > 4 {
            state.tally.count(Event::StoreSlow);
        }
        Way {
            out: state.dice.millis(0, longest),
            back: state.dice.millis(0, longest),
            fails_before: state.dice.chance(before),
            fails_after: state.dice.chance(after),
        }
    }

    fn is_cut_off(&self) -> bool {
        let at = self.seat.world.at();
        let state = self.seat.world.lock();
        at < state.store_down_until || at < state.hosts[self.seat.host].cut_until
    }

    /// One call: there, its effect, and back.
    async fn step<R>(
        &self,
        name: &str,
        chain: Option<ChainId>,
        act: impl Future<Output = Result<R, StoreError>> + Send,
        shown: impl FnOnce(&R) -> Option<String> + Send,
    ) -> Result<R, StoreError> {
        let seat = &self.seat;
        seat.moment(name).await;
        let way = self.way();
        tokio::time::sleep(way.out).await;
        seat.held().await;
        if way.fails_before || self.is_cut_off() {
            if way.fails_before {
                seat.world.count(Event::StoreBefore);
            }
            if !POLLS.contains(&name) {
                seat.tell(chain, format!("store: {name} fails"));
            }
            return Err(StoreError::Unavailable("cut off".into()));
        }
        let outcome = act.await;
        if let Some(what) = outcome.as_ref().ok().and_then(shown) {
            seat.tell(chain, format!("store: {name}: {what}"));
        }
        if WRITES.contains(&name) {
            rows::check(&seat.world);
        }
        seat.world.check();
        tokio::time::sleep(way.back).await;
        seat.moment(name).await;
        if way.fails_after {
            seat.world.count(Event::StoreAfter);
            if WRITES.contains(&name) {
                seat.world.count(Event::WriteUnanswered);
            }
            if !POLLS.contains(&name) {
                seat.tell(chain, format!("store: {name} was done, its answer is lost"));
            }
            return Err(StoreError::Unanswered("the answer is lost".into()));
        }
        outcome
    }

    /// What a settlement that took effect says of its claim.
    fn settled(&self, settling: &Settling, settled: &Settled) {
        if !matches!(settled, Settled::Done(_)) {
            return;
        }
        let (at, owner) = (self.seat.world.at(), self.seat.owner);
        let State { ledger, tally, .. } = &mut *self.seat.world.lock();
        match &settling.settlement {
            Settlement::Troubled(Trouble::Verdict(verdict)) => ledger.condemned(
                (owner, settling.claim),
                settling.chain,
                (verdict.hash, verdict.reason, verdict.at),
                at,
            ),
            Settlement::Troubled(Trouble::Uncertain(uncertain)) if uncertain.code == "owner_gone" => {
                tally.count(Event::Ownerless);
                if let Some(hash) = settling.spend_hash {
                    ledger.gives_up(hash, settling.claim, at);
                }
            }
            Settlement::Blocked(_) => ledger.blocked(owner, settling.claim, settling.chain, at),
            _ => {}
        }
    }

    fn row(&self, chain: &Chain) -> String {
        self.bent.was_read(chain);
        let world = &self.seat.world;
        let token = chain.spend_hash.map(|hash| world.lock().ledger.name(&hash)).unwrap_or_default();
        let trouble = match &chain.trouble {
            Trouble::None => "well".to_owned(),
            Trouble::Backoff(backoff) => format!("backoff until {}", since_start(world, backoff.retry_at)),
            Trouble::Uncertain(uncertain) => format!(
                "uncertain, {} probes, until {}",
                uncertain.probes,
                since_start(world, uncertain.retry_at)
            ),
            Trouble::Verdict(verdict) => format!("verdict {}", verdict.reason.as_str()),
        };
        let claim = chain.claim.as_ref().map_or_else(String::new, |claim| {
            format!(
                ", claimed by process {} for {} ({:?})",
                claim.owner.as_i64(),
                claim.purpose.as_str(),
                claim.holder
            )
        });
        format!("generation {} {token}, {trouble}{claim}", chain.generation)
    }

    fn settled_text(&self, settled: &Settled) -> String {
        match settled {
            Settled::Done(row) => format!("done: {}", self.row(row)),
            Settled::Superseded(Some(row)) => format!("superseded: {}", self.row(row)),
            Settled::Superseded(None) => "superseded: gone".into(),
        }
    }
}
