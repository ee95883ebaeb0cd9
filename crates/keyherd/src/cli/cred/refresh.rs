//! `keyherd cred refresh`: a new token now.

use std::time::Duration;

use clap::Args;
use keyherd_api::documents::WAIT_SECONDS_MAX;
use keyherd_core::ids::Name;

use super::super::failure::Failure;
use super::super::peer::Context;
use super::super::progress;
use super::list::ends;
use crate::peer::Peer;

/// Refresh its token now, although it may be valid; coalesced with others who want the same.
///
/// One that was refreshed a moment ago (forced_apart_seconds) is not refreshed again, and it is said so.
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
        let work = async |peer: &dyn Peer| {
            let before = peer.show(name).await?.generation;
            let view = progress::waiting("waiting for the provider", peer.refresh(name, wait)).await?;
            if out.is_json() {
                return out.json(&view);
            }
            let (generation, ends) = (view.generation, ends(&view, peer.now()));
            let joined = if generation == before {
                ": refreshed a moment ago, which is not done again at once"
            } else {
                ""
            };
            out.line(format!("{name} is at generation {generation}; its token ends {ends}{joined}"))
        };
        context.peer(work).await
    }
}
