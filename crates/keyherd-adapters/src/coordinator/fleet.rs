//! A fleet's coordinator: PostgreSQL's notices always, and Redis beside them where there is one.
//!
//! Owns their composition. Whatever is announced goes both ways, unhurried through PostgreSQL while Redis is up: hosts that
//! see another Redis, or none, hear of it all the same. Turns are Redis' alone, and nobody relies on them.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join;
use keyherd_core::ids::ChainId;
use keyherd_core::ports::{Clock, Coordinator, Turn};

use super::ears::Ears;
use super::postgres::{PostgresBell, PostgresBellOptions};
use super::redis::{RedisLink, RedisLinkOptions, RedisPlace, RedisTurns, TurnOptions};
use crate::postgres::{Target, Wire};

/// Bounds of a fleet's coordination.
#[derive(Debug, Clone, Default)]
pub struct FleetOptions {
    /// PostgreSQL's notices.
    pub bell: PostgresBellOptions,
    /// The connection to Redis.
    pub link: RedisLinkOptions,
    /// Turns in Redis.
    pub turns: TurnOptions,
}

/// Where a fleet meets.
#[derive(Debug, Clone)]
pub struct FleetPlaces {
    /// The store.
    pub wire: Wire,
    /// Where LISTEN works: the store itself, or the server behind its pooler.
    pub listen: Target,
    /// Redis, if there is one.
    pub redis: Option<RedisPlace>,
    /// The store's id: several installations may share one Redis.
    pub installation: [u8; 16],
}

/// One process of a fleet.
pub struct FleetCoordinator {
    ears: Arc<Ears>,
    bell: PostgresBell,
    redis: Option<(Arc<RedisLink>, RedisTurns)>,
}

impl FleetCoordinator {
    /// Begins to connect to Redis. `clock` counts how long a turn is held.
    pub fn start(places: FleetPlaces, clock: Arc<dyn Clock>, options: FleetOptions) -> Self {
        let ears = Arc::new(Ears::new());
        let bell = PostgresBell::with_ears(places.wire, places.listen, options.bell, Arc::clone(&ears));
        let redis = places.redis.map(|place| {
            let link = RedisLink::start(place, &places.installation, options.link, Arc::clone(&ears));
            let turns = RedisTurns::new(Arc::clone(&link), Arc::clone(&ears), clock, options.turns);
            (link, turns)
        });
        Self { ears, bell, redis }
    }

    /// The connection to Redis, for copies of the journal.
    pub fn link(&self) -> Option<Arc<RedisLink>> {
        self.redis.as_ref().map(|(link, _)| Arc::clone(link))
    }

    /// Returns when everything that was announced was said through PostgreSQL, or after a bound: for a process that ends.
    pub async fn settled(&self) {
        self.bell.settled().await;
    }

    /// Finds out whether notices arrive and whether Redis answers, each within its own bounds: for a process that would
    /// end before [`Coordinator::trouble`] knew.
    pub async fn tried(&self) {
        let redis = async {
            if let Some((link, _)) = &self.redis {
                link.tried().await;
            }
        };
        join(self.bell.tried(), redis).await;
    }

    fn say(&self) {
        if let Some((_, turns)) = &self.redis {
            turns.say();
        }
        self.bell.say(self.redis_is_up());
    }

    fn redis_is_up(&self) -> bool {
        self.redis.as_ref().is_some_and(|(link, _)| link.is_up())
    }
}

#[async_trait]
impl Coordinator for FleetCoordinator {
    fn announce(&self) {
        self.ears.announce();
        self.say();
    }

    fn announce_chain(&self, chain: ChainId) {
        self.ears.announce_chain(chain);
        self.say();
    }

    fn named(&self) -> Vec<ChainId> {
        self.ears.named()
    }

    async fn changed(&self) {
        self.bell.listen();
        // A word in Redis proves nothing about those who do not see it: only PostgreSQL's notices make polls rare.
        let _ = tokio::time::timeout(self.bell.poll(), self.ears.rang()).await;
    }

    async fn turn(&self, chain: ChainId) -> Turn {
        match &self.redis {
            Some((_, turns)) => turns.turn(chain).await,
            None => Turn::Try,
        }
    }

    async fn done(&self, chain: ChainId) {
        if let Some((_, turns)) = &self.redis {
            turns.done(chain).await;
        }
    }

    async fn trouble(&self) -> Vec<String> {
        let mut lines = self.bell.trouble().await;
        lines.extend(self.redis.as_ref().and_then(|(link, _)| link.trouble()));
        lines
    }
}

#[cfg(test)]
mod tests;
