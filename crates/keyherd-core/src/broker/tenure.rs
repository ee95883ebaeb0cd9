//! How long this process may act on a chain: its turn, as the coordinator has it, and its claim, which is renewed
//! until its end where claims expire.
//!
//! A turn is a hint. A claim that may have ended keeps the gate shut: no request is sent under it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::Broker;
use crate::ids::{ChainId, ClaimId};
use crate::ports::Turn;

/// A claim is renewed this often in its life: two renewals may fail before it ends.
const RENEWALS: u32 = 3;
/// After a renewal that failed, the next try comes after this part of its life.
const RENEW_AGAIN: u32 = 12;
/// This part of its life a claim must outlast the answer's deadline: clocks of store and host do not run alike.
const MARGIN: u32 = 8;

/// A granted claim, kept until this is dropped.
pub(super) struct Tenure {
    pub(super) claim: ClaimId,
    life: Option<Life>,
    _seat: Option<Seat>,
}

/// A claim that expires.
struct Life {
    whole: Duration,
    state: Arc<State>,
    _renewing: DropGuard,
}

struct State {
    /// When the last claim or renewal that succeeded was asked for, on the clock that counts suspend.
    asked_at: Mutex<Duration>,
    is_lost: AtomicBool,
    /// The store is being told how it ended: from now on a renewal that is refused means nothing.
    is_ending: AtomicBool,
    is_counted: AtomicBool,
}

/// The coordinator was asked for a turn and may have given it: told when that is over, whatever ended it.
pub(super) struct Seat {
    broker: Broker,
    chain: ChainId,
}

impl Tenure {
    /// Whether the claim certainly stands for that long after `now`, and some time more.
    pub(super) fn outlasts(&self, needed: Duration, now: Duration) -> bool {
        self.life.as_ref().is_none_or(|life| {
            let end = life.state.asked_at() + life.whole;
            !life.state.is_lost.load(Ordering::Acquire) && now + needed + life.whole / MARGIN <= end
        })
    }

    /// Call before the store is told how the claim ended.
    pub(super) fn ends(&self) {
        if let Some(life) = &self.life {
            life.state.is_ending.store(true, Ordering::Release);
        }
    }

    /// Counts the claim as lost, once.
    pub(super) fn count_lost(&self) {
        match &self.life {
            Some(life) => life.state.count_lost(),
            None => metrics::counter!("keyherd_claim_lost_total").increment(1),
        }
    }
}

impl State {
    fn asked_at(&self) -> Duration {
        *self.asked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renewed(&self, asked_at: Duration) {
        *self.asked_at.lock().unwrap_or_else(PoisonError::into_inner) = asked_at;
    }

    fn count_lost(&self) {
        if !self.is_counted.swap(true, Ordering::AcqRel) {
            metrics::counter!("keyherd_claim_lost_total").increment(1);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Without a runtime there is nobody left who could tell; the coordinator's own bound frees the turn.
        if tokio::runtime::Handle::try_current().is_ok() {
            let (broker, chain) = (self.broker.clone(), self.chain);
            self.broker.0.tasks.spawn(async move {
                let done = broker.0.ports.coordinator.done(chain);
                let _ = tokio::time::timeout(broker.0.options.coordinator_timeout, done).await;
            });
        }
    }
}

impl Broker {
    /// Asks the coordinator whether to try for the chain's claim. One that does not answer in time keeps nobody.
    pub(super) async fn turn(&self, chain: ChainId) -> (Turn, Option<Seat>) {
        let asked = self.0.ports.coordinator.turn(chain);
        let turn = tokio::time::timeout(self.0.options.coordinator_timeout, asked).await;
        match turn.unwrap_or(Turn::Try) {
            Turn::Try => (Turn::Try, Some(Seat { broker: self.clone(), chain })),
            Turn::Wait => (Turn::Wait, None),
        }
    }

    /// Keeps a granted claim until the tenure is dropped. `asked_at`: before the store was asked for it.
    pub(super) fn tenure(
        &self,
        chain: ChainId,
        claim: ClaimId,
        asked_at: Duration,
        seat: Option<Seat>,
    ) -> Tenure {
        let life = self.0.ports.store.claim_life().map(|whole| {
            let state = Arc::new(State {
                asked_at: Mutex::new(asked_at),
                is_lost: AtomicBool::new(false),
                is_ending: AtomicBool::new(false),
                is_counted: AtomicBool::new(false),
            });
            let (broker, kept, over) = (self.clone(), Arc::clone(&state), CancellationToken::new());
            let _renewing = over.clone().drop_guard();
            self.0.tasks.spawn(async move {
                let _ = over.run_until_cancelled(broker.keep(chain, claim, whole, &kept)).await;
            });
            Life { whole, state, _renewing }
        });
        Tenure { claim, life, _seat: seat }
    }

    async fn keep(&self, chain: ChainId, claim: ClaimId, whole: Duration, state: &State) {
        let mut rest = whole / RENEWALS;
        loop {
            tokio::time::sleep(rest).await;
            let asked_at = self.0.ports.clock.uptime();
            match self.0.ports.store.renew(chain, claim).await {
                Ok(true) => {
                    state.renewed(asked_at);
                    if let Some(times) = self.0.unrenewed.over() {
                        tracing::info!(times, "claims are renewed again");
                    }
                    rest = whole / RENEWALS;
                }
                Ok(false) => {
                    if !state.is_ending.load(Ordering::Acquire) {
                        state.is_lost.store(true, Ordering::Release);
                        state.count_lost();
                        tracing::warn!(chain = chain.as_i64(), "a claim was lost before its end");
                    }
                    return;
                }
                Err(error) => {
                    // One line for all claims of this process: what keeps one from it keeps the others too.
                    if self.0.unrenewed.failed() {
                        tracing::warn!(chain = chain.as_i64(), %error, "a claim could not be renewed");
                    }
                    rest = whole / RENEW_AGAIN;
                }
            }
        }
    }

    /// Why claims on this store do not surely last for a call, if so: a third of their life may have passed since the last
    /// renewal, and the margin counts as passed.
    pub(super) fn too_short_a_life(&self, answer: Duration) -> Option<String> {
        let whole = self.0.ports.store.claim_life()?;
        (whole - whole / MARGIN - whole / RENEWALS <= answer).then(|| {
            format!(
                "claims on this store live {} s, too short for a provider's answer, which may take {} s: let claims live twice as long as that, or lower provider_timeout_seconds",
                whole.as_secs(),
                answer.as_secs()
            )
        })
    }
}
