//! Processes that die, or stand still, at each step of the engine; and what the next ones get.
//!
//! Each test plays real processes on a data folder of its own against a provider that rotates and revokes on reuse,
//! and writes a table of what was seen: see `report`.

mod beside;
mod fleet;
mod lasting;
mod load;
mod matrix;
mod real;
mod relay;
mod report;
mod restarted;
mod stage;
mod stopped;
mod tally;
mod twice;
