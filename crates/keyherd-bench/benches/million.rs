//! What does a store of a million credentials cost a server, when a thousand of them are due?
//!
//! Baseline: the same server and the same thousand in a store of ten thousand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyherd_adapters::system::SystemClock;
use keyherd_bench::figures::{median, millis};
use keyherd_bench::process::{Memory, cpu_time, memory};
use keyherd_bench::{
    Accounts, Arguments, Ground, InProcessProvider, Installation, LoopbackProvider, Outcome, Report, Row,
    Stopwatch, cli, imported, ratio,
};
use keyherd_core::audit::{Actor, Note};
use keyherd_core::broker::{BackgroundBounds, Options};
use keyherd_core::ports::Clock;
use keyherd_core::ports::store::{ChainStore, NewCredential, Record};
use serde_json::json;

/// Credentials in one transaction of the import.
const BATCH: usize = 10_000;
/// A token's life after a sweep: it is due again after half of it, so that the same thousand are swept again. Half of it
/// must be longer than a sweep, so that nothing is due twice in one.
const EXPIRES_IN: u64 = 16;
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Starts of each server.
const STARTS: usize = 3;
/// A sweep that takes longer has failed.
const SWEEP_MAX: Duration = Duration::from_secs(60);
/// A thousand at the default pace take a third of it.
const SWEPT_WITHIN: Duration = Duration::from_secs(60);
const START_MAX: Duration = Duration::from_secs(2);
const MEMORY_MIB_MAX: u64 = 300;
/// A sweep of the large store may take this much longer.
const SWEEP_RATIO_MAX: f64 = 1.25;

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bench(&Arguments::of_process()))
}

async fn bench(arguments: &Arguments) -> Outcome {
    let large = arguments.number("credentials", arguments.size(20_000, 1_000_000))?;
    let small = arguments.number("baseline", arguments.size(2_000, 10_000))?;
    let due = arguments.number("due", arguments.size(100, 1_000))?;
    let sweeps = arguments.number("sweeps", arguments.size(2, 5))?;
    let binary = cli::binary(arguments).await?;
    let mut report = Report::begin("million: a large store of which little is due");
    let mut sides = Vec::new();
    for (count, kept) in [(large, arguments.value("store")), (small, None)] {
        sides.push(Side::build(count, due, kept.map(PathBuf::from)).await?);
    }
    let [ours, theirs] = &mut *sides else { return Err("two sides are wanted".into()) };
    for _ in 0..sweeps {
        ours.sweep(due).await?;
        theirs.sweep(due).await?;
    }
    add_sweeps(&mut report, ours, theirs);
    for side in [&mut *ours, &mut *theirs] {
        side.serve(&binary, due).await?;
    }
    add_servers(&mut report, ours, theirs);
    report.note(format!("ours: {large} credentials; baseline: {small}; {due} due in each; medians of {sweeps} sweeps in turns."));
    report.note(format!(
        "import of the large store: {:.0} s; file: {} MiB.",
        ours.built.as_secs_f64(),
        ours.file_mib()?
    ));
    report.note("sweeps: in process, provider's pace and answers at once. Servers: the released binary, memory cache of the system warm.");
    report.print();
    Ok(())
}

/// One store.
struct Side {
    /// Removed with it, unless it was named to be kept.
    _ground: Option<Ground>,
    data: PathBuf,
    provider: LoopbackProvider,
    built: Duration,
    due_query: Vec<f64>,
    wall: Vec<f64>,
    cpu: Vec<f64>,
    ready: Vec<f64>,
    memory: Vec<Memory>,
}

impl Side {
    async fn build(count: usize, due: usize, kept: Option<PathBuf>) -> Outcome<Self> {
        let provider = LoopbackProvider::start(Accounts::new(EXPIRES_IN), Duration::ZERO).await?;
        let ground = if kept.is_none() { Some(Ground::new()?) } else { None };
        let data =
            ground.as_ref().map_or_else(|| kept.unwrap_or_default(), |ground| ground.path().to_owned());
        let watch = Stopwatch::start();
        let installation = open(&data, provider.accounts()).await?;
        for first in (0..count).step_by(BATCH) {
            let many = (first..count.min(first + BATCH))
                .map(|number| new(&installation, number, due, provider.url()));
            let many = many.collect::<Outcome<Vec<_>>>()?;
            let note = Note {
                action: "bench.import",
                actor: Actor::new("bench"),
                subject: "many".into(),
                detail: json!({}),
            };
            installation.store.import_many(&many, Record { note, event: None }).await?;
        }
        installation.close().await;
        let (due_query, wall, cpu, ready, memory) = Default::default();
        Ok(Self {
            _ground: ground,
            data,
            provider,
            built: watch.elapsed(),
            due_query,
            wall,
            cpu,
            ready,
            memory,
        })
    }

    fn file_mib(&self) -> Outcome<u64> {
        Ok(std::fs::metadata(self.data.join("keyherd.db"))?.len() >> 20)
    }

    /// Sweeps what is due, in this process.
    async fn sweep(&mut self, due: usize) -> Outcome {
        let accounts = Accounts::new(EXPIRES_IN);
        let installation = open(&self.data, &accounts).await?;
        let watch = Stopwatch::start();
        while installation.store.due(SystemClock.now(), due).await?.len() < due {
            if watch.elapsed() > Duration::from_secs(3 * EXPIRES_IN) {
                return Err("not all that should be due is".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let watch = Stopwatch::start();
        installation.store.due(SystemClock.now(), due).await?;
        self.due_query.push(millis(watch.elapsed()));
        let (watch, cpu) = (Stopwatch::start(), cpu_time(std::process::id())?);
        let mut sweeper = installation.broker.sweeper();
        // One round takes what the provider's lane has room for, and puts the rest off.
        while accounts.tally().calls < due as u64 {
            if watch.elapsed() > SWEEP_MAX {
                return Err(format!("{} of {due} were refreshed in time", accounts.tally().calls).into());
            }
            sweeper.sweep().await?;
            sweeper.settled().await;
        }
        self.wall.push(millis(watch.elapsed()));
        self.cpu.push(millis(cpu_time(std::process::id())?.saturating_sub(cpu)));
        installation.close().await;
        match accounts.tally().calls {
            calls if calls == due as u64 => Ok(()),
            calls => Err(format!("{calls} were refreshed, {due} were due").into()),
        }
    }

    /// Starts the server, and lets it sweep what is due.
    async fn serve(&mut self, binary: &Path, due: usize) -> Outcome {
        for _ in 0..STARTS {
            let before = self.provider.accounts().tally().calls;
            let server = cli::Server::start(binary, &self.data).await?;
            self.ready.push(millis(server.ready_after));
            let watch = Stopwatch::start();
            while self.provider.accounts().tally().calls - before < due as u64
                && watch.elapsed() < SWEPT_WITHIN
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.memory.push(memory(server.pid()?)?);
            server.stop().await?;
        }
        Ok(())
    }
}

fn add_sweeps(report: &mut Report, ours: &Side, theirs: &Side) {
    let both = [
        ("a look at what is due", &ours.due_query, &theirs.due_query),
        ("a sweep, wall time", &ours.wall, &theirs.wall),
        ("a sweep, CPU time", &ours.cpu, &theirs.cpu),
    ];
    for (what, us, them) in both {
        let (us, them) = (median(us), median(them));
        let row = Row::new(what)
            .ours(format!("{us:.1} ms"))
            .baseline(format!("{them:.1} ms"))
            .ratio(ratio(us, them));
        report.row(row.aim(format!("<= {SWEEP_RATIO_MAX} x"), us <= SWEEP_RATIO_MAX * them));
    }
}

fn add_servers(report: &mut Report, ours: &Side, theirs: &Side) {
    let (us, them) = (median(&ours.ready), median(&theirs.ready));
    let row =
        Row::new("server start to /readyz").ours(format!("{us:.0} ms")).baseline(format!("{them:.0} ms"));
    report
        .row(row.ratio(ratio(us, them)).aim(format!("< {} s", START_MAX.as_secs()), us < millis(START_MAX)));
    let peak = |side: &Side| side.memory.iter().map(|memory| memory.peak_kib >> 10).max().unwrap_or_default();
    let row = Row::new("server memory, peak, after a sweep").ours(format!("{} MiB", peak(ours)));
    let row = row.baseline(format!("{} MiB", peak(theirs)));
    report.row(row.aim(format!("< {MEMORY_MIB_MAX} MiB"), peak(ours) < MEMORY_MIB_MAX));
}

/// The store with a provider that answers at once, and no pace: what is measured is keyherd.
async fn open(data: &Path, accounts: &Accounts) -> Outcome<Installation> {
    let provider = InProcessProvider::new(accounts.clone(), Duration::ZERO);
    let background =
        BackgroundBounds { provider_rate: u32::MAX, provider_concurrency: 64, ..BackgroundBounds::default() };
    Installation::open(data, Arc::new(provider), Options { background, ..Options::default() }).await
}

/// The credential of that number: due now if it is among the first, else in a month.
fn new(installation: &Installation, number: usize, due: usize, token_url: &str) -> Outcome<NewCredential> {
    let now = SystemClock.now();
    if number < due {
        return imported(installation, number, token_url, now + Duration::from_secs(60), now);
    }
    let expires_at = now + 30 * DAY;
    imported(installation, number, token_url, expires_at, expires_at - Duration::from_secs(300))
}
