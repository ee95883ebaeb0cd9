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

fn main() -> ExitCode {
    cli::main()
}
