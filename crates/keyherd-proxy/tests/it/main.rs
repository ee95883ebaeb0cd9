//! The exchange and its doors, against upstreams of the tests' own.

mod bodies;
mod failing_over;
mod faults;
mod passing;
mod secured;
mod stage;
mod streams;
mod upgrades;
mod upstream;
