//! Many accounts, each wanted once: every process refreshes its share, so many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use keyherd_adapters::provider::{HttpOptions, HttpProvider};
use keyherd_core::audit::Actor;
use keyherd_core::ports::{CallLimits, Delivery, ProviderClient};
use keyherd_core::provider::{ClientApp, Profile, refresh_request};
use keyherd_core::refresh::{Ask, RefreshBounds};
use keyherd_core::secret::Secret;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use url::Url;

use super::herd::is_token_of;
use super::{Fleet, Host, Place};
use crate::process::cpu_time;
use crate::worker::{shared_now, until};
use crate::{Counts, Outcome, refresh_token};

/// The word that makes a program one of the processes.
pub const WORKER: &str = "distinct-worker";
const WAIT: Duration = Duration::from_secs(30);
/// From the word to the moment: all processes have heard it by then.
const AHEAD: Duration = Duration::from_millis(100);
/// The provider's own accounts, which keyherd has nothing to do with, have numbers from here on.
const BARE_FROM: u64 = 1_000_000_000;

/// What is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Load {
    /// Each account is acquired once, in one process.
    Once,
    /// Accounts are acquired one after another and over again, until that moment.
    Until(Duration),
    /// The provider alone is called, as often as there are accounts: without store, journal and claims.
    Bare(String),
}

/// What each process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Go {
    load: Load,
    /// Its first account, and the steps to its next ones.
    first: u64,
    step: u64,
    accounts: u64,
    at_a_time: usize,
    at: Duration,
}

/// What a load came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ends {
    /// When it began.
    pub begun: Duration,
    /// When each was served.
    pub served: Vec<Duration>,
    /// How many got nothing, or a token of another account.
    pub failed: usize,
    /// Calls to the store.
    pub counts: Vec<Counts>,
    /// CPU time of the processes.
    pub cpu: Duration,
}

impl Ends {
    /// How many a second were served, all in all.
    pub fn rate(&self) -> f64 {
        let last = self.served.iter().max().copied().unwrap_or_default();
        per_second(self.served.len(), last.saturating_sub(self.begun))
    }

    /// How many a second were served in that time.
    pub fn rate_within(&self, from: Duration, to: Duration) -> f64 {
        let count = self.served.iter().filter(|moment| (from..to).contains(*moment)).count();
        per_second(count, to.saturating_sub(from))
    }
}

fn per_second(count: usize, time: Duration) -> f64 {
    let count = u32::try_from(count).map_or(0.0, f64::from);
    if time.is_zero() { 0.0 } else { count / time.as_secs_f64() }
}

/// Runs a worker, until its input ends.
///
/// # Errors
/// Whatever stands in the way.
pub fn work(runtime: &Runtime, words: &[String]) -> Outcome {
    let (number, place) = Place::of_words(words)?;
    let host = Arc::new(runtime.block_on(Host::open(&place, number))?);
    runtime.block_on(host.broker.watched());
    println!("ready");
    for line in std::io::stdin().lines() {
        let go = serde_json::from_str(&line?)?;
        println!("{}", serde_json::to_string(&runtime.block_on(load(&host, go))?)?);
    }
    if let Some(host) = Arc::into_inner(host) {
        runtime.block_on(host.close());
    }
    Ok(())
}

/// What the takers of one process share.
struct Shift {
    host: Arc<Host>,
    go: Go,
    taken: AtomicU64,
    failed: AtomicUsize,
    bare: Option<(HttpProvider, Url)>,
}

async fn load(host: &Arc<Host>, go: Go) -> Outcome<Ends> {
    let (before, begun, takers) = (host.counting.counts(), go.at, go.at_a_time);
    let bare = match &go.load {
        Load::Bare(url) => Some((HttpProvider::new(HttpOptions::default())?, Url::parse(url)?)),
        Load::Once | Load::Until(_) => None,
    };
    let (taken, failed, worked) = (AtomicU64::new(0), AtomicUsize::new(0), cpu_time(std::process::id())?);
    let shift = Arc::new(Shift { host: Arc::clone(host), go, taken, failed, bare });
    until(begun).await;
    let mut running = JoinSet::new();
    for _ in 0..takers {
        running.spawn(take(Arc::clone(&shift)));
    }
    let served = running.join_all().await.into_iter().flatten().collect();
    let failed = shift.failed.load(Ordering::Relaxed);
    let cpu = cpu_time(std::process::id())?.saturating_sub(worked);
    Ok(Ends { begun, served, failed, counts: vec![host.counting.counts().since(before)], cpu })
}

/// One after another, until there is nothing left.
async fn take(shift: Arc<Shift>) -> Vec<Duration> {
    let mut served = Vec::new();
    while let Some(account) = shift.next() {
        let is_served = match &shift.bare {
            Some((client, url)) => is_granted(client, url, BARE_FROM + account).await,
            None => shift.is_served(account).await,
        };
        if is_served {
            served.push(shared_now());
        } else {
            shift.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
    served
}

impl Shift {
    fn next(&self) -> Option<u64> {
        let go = &self.go;
        let place = go.first + go.step * self.taken.fetch_add(1, Ordering::Relaxed);
        match go.load {
            Load::Once | Load::Bare(_) => (place < go.accounts).then_some(place + 1),
            // Every process goes round its own accounts only.
            Load::Until(end) => {
                let own = (go.accounts - go.first).div_ceil(go.step);
                let turn = (place - go.first) / go.step % own.max(1);
                (shared_now() < end).then_some(go.first + go.step * turn + 1)
            }
        }
    }

    async fn is_served(&self, account: u64) -> bool {
        let name = format!("acme-{account}");
        let outcome = self.host.broker.acquire(&name, &Ask::foreground(WAIT), &Actor::new("bench")).await;
        outcome.is_ok_and(|acquired| is_token_of(&acquired, &name))
    }
}

/// The provider alone, through keyherd's own client.
async fn is_granted(client: &HttpProvider, url: &Url, family: u64) -> bool {
    let app = ClientApp { id: Some("bench"), secret: None };
    let token = Secret::from(refresh_token(family, 0).as_str());
    let request = refresh_request(&Profile::default(), url, &app, &token, &[], None);
    let bounds = RefreshBounds::default();
    let limits = CallLimits {
        connect_timeout: bounds.connect_timeout,
        answer_timeout: bounds.provider_timeout,
        body_len_max: bounds.answer_len_max,
    };
    matches!(client.call(&request, &limits, &|| true).await, Delivery::Answered(reply) if reply.status == 200)
}

impl Fleet {
    /// Puts all processes to a load of so many accounts, so many at a time in all.
    ///
    /// # Errors
    /// A process has ended.
    pub async fn load(
        &mut self,
        load: &Load,
        accounts: usize,
        at_a_time: usize,
        meanwhile: impl Future<Output = Outcome>,
    ) -> Outcome<Ends> {
        let (at, processes) = (shared_now() + AHEAD, self.0.len());
        let go = |number| Go {
            load: load.clone(),
            first: number as u64,
            step: processes as u64,
            accounts: accounts as u64,
            at_a_time: at_a_time / processes,
            at,
        };
        self.tell(go).await?;
        meanwhile.await?;
        let mut all = Ends { begun: at, ..Ends::default() };
        for ends in self.answers::<Ends>().await? {
            all.served.extend(ends.served);
            all.failed += ends.failed;
            all.counts.extend(ends.counts);
            all.cpu += ends.cpu;
        }
        Ok(all)
    }
}
