//! `cargo run -p keyherd-sim -- --seeds 1000`: plays seeds, and shows the trace of the first one that fails.

use std::process::ExitCode;

use clap::Parser;
use keyherd_sim::{Report, Settings, run, shown};

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
}

fn main() -> ExitCode {
    let args = Args::parse();
    let settings = Settings { hosts: args.hosts, fault_free: args.fault_free, mutant: None };
    let seeds = args.seed.map_or(args.from..args.from + args.seeds, |seed| seed..seed + 1);
    let (mut steps, mut calls, mut served, mut refused, mut failed) = (0, 0, 0, 0, 0);
    for seed in seeds.clone() {
        let report = run(seed, &settings);
        steps += report.steps;
        calls += report.calls;
        served += report.served;
        refused += report.refused;
        if args.trace {
            println!("{}", shown(&report.lines, None, true));
        }
        if let Some(violation) = &report.violation {
            failed += 1;
            if args.keep_going {
                println!("seed {seed}: {}: {}", violation.rule, violation.what);
                continue;
            }
            fail(&report, &args);
            return ExitCode::FAILURE;
        }
    }
    let count = seeds.end - seeds.start;
    println!(
        "{count} seeds, {steps} steps, {calls} provider calls, {served} served, {refused} refused, {failed} failed"
    );
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn fail(report: &Report, args: &Args) {
    let Some(violation) = &report.violation else { return };
    if !args.trace {
        println!("{}", shown(&report.lines, violation.chain, false));
    }
    println!(
        "seed {} broke a promise at {:.3}s: {}",
        report.seed,
        violation.at.as_secs_f64(),
        violation.rule
    );
    println!("  {}", violation.what);
    println!("again: cargo run -p keyherd-sim -- --seed {}", report.seed);
}
