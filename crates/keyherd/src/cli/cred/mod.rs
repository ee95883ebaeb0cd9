//! `keyherd cred`: credentials, one file per verb.

mod add;
mod amend;
mod connect;
mod import;
mod list;
mod login;
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
    Import(import::Import),
    Add(Box<add::Add>),
    Login(Box<login::Login>),
    List(list::List),
    Show(show::Show),
    Refresh(refresh::Refresh),
    Amend(amend::Amend),
    /// Switch it on again
    Enable(switch::Switch),
    /// Switch it off: nobody gets its token, nobody refreshes for it
    Disable(switch::Switch),
    Remove(remove::Remove),
}

impl Cred {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Import(command) => command.run(context).await,
            Self::Add(command) => command.run(context).await,
            Self::Login(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Refresh(command) => command.run(context).await,
            Self::Amend(command) => command.run(context).await,
            Self::Enable(command) => command.run(context, false).await,
            Self::Disable(command) => command.run(context, true).await,
            Self::Remove(command) => command.run(context).await,
        }
    }
}
