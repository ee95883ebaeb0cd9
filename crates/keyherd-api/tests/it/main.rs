//! The REST door over core's fakes: in process through the router, and over real sockets for its limits.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails here")]

mod agents;
mod asking;
mod channels;
mod credentials;
mod dashboard;
mod describes;
mod events;
mod faults;
mod pools;
mod problems;
mod providers;
mod sockets;
mod tls;
mod tokens;
mod world;
