//! Scene 2: a pool of two accounts, of which the first is used up in the middle of a herd.

mod naive;
mod shown;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyherd_core::broker::{Acquired, Broker, ConnectMode, Report, Token};
use keyherd_core::credential::{Draft, DraftFields};
use keyherd_core::ids::Name;
use keyherd_core::pool::Strategy;
use keyherd_core::ports::store::AuditStore;
use keyherd_core::provider::Body;
use keyherd_core::refresh::Ask;
use keyherd_core::upstream::Answer;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::naive::Naive;
use super::herd;
use super::screen::Screen;
use super::upstream::DemoUpstream;
use super::{PROCESSES, TASKS, actor, key};
use crate::cli::Failure;
use crate::wire::Wired;

/// What the herd asks for.
const POOL: &str = "demo-pool";
/// Its members, in order.
const MEMBERS: [&str; 2] = ["demo-pool-1", "demo-pool-2"];
/// How often the API serves the first account.
const LIMIT: usize = 300;
/// Requests under way at once.
const AT_ONCE: usize = 64;
/// How long the API takes.
const LATENCY: Duration = Duration::from_millis(20);
/// Tries of one request at most: each member once, and the first once more.
const TRIES: usize = 3;
/// How long one of the herd waits for a token.
const WAIT: Duration = Duration::from_secs(30);
/// Audit entries that are looked through for what happened.
const ENTRIES: usize = 1_000;

/// What was seen.
#[derive(Debug, Serialize)]
pub(crate) struct Failover {
    scene: &'static str,
    tasks: usize,
    served: usize,
    /// Answers of 429 on the way: requests that were under way when the account was used up.
    refused: usize,
    /// Rests that were written, and moves of the pool's pointer.
    cooldowns: usize,
    failovers: usize,
    /// Processes that asked afterwards, and those that got the second account's token.
    processes: usize,
    processes_moved: usize,
    without: Naive,
    ok: bool,
}

impl Failover {
    /// Whether it is as promised: everyone served, one rest, one failover, and nobody refused but who was under way.
    pub(crate) fn is_ok(&self) -> bool {
        self.ok
    }

    fn holds(&self) -> bool {
        let is_once = (self.cooldowns, self.failovers) == (1, 1);
        let is_served = self.served == self.tasks && self.processes_moved == self.processes;
        is_once && is_served && (1..=AT_ONCE).contains(&self.refused)
    }
}

/// Goes through the scene.
pub(super) async fn play(wired: &Wired, data: &Path, screen: &Screen) -> Result<Failover, Failure> {
    let keys = [key()?, key()?];
    let upstream = api(&keys).await?;
    make_pool(wired, &keys).await?;
    screen.failover_opening()?;
    let served = herd(wired, &upstream, screen).await;
    let (processes_moved, log) = (processes(data, &keys[1]).await?, wired.store.tail(ENTRIES).await?);
    let entered = |action: &str, subject: &[&str]| {
        log.iter().filter(|entry| entry.action == action && subject.contains(&&*entry.subject)).count()
    };
    let mut outcome = Failover {
        scene: "fail_over_once",
        tasks: TASKS,
        served,
        refused: keys.iter().map(|key| upstream.counts(key).refused).sum(),
        cooldowns: entered("cooldown.set", &MEMBERS),
        failovers: entered("failover", &[POOL]),
        processes: PROCESSES,
        processes_moved,
        without: naive::ask(screen).await?,
        ok: false,
    };
    outcome.ok = outcome.holds();
    screen.failover_verdict(&outcome)?;
    Ok(outcome)
}

/// An API that serves the first key so often, and the second one for ever.
async fn api(keys: &[String; 2]) -> Result<Arc<DemoUpstream>, Failure> {
    let limits: HashMap<String, usize> = keys.iter().cloned().zip([LIMIT, usize::MAX]).collect();
    let started = DemoUpstream::start(limits, LATENCY).await;
    started.map_err(|error| Failure::failed(format!("the demo's API cannot be started: {error}")))
}

async fn make_pool(wired: &Wired, keys: &[String; 2]) -> Result<(), Failure> {
    let mut members = Vec::new();
    for (name, key) in MEMBERS.into_iter().zip(keys) {
        let draft = Draft::parse(DraftFields {
            name: name.into(),
            provider: "generic".into(),
            kind: Some("static".into()),
            secret: Some(key.as_str().into()),
            ..DraftFields::default()
        })?;
        members.push(draft.name.clone());
        wired.broker.connect(draft, ConnectMode::Create, &actor()).await?;
    }
    let name = Name::parse(POOL).map_err(Failure::failed)?;
    wired.broker.create_pool(&name, members, Strategy::Failover, &actor()).await?;
    Ok(())
}

/// Everyone has one request to make. How many were served.
async fn herd(wired: &Wired, upstream: &Arc<DemoUpstream>, screen: &Screen) -> usize {
    let (room, mut herd) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for _ in 0..TASKS {
        let (broker, upstream, room) = (wired.broker.clone(), Arc::clone(upstream), Arc::clone(&room));
        herd.spawn(async move {
            let _place = room.acquire_owned().await.ok()?;
            request(&broker, &upstream).await
        });
    }
    let live = screen.herd(TASKS);
    let mut served = 0;
    while let Some(one) = herd.join_next().await {
        served += usize::from(matches!(one, Ok(Some(()))));
        live.at(TASKS - herd.len());
    }
    served
}

/// One request: told where it is refused, and made again.
async fn request(broker: &Broker, upstream: &DemoUpstream) -> Option<()> {
    for _ in 0..TRIES {
        let acquired = broker.acquire(POOL, &Ask::foreground(WAIT), &actor()).await;
        let Ok(Acquired::Token(token)) = acquired else { return None };
        let answered = upstream.call(token.expose()).await.ok()?;
        if answered.status == 200 {
            return Some(());
        }
        tell(broker, &token, answered).await?;
    }
    None
}

async fn tell(broker: &Broker, token: &Token, answered: super::upstream::Answered) -> Option<()> {
    let credential = Name::parse(token.credential()).ok()?;
    let headers: BTreeMap<String, String> =
        answered.retry_after.map(|value| ("retry-after".into(), value)).into_iter().collect();
    let body = Body::from(answered.body);
    let answer = Answer { status: answered.status, headers: &headers, body: &body };
    let evidence = broker.evidence(&credential, &answer).await.ok()?;
    let report = Report {
        name: Name::parse(POOL).ok()?,
        credential,
        incarnation: Some(token.credential_id()),
        generation: token.generation(),
        pool_epoch: token.pool_epoch(),
        scope: None,
        evidence,
    };
    broker.report(&report, &actor()).await.ok().map(drop)
}

/// Processes of their own, afterwards: how many got that key.
async fn processes(data: &Path, expected: &str) -> Result<usize, Failure> {
    let mut asking = JoinSet::new();
    for _ in 0..PROCESSES {
        let no_process = |error: io::Error| Failure::failed(format!("no process can be started: {error}"));
        let mut command = herd::command(data, POOL).map_err(no_process)?;
        asking.spawn(async move { command.output().await });
    }
    let mut moved = 0;
    while let Some(one) = asking.join_next().await {
        let is_moved = matches!(one, Ok(Ok(done)) if done.stdout.trim_ascii() == expected.as_bytes());
        moved += usize::from(is_moved);
    }
    Ok(moved)
}
