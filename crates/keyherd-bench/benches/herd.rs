//! Ten thousand tasks want one token that has ended: what does it cost, and how long do they wait?
//!
//! Ours is the whole engine over real SQLite and the file journal, so the tokens survive. Baselines keep them in memory
//! only: a mutex with a double check, and no coordination at all.

use std::sync::Arc;
use std::time::Duration;

use keyherd_adapters::provider::{HttpOptions, HttpProvider};
use keyherd_bench::baseline::{Naive, Uncoordinated};
use keyherd_bench::figures::{median, millis, quantile, spread};
use keyherd_bench::{
    Accounts, Arguments, Counts, Ground, InProcessProvider, Installation, LoopbackProvider, Outcome, Report,
    Row, Stopwatch, Tally, ratio, refresh_token, wal_commits,
};
use keyherd_core::audit::Actor;
use keyherd_core::broker::{Acquired, Options};
use keyherd_core::ports::ProviderClient;
use keyherd_core::refresh::Ask;

/// As in the binary.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What the provider takes.
const TOOK: Duration = Duration::from_millis(100);
/// How long a token lives: longer than any round.
const EXPIRES_IN: u64 = 3_600;
/// Every round is an account of its own, and so an expiry of its own.
const WAIT: Duration = Duration::from_secs(30);
/// How long the account's first token lives: it is served once, and has ended when the herd comes.
const LIFE: Duration = Duration::from_millis(500);
const HANDED_OUT: &str = "https://id.example/token";

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bench(&Arguments::of_process()))
}

async fn bench(arguments: &Arguments) -> Outcome {
    let tasks = arguments.number("tasks", arguments.size(500, 10_000))?;
    let rounds = arguments.number("rounds", arguments.size(2, 7))?;
    let mut report = Report::begin("herd: many tasks, one credential that has ended");
    let mut herds = Herds::default();
    for round in 0..rounds {
        herds.port.push(ours_by_port(tasks).await?);
        herds.http.push(ours_by_http(tasks).await?);
        let provider = InProcessProvider::new(Accounts::new(EXPIRES_IN), TOOK).exactly();
        let naive = Naive::new(provider.clone(), refresh_token(1, 0));
        let token = move || {
            let naive = naive.clone();
            async move { naive.token().await }
        };
        herds.mutex.push(run(tasks, &provider, token).await);
        if round == 0 {
            let provider = InProcessProvider::new(Accounts::new(EXPIRES_IN), TOOK).exactly();
            let each = Uncoordinated::new(provider.clone(), refresh_token(1, 0));
            let token = move || {
                let each = each.clone();
                async move { each.token().await }
            };
            herds.each.push(run(tasks, &provider, token).await);
        }
    }
    herds.add(&mut report);
    report.note(format!(
        "{tasks} tasks, {rounds} rounds, each on a new account and, with us, on a new store that has served it and another one; medians."
    ));
    report.note(
        "transactions are counted in SQLite's own write-ahead log; reads and claims at the store's port.",
    );
    report.print();
    Ok(())
}

/// One herd's end.
struct Herd {
    tally: Tally,
    failed: usize,
    counts: Counts,
    commits: u64,
    waits: Waits,
}

/// How long the tasks waited.
#[derive(Default)]
struct Waits {
    /// From each one's own call.
    own: Vec<Duration>,
    /// From the moment the first task was made.
    all: Vec<Duration>,
}

#[derive(Default)]
struct Herds {
    port: Vec<Herd>,
    http: Vec<Herd>,
    mutex: Vec<Herd>,
    each: Vec<Herd>,
}

impl Herds {
    fn add(&self, report: &mut Report) {
        let (mutex, each) = (&self.mutex, &self.each);
        for (what, ours) in [("in-process provider", &self.port), ("HTTP provider", &self.http)] {
            let most = |count: fn(&Herd) -> u64| ours.iter().map(count).max().unwrap_or_default();
            let theirs =
                |count: fn(&Herd) -> u64, herds: &[Herd]| herds.iter().map(count).max().unwrap_or_default();
            let counted = |name: &str, aim: u64, count: fn(&Herd) -> u64| {
                Row::new(format!("{name}, {what}"))
                    .ours(most(count))
                    .aim(format!("<= {aim}"), most(count) <= aim)
            };
            let calls: fn(&Herd) -> u64 = |herd| herd.tally.calls;
            let by_others = format!("mutex {}, none {}", theirs(calls, mutex), theirs(calls, each));
            report.row(counted("provider calls", 1, calls).baseline(by_others));
            let failed: fn(&Herd) -> u64 = |herd| herd.failed as u64;
            let by_others = format!("mutex {}, none {}", theirs(failed, mutex), theirs(failed, each));
            report.row(counted("callers failed", 0, failed).baseline(by_others));
            report.row(counted("claims", 1, |herd| herd.counts.claims));
            report.row(counted("store reads", 2, |herd| herd.counts.reads));
            report.row(Row::new(format!("looks at the outbox, {what}")).ours(most(|herd| herd.counts.looks)));
            report.row(counted("write transactions", 3, |herd| herd.commits));
            let aim = 1.1 * millis(TOOK);
            let (us, them) = (p99(ours, |waits| &waits.own), p99(mutex, |waits| &waits.own));
            let row = wait(format!("p99 of a caller's wait, {what}"), &us, &them);
            report.row(row.aim(format!("<= {aim:.0} ms"), median(&us) <= aim));
            let (us, them) = (first(ours), first(mutex));
            report.row(wait(format!("first one served, since the herd's first task, {what}"), &us, &them));
            let (us, them) = (p99(ours, |waits| &waits.all), p99(mutex, |waits| &waits.all));
            report.row(wait(format!("p99 since the herd's first task, {what}"), &us, &them));
        }
    }
}

/// Round by round.
fn p99(herds: &[Herd], which: fn(&Waits) -> &[Duration]) -> Vec<f64> {
    herds.iter().map(|herd| millis(quantile(which(&herd.waits), 0.99))).collect()
}

fn first(herds: &[Herd]) -> Vec<f64> {
    herds.iter().map(|herd| millis(herd.waits.all.iter().min().copied().unwrap_or_default())).collect()
}

fn wait(question: String, ours: &[f64], theirs: &[f64]) -> Row {
    let said = |rounds: &[f64]| {
        let (least, most) = spread(rounds);
        format!("{:.1} ms ({least:.1} to {most:.1})", median(rounds))
    };
    let row = Row::new(question).ours(said(ours)).baseline(format!("mutex {}", said(theirs)));
    row.ratio(ratio(median(ours), median(theirs)))
}

async fn ours_by_port(tasks: usize) -> Outcome<Herd> {
    let provider = InProcessProvider::new(Accounts::new(EXPIRES_IN), TOOK).exactly();
    ours(tasks, Arc::new(provider.clone()), provider.accounts(), HANDED_OUT).await
}

async fn ours_by_http(tasks: usize) -> Outcome<Herd> {
    let provider = LoopbackProvider::start(Accounts::new(EXPIRES_IN), TOOK).await?.exactly();
    let client = Arc::new(HttpProvider::new(HttpOptions::default())?);
    ours(tasks, client, provider.accounts(), provider.url()).await
}

async fn ours(
    tasks: usize,
    client: Arc<dyn ProviderClient>,
    accounts: &Accounts,
    url: &str,
) -> Outcome<Herd> {
    let ground = Ground::new()?;
    let installation = Installation::open(ground.path(), client, Options::default()).await?;
    // A server watches what others commit.
    installation.broker.watched().await;
    installation.import_valid("acme", 1, url, LIFE).await?;
    // A server that has been at work: statements are prepared, and the journal's reserve is put by.
    installation.import("before", 2, url).await?;
    token_of(installation.broker.clone(), "before").await?;
    token_of(installation.broker.clone(), "acme").await?;
    let tally_before = accounts.tally();
    tokio::time::sleep(LIFE).await;
    let database = ground.path().join("keyherd.db");
    let (before, commits) = (installation.counting.counts(), wal_commits(&database)?);
    let broker = installation.broker.clone();
    let (waits, failed) = stampede(tasks, move || token_of(broker.clone(), "acme")).await;
    let herd = Herd {
        tally: accounts.tally().since(tally_before),
        failed,
        counts: installation.counting.counts().since(before),
        commits: wal_commits(&database)? - commits,
        waits,
    };
    installation.close().await;
    Ok(herd)
}

async fn token_of(broker: keyherd_core::broker::Broker, name: &'static str) -> Outcome<String> {
    match broker.acquire(name, &Ask::foreground(WAIT), &Actor::new("bench")).await? {
        Acquired::Token(token) => Ok(token.expose().to_owned()),
        Acquired::Refused(refusal) => Err(format!("{refusal:?}").into()),
    }
}

async fn run<F>(tasks: usize, provider: &InProcessProvider, token: impl Fn() -> F) -> Herd
where
    F: Future<Output = Outcome<String>> + Send + 'static,
{
    let (waits, failed) = stampede(tasks, token).await;
    Herd { tally: provider.accounts().tally(), failed, counts: Counts::default(), commits: 0, waits }
}

/// All at once. How long they waited, and how many got nothing.
async fn stampede<F>(tasks: usize, token: impl Fn() -> F) -> (Waits, usize)
where
    F: Future<Output = Outcome<String>> + Send + 'static,
{
    let mut herd = Vec::with_capacity(tasks);
    let watch = Stopwatch::start();
    for _ in 0..tasks {
        let token = token();
        herd.push(tokio::spawn(async move {
            let own = Stopwatch::start();
            (token.await.is_ok(), own.elapsed(), watch.elapsed())
        }));
    }
    let (mut waits, mut failed) = (Waits::default(), 0);
    for task in herd {
        let (is_served, own, all) = task.await.unwrap_or_default();
        failed += usize::from(!is_served);
        waits.own.push(own);
        waits.all.push(all);
    }
    (waits, failed)
}
