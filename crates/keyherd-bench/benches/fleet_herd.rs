//! Eight processes, many callers in each, one credential that has ended: what does it cost, and how soon does everyone
//! know once the provider has answered?
//!
//! Ours over PostgreSQL, and with Redis beside it. Baseline: the same engine, whose processes are told nothing and look
//! at the store every 50 or 100 ms instead.

use std::time::Duration;

use keyherd_adapters::testing::{PostgresOptions, PrivatePostgres, PrivateRedis, RedisOptions};
use keyherd_bench::figures::{millis, quantile};
use keyherd_bench::fleet::herd::{self, Herd};
use keyherd_bench::fleet::{Fleet, Host, Notices, Place};
use keyherd_bench::{Accounts, Arguments, Counts, Ground, LoopbackProvider, Outcome, Report, Row, ratio};

/// What the keyherd program allocates with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PROCESSES: usize = 8;
/// What the provider takes.
const TOOK: Duration = Duration::from_millis(200);
/// A token's life: longer than any round. Every round is an account of its own, and so an expiry of its own.
const EXPIRES_IN: u64 = 3_600;
/// Callers in each process where the cores are not saturated.
const FEW: usize = 25;
/// So many herds that are not counted come first: connections are opened for them, and what is asked often gets its names,
/// also by those who lead seldom. As in a fleet that has been at work.
const WARM_UP: usize = 12;
/// Files of PostgreSQL's log that are there to be written anew.
const SEGMENTS: usize = 4;
/// So often each process has led before: what it asks more than once has a name then.
const ALONE: usize = 2;
/// So long after it led for the first time a process has tidied up, once in its life.
const TIDIED: Duration = Duration::from_secs(7);
const FEW_MS_MAX: f64 = 10.0;
const LEADER_READS_MAX: u64 = 4;
const LEADER_WRITES_MAX: u64 = 3;
const READS_MAX: u64 = 3;

/// One way to hear of a commit.
#[derive(Clone, Copy)]
struct Side {
    name: &'static str,
    has_redis: bool,
    notices: Notices,
}

const OURS: [Side; 2] = [
    Side { name: "PostgreSQL", has_redis: false, notices: Notices::Sent },
    Side { name: "with Redis", has_redis: true, notices: Notices::Sent },
];
const POLLERS: [Side; 2] = [
    Side { name: "50 ms", has_redis: false, notices: Notices::Polled(Duration::from_millis(50)) },
    Side { name: "100 ms", has_redis: false, notices: Notices::Polled(Duration::from_millis(100)) },
];

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.worker(herd::WORKER) {
        Some(words) => herd::work(&runtime, words),
        None => runtime.block_on(bench(&arguments)),
    }
}

async fn bench(arguments: &Arguments) -> Outcome {
    let many = arguments.number("callers", arguments.size(100, 1_000))?;
    let sizes = [
        Size { callers: FEW, rounds: arguments.number("rounds", arguments.size(3, 20))? },
        Size { callers: many, rounds: arguments.number("large-rounds", arguments.size(1, 5))? },
    ];
    let mut report = Report::begin("fleet_herd: eight processes, one credential that has ended");
    let mut postgres = PrivatePostgres::start(PostgresOptions { fsync: true, ..PostgresOptions::default() })?;
    let redis = PrivateRedis::start(RedisOptions::default())?;
    let (mut ours, mut pollers) = (Vec::new(), Vec::new());
    for side in OURS {
        ours.push(play(side, &sizes, &postgres, &redis).await?);
    }
    for side in POLLERS {
        pollers.push(play(side, &sizes, &postgres, &redis).await?);
    }
    for (place, size) in sizes.iter().enumerate() {
        for (side, played) in OURS.iter().zip(&ours) {
            let pollers: Vec<_> = pollers.iter().filter_map(|played| played.get(place)).collect();
            let Some(ours) = played.get(place) else { continue };
            let what = format!("{PROCESSES} x {}, {}", size.callers, side.name);
            add(&mut report, &what, size, ours, &pollers);
        }
    }
    report.note(format!(
        "{PROCESSES} processes; {} and {} expiries of each kind; figures over all callers of all expiries.",
        sizes[0].rounds, sizes[1].rounds
    ));
    report.note(
        "baseline: the same engine told nothing, which looks at the store every 50 ms, and every 100 ms.",
    );
    report.note("reads and transactions are counted at the store's port, the most of any expiry; PostgreSQL's commits reach the disk.");
    // Its processes' time is then ours, and not another program's.
    postgres.stop()?;
    report.print();
    Ok(())
}

/// How large a herd is, and how many of them there are.
struct Size {
    callers: usize,
    rounds: usize,
}

/// Plays all herds of one side on a database of its own.
async fn play(
    side: Side,
    sizes: &[Size],
    postgres: &PrivatePostgres,
    redis: &PrivateRedis,
) -> Outcome<Vec<Vec<Herd>>> {
    let provider = LoopbackProvider::start(Accounts::new(EXPIRES_IN), TOOK).await?;
    let ground = Ground::new()?;
    let place = Place {
        folder: ground.path().into(),
        database: postgres.database()?,
        redis: side.has_redis.then(|| redis.url()),
        notices: side.notices,
    };
    // A server that has been at work need not make room for its log.
    for _ in 0..SEGMENTS {
        postgres.tell("postgres", "SELECT pg_switch_wal()")?;
        postgres.tell("postgres", "CHECKPOINT")?;
    }
    let host = Host::open(&place, PROCESSES).await?;
    let accounts = ALONE * PROCESSES + sizes.iter().map(|size| size.rounds + WARM_UP).sum::<usize>();
    host.import(accounts, provider.url()).await?;
    host.close().await;
    let mut fleet = Fleet::start(herd::WORKER, &place, PROCESSES).await?;
    for turn in 0..ALONE {
        fleet.each_alone(1 + turn * PROCESSES).await?;
    }
    tokio::time::sleep(TIDIED).await;
    let (mut account, mut played) = (ALONE * PROCESSES, Vec::new());
    for size in sizes {
        let mut herds = Vec::new();
        for _ in 0..size.rounds + WARM_UP {
            account += 1;
            herds.push(fleet.herd(&provider, account, size.callers, async { Ok(()) }).await?);
        }
        herds.drain(..WARM_UP);
        played.push(herds);
    }
    fleet.stop().await?;
    Ok(played)
}

fn add(report: &mut Report, what: &str, size: &Size, ours: &[Herd], pollers: &[&Vec<Herd>]) {
    let counted = |name: &str, aim: u64, count: u64| {
        Row::new(format!("{what}: {name}")).ours(count).aim(format!("<= {aim}"), count <= aim)
    };
    let most = |count: fn(&Herd) -> u64| ours.iter().map(count).max().unwrap_or_default();
    let calls = Row::new(format!("{what}: provider calls an expiry")).ours(most(|herd| herd.calls));
    report.row(calls.aim("1", ours.iter().all(|herd| herd.calls == 1)));
    report.row(counted("callers failed", 0, most(|herd| herd.failed as u64)));
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let (us, them) = (after(ours, share), pollers.iter().map(|herds| after(herds, share)));
        let them: Vec<_> = them.collect();
        let row = Row::new(format!("{what}: answer to return, {name}")).ours(format!("{us:.1} ms"));
        let said: Vec<_> = them.iter().map(|them| format!("{them:.1}")).collect();
        let row = row
            .baseline(format!("{} ms", said.join(", ")))
            .ratio(ratio(us, them.first().copied().unwrap_or_default()));
        let has_aim = name == "p99" && size.callers == FEW;
        report.row(if has_aim { row.aim(format!("<= {FEW_MS_MAX:.0} ms"), us <= FEW_MS_MAX) } else { row });
    }
    report.row(counted("reads by the leader", LEADER_READS_MAX, most(|herd| leader(herd).reads)));
    report.row(counted("transactions by the leader", LEADER_WRITES_MAX, most(|herd| leader(herd).writes)));
    report.row(counted(
        "reads by another process",
        READS_MAX,
        most(|herd| others(herd, |counts| counts.reads)),
    ));
    let refused = most(|herd| others(herd, |counts| counts.writes));
    report.row(Row::new(format!("{what}: claims refused to another process")).ours(refused));
    let looks = most(|herd| others(herd, |counts| counts.looks).max(leader(herd).looks));
    report.row(Row::new(format!("{what}: looks at the outbox by any process")).ours(looks));
}

fn after(herds: &[Herd], share: f64) -> f64 {
    let all: Vec<_> = herds.iter().flat_map(|herd| herd.after_answer.iter().copied()).collect();
    millis(quantile(&all, share))
}

fn leader(herd: &Herd) -> Counts {
    herd.counts.first().copied().unwrap_or_default()
}

/// The most of any process but the leader.
fn others(herd: &Herd, count: fn(&Counts) -> u64) -> u64 {
    herd.counts.iter().skip(1).map(count).max().unwrap_or_default()
}
