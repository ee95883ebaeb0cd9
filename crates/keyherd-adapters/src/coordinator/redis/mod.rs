//! Redis as a hint: who is at a chain now, and a faster way to wake the others.
//!
//! Owns turns and words in Redis. Nothing here is ever an error: a Redis that is slow, down, forgetful or unreachable makes
//! everything as it would be without it.

mod link;
mod place;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyherd_core::ids::ChainId;
use keyherd_core::ports::{Clock, Turn};
use redis::cmd;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub use self::link::{RedisLink, RedisLinkOptions};
pub use self::place::{BadRedisUrl, RedisPlace};
use super::ears::Ears;
use super::postgres::start;

/// Takes the turn where it is free, or this owner's already: 1, else 0.
const TAKE: &str = "local at = redis.call('GET', KEYS[1]) \
    if not at or at == ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1 end return 0";
/// Gives the turn up, if it is this owner's.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Bounds of turns.
#[derive(Debug, Clone)]
pub struct TurnOptions {
    /// After this time without renewal a turn is free: what a host's end costs the others, before they look at the claim.
    pub lasts: Duration,
    /// How often turns are renewed.
    pub renew_every: Duration,
    /// A turn that is held for longer was forgotten, and is renewed no more.
    pub held_max: Duration,
}

impl Default for TurnOptions {
    fn default() -> Self {
        Self {
            lasts: Duration::from_secs(5),
            renew_every: Duration::from_millis(1_500),
            held_max: Duration::from_secs(300),
        }
    }
}

/// One process's turns and words.
pub(super) struct RedisTurns {
    shared: Arc<Shared>,
    renewer: Mutex<Option<AbortHandle>>,
    speaker: Mutex<Option<AbortHandle>>,
}

struct Shared {
    link: Arc<RedisLink>,
    ears: Arc<Ears>,
    clock: Arc<dyn Clock>,
    options: TurnOptions,
    /// Chains whose turn is this process's, and since when.
    held: Mutex<HashMap<ChainId, Duration>>,
    wanted: Notify,
}

impl RedisTurns {
    pub(super) fn new(
        link: Arc<RedisLink>,
        ears: Arc<Ears>,
        clock: Arc<dyn Clock>,
        options: TurnOptions,
    ) -> Self {
        let shared = Shared { link, ears, clock, options, held: Mutex::default(), wanted: Notify::new() };
        Self { shared: Arc::new(shared), renewer: Mutex::default(), speaker: Mutex::default() }
    }

    pub(super) async fn turn(&self, chain: ChainId) -> Turn {
        match self.shared.take(chain).await {
            Some(0) => return Turn::Wait,
            Some(_) => self.shared.hold(chain),
            // Nobody can say: the store decides.
            None => return Turn::Try,
        }
        start(&self.renewer, || Arc::clone(&self.shared).renew());
        Turn::Try
    }

    /// Also where the turn was never known to be had: the answer may have been lost.
    pub(super) async fn done(&self, chain: ChainId) {
        self.shared.held().remove(&chain);
        let mut release = cmd("EVAL");
        release.arg(RELEASE).arg(1).arg(self.shared.key(chain)).arg(self.shared.ears.me());
        let _ = self.shared.link.ask::<i64>(&release).await;
    }

    /// Says to others what the ears have counted.
    pub(super) fn say(&self) {
        start(&self.speaker, || Arc::clone(&self.shared).speak());
        self.shared.wanted.notify_one();
    }
}

impl Drop for RedisTurns {
    fn drop(&mut self) {
        for task in [&mut self.renewer, &mut self.speaker] {
            if let Some(task) = task.get_mut().unwrap_or_else(PoisonError::into_inner) {
                task.abort();
            }
        }
    }
}

impl Shared {
    fn key(&self, chain: ChainId) -> String {
        self.link.key("turn", &chain.as_i64().to_string())
    }

    async fn take(&self, chain: ChainId) -> Option<i64> {
        let mut take = cmd("EVAL");
        take.arg(TAKE).arg(1).arg(self.key(chain)).arg(self.ears.me());
        self.link.ask(take.arg(millis(self.options.lasts))).await
    }

    /// Takes again what is held: a Redis that forgot it is told anew.
    async fn renew(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.options.renew_every).await;
            let now = self.clock.uptime();
            self.held().retain(|_, since| now.saturating_sub(*since) < self.options.held_max);
            let chains: Vec<_> = self.held().keys().copied().collect();
            for chain in chains {
                self.take(chain).await;
                // It may have been given up while it was taken again.
                if !self.held().contains_key(&chain) {
                    let mut release = cmd("EVAL");
                    release.arg(RELEASE).arg(1).arg(self.key(chain)).arg(self.ears.me());
                    let _ = self.link.ask::<i64>(&release).await;
                }
            }
        }
    }

    /// One word at a time: whatever is announced while it is under way makes one more.
    async fn speak(self: Arc<Self>) {
        let mut told = 0;
        loop {
            self.wanted.notified().await;
            let count = self.ears.announced();
            let mut publish = cmd("PUBLISH");
            publish.arg(self.link.channel()).arg(self.ears.word(told));
            told = count;
            // Who cannot be reached so is reached through the store.
            let _ = self.link.ask::<i64>(&publish).await;
        }
    }

    fn hold(&self, chain: ChainId) {
        let now = self.clock.uptime();
        self.held().insert(chain, now);
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<ChainId, Duration>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
