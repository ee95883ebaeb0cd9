//! keyherd: an OAuth credential broker. However many ask, it happens once.
//!
//! The binary: command line, configuration, wiring. The only place that knows every crate, and the only one that
//! reports errors to a person.

mod cli;
mod config;
mod demo;
mod peer;
mod wire;

use std::process::ExitCode;

/// A request makes dozens of small things and forgets them again: measured by the bench `gateway`, see
/// docs/BENCHMARKS.md.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
