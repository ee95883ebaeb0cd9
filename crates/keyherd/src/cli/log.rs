//! What is logged, and how: to standard error, by `[log]` or KEYHERD_LOG.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use crate::config::{Environment, LogFormat, LogSettings};

/// Begins logging. A command without a level of its own logs errors only: its last line is its own.
pub(super) fn begin(
    settings: &LogSettings,
    is_server: bool,
    environment: &Environment,
) -> Result<(), Failure> {
    let level = match settings.level.as_str() {
        "" if is_server => "info",
        "" => "error",
        level => level,
    };
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Failure::usage(format!("log level '{level}' is none ({error}): use error, warn, info or debug"))
    })?;
    let is_plain = environment.has("NO_COLOR") || !io::stderr().is_terminal();
    // A log that cannot be written is nobody's error: told on standard error as well, that would be a panic wherever
    // something is logged.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(!is_plain)
        .log_internal_errors(false);
    match settings.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
