//! `keyherd cred`: credentials, one file per verb.

mod add;
mod connect;
mod import;
mod list;
mod refresh;
mod remove;
mod show;
mod switch;

use clap::Subcommand;

use super::failure::Failure;
use super::peer::Context;

/// Credentials. Secrets are never shown, and never taken from arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Cred {
    /// Import one credential document, or a JSON array of them
    Import(import::Import),
    /// Add one credential by flags; its secrets from prompts or standard input
    Add(Box<add::Add>),
    /// List all credentials
    List(list::List),
    /// Show one credential: everything but its secrets
    Show(show::Show),
    /// Refresh its token now, although it may be valid; coalesced with others who want the same
    Refresh(refresh::Refresh),
    /// Switch it on again
    Enable(switch::Switch),
    /// Switch it off: nobody gets its token, nobody refreshes for it
    Disable(switch::Switch),
    /// Remove it; its chain goes with its last credential
    Remove(remove::Remove),
}

impl Cred {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Import(command) => command.run(context).await,
            Self::Add(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Refresh(command) => command.run(context).await,
            Self::Enable(command) => command.run(context, false).await,
            Self::Disable(command) => command.run(context, true).await,
            Self::Remove(command) => command.run(context).await,
        }
    }
}
