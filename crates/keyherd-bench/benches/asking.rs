//! Ten thousand wait for one human: how many prompts are there, how soon are all released, and what does a waiter weigh?
//!
//! On one host: a broker over SQLite. On two: brokers over one PostgreSQL, each with half of the waiters, answered on the
//! first. Baseline: as many tasks that wait for one `tokio::sync::watch`, which knows of no store.

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyherd_adapters::testing::{PostgresOptions, PrivatePostgres};
use keyherd_bench::figures::{median, millis, spread};
use keyherd_bench::fleet::{Host, Notices, Place};
use keyherd_bench::{
    Accounts, Arguments, Ground, InProcessProvider, Installation, Outcome, Report, Row, Stopwatch, ratio,
};
use keyherd_core::approval::{Approval, Decision, Question, Stage};
use keyherd_core::audit::Actor;
use keyherd_core::broker::{ApprovalAsk, Broker, Options};
use keyherd_core::ids::Name;
use keyherd_core::ports::store::APPROVAL_OPENED;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Nobody leaves before the answer.
const WAIT: Duration = Duration::from_secs(600);
/// Between two looks at how many wait.
const LOOK: Duration = Duration::from_millis(50);
/// What a waiter may weigh.
const WEIGHT_MAX: f64 = 2_048.0;

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bench(&Arguments::of_process()))
}

async fn bench(arguments: &Arguments) -> Outcome {
    let waiters = arguments.number("waiters", arguments.size(500, 10_000))?;
    let rounds = arguments.number("rounds", arguments.size(2, 7))?;
    let mut report = Report::begin("asking: many wait for one answer");
    let (ground, provider) = (Ground::new()?, InProcessProvider::new(Accounts::new(3_600), Duration::ZERO));
    let installation = Installation::open(ground.path(), Arc::new(provider), Options::default()).await?;
    let baseline = watched(waiters, rounds).await;
    let one = played(&[&installation.broker], waiters, rounds).await?;
    let opened = opened_by(&installation.broker).await?;
    installation.close().await;
    add(&mut report, "one host", &one, &baseline, 50.0);
    report.row(counted("approvals announced, one host", opened, rounds + 1));
    let mut postgres = PrivatePostgres::start(PostgresOptions { fsync: true, ..PostgresOptions::default() })?;
    let ground = Ground::new()?;
    let place = Place {
        folder: ground.path().into(),
        database: postgres.database()?,
        redis: None,
        notices: Notices::Sent,
    };
    let (here, there) = (Host::open(&place, 0).await?, Host::open(&place, 1).await?);
    let two = played(&[&here.broker, &there.broker], waiters, rounds).await?;
    add(&mut report, "two hosts", &two, &baseline, 150.0);
    report.row(counted("approvals announced, two hosts", opened_by(&here.broker).await?, rounds + 1));
    here.close().await;
    there.close().await;
    postgres.stop()?;
    report.note(format!(
        "{waiters} waiters, {rounds} rounds, and one before them, each a question of its own; from the call that answers to the last release; \
         medians, and the slowest in brackets. Both hosts are in this process."
    ));
    report.note("a waiter's weight: bytes held by the whole process with all waiting, its task included.");
    report.print();
    Ok(())
}

/// One round's figures.
struct Round {
    released: Duration,
    /// Bytes for each waiter.
    weight: f64,
}

fn add(report: &mut Report, what: &str, rounds: &[Round], baseline: &[Round], aim: f64) {
    let times = |rounds: &[Round]| rounds.iter().map(|round| millis(round.released)).collect::<Vec<_>>();
    let (ours, theirs) = (times(rounds), times(baseline));
    let row = Row::new(format!("answer to last release, {what}"));
    let row = row.ours(format!("{:.1} ms ({:.1})", median(&ours), spread(&ours).1));
    let row = row.baseline(format!("{:.1} ms ({:.1})", median(&theirs), spread(&theirs).1));
    report.row(
        row.ratio(ratio(median(&ours), median(&theirs))).aim(format!("<= {aim:.0} ms"), median(&ours) <= aim),
    );
    let weigh = |rounds: &[Round]| median(&rounds.iter().map(|round| round.weight).collect::<Vec<_>>());
    let (ours, theirs) = (weigh(rounds), weigh(baseline));
    let row = Row::new(format!("bytes a waiter, {what}"))
        .ours(format!("{ours:.0}"))
        .baseline(format!("{theirs:.0}"));
    report.row(row.ratio(ratio(ours, theirs)).aim(format!("<= {WEIGHT_MAX:.0}"), ours <= WEIGHT_MAX));
}

fn counted(what: &str, count: usize, rounds: usize) -> Row {
    Row::new(what.to_owned()).ours(format!("{count} in {rounds} rounds")).aim("1 a round", count == rounds)
}

async fn opened_by(broker: &Broker) -> Outcome<usize> {
    let events = broker.ports().store.events(0, 100_000).await?;
    Ok(events.iter().filter(|event| event.kind == APPROVAL_OPENED).count())
}

/// Rounds of waiters, spread over the brokers; the first one is answered on.
async fn played(brokers: &[&Broker], waiters: usize, rounds: usize) -> Outcome<Vec<Round>> {
    let mut figures = Vec::with_capacity(rounds);
    // Whatever is made on first use is made.
    for round in 0..=rounds {
        let ask = ApprovalAsk { question: question(round)?, coalesces: true, rule: None };
        let (watch, last) = (Stopwatch::start(), Arc::new(AtomicU64::new(0)));
        let region = Region::new(ALLOCATOR);
        let mut tasks = JoinSet::new();
        for number in 0..waiters {
            let Some(broker) = brokers.get(number % brokers.len()) else { continue };
            let (broker, ask, last) = ((*broker).clone(), ask.clone(), Arc::clone(&last));
            tasks.spawn(async move {
                let allowed = broker.ask(ask, WAIT, &Actor::new("bench")).await.is_ok_and(|end| end.allows());
                last.fetch_max(nanos(watch.elapsed()), Ordering::Relaxed);
                allowed
            });
        }
        let first = brokers.first().ok_or("no broker")?;
        let approval = all_wait(first, waiters).await?;
        let change = region.change();
        let held = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
        let begun = watch.elapsed();
        first.answer(approval.id, Decision::AllowOnce, None, &Actor::new("human")).await?;
        let mut allowed = 0;
        while let Some(end) = tasks.join_next().await {
            allowed += usize::from(end?);
        }
        if allowed != waiters {
            return Err(format!("{allowed} of {waiters} were released").into());
        }
        let released = Duration::from_nanos(last.load(Ordering::Relaxed)).saturating_sub(begun);
        if round > 0 {
            figures.push(Round { released, weight: share(held, waiters) });
        }
    }
    Ok(figures)
}

async fn all_wait(broker: &Broker, waiters: usize) -> Outcome<Approval> {
    loop {
        let open = broker.approvals(Some(Stage::Open), None, 10).await?.items;
        match &open[..] {
            [one] if one.waiters == waiters as u64 => return Ok(one.clone()),
            [] | [_] => tokio::time::sleep(LOOK).await,
            more => return Err(format!("{} approvals are open", more.len()).into()),
        }
    }
}

/// The baseline: a task waits for one value, and that is all.
async fn watched(waiters: usize, rounds: usize) -> Vec<Round> {
    let mut figures = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let (watch, last) = (Stopwatch::start(), Arc::new(AtomicU64::new(0)));
        let region = Region::new(ALLOCATOR);
        let (tell, told) = tokio::sync::watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..waiters {
            let (mut told, last) = (told.clone(), Arc::clone(&last));
            tasks.spawn(async move {
                let _ = told.changed().await;
                last.fetch_max(nanos(watch.elapsed()), Ordering::Relaxed);
            });
        }
        tokio::time::sleep(LOOK).await;
        let change = region.change();
        let held = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
        let begun = watch.elapsed();
        let _ = tell.send(true);
        while tasks.join_next().await.is_some() {}
        let released = Duration::from_nanos(last.load(Ordering::Relaxed)).saturating_sub(begun);
        figures.push(Round { released, weight: share(held, waiters) });
    }
    figures
}

fn question(round: usize) -> Outcome<Question> {
    Ok(Question::outside(Name::parse("bench")?, None, &round.to_string())?)
}

fn share(bytes: usize, waiters: usize) -> f64 {
    let number = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    number(bytes) / number(waiters)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
