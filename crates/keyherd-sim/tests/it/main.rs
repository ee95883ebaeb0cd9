//! What the simulation must do in every build: hold on many seeds, whose faults strike, replay, and catch each broken engine.

use std::ops::Range;

use keyherd_sim::{Event, Mutant, Report, Settings, Tally, run, shown};

/// Seeds that every build plays, in halves that run side by side.
const SEEDS: u64 = 240;
/// Seeds within which a broken engine is caught. They begin where the hardest one does not take long; from 0 on, see
/// `--mutants`.
const CAUGHT_WITHIN: Range<u64> = 190..400;

fn check(report: &Report) {
    if let Some(violation) = &report.violation {
        let trace = shown(&report.lines, violation.chain, false);
        panic!("{trace}\nseed {}: {}: {}", report.seed, violation.rule, violation.what);
    }
}

/// All of them hold, and together they have seen every fault there is: one that never strikes proves nothing.
fn hold(seeds: Range<u64>) {
    let mut tally = Tally::default();
    for seed in seeds {
        let report = run(seed, &Settings::default());
        check(&report);
        tally.add(&report.tally);
    }
    for (event, name) in Event::ALL {
        assert!(tally.of(event) > 0, "this never happened: {name}");
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
    for seed in 0..10 {
        check(&run(seed, &Settings { fault_free: true, ..Settings::default() }));
    }
}

#[test]
fn a_seed_replays_exactly() {
    let settings = Settings::default();
    assert_eq!(run(3, &settings), run(3, &settings));
    assert_ne!(run(3, &settings).digest(), run(5, &settings).digest());
}

/// The first seed that catches it.
fn caught_by(mutant: Mutant) -> (u64, String) {
    let settings = Settings { mutant: Some(mutant), ..Settings::default() };
    let found = { CAUGHT_WITHIN }.find_map(|seed| {
        let violation = run(seed, &settings).violation?;
        Some((seed, violation.rule.to_owned()))
    });
    found.unwrap_or_else(|| panic!("{mutant:?} is not caught within {CAUGHT_WITHIN:?}"))
}

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL {
        let (seed, rule) = caught_by(mutant);
        println!("{}: caught by seed {seed}: {rule}", mutant.title());
    }
}
