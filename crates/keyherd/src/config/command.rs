//! `[command]`: the bounds of one command on the command line.

use std::time::Duration;

use serde::Deserialize;

use super::number::{count, seconds};

/// `[command]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CommandBounds {
    /// How long a command waits for a token where `--wait` does not say.
    #[serde(rename = "wait_seconds", deserialize_with = "seconds::<_, 1, 3_600_000>")]
    pub(crate) wait: Duration,
    /// How long a process that is told to end waits for what is in flight. What is not committed by then is in the
    /// journal, if the provider answered.
    #[serde(rename = "shutdown_patience_seconds", deserialize_with = "seconds::<_, 100, 3_600_000>")]
    pub(crate) shutdown_patience: Duration,
    /// The largest file or standard input that is read whole.
    #[serde(deserialize_with = "count::<_, _, 1_024, 1_073_741_824>")]
    pub(crate) input_bytes_max: usize,
    /// How long `cred login` waits for a person.
    #[serde(rename = "login_timeout_seconds", deserialize_with = "seconds::<_, 1_000, 86_400_000>")]
    pub(crate) login_timeout: Duration,
}

impl Default for CommandBounds {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(30),
            shutdown_patience: Duration::from_secs(150),
            input_bytes_max: 64 * 1024 * 1024,
            login_timeout: Duration::from_secs(600),
        }
    }
}
