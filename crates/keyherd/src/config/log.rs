//! `[log]`: what goes to standard error beside a command's own line.

use serde::Deserialize;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogSettings {
    /// A level, or directives such as `info,keyherd_core=debug`. Empty: `info` for servers, `error` for commands.
    pub(crate) level: String,
    /// How a line looks.
    pub(crate) format: LogFormat,
}
