//! Redis killed with signal 9 in the middle of a fleet's work, and started again: is anything wrong, and how soon is the
//! throughput what it is without Redis?
//!
//! Baseline: the same fleet on the same PostgreSQL without any Redis.

use std::time::Duration;

use keyherd_adapters::testing::{PostgresOptions, PrivatePostgres, PrivateRedis, RedisOptions};
use keyherd_bench::figures::{millis, quantile};
use keyherd_bench::fleet::distinct::{self, Ends, Load};
use keyherd_bench::fleet::herd::{self, Herd};
use keyherd_bench::fleet::{Fleet, Host, Notices, Place};
use keyherd_bench::worker::{shared_now, until};
use keyherd_bench::{Accounts, Arguments, Ground, LoopbackProvider, Outcome, Report, Row, Tally, ratio};
use keyherd_core::ports::store::{AuditStore, ChainStore};

/// What the keyherd program allocates with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PROCESSES: usize = 4;
const AT_A_TIME: usize = 200;
const TOOK: Duration = Duration::from_millis(50);
/// A token's life: less than a turn of the ring of accounts takes, so that each turn refreshes all of them.
const EXPIRES_IN: u64 = 2;
/// What comes before is warming up.
const WARM_UP: Duration = Duration::from_secs(1);
/// The rate is looked at in windows of this length.
const WINDOW: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(100);
/// Back to the level: so much of it.
const LEVEL_SHARE: f64 = 0.9;
const BACK_MAX: Duration = Duration::from_secs(5);

const HERD_PROCESSES: usize = 8;
const CALLERS: usize = 25;
const HERD_TOOK: Duration = Duration::from_millis(200);
const HERD_EXPIRES_IN: u64 = 3_600;
/// Into the provider's call.
const KILLED_AFTER: Duration = Duration::from_millis(100);
/// All processes have found Redis again.
const FOUND: Duration = Duration::from_millis(2_500);

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match (arguments.worker(distinct::WORKER), arguments.worker(herd::WORKER)) {
        (Some(words), _) => distinct::work(&runtime, words),
        (_, Some(words)) => herd::work(&runtime, words),
        _ => runtime.block_on(bench(&arguments)),
    }
}

async fn bench(arguments: &Arguments) -> Outcome {
    let accounts = arguments.number("credentials", arguments.size(4_000, 8_000))?;
    let phase = Duration::from_secs(arguments.number("seconds", arguments.size(3, 7))?);
    let rounds = arguments.number("rounds", arguments.size(2, 5))?;
    let mut report =
        Report::begin("redis_killed: Redis killed and started again in the middle of a fleet's work");
    let mut postgres = PrivatePostgres::start(PostgresOptions { fsync: true, ..PostgresOptions::default() })?;
    let mut redis = PrivateRedis::start(RedisOptions::default())?;
    let without = load(&postgres, None, accounts, phase).await?;
    let killed = load(&postgres, Some(&mut redis), accounts, phase).await?;
    add_load(&mut report, &without, &killed);
    let whole = herds(&postgres, None, rounds).await?;
    let broken = herds(&postgres, Some(&mut redis), rounds).await?;
    add_herds(&mut report, rounds, &whole, &broken);
    report.note(format!(
        "load: {accounts} credentials round and round, {PROCESSES} processes, {AT_A_TIME} at a time, provider {} ms; Redis is up for {phase:?}, dead for {phase:?}, and up again for {phase:?}.",
        TOOK.as_millis()
    ));
    report.note("baseline: the same without Redis, in the same run, before.");
    // Its processes' time is then ours, and not another program's.
    postgres.stop()?;
    report.print();
    Ok(())
}

/// What came of a load.
struct Loaded {
    ends: Ends,
    tally: Tally,
    /// When Redis was killed, was there again, and when the load ended. Without Redis: when all that would have been.
    killed: Duration,
    restarted: Duration,
    end: Duration,
    unresolved: u64,
    is_log_whole: bool,
}

async fn load(
    postgres: &PrivatePostgres,
    redis: Option<&mut PrivateRedis>,
    accounts: usize,
    phase: Duration,
) -> Outcome<Loaded> {
    let provider = LoopbackProvider::start(Accounts::new(EXPIRES_IN), TOOK).await?;
    let ground = Ground::new()?;
    let place = settle(postgres, redis.as_deref(), &ground, accounts, provider.url()).await?;
    let mut fleet = Fleet::start(distinct::WORKER, &place, PROCESSES).await?;
    let begun = shared_now() + WARM_UP;
    let (killed, restarted) = (begun + phase, begun + 2 * phase);
    let end = if redis.is_some() { begun + 3 * phase } else { begun + phase };
    let faults = async {
        let Some(redis) = redis else { return Ok(()) };
        until(killed).await;
        tokio::task::block_in_place(|| redis.kill());
        until(restarted).await;
        Ok(tokio::task::block_in_place(|| redis.restart())?)
    };
    let ends = fleet.load(&Load::Until(end), accounts, AT_A_TIME, faults).await?;
    fleet.stop().await?;
    let host = Host::open(&place, PROCESSES).await?;
    let unresolved = host.counting.unresolved().await?;
    let is_log_whole = host.counting.verify().await?.broken.is_none();
    host.close().await;
    let tally = provider.accounts().tally();
    Ok(Loaded { ends, tally, killed, restarted, end, unresolved, is_log_whole })
}

/// A new store with so many accounts.
async fn settle(
    postgres: &PrivatePostgres,
    redis: Option<&PrivateRedis>,
    ground: &Ground,
    accounts: usize,
    token_url: &str,
) -> Outcome<Place> {
    let place = Place {
        folder: ground.path().into(),
        database: postgres.database()?,
        redis: redis.map(PrivateRedis::url),
        notices: Notices::Sent,
    };
    let host = Host::open(&place, HERD_PROCESSES).await?;
    host.import(accounts, token_url).await?;
    host.close().await;
    Ok(place)
}

fn add_load(report: &mut Report, without: &Loaded, killed: &Loaded) {
    let level = without.ends.rate_within(without.killed.saturating_sub(without.phase()), without.end);
    let both = |name: &str, count: fn(&Loaded) -> u64| {
        let row = Row::new(name).ours(count(killed)).baseline(count(without));
        row.aim("0", count(killed) == 0)
    };
    report.row(Row::new("load: acquired").ours(killed.ends.served.len()).baseline(without.ends.served.len()));
    report.row(both("load: callers failed, or given another's token", |loaded| loaded.ends.failed as u64));
    report.row(both("load: tokens reused or refused", |loaded| loaded.tally.reuses + loaded.tally.refused));
    report.row(both("load: acquired without a provider call of its own, or called twice", |loaded| {
        loaded.tally.calls.abs_diff(loaded.ends.served.len() as u64)
    }));
    report.row(both("load: claims left unresolved", |loaded| loaded.unresolved));
    let row = Row::new("load: audit log whole").ours(killed.is_log_whole).baseline(without.is_log_whole);
    report.row(row.aim("true", killed.is_log_whole));
    let phases = [
        ("before the kill", killed.killed.saturating_sub(killed.phase()), killed.killed),
        ("while it is dead", killed.killed, killed.restarted),
        ("after it is back", killed.restarted, killed.end),
    ];
    for (name, from, to) in phases {
        let rate = killed.ends.rate_within(from, to);
        let row = Row::new(format!("load: a second, {name}")).ours(format!("{rate:.0}"));
        report.row(row.baseline(format!("{level:.0}")).ratio(ratio(rate, level)));
    }
    let events = [("kill", killed.killed, killed.restarted), ("restart", killed.restarted, killed.end)];
    for (name, from, to) in events {
        let back = back_after(&killed.ends, level, from, to);
        let said = back.map_or("never".into(), |back| format!("{:.1} s", back.as_secs_f64()));
        let row =
            Row::new(format!("load: {name} to {:.0} % of the level without Redis", 100.0 * LEVEL_SHARE));
        let is_kept = back.is_some_and(|back| back <= BACK_MAX);
        report.row(row.ours(said).aim(format!("<= {} s", BACK_MAX.as_secs()), is_kept));
    }
}

impl Loaded {
    /// How long each of them was.
    fn phase(&self) -> Duration {
        self.restarted.saturating_sub(self.killed)
    }
}

/// From when on a whole window has the level's rate.
fn back_after(ends: &Ends, level: f64, from: Duration, to: Duration) -> Option<Duration> {
    let mut start = from;
    while start + WINDOW <= to {
        if ends.rate_within(start, start + WINDOW) >= LEVEL_SHARE * level {
            return Some(start.saturating_sub(from));
        }
        start += STEP;
    }
    None
}

/// Herds in whose middle Redis is killed; without Redis, whole ones.
async fn herds(
    postgres: &PrivatePostgres,
    mut redis: Option<&mut PrivateRedis>,
    rounds: usize,
) -> Outcome<Vec<Herd>> {
    let provider = LoopbackProvider::start(Accounts::new(HERD_EXPIRES_IN), HERD_TOOK).await?;
    let ground = Ground::new()?;
    let place = settle(postgres, redis.as_deref(), &ground, rounds + 1, provider.url()).await?;
    let mut fleet = Fleet::start(herd::WORKER, &place, HERD_PROCESSES).await?;
    fleet.herd(&provider, rounds + 1, CALLERS, async { Ok(()) }).await?;
    let mut herds = Vec::new();
    for account in 1..=rounds {
        let fault = async {
            tokio::time::sleep(KILLED_AFTER).await;
            if let Some(redis) = redis.as_deref_mut() {
                tokio::task::block_in_place(|| redis.kill());
            }
            Ok(())
        };
        herds.push(fleet.herd(&provider, account, CALLERS, fault).await?);
        if let Some(redis) = redis.as_deref_mut() {
            tokio::task::block_in_place(|| redis.restart())?;
            tokio::time::sleep(FOUND).await;
        }
    }
    fleet.stop().await?;
    Ok(herds)
}

fn add_herds(report: &mut Report, rounds: usize, whole: &[Herd], broken: &[Herd]) {
    let what = format!("{rounds} herds of {HERD_PROCESSES} x {CALLERS}, killed in the provider's call");
    let most = |herds: &[Herd], count: fn(&Herd) -> u64| herds.iter().map(count).max().unwrap_or_default();
    for (name, aim, count) in [
        ("provider calls an expiry, at most", 1, (|herd| herd.calls) as fn(&Herd) -> u64),
        ("callers failed, at most", 0, |herd| herd.failed as u64),
    ] {
        let row = Row::new(format!("{what}: {name}")).ours(most(broken, count)).baseline(most(whole, count));
        report.row(row.aim(aim, most(broken, count) == aim));
    }
    for (name, share) in [("p99", 0.99), ("max", 1.0)] {
        let after = |herds: &[Herd]| {
            let all: Vec<_> = herds.iter().flat_map(|herd| herd.after_answer.iter().copied()).collect();
            millis(quantile(&all, share))
        };
        let (us, them) = (after(broken), after(whole));
        let row = Row::new(format!("{what}: answer to return, {name}")).ours(format!("{us:.1} ms"));
        report.row(row.baseline(format!("{them:.1} ms")).ratio(ratio(us, them)));
    }
}
