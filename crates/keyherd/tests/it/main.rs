//! The built program from outside: processes, exit codes, files, signals.
//!
//! Every secret that is planted here begins with the same marker, and every sandbox checks that the marker is in no
//! output and in no file when it is done: see [`sandbox`].

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test the panic is the report; this lint knows #[test] functions only"
)]

mod agents;
mod audit;
mod bad_input;
mod clients;
mod commands;
#[cfg(feature = "crash-points")]
mod crash;
mod demo;
mod doctor;
mod exits;
mod fleet;
mod full;
mod herd;
mod http;
mod keys;
mod oauth;
mod oidc;
mod place;
mod pools;
mod profiles;
mod provider;
#[cfg_attr(
    not(feature = "crash-points"),
    expect(dead_code, reason = "only the crash matrix stops and kills")
)]
mod running;
mod sandbox;
mod secrets;
mod server;
#[cfg_attr(
    not(feature = "crash-points"),
    expect(dead_code, reason = "only the crash matrix stops and kills")
)]
mod serving;
mod signals;
mod terminal;
mod through;
mod tls;
// Rules and approvals.
mod approvals;
mod browser;
mod consent;
mod constrained;
mod rules;
mod upstream;
mod veiled;
// Channels.
mod channels;
// The forward proxy.
mod behind;
mod confined;
mod login;
mod proxied;
mod refusals;
