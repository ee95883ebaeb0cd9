//! The verb `sweep`: refreshing ahead of time what is due, within each provider's bounds.
//!
//! The cost follows what is due. Several servers may sweep one store: the claim keeps their calls single.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{self, JoinSet};

use super::lead::{End, FlightEnd};
use super::{AcquireError, Broker};
use crate::audit::Actor;
use crate::ids::ChainId;
use crate::ports::StoreError;
use crate::ports::store::Due;
use crate::provider::{Profile, origin};
use crate::refresh::{Ask, Breaker, Pace, Refusal, due_at};
use crate::spell::Spell;

/// Bounds of background refresh.
#[derive(Debug, Clone)]
pub struct BackgroundBounds {
    /// Whether due credentials are refreshed ahead of time at all.
    pub enabled: bool,
    /// Between two looks at what is due, and the least rest of a chain that was looked at in vain.
    pub interval: Duration,
    /// Chains looked at in one sweep.
    pub batch_max: usize,
    /// Calls at once, all providers together.
    pub concurrency: usize,
    /// Calls at once to one provider, where its profile does not say.
    pub provider_concurrency: usize,
    /// Calls a second to one provider, where its profile does not say.
    pub provider_rate: u32,
    /// Transient failures in a row that open a provider's breaker.
    pub breaker_failures: u32,
    /// How long it stays open before one call tries again.
    pub breaker_rest: Duration,
    /// Token endpoints whose pace and breaker are remembered; past it those that are idle and well are forgotten.
    pub lanes_max: usize,
    /// Between two clean-ups of journal, outbox, spent hashes and audit log.
    pub trim_interval: Duration,
}

impl Default for BackgroundBounds {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(1),
            batch_max: 1_000,
            concurrency: 64,
            provider_concurrency: 16,
            provider_rate: 50,
            breaker_failures: 5,
            breaker_rest: Duration::from_secs(60),
            lanes_max: 1_024,
            trim_interval: Duration::from_secs(600),
        }
    }
}

/// One token endpoint, as the sweep treats it.
struct Lane {
    at_once: Arc<Semaphore>,
    pace: Mutex<Pace>,
    breaker: Mutex<Breaker>,
    /// Chains under way and waiting in this lane, at most.
    room: usize,
    /// About the time in which a full lane empties.
    turn: Duration,
}

/// So many lanes may be full before the batch is: a provider that hangs must not hold up the others.
const LANES_FULL: usize = 4;

/// The sweep's memory between two rounds.
pub struct Sweeper {
    broker: Broker,
    actor: Actor,
    at_once: Arc<Semaphore>,
    lanes: HashMap<String, Arc<Lane>>,
    /// What is under way: a provider that hangs holds up its own chains and no others.
    under_way: HashSet<ChainId>,
    /// Which task has which chain: one that panics says nothing itself.
    chains: HashMap<task::Id, ChainId>,
    calls: JoinSet<()>,
}

impl Broker {
    /// Runs recovery, sweeps and clean-ups until shutdown.
    pub fn run_background(&self) {
        let _begun_before = self.0.home.set(Handle::current());
        self.watch();
        self.0.tidies.store(true, Ordering::Release);
        let (broker, stop) = (self.clone(), self.0.stop.clone());
        self.0.tasks.spawn(async move {
            let _ = stop.run_until_cancelled(broker.background()).await;
        });
        let (broker, stop) = (self.clone(), self.0.stop.clone());
        self.0.tasks.spawn(async move {
            let _ = stop.run_until_cancelled(broker.keep_recovering()).await;
        });
        let (broker, stop) = (self.clone(), self.0.stop.clone());
        self.0.tasks.spawn(async move {
            let _ = stop.run_until_cancelled(broker.keep_ending()).await;
        });
        self.0.tasks.spawn(self.clone().keep_channels());
    }

    async fn background(&self) {
        let mut sweeper = self.sweeper();
        let bounds = self.0.options.background.clone();
        let mut since_trim = bounds.trim_interval;
        let unread = Spell::default();
        loop {
            if since_trim >= bounds.trim_interval {
                let has_more = self.tidy().await;
                // What a clean-up's bounds left goes with the next rounds: more may come in meanwhile.
                since_trim = if has_more { bounds.trim_interval } else { Duration::ZERO };
            }
            if bounds.enabled {
                match sweeper.sweep().await {
                    Err(error) if unread.failed() => {
                        tracing::warn!(%error, "the sweep cannot read the store");
                    }
                    Err(_) => {}
                    Ok(_) => {
                        if let Some(times) = unread.over() {
                            tracing::info!(times, "the sweep reads the store again");
                        }
                    }
                }
            }
            tokio::time::sleep(bounds.interval).await;
            since_trim += bounds.interval;
        }
    }

    /// A sweeper with closed breakers.
    pub fn sweeper(&self) -> Sweeper {
        let at_once = Arc::new(Semaphore::new(self.0.options.background.concurrency));
        Sweeper {
            broker: self.clone(),
            actor: Actor::new("background"),
            at_once,
            lanes: HashMap::new(),
            under_way: HashSet::new(),
            chains: HashMap::new(),
            calls: JoinSet::new(),
        }
    }
}

impl Sweeper {
    /// One round: starts on what is due now, up to the batch, and waits for nothing. Returns how many were started.
    pub async fn sweep(&mut self) -> Result<usize, StoreError> {
        self.land();
        let room = self.broker.0.options.background.batch_max.saturating_sub(self.under_way.len());
        let limit = self.broker.0.options.background.batch_max + self.under_way.len();
        let due = self.broker.0.ports.store.due(self.broker.now(), limit).await?;
        let fresh: Vec<Due> =
            due.into_iter().filter(|due| !self.under_way.contains(&due.chain)).take(room).collect();
        let mut started = 0;
        for due in fresh {
            let Some((profile, lane)) = self.lane(&due).await? else { continue };
            self.under_way.insert(due.chain);
            let (broker, actor, at_once) =
                (self.broker.clone(), self.actor.clone(), Arc::clone(&self.at_once));
            let chain = due.chain;
            let call = self.calls.spawn(async move {
                broker.sweep_one(due, &profile, &lane, &at_once, &actor).await;
            });
            self.chains.insert(call.id(), chain);
            started += 1;
        }
        Ok(started)
    }

    /// Waits until everything that was started has ended.
    pub async fn settled(&mut self) {
        while let Some(ended) = self.calls.join_next_with_id().await {
            self.free(ended);
        }
    }

    fn land(&mut self) {
        while let Some(ended) = self.calls.try_join_next_with_id() {
            self.free(ended);
        }
    }

    fn free(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        if let Some(chain) = self.chains.remove(&id) {
            self.under_way.remove(&chain);
        }
    }

    /// Forgets idle lanes where there are too many, those whose breaker rests last of all.
    fn make_room(&mut self, now: Duration, lanes_max: usize) {
        if self.lanes.len() >= lanes_max {
            self.lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || lock(&lane.breaker).is_open(now));
        }
        if self.lanes.len() >= lanes_max {
            self.lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
    }

    #[cfg(test)]
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The token endpoint's lane, if it takes one more. What it does not take now is put off, out of the way of others.
    async fn lane(&mut self, due: &Due) -> Result<Option<(Arc<Profile>, Arc<Lane>)>, StoreError> {
        let bounds = self.broker.0.options.background.clone();
        let Ok(profile) = self.broker.profile(&due.provider) else {
            self.broker.put_off(due, bounds.breaker_rest).await?;
            return Ok(None);
        };
        let key = lane_key(&profile, due);
        if !self.lanes.contains_key(&key) {
            self.make_room(self.broker.0.ports.clock.uptime(), bounds.lanes_max);
        }
        let lane = self.lanes.entry(key).or_insert_with(|| Arc::new(Lane::new(&profile, &bounds)));
        let lane = Arc::clone(lane);
        if lock(&lane.breaker).is_open(self.broker.0.ports.clock.uptime()) {
            self.broker.put_off(due, bounds.breaker_rest).await?;
            return Ok(None);
        }
        if Arc::strong_count(&lane) > lane.room {
            self.broker.put_off(due, lane.turn).await?;
            return Ok(None);
        }
        Ok(Some((profile, lane)))
    }
}

impl Lane {
    fn new(profile: &Profile, bounds: &BackgroundBounds) -> Self {
        let at_once = profile.concurrency.map_or(bounds.provider_concurrency, |n| n as usize).max(1);
        let rate = profile.rate_per_second.unwrap_or(bounds.provider_rate).max(1);
        let room = (bounds.batch_max / LANES_FULL).max(at_once);
        let turn = Duration::from_secs(1) * u32::try_from(room).unwrap_or(u32::MAX) / rate;
        Self {
            at_once: Arc::new(Semaphore::new(at_once)),
            pace: Mutex::new(Pace::new(rate)),
            breaker: Mutex::new(Breaker::new(bounds.breaker_failures, bounds.breaker_rest)),
            room,
            turn,
        }
    }
}

fn lane_key(profile: &Profile, due: &Due) -> String {
    let endpoint =
        profile.resolve_token_url(due.token_url.as_deref()).map(|url| origin(&url)).unwrap_or_default();
    format!("{} {endpoint}", profile.name)
}

impl Broker {
    async fn sweep_one(&self, due: Due, profile: &Profile, lane: &Lane, at_once: &Semaphore, actor: &Actor) {
        let Ok(_lane_seat) = lane.at_once.acquire().await else { return };
        let rest = lock(&lane.pace).rest(self.0.ports.clock.uptime());
        tokio::time::sleep(rest).await;
        let Ok(_seat) = at_once.acquire().await else { return };
        // Much may have happened since it was listed: to the endpoint, and to the credential.
        let admitted = lock(&lane.breaker).admits(self.0.ports.clock.uptime());
        if !admitted {
            let _ = self.put_off(&due, self.0.options.background.breaker_rest).await;
            return;
        }
        let Ok(Some(loaded)) = self.0.ports.store.credential(&due.name).await else { return };
        if loaded.credential.disabled || loaded.chain.id != due.chain {
            return;
        }
        let ask = Ask::background(self.0.options.refresh.flight_timeout);
        let (answer, _) = self.board(&due.name, &loaded.chain, &ask, actor);
        let end = answer.await.unwrap_or_else(FlightEnd::lost);
        self.note_health(lane, &end, profile);
        self.note_room(&end);
        self.look_again_later(&due, end).await;
    }

    async fn put_off(&self, due: &Due, rest: Duration) -> Result<(), StoreError> {
        self.0.ports.store.reschedule(due.chain, Some(due.due_at), Some(self.now() + rest)).await
    }

    /// Only what the endpoint itself did wrong counts, and only here: callers who wait are never held by a breaker.
    fn note_health(&self, lane: &Lane, end: &FlightEnd, profile: &Profile) {
        let now = self.0.ports.clock.uptime();
        let mut breaker = lock(&lane.breaker);
        match &end.end {
            End::Minted => breaker.succeeded(),
            End::Refused(Refusal::Unavailable { code, .. } | Refusal::Uncertain { code, .. })
                if breaker.failed(now) =>
            {
                let rest_seconds = self.0.options.background.breaker_rest.as_secs();
                tracing::warn!(provider = %profile.name, code, rest_seconds, "background refresh rests: the provider keeps failing");
            }
            _ => {}
        }
    }

    /// Nobody waits for a refresh in the background: a disk that is full is said here.
    fn note_room(&self, end: &FlightEnd) {
        match &end.end {
            End::Failed(AcquireError::Store(error @ StoreError::Unwritable(_)))
                if self.0.unstored.failed() =>
            {
                tracing::warn!(%error, "tokens are not refreshed in the background");
            }
            End::Minted => {
                if let Some(times) = self.0.unstored.over() {
                    tracing::info!(times, "tokens are refreshed in the background again");
                }
            }
            _ => {}
        }
    }

    /// A row that was looked at and stays as it is must not come up again at once.
    async fn look_again_later(&self, due: &Due, end: FlightEnd) {
        let now = self.now();
        let bounds = &self.0.options;
        let seen = end.chain.as_ref().map_or(Some(due.due_at), |row| row.due_at);
        // What ended the flight has set another time, jittered as it should be.
        if seen.is_none_or(|at| at > now) {
            return;
        }
        let share = self.0.ports.entropy.share();
        let next = match (&end.end, &end.chain) {
            (End::Minted | End::Refused(Refusal::Removed), _) => return,
            // Nothing to do until a person acts; but what that was may have been missed, so it is not for ever.
            (
                End::Refused(Refusal::ReauthRequired { .. } | Refusal::Blocked { .. } | Refusal::Disabled),
                _,
            ) => Some(now + bounds.refresh.verdict_probe_first),
            (_, Some(row)) => self.rules(&row.provider).ok().and_then(|rules| due_at(row, &rules, share)),
            (_, None) => Some(now + bounds.background.breaker_rest),
        };
        let next = next.map(|at| at.max(now + bounds.background.interval));
        if let Err(error) = self.0.ports.store.reschedule(due.chain, seen, next).await {
            tracing::debug!(%error, "a due time could not be moved");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
