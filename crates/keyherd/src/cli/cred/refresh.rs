//! `keyherd cred refresh`: a new token now.

use std::time::Duration;

use clap::Args;
use keyherd_api::documents::{CredentialView, WAIT_SECONDS_MAX};
use keyherd_core::broker::Acquired;
use keyherd_core::ids::Name;

use super::super::failure::Failure;
use super::super::peer::{Context, actor};
use super::super::progress;
use super::list::ends;
use crate::wire::Wired;

/// Refresh its token now, although it may be valid; coalesced with others who want the same.
#[derive(Debug, Args)]
pub(crate) struct Refresh {
    /// The credential
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// How long to wait for it; default: 30, or the configured wait_seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=WAIT_SECONDS_MAX))]
    wait: Option<u64>,
}

impl Refresh {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let wait = self.wait.map_or(context.settings.command.wait, Duration::from_secs);
        let (name, out) = (&self.name, context.out);
        let work = async |wired: &Wired| {
            let (broker, actor) = (&wired.broker, actor());
            let refreshed = broker.refresh(name.as_str(), wait, &actor);
            if let Acquired::Refused(refusal) =
                progress::waiting("waiting for the provider", refreshed).await?
            {
                return Err(Failure::refused(name.as_str(), &refusal));
            }
            let loaded = broker.show(name).await?;
            if out.is_json() {
                return out.json(&CredentialView::new(&loaded, broker.now()));
            }
            let (generation, ends) = (loaded.chain.generation, ends(&loaded, broker.now()));
            out.line(format!("{name} is at generation {generation}; its token ends {ends}"))
        };
        context.peer(work).await
    }
}
