//! `keyherd channel`: named by the outside surface, and not in this version. Says so, and what does the same today.

use clap::Args;

use super::failure::Failure;

/// Channels that announce approvals elsewhere, such as webhooks: not in this version.
///
/// Approvals are answered in the dashboard that 'keyherd serve' has at its own address, with 'keyherd approval watch' or
/// 'approval allow', and by POST /v1/approvals/{id}/answer; GET /v1/events tells a program of each that opens.
#[derive(Debug, Args)]
#[command(disable_help_flag = false)]
pub(crate) struct Channel {
    /// Whatever was asked for
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<String>,
}

impl Channel {
    /// Always.
    pub(super) fn refuse(&self) -> Failure {
        let what = self.words.first().map(|word| format!(" {word}")).unwrap_or_default();
        Failure::usage(format!(
            "'keyherd channel{what}' is not in this version: answer in the dashboard at the API's address, or with 'keyherd \
             approval watch'; programs listen to GET /v1/events"
        ))
    }
}
