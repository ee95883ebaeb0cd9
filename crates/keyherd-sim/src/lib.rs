//! A seeded simulation of keyherd's engine: many hosts, one store, one provider, and faults between any two steps.
//!
//! Each host runs the real engine of `keyherd-core` on its own ports; time is paused and virtual. [`run()`] plays one seed
//! and judges every step. The same seed on the same commit gives the same trace. Never part of a release.

mod accounts;
mod callers;
mod dice;
mod hosts;
mod ledger;
#[cfg(test)]
mod model;
mod mutants;
mod people;
mod plan;
mod ports;
mod rows;
mod run;
mod tally;
mod trace;
mod world;

pub use self::ledger::Violation;
pub use self::mutants::Mutant;
pub use self::run::{Report, Settings, run};
pub use self::tally::{Event, Tally};
pub use self::trace::{Line, shown};
