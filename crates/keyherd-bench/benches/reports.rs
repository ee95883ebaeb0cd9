//! Ten thousand callers find out at once that an account is used up: what does it cost, and how long do they wait?
//!
//! Ours is the whole engine over real SQLite. Baseline: the same store, where everyone writes the rest for himself, whose
//! guard lets the first one through.

use std::sync::Arc;
use std::time::Duration;

use keyherd_bench::figures::{median, millis, spread};
use keyherd_bench::pools::{make_pool, member, tell_limit};
use keyherd_bench::{
    Accounts, Arguments, Counts, Ground, InProcessProvider, Installation, Outcome, Report, Row, Stopwatch,
    heat, ratio, wal_commits,
};
use keyherd_core::audit::{Actor, Note};
use keyherd_core::broker::{Followed, Options};
use keyherd_core::credential::Cooldown;
use keyherd_core::ids::Name;
use keyherd_core::pool::Strategy;
use keyherd_core::ports::store::{CredentialStore, Event, Record};
use keyherd_core::refresh::Ask;
use serde_json::json;
use tokio::task::JoinSet;

const POOL: &str = "acme";
const RETRY_AFTER_SECONDS: u64 = 600;
const WAIT: Duration = Duration::from_secs(30);
const SPREAD_MS_MAX: f64 = 50.0;

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bench(&Arguments::of_process()))
}

async fn bench(arguments: &Arguments) -> Outcome {
    let callers = arguments.number("callers", arguments.size(500, 10_000))?;
    let rounds = arguments.number("rounds", arguments.size(2, 7))?;
    let mut report = Report::begin("reports: many callers report the same 429 at once");
    let (mut ours, mut each) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(wave(callers, true).await?);
        each.push(wave(callers, false).await?);
    }
    add(&mut report, &ours, &each);
    report.note(format!("{callers} callers, {rounds} rounds, each on a new store; medians, or the most."));
    report.note("baseline: everyone calls the store's guarded statement himself.");
    report.note("transactions are counted in SQLite's own write-ahead log, calls at the store's port.");
    report.print();
    Ok(())
}

/// One wave's end.
struct Wave {
    counts: Counts,
    commits: u64,
    /// From the first caller's return to the last one's.
    between: Duration,
    whole: Duration,
    /// Who asked after his report, and was given the account that rests.
    misled: usize,
}

async fn wave(callers: usize, is_ours: bool) -> Outcome<Wave> {
    let provider = InProcessProvider::new(Accounts::new(3_600), Duration::ZERO);
    let ground = Ground::new()?;
    let installation =
        Arc::new(Installation::open(ground.path(), Arc::new(provider), Options::default()).await?);
    make_pool(&installation.broker, POOL, 2, Strategy::Failover).await?;
    heat(&installation.broker, &[POOL.to_owned()], &Ask::foreground(WAIT)).await?;
    let database = ground.path().join("keyherd.db");
    let (before, commits) = (installation.counting.counts(), wal_commits(&database)?);
    let watch = Stopwatch::start();
    let mut wave = JoinSet::new();
    for _ in 0..callers {
        let installation = Arc::clone(&installation);
        wave.spawn(async move {
            if is_ours {
                tell(&installation).await?;
            } else {
                write(&installation).await?;
            }
            Ok::<_, keyherd_bench::Trouble>(watch.elapsed())
        });
    }
    let mut ends = Vec::with_capacity(callers);
    while let Some(end) = wave.join_next().await {
        ends.push(end??);
    }
    let counts = installation.counting.counts().since(before);
    let commits = wal_commits(&database)? - commits;
    let first = ends.iter().min().copied().unwrap_or_default();
    let whole = ends.iter().max().copied().unwrap_or_default();
    let token = installation.broker.acquire(POOL, &Ask::foreground(WAIT), &Actor::new("bench")).await?;
    let is_moved = matches!(token, keyherd_core::broker::Acquired::Token(token) if token.credential() == member(POOL, 1));
    let misled = usize::from(is_ours && !is_moved);
    if let Some(installation) = Arc::into_inner(installation) {
        installation.close().await;
    }
    Ok(Wave { counts, commits, between: whole - first, whole, misled })
}

async fn tell(installation: &Installation) -> Outcome {
    match tell_limit(&installation.broker, POOL, &member(POOL, 0), RETRY_AFTER_SECONDS).await? {
        Followed::Cooled { .. } => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// As a caller would who knows of nobody else.
async fn write(installation: &Installation) -> Outcome {
    let name = member(POOL, 0);
    let loaded = installation.counting.credential(&Name::parse(&name)?).await?.ok_or("it is gone")?;
    let until = installation.broker.now() + Duration::from_secs(RETRY_AFTER_SECONDS);
    let cooldown = Cooldown::whole(until, Cooldown::RATE_LIMIT);
    let (actor, detail) = (Actor::new("bench"), json!({}));
    let note = Note { action: "cooldown.set", actor, subject: name.clone(), detail: detail.clone() };
    let event = Event { kind: "cooldown", chain: Some(loaded.chain.id), subject: name, detail };
    let record = Record { note, event: Some(event) };
    installation.counting.cool(loaded.credential.id, &cooldown, record).await?;
    Ok(())
}

fn add(report: &mut Report, ours: &[Wave], each: &[Wave]) {
    let most = |count: fn(&Wave) -> u64, waves: &[Wave]| waves.iter().map(count).max().unwrap_or_default();
    let commits: fn(&Wave) -> u64 = |wave| wave.commits;
    let row = Row::new("write transactions").ours(most(commits, ours)).baseline(most(commits, each));
    report.row(row.aim("1", most(commits, ours) == 1));
    let writes: fn(&Wave) -> u64 = |wave| wave.counts.writes;
    report.row(Row::new("calls that write").ours(most(writes, ours)).baseline(most(writes, each)));
    let reads: fn(&Wave) -> u64 = |wave| wave.counts.reads;
    report.row(Row::new("calls that read").ours(most(reads, ours)).baseline(most(reads, each)));
    let misled: fn(&Wave) -> u64 = |wave| wave.misled as u64;
    let row = Row::new("next request on the account that rests").ours(most(misled, ours));
    report.row(row.aim("0", most(misled, ours) == 0));
    for (question, which) in [
        ("all return within, after the first", (|wave: &Wave| wave.between) as fn(&Wave) -> Duration),
        ("whole wave", |wave| wave.whole),
    ] {
        let of = |waves: &[Wave]| waves.iter().map(|wave| millis(which(wave))).collect::<Vec<_>>();
        let (us, them) = (of(ours), of(each));
        let said = |rounds: &[f64]| {
            let (least, most) = spread(rounds);
            format!("{:.1} ms ({least:.1} to {most:.1})", median(rounds))
        };
        let row = Row::new(question).ours(said(&us)).baseline(said(&them));
        let row = row.ratio(ratio(median(&us), median(&them)));
        let has_aim = question.starts_with("all");
        let aim = format!("<= {SPREAD_MS_MAX:.0} ms");
        report.row(if has_aim { row.aim(aim, median(&us) <= SPREAD_MS_MAX) } else { row });
    }
}
