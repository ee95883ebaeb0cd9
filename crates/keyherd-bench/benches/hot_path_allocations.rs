//! How many allocations does a hot token cost?
//!
//! A bench of its own: counting slows every allocation down, most of all from two threads.

use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;

use keyherd_bench::{
    Accounts, Arguments, Ground, InProcessProvider, Installation, Outcome, Report, Row, heat,
};
use keyherd_core::broker::Options;
use keyherd_core::refresh::Ask;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NAME: &str = "acme";
const HOUR: Duration = Duration::from_secs(3_600);

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let calls = arguments.number("calls", arguments.size(1_000, 100_000))?;
    let mut report = Report::begin("hot_path_allocations: what a hot token allocates");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ground = Ground::new()?;
    let (installation, ask) = runtime.block_on(hot(&ground))?;
    let bare = papaya::HashMap::new();
    bare.pin().insert(NAME.to_owned(), "x".repeat(100));
    // Whatever is made on first use is made.
    let ours = || black_box(installation.broker.hot(black_box(NAME), &ask));
    let theirs = || black_box(bare.pin().get(black_box(NAME)).cloned());
    if ours().is_none() || theirs().is_none() {
        return Err("it is not hot".into());
    }
    let (ours, theirs) = (count(calls, ours), count(calls, theirs));
    let row = Row::new("allocations a call").ours(per_call(ours.allocations, calls));
    let row =
        row.baseline(per_call(theirs.allocations, calls)).aim("1: the handle", ours.allocations == calls);
    report.row(row);
    let bytes = Row::new("bytes a call").ours(per_call(ours.bytes_allocated, calls));
    report.row(bytes.baseline(per_call(theirs.bytes_allocated, calls)));
    let again = Row::new("reallocations a call").ours(per_call(ours.reallocations, calls));
    report.row(again.baseline(per_call(theirs.reallocations, calls)).aim("0", ours.reallocations == 0));
    report.note(format!(
        "{calls} calls of each side; the baseline clones a string of 100 bytes out of papaya."
    ));
    report.print();
    runtime.block_on(installation.close());
    Ok(())
}

fn count<T>(calls: usize, call: impl Fn() -> T) -> Stats {
    let region = Region::new(ALLOCATOR);
    for _ in 0..calls {
        drop(call());
    }
    region.change()
}

fn per_call(count: usize, calls: usize) -> String {
    let share = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    format!("{:.3}", share(count) / share(calls))
}

async fn hot(ground: &Ground) -> Outcome<(Installation, Ask)> {
    let provider = InProcessProvider::new(Accounts::new(24 * 3_600), Duration::ZERO);
    let installation =
        Installation::open(ground.path(), std::sync::Arc::new(provider), Options::default()).await?;
    installation.import(NAME, 1, "https://id.example/token").await?;
    let ask = Ask::foreground(HOUR);
    heat(&installation.broker, &[NAME.to_owned()], &ask).await?;
    Ok((installation, ask))
}
