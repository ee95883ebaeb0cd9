//! What the simulation must do in every build: hold on many seeds, replay, and catch each broken engine.

use keyherd_core::broker::set_window_in_key;
use keyherd_sim::{Mutant, Report, Settings, run, shown};

/// Seeds that every build plays, in halves that run side by side.
const SEEDS: u64 = 240;
/// Seeds within which a broken engine is caught.
const CAUGHT_WITHIN: u64 = 120;

fn check(report: &Report) {
    if let Some(violation) = &report.violation {
        let trace = shown(&report.lines, violation.chain, false);
        panic!("{trace}\nseed {}: {}: {}", report.seed, violation.rule, violation.what);
    }
}

fn hold(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        check(&run(seed, &Settings::default()));
    }
}

#[test]
fn many_seeds_hold() {
    hold(0..SEEDS / 2);
}

#[test]
fn many_more_seeds_hold() {
    hold(SEEDS / 2..SEEDS);
}

#[test]
fn without_faults_all_is_served() {
    for seed in 0..20 {
        check(&run(seed, &Settings { fault_free: true, ..Settings::default() }));
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 5, 8] {
        assert_eq!(run(seed, &Settings::default()), run(seed, &Settings::default()));
    }
}

/// The first seed that catches it.
fn caught_by(mutant: Mutant) -> (u64, String) {
    let settings = Settings { mutant: Some(mutant), ..Settings::default() };
    set_window_in_key(mutant == Mutant::WindowInKey);
    let found = (0..CAUGHT_WITHIN).find_map(|seed| {
        let violation = run(seed, &settings).violation?;
        Some((seed, violation.rule.to_owned()))
    });
    set_window_in_key(false);
    found.unwrap_or_else(|| panic!("{mutant:?} is not caught within {CAUGHT_WITHIN} seeds"))
}

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL {
        let (seed, rule) = caught_by(mutant);
        println!("{mutant:?}: caught by seed {seed}: {rule}");
    }
}
