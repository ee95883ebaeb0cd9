//! `keyherd cred enable` and `disable`: the switch on a credential.

use clap::Args;
use keyherd_api::documents::PatchDocument;
use keyherd_core::ids::Name;

use super::super::failure::Failure;
use super::super::peer::Context;
use crate::peer::Peer;

/// Which credential.
#[derive(Debug, Args)]
pub(crate) struct Switch {
    /// The credential
    #[arg(value_parser = Name::parse)]
    name: Name,
}

impl Switch {
    pub(super) async fn run(self, context: Context, disabled: bool) -> Result<(), Failure> {
        let patch = PatchDocument { disabled: Some(disabled), ..PatchDocument::default() };
        let out = context.out;
        let work = async |peer: &dyn Peer| {
            let view = peer.amend(&self.name, patch).await?;
            if out.is_json() {
                return out.json(&view);
            }
            out.line(format!("{} is {}", self.name, if disabled { "disabled" } else { "enabled" }))
        };
        context.peer(work).await
    }
}
