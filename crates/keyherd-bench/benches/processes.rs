//! How much does a process of its own cost: 24 `keyherd token` at once on a token that has ended, and one on a hot one?
//!
//! Baselines: starting `/bin/true`, and one row read by the `sqlite3` command from the same database.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use keyherd_bench::figures::{median, millis, quantile};
use keyherd_bench::{
    Accounts, Arguments, Ground, LoopbackProvider, Outcome, Report, Row, Stopwatch, Tally, cli, document,
    ratio,
};
use tokio::process::Command;
use tokio::task::JoinSet;

/// What the provider takes.
const TOOK: Duration = Duration::from_millis(100);
/// What 24 processes may add to it.
const OVER_MAX: Duration = Duration::from_millis(150);
/// The aim for one process and a hot token.
const COLD_MAX: Duration = Duration::from_millis(15);
/// A token's life in the first part: the next round waits for its end.
const SHORT: u64 = 2;

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(bench(&Arguments::of_process()))
}

async fn bench(arguments: &Arguments) -> Outcome {
    let binary = cli::binary(arguments).await?;
    let processes = arguments.number("processes", arguments.size(4, 24))?;
    let rounds = arguments.number("rounds", arguments.size(2, 10))?;
    let times = arguments.number("times", arguments.size(5, 50))?;
    let mut report = Report::begin("processes: keyherd token, many at once and one alone");
    at_once(&mut report, &binary, processes, rounds).await?;
    alone(&mut report, &binary, times).await?;
    report.print();
    Ok(())
}

async fn at_once(report: &mut Report, binary: &Path, processes: usize, rounds: usize) -> Outcome {
    let (provider, ground) = (LoopbackProvider::start(Accounts::new(SHORT), TOOK).await?, Ground::new()?);
    cli::import(binary, ground.path(), &document("acme", 1, provider.url())).await?;
    let (mut slowest, mut bare, mut calls_max, mut failed) = (Vec::new(), Vec::new(), 0, 0);
    let mut tally = Tally::default();
    for _ in 0..rounds {
        let before = provider.accounts().tally();
        let round = launch(processes, || token(binary, ground.path())).await?;
        tally = provider.accounts().tally().since(before);
        calls_max = calls_max.max(tally.calls);
        failed += round.failed;
        slowest.push(round.slowest);
        bare.push(launch(processes, || Command::new("/bin/true")).await?.slowest);
        tokio::time::sleep(Duration::from_secs(SHORT)).await;
    }
    let over = |share: f64| quantile(&slowest, share).saturating_sub(TOOK);
    let theirs = quantile(&bare, 0.5);
    report.row(Row::new("provider calls an expiry, at most").ours(calls_max).aim("1", calls_max == 1));
    report.row(Row::new("tokens reused").ours(tally.reuses).aim("0", tally.reuses == 0));
    report.row(Row::new("processes failed").ours(failed).aim("0", failed == 0));
    for (what, share) in [("median", 0.5), ("worst", 1.0)] {
        let row = Row::new(format!("slowest of {processes}, less provider time, {what} of {rounds}"));
        let row = row
            .ours(format!("{:.0} ms", millis(over(share))))
            .ratio(ratio(millis(over(share)), millis(theirs)));
        let row = row.baseline(format!("{processes} x true: {:.1} ms", millis(theirs)));
        report.row(row.aim(format!("<= {:.0} ms", millis(OVER_MAX)), over(share) <= OVER_MAX));
    }
    Ok(())
}

async fn alone(report: &mut Report, binary: &Path, times: usize) -> Outcome {
    let (provider, ground) = (LoopbackProvider::start(Accounts::new(3_600), TOOK).await?, Ground::new()?);
    cli::import(binary, ground.path(), &document("acme", 1, provider.url())).await?;
    launch(1, || token(binary, ground.path())).await?;
    let database = ground.path().join("keyherd.db");
    let (mut ours, mut bare, mut sqlite) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..times {
        ours.push(one(|| token(binary, ground.path())).await?);
        bare.push(one(|| Command::new("/bin/true")).await?);
        sqlite.push(one(|| select(&database)).await?);
    }
    let (cold, bare, sqlite) = (median(&ours), median(&bare), median(&sqlite));
    let row =
        Row::new(format!("a cold process, a hot token, median of {times}")).ours(format!("{cold:.1} ms"));
    let row = row.baseline(format!("true {bare:.1} ms, sqlite3 {sqlite:.1} ms")).ratio(ratio(cold, sqlite));
    report.row(row.aim(format!("< {:.0} ms", millis(COLD_MAX)), cold < millis(COLD_MAX)));
    Ok(())
}

fn token(binary: &Path, data: &Path) -> Command {
    let mut command = cli::command(binary, data);
    command.args(["token", "acme"]);
    command
}

fn select(database: &Path) -> Command {
    let mut command = Command::new("sqlite3");
    command.arg("-readonly").arg(database).arg("SELECT length(access_token) FROM chains LIMIT 1");
    command
}

/// One process's time, in milliseconds.
async fn one(command: impl Fn() -> Command) -> Outcome<f64> {
    let round = launch(1, command).await?;
    if round.failed > 0 {
        return Err("a process failed: see above".into());
    }
    Ok(millis(round.slowest))
}

struct Round {
    slowest: Duration,
    failed: usize,
}

/// From before the first start to the last end.
async fn launch(processes: usize, command: impl Fn() -> Command) -> Outcome<Round> {
    let mut running = JoinSet::new();
    let watch = Stopwatch::start();
    for _ in 0..processes {
        let mut child = command().stdout(Stdio::null()).spawn()?;
        running.spawn(async move { child.wait().await.is_ok_and(|status| status.success()) });
    }
    let ends = running.join_all().await;
    Ok(Round { slowest: watch.elapsed(), failed: ends.into_iter().filter(|is_served| !is_served).count() })
}
