//! Ten thousand different credentials that have ended, refreshed by four processes, two hundred at a time: how many a
//! second?
//!
//! Baselines: what the provider alone grants to as many callers in as many processes, through the same client; and what
//! PostgreSQL does under pgbench, which is given the statements of a refresh that comes alone in as many round trips, on as
//! many connections. The store has other ones for refreshes that come at once; what they ask and write is the same.
//! pgbench does nothing else on the same cores: it has no provider to ask, no answer to write down and no herd to wake. It
//! runs twice: with prepared statements, as the store's sessions come to have them, which the aim is about; and parsing each.

use std::path::Path;
use std::time::Duration;

use keyherd_adapters::postgres::WireOptions;
use keyherd_adapters::testing::{PostgresOptions, PrivatePostgres, PrivateRedis, RedisOptions};
use keyherd_bench::figures::millis;
use keyherd_bench::fleet::distinct::{self, Ends, Load};
use keyherd_bench::fleet::{Fleet, Host, MASTER_KEY, Notices, Place};
use keyherd_bench::pgbench::{self, Protocol};
use keyherd_bench::process::{cpu_time, cpu_time_of_machine};
use keyherd_bench::{Accounts, Arguments, Ground, LoopbackProvider, Outcome, Report, Row, Tally, ratio};

/// What the keyherd program allocates with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PROCESSES: usize = 4;
const AT_A_TIME: usize = 200;
/// What the provider takes.
const TOOK: Duration = Duration::from_millis(50);
/// A token's life: longer than the run.
const EXPIRES_IN: u64 = 3_600;
/// Of the smaller baseline.
const SHARE_MIN: f64 = 0.8;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/refresh.pgbench");

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.worker(distinct::WORKER) {
        Some(words) => distinct::work(&runtime, words),
        None => runtime.block_on(bench(&arguments)),
    }
}

async fn bench(arguments: &Arguments) -> Outcome {
    let accounts = arguments.number("credentials", arguments.size(800, 10_000))?;
    let mut report = Report::begin("fleet_distinct: four processes, every credential another one");
    let redis = PrivateRedis::start(RedisOptions::default())?;
    let mut scene = Scene::build(accounts).await?;
    let bare = scene.play("bare", None, &Load::Bare(scene.provider.url().into())).await?;
    let ours = scene.play("ours", None, &Load::Once).await?;
    let parsed = scene.statements("parsed", Protocol::Extended).await?;
    let prepared = scene.statements("prepared", Protocol::Prepared).await?;
    let with_redis = scene.play("redis", Some(redis.url()), &Load::Once).await?;
    let provider = bare.ends.rate();
    for (what, played) in [("PostgreSQL", &ours), ("with Redis", &with_redis)] {
        add(&mut report, what, accounts, played, [provider.min(prepared.rate), parsed.rate]);
    }
    let row = |name: &str, rate: f64, cpu: String| {
        Row::new(name).baseline(format!("{rate:.0} a second")).ours(format!("CPU {cpu} each"))
    };
    report.row(row("the provider alone", provider, bare.cpu.to_string()));
    for (how, statements) in [("each parsed", parsed), ("prepared", prepared)] {
        let cpu = format!("{:.2} ms", millis(statements.cpu));
        report.row(row(&format!("the statements alone, {how}, pgbench"), statements.rate, cpu));
    }
    // Its processes' time is then ours, and not another program's.
    scene.postgres.stop()?;
    report.note(format!(
        "{accounts} credentials, {PROCESSES} processes, {AT_A_TIME} at a time, provider {} ms; pgbench: {} connections, as many as ours.",
        TOOK.as_millis(),
        lanes()
    ));
    report.note("ratio: to the smaller of the provider and the prepared statements; and to those each parsed. CPU: by the processes that ask, by the provider, and by everything else on the machine, which is PostgreSQL where nothing else runs; pgbench: all of it.");
    report.print();
    Ok(())
}

/// Connections of all processes.
fn lanes() -> u32 {
    WireOptions::default().lanes_max * u32::try_from(PROCESSES).unwrap_or_default()
}

/// The servers, and a database of credentials that have ended, to be copied.
struct Scene {
    accounts: usize,
    postgres: PrivatePostgres,
    ground: Ground,
    provider: LoopbackProvider,
    original: String,
}

/// What came of one side.
struct Played {
    ends: Ends,
    tally: Tally,
    cpu: Cpu,
}

/// What PostgreSQL does with the statements of refreshes.
struct Statements {
    rate: f64,
    cpu: Duration,
}

/// CPU time of each refresh.
struct Cpu {
    workers: Duration,
    provider: Duration,
    rest: Duration,
}

impl std::fmt::Display for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [workers, provider, rest] = [self.workers, self.provider, self.rest].map(millis);
        write!(f, "{workers:.2} + {provider:.2} + {rest:.2} ms")
    }
}

impl Scene {
    async fn build(accounts: usize) -> Outcome<Self> {
        let options = PostgresOptions { fsync: true, ..PostgresOptions::default() };
        let (postgres, ground) = (PrivatePostgres::start(options)?, Ground::new()?);
        let provider = LoopbackProvider::start(Accounts::new(EXPIRES_IN), TOOK).await?;
        let database = postgres.database()?;
        let original = database.rsplit('/').next().unwrap_or_default().to_owned();
        let place = Place { folder: ground.path().into(), database, redis: None, notices: Notices::Sent };
        let host = Host::open(&place, PROCESSES).await?;
        host.import(accounts, provider.url()).await?;
        host.close().await;
        postgres.tell(&original, "VACUUM ANALYZE")?;
        Ok(Self { accounts, postgres, ground, provider, original })
    }

    /// A database as the original was.
    fn copy(&self, name: &str) -> Outcome<String> {
        self.postgres.tell("postgres", &format!("CREATE DATABASE {name} TEMPLATE {}", self.original))?;
        self.postgres.tell(name, "CHECKPOINT")?;
        Ok(self.postgres.url(name))
    }

    /// As many refreshes, by pgbench, on a copy.
    async fn statements(&self, name: &str, protocol: Protocol) -> Outcome<Statements> {
        let (copy, each) = (self.copy(name)?, u32::try_from(self.accounts)? / lanes());
        let before = cpu_time_of_machine()?;
        let rate = pgbench::rate(Path::new(SCRIPT), &copy, protocol, lanes(), each).await?;
        let cpu = cpu_time_of_machine()?.saturating_sub(before) / (lanes() * each);
        // A statement that finds no row is no refresh.
        let missing = format!(
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM chains WHERE generation = 1) = {}, 'not all were refreshed'; END $$",
            lanes() * each
        );
        self.postgres.tell(name, &missing)?;
        Ok(Statements { rate, cpu })
    }

    /// Every side has journals of its own: what one of them received would be found by the next.
    async fn play(&self, name: &str, redis: Option<String>, load: &Load) -> Outcome<Played> {
        let ground = Ground::new()?;
        std::fs::copy(self.ground.path().join(MASTER_KEY), ground.path().join(MASTER_KEY))?;
        let folder = ground.path().into();
        let place = Place { folder, database: self.copy(name)?, redis, notices: Notices::Sent };
        self.provider.accounts().begin_anew();
        let mut fleet = Fleet::start(distinct::WORKER, &place, PROCESSES).await?;
        let (own, all) = (cpu_time(std::process::id())?, cpu_time_of_machine()?);
        let ends = fleet.load(load, self.accounts, AT_A_TIME, async { Ok(()) }).await?;
        let all = cpu_time_of_machine()?.saturating_sub(all);
        let provider = cpu_time(std::process::id())?.saturating_sub(own);
        fleet.stop().await?;
        let each = |time: Duration| time / u32::try_from(self.accounts).unwrap_or(u32::MAX);
        let rest = each(all.saturating_sub(provider + ends.cpu));
        let cpu = Cpu { workers: each(ends.cpu), provider: each(provider), rest };
        Ok(Played { ends, tally: self.provider.accounts().tally(), cpu })
    }
}

fn add(report: &mut Report, what: &str, accounts: usize, played: &Played, [smaller, parsed]: [f64; 2]) {
    let (tally, ends) = (played.tally, &played.ends);
    let row = Row::new(format!("{what}: provider calls for {accounts}")).ours(tally.calls);
    report.row(row.aim(accounts, tally.calls == accounts as u64));
    let wrong = tally.reuses + tally.refused;
    report.row(Row::new(format!("{what}: tokens reused or refused")).ours(wrong).aim("0", wrong == 0));
    report.row(Row::new(format!("{what}: callers failed")).ours(ends.failed).aim("0", ends.failed == 0));
    let rate = ends.rate();
    let row = Row::new(format!("{what}: refreshed")).ours(format!("{rate:.0} a second"));
    let row = row.baseline(format!("{smaller:.0} a second")).ratio(ratio(rate, smaller));
    report.row(row.aim(format!(">= {:.0} %", 100.0 * SHARE_MIN), rate >= SHARE_MIN * smaller));
    let row = Row::new(format!("{what}: refreshed, beside statements each parsed"));
    report.row(row.baseline(format!("{parsed:.0} a second")).ratio(ratio(rate, parsed)));
    let last = ends.served.iter().max().copied().unwrap_or_default();
    let took = millis(last.saturating_sub(ends.begun)) / 1e3;
    report.row(
        Row::new(format!("{what}: all of them took")).ours(format!("{took:.1} s, CPU {} each", played.cpu)),
    );
    let sum = |count: fn(&keyherd_bench::Counts) -> u64| ends.counts.iter().map(count).sum::<u64>();
    let counts = format!("{} and {}", sum(|counts| counts.reads), sum(|counts| counts.writes));
    report.row(Row::new(format!("{what}: reads and transactions")).ours(counts));
    report.row(Row::new(format!("{what}: looks at the outbox")).ours(sum(|counts| counts.looks)));
}
