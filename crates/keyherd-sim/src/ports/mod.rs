//! The ports of a simulated host: every call is a step, before and after which anything may happen.

mod coordinator;
mod journal;
mod provider;
mod store;

use std::sync::Arc;
use std::time::Duration;

use keyherd_core::ids::{ChainId, OwnerId};
use keyherd_core::ports::Clock;
use keyherd_core::time::{Timestamp, millis};

pub(crate) use self::coordinator::SimCoordinator;
pub(crate) use self::journal::SimJournal;
pub(crate) use self::provider::SimProvider;
pub(crate) use self::store::SimStore;
use crate::hosts;
use crate::plan::PAUSE_MAX;
use crate::world::World;

/// One process on one host. When the process is dead, none of its steps ever ends: to all others it is gone.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) world: Arc<World>,
    pub(crate) host: usize,
    pub(crate) owner: OwnerId,
}

impl Seat {
    /// Goes on only while the process lives and is not paused.
    pub(crate) async fn held(&self) {
        loop {
            let rest = {
                let state = self.world.lock();
                if !state.runs(self.host, self.owner) {
                    None
                } else {
                    Some(state.hosts[self.host].paused_until.saturating_sub(self.world.at()))
                }
            };
            match rest {
                None => std::future::pending::<()>().await,
                Some(Duration::ZERO) => return,
                Some(rest) => tokio::time::sleep(rest).await,
            }
        }
    }

    /// A moment between two steps, in which the host may die or be paused.
    pub(crate) async fn moment(&self, step: &str) {
        self.held().await;
        let (crashes, pause) = {
            let mut state = self.world.lock();
            state.steps += 1;
            let (crash, pause) = (state.plan.crash, state.plan.pause);
            let crashes = state.dice.chance(crash);
            let pauses = !crashes && state.dice.chance(pause);
            let longest = PAUSE_MAX.as_secs() * 1_000;
            (crashes, pauses.then(|| state.dice.millis(500, longest)))
        };
        if crashes {
            hosts::kill(self, step);
        }
        if let Some(time) = pause {
            hosts::pause(&self.world, self.host, time);
        }
        self.world.check();
        if crashes || pause.is_some() {
            self.held().await;
        }
    }

    pub(crate) fn tell(&self, chain: Option<ChainId>, text: String) {
        self.world.tell(Some(self.host), chain, text);
    }
}

/// The host's clocks: a wall clock that may be wrong, and one that counts from its boot.
pub(crate) struct SimClock(pub(crate) Seat);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let skew = self.0.world.lock().skew_ms(self.0.host);
        let now = self.0.world.clock.now().as_millis();
        Timestamp::from_millis(now.saturating_add(skew))
    }

    fn uptime(&self) -> Duration {
        let offset = self.0.world.lock().hosts[self.0.host].uptime_offset;
        self.0.world.at() + offset
    }
}

/// A time as the trace shows it: since the start.
pub(crate) fn since_start(world: &World, at: Timestamp) -> String {
    let start = world.clock.now().as_millis().saturating_sub(millis(world.at()));
    format!("{}s", (at.as_millis() - start) / 1_000)
}
