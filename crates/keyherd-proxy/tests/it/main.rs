//! The exchange and its doors, against upstreams of the tests' own.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails here")]

mod bodies;
mod failing_over;
mod faults;
mod grpc;
mod lines;
mod logged_in;
mod outgoing;
mod passing;
mod refreshed;
mod ruled;
mod secured;
mod stage;
mod streams;
mod swapping;
mod turns;
mod upgrades;
mod upstream;
mod veiled;
