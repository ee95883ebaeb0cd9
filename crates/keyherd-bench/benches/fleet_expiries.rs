//! Many processes, many callers in each, expiry after expiry: is each refresh token spent once, and is everyone served?
//!
//! The provider rotates strictly and revokes on reuse. Baseline: a lock with a time to live, as studied peers have it
//! (see `baseline::LockFilePeer`); an account that it loses is logged in again for the next expiry.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyherd_adapters::provider::{HttpOptions, HttpProvider};
use keyherd_bench::baseline::LockFilePeer;
use keyherd_bench::figures::{millis, quantile};
use keyherd_bench::{
    Accounts, Arguments, Ground, Installation, LoopbackProvider, Outcome, Report, Row, Stopwatch, Tally,
    Worker, refresh_token,
};
use keyherd_core::audit::Actor;
use keyherd_core::broker::{Acquired, Broker, Options};
use keyherd_core::refresh::Ask;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// What the keyherd program allocates with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The word that makes this program one of the processes.
const WORKER: &str = "worker";
const OURS: &str = "ours";
const THEIRS: &str = "lock";
const PROCESSES: usize = 8;
const CALLERS: usize = 200;
/// Callers arrive over this time.
const SPREAD: Duration = Duration::from_millis(400);
/// A token's life. Half of it must be longer than the spread, so that an expiry is one.
const EXPIRES_IN: u64 = 2;
const WAIT: Duration = Duration::from_secs(30);

/// One kind of provider.
struct Scene {
    took: Duration,
    expiries: usize,
    /// How often a caller asks that gets nothing.
    tries: usize,
}

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.worker(WORKER) {
        Some(words) => worker(&runtime, words),
        None => runtime.block_on(bench(&arguments)),
    }
}

async fn bench(arguments: &Arguments) -> Outcome {
    let full = [(200, 60, 1), (3_500, 5, 1), (12_000, 3, 5)];
    let quick = [(200, 3, 1)];
    let scenes: &[_] = if arguments.is_quick() { &quick } else { &full };
    let mut report = Report::begin("fleet_expiries: eight processes, one account, expiry after expiry");
    for &(millis, expiries, tries) in scenes {
        let scene = Scene { took: Duration::from_millis(millis), expiries, tries };
        let (ours, theirs) = (play(OURS, &scene).await?, play(THEIRS, &scene).await?);
        add(&mut report, &scene, &ours, &theirs);
    }
    report.note(format!(
        "{PROCESSES} processes of {CALLERS} callers, who arrive over {} ms.",
        SPREAD.as_millis()
    ));
    report.note("baseline: a lock for 10 s, followers look every 100 ms and give up after 3 s; with 5 tries they ask again.");
    report.print();
    Ok(())
}

/// What came of all expiries of a scene.
#[derive(Default)]
struct Played {
    tally: Tally,
    lost: usize,
    failed: usize,
    waits: Vec<Duration>,
}

fn add(report: &mut Report, scene: &Scene, ours: &Played, theirs: &Played) {
    let what = format!("provider {:.1} s, {} expiries", scene.took.as_secs_f64(), scene.expiries);
    let share = |count: u64| {
        u32::try_from(count).map_or(0.0, f64::from) / u32::try_from(scene.expiries).map_or(1.0, f64::from)
    };
    let calls = |played: &Played| share(played.tally.calls);
    let once = ours.tally.calls == scene.expiries as u64;
    let row = Row::new(format!("{what}: calls an expiry")).ours(format!("{:.2}", calls(ours)));
    report.row(row.baseline(format!("{:.2}", calls(theirs))).aim("1.00", once));
    let row = Row::new(format!("{what}: tokens reused")).ours(ours.tally.reuses);
    report.row(row.baseline(theirs.tally.reuses).aim("0", ours.tally.reuses == 0));
    let row = Row::new(format!("{what}: accounts lost")).ours(ours.lost);
    report.row(row.baseline(theirs.lost).aim("0", ours.lost == 0));
    let all = PROCESSES * CALLERS * scene.expiries;
    let row = Row::new(format!("{what}: callers failed, of {all}")).ours(ours.failed);
    report.row(row.baseline(theirs.failed).aim("0", ours.failed == 0));
    let worst = |played: &Played| format!("{:.0} ms", millis(quantile(&played.waits, 1.0)));
    report.row(Row::new(format!("{what}: longest wait")).ours(worst(ours)).baseline(worst(theirs)));
}

/// Plays a scene with one side's processes.
async fn play(side: &str, scene: &Scene) -> Outcome<Played> {
    let provider = LoopbackProvider::start(Accounts::new(EXPIRES_IN), scene.took).await?;
    let ground = Ground::new()?;
    let mut family = 1;
    log_in(side, ground.path(), family, provider.url()).await?;
    let mut fleet = Vec::new();
    for number in 0..PROCESSES {
        fleet.push(start(side, ground.path(), provider.url(), number)?);
    }
    let mut played = Played::default();
    for _ in 0..scene.expiries {
        for process in &mut fleet {
            process.tell(&scene.tries.to_string()).await?;
        }
        for process in &mut fleet {
            let (failed, longest) = end(process).await?;
            played.failed += failed;
            played.waits.push(longest);
        }
        if provider.accounts().is_revoked(family) {
            (family, played.lost) = (family + 1, played.lost + 1);
            log_in(side, ground.path(), family, provider.url()).await?;
        }
        tokio::time::sleep(Duration::from_secs(EXPIRES_IN)).await;
    }
    played.tally = provider.accounts().tally();
    for process in fleet {
        process.stop().await?;
    }
    Ok(played)
}

/// Ours is never logged in twice: a lost account fails the rest, and is counted.
async fn log_in(side: &str, folder: &Path, family: u64, token_url: &str) -> Outcome {
    if side == THEIRS {
        return LockFilePeer::log_in(folder, &refresh_token(family, 0));
    }
    if family == 1 {
        let installation = installation(folder).await?;
        installation.import("acme", family, token_url).await?;
        installation.close().await;
    }
    Ok(())
}

/// Starts a worker of that side.
fn start(side: &str, folder: &Path, token_url: &str, number: usize) -> Outcome<Worker> {
    let folder = folder.display().to_string();
    Worker::start(&[WORKER.into(), side.into(), folder, token_url.into(), number.to_string()])
}

/// Callers who got nothing, and the longest wait.
async fn end(worker: &mut Worker) -> Outcome<(usize, Duration)> {
    let line = worker.answer().await?;
    let (failed, longest) = line.split_once(' ').ok_or("a worker says nothing")?;
    Ok((failed.parse()?, Duration::from_micros(longest.parse()?)))
}

/// One process of the fleet: for each line a herd of callers, whose end is told in a line.
fn worker(runtime: &Runtime, words: &[String]) -> Outcome {
    let [side, folder, token_url, number] = words else { return Err("four words are wanted".into()) };
    let (folder, number) = (Path::new(folder), number.parse()?);
    let side = match side.as_str() {
        OURS => Side::Ours(runtime.block_on(installation(folder))?.broker),
        _ => Side::Theirs(Arc::new(LockFilePeer::new(folder, number, token_url)?)),
    };
    for line in std::io::stdin().lines() {
        let (failed, longest) = runtime.block_on(herd(&side, number, line?.parse()?));
        println!("{failed} {}", longest.as_micros());
    }
    Ok(())
}

async fn installation(folder: &Path) -> Outcome<Installation> {
    let client = Arc::new(HttpProvider::new(HttpOptions::default())?);
    Installation::open(folder, client, Options::default()).await
}

#[derive(Clone)]
enum Side {
    Ours(Broker),
    Theirs(Arc<LockFilePeer>),
}

impl Side {
    async fn is_served(&self) -> bool {
        match self {
            Self::Theirs(peer) => peer.token().await.is_ok(),
            Self::Ours(broker) => {
                let outcome = broker.acquire("acme", &Ask::foreground(WAIT), &Actor::new("bench")).await;
                matches!(outcome, Ok(Acquired::Token(_)))
            }
        }
    }
}

async fn herd(side: &Side, number: usize, tries: usize) -> (usize, Duration) {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let place = u32::try_from(caller * PROCESSES + number).unwrap_or(0);
        let arrival = SPREAD * place / u32::try_from(CALLERS * PROCESSES).unwrap_or(1);
        callers.spawn(call(side.clone(), arrival, tries));
    }
    let ends = callers.join_all().await;
    let failed = ends.iter().filter(|(is_served, _)| !is_served).count();
    (failed, ends.into_iter().map(|(_, wait)| wait).max().unwrap_or_default())
}

async fn call(side: Side, arrival: Duration, tries: usize) -> (bool, Duration) {
    tokio::time::sleep(arrival).await;
    let watch = Stopwatch::start();
    for _ in 0..tries {
        if side.is_served().await {
            return (true, watch.elapsed());
        }
    }
    (false, watch.elapsed())
}
