//! How long does it take to choose a member of a pool and have its token, from memory, and do requests of different pools
//! hinder each other?
//!
//! Baseline: a mutex around a map from pool to member and token, which is cloned; and the member's own name asked for.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::Duration;

use keyherd_bench::figures::spread;
use keyherd_bench::pools::{make_pool, member};
use keyherd_bench::{
    Accounts, Arguments, Ground, InProcessProvider, Installation, Outcome, Report, Row, Stopwatch, heat,
    ratio,
};
use keyherd_core::audit::Actor;
use keyherd_core::broker::{Broker, Options};
use keyherd_core::ids::Name;
use keyherd_core::pool::Strategy;
use keyherd_core::refresh::Ask;

const HOUR: Duration = Duration::from_secs(3_600);
/// Members of a pool, and how long choosing one of them may take, in ns.
const SIZES: [(usize, f64); 2] = [(2, 300.0), (1_000, 1_000.0)];
const STRATEGIES: [Strategy; 3] = [Strategy::Failover, Strategy::RoundRobin, Strategy::LeastRecentlyUsed];

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let rounds = arguments.number("rounds", arguments.size(3, 30))?;
    let calls = arguments.number("calls", arguments.size(20_000, 200_000))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::begin("members: a member's token by its pool's name, hot");
    for (size, aim) in SIZES {
        for strategy in STRATEGIES {
            let ground = Ground::new()?;
            let sides = runtime.block_on(Sides::new(&ground, size, strategy))?;
            sides.add(&mut report, size, strategy, aim, (rounds, calls))?;
            runtime.block_on(sides.installation.close());
        }
    }
    report.note(format!(
        "ns a call, token included, the slower thread's: the fastest of {rounds} rounds of {calls} calls, alternating."
    ));
    report.note("two threads: each on a pool of its own. 'alone': the member asked for by its own name.");
    report.print();
    Ok(())
}

/// Two pools on each side.
struct Sides {
    installation: Installation,
    pools: [String; 2],
    alone: String,
    bare: Mutex<HashMap<String, Box<str>>>,
    ask: Ask,
}

impl Sides {
    async fn new(ground: &Ground, size: usize, strategy: Strategy) -> Outcome<Self> {
        let provider = InProcessProvider::new(Accounts::new(3_600), Duration::ZERO);
        let installation = Installation::open(ground.path(), Arc::new(provider), Options::default()).await?;
        let (pools, ask) = (["first".to_owned(), "second".to_owned()], Ask::foreground(HOUR));
        let broker = &installation.broker;
        let mut names = pools.to_vec();
        let mut bare = HashMap::new();
        for pool in &pools {
            make_pool(broker, pool, size, strategy).await?;
            // The last one in order: nobody has to be passed to find it.
            let last = member(pool, size - 1);
            broker.rotate_pool(&Name::parse(pool)?, Some(&Name::parse(&last)?), &Actor::new("bench")).await?;
            names.extend((0..size).map(|number| member(pool, number)));
            bare.insert(pool.clone(), format!("{last:x<100}").into_boxed_str());
        }
        heat(broker, &names, &ask).await?;
        let alone = member(&pools[0], size - 1);
        Ok(Self { installation, pools, alone, bare: Mutex::new(bare), ask })
    }

    fn add(
        &self,
        report: &mut Report,
        size: usize,
        strategy: Strategy,
        aim: f64,
        (rounds, calls): (usize, usize),
    ) -> Outcome {
        let broker: &Broker = &self.installation.broker;
        let pool = |thread: usize| black_box(self.pools[thread].as_str());
        let ours = |thread: usize| black_box(broker.hot(pool(thread), &self.ask)).is_some();
        let alone = |_: usize| black_box(broker.hot(black_box(&self.alone), &self.ask)).is_some();
        let bare = |thread: usize| {
            let map = self.bare.lock().unwrap_or_else(PoisonError::into_inner);
            black_box(map.get(pool(thread)).cloned()).is_some()
        };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            one.push([time(1, calls, &ours)?, time(1, calls, &bare)?, time(1, calls, &alone)?]);
            two.push([time(2, calls, &ours)?, time(2, calls, &bare)?, 0.0]);
        }
        let ([ours, bare, alone], [ours_two, bare_two, _]) = (fastest(&one), fastest(&two));
        let what = format!("{size} members, {}", strategy.as_str());
        let row = Row::new(&what).ours(format!("{ours:.0} ns"));
        let row = row.baseline(format!("{bare:.0} ns (alone {alone:.0})")).ratio(ratio(ours, bare));
        report.row(row.aim(format!("< {aim:.0} ns"), ours < aim));
        let row = Row::new(format!("{what}, two pools, 2 threads over 1"));
        let (ours, bare) = (ours_two / ours, bare_two / bare);
        let row = row.ours(format!("{ours:.2} x")).baseline(format!("{bare:.2} x")).ratio(ratio(ours, bare));
        report.row(row);
        Ok(())
    }
}

/// What other programs take of the machine only ever adds: the fastest round is nearest to the truth.
fn fastest(rounds: &[[f64; 3]]) -> [f64; 3] {
    [0, 1, 2]
        .map(|side| spread(&rounds.iter().filter_map(|round| round.get(side).copied()).collect::<Vec<_>>()).0)
}

/// ns a call of the slowest of so many threads, all beginning at once. Each call must find what it asks for.
fn time(threads: usize, calls: usize, call: &(impl Fn(usize) -> bool + Sync)) -> Outcome<f64> {
    let barrier = Barrier::new(threads);
    let one = |thread: usize| {
        barrier.wait();
        let watch = Stopwatch::start();
        let found = (0..calls).filter(|_| call(thread)).count();
        (watch.elapsed(), found)
    };
    let ends: Vec<_> = std::thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    if ends.len() < threads || ends.iter().any(|(_, found)| *found < calls) {
        return Err("not every call found its token".into());
    }
    let slowest = ends.into_iter().map(|(took, _)| took).max().unwrap_or_default();
    Ok(slowest.as_secs_f64() * 1e9 / f64::from(u32::try_from(calls).unwrap_or(u32::MAX)))
}
