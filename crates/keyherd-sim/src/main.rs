//! `cargo run -p keyherd-sim -- --seeds 1000`: plays seeds, says how often each fault struck, and shows the trace of the
//! first seed that fails. `--mutants`: breaks the engine on purpose, and says how many seeds it takes to notice.

mod progress;
mod summary;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use clap::Parser;
use keyherd_sim::{Mutant, Report, Settings, run, shown};

use self::progress::Progress;
use self::summary::Summary;

/// Plays seeds of the simulation.
#[derive(Debug, Parser)]
#[command(name = "keyherd-sim")]
struct Args {
    /// How many seeds, from --from on.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// So many hosts, instead of 2 to 5 as the seed says.
    #[arg(long)]
    hosts: Option<usize>,
    /// No faults.
    #[arg(long)]
    fault_free: bool,
    /// The whole trace, also where nothing failed.
    #[arg(long)]
    trace: bool,
    /// Go on after a failure, and show only which rule was broken.
    #[arg(long)]
    keep_going: bool,
    /// Plays broken engines, each until its seeds are used up or it is caught.
    #[arg(long)]
    mutants: bool,
    /// Seeds played at once; 0: one for each core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let is_good = if args.mutants { every_mutant_is_caught(&args) } else { all_seeds_hold(&args) };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn all_seeds_hold(args: &Args) -> bool {
    let settings = Settings { hosts: args.hosts, fault_free: args.fault_free, mutant: None };
    let seeds = args.seed.map_or(args.from..args.from + args.seeds, |seed| seed..seed + 1);
    let progress = Progress::new(seeds.end - seeds.start);
    let summary = Mutex::new(Summary::default());
    let (next, stopped) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let work = || {
        while !stopped.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = run(seed, &settings);
            stopped.fetch_or(report.violation.is_some() && !args.keep_going, Ordering::Relaxed);
            if args.trace {
                println!("{}", shown(&report.lines, None, true));
            }
            let mut summary = summary.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            summary.take(report, args.keep_going);
            progress.show(summary.seeds, summary.failed.len());
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs(args) {
            scope.spawn(work);
        }
        work();
    });
    progress.clear();
    let summary = summary.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!("{}", summary.shown(progress.seconds()));
    if let Some(report) = &summary.first_failed {
        fail(report, args);
    }
    summary.failed.is_empty()
}

fn jobs(args: &Args) -> usize {
    match args.jobs {
        0 => thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    }
}

fn fail(report: &Report, args: &Args) {
    let Some(violation) = &report.violation else { return };
    if !args.trace && !args.keep_going {
        println!("{}", shown(&report.lines, violation.chain, false));
    }
    println!(
        "seed {} broke a promise at {:.3}s: {}",
        report.seed,
        violation.at.as_secs_f64(),
        violation.rule
    );
    println!("  {}", violation.what);
    println!("the whole trace: cargo run -p keyherd-sim -- --seed {} --trace", report.seed);
}

fn every_mutant_is_caught(args: &Args) -> bool {
    let mut are_caught = true;
    for mutant in Mutant::ALL {
        let settings = Settings { hosts: args.hosts, fault_free: false, mutant: Some(mutant) };
        let mut seeds = args.from..args.from + args.seeds;
        let caught = seeds.find_map(|seed| run(seed, &settings).violation.map(|violation| (seed, violation)));
        match caught {
            Some((seed, violation)) => {
                println!("{:<34} caught by seed {:>3}: {}", mutant.title(), seed, violation.rule);
            }
            None => {
                are_caught = false;
                println!("{:<34} NOT CAUGHT by {} seeds", mutant.title(), args.seeds);
            }
        }
    }
    are_caught
}
