//! `keyherd cred remove`: a credential goes, and with a chain's last one the chain.

use clap::Args;
use keyherd_core::ids::Name;
use serde::Serialize;

use super::super::failure::Failure;
use super::super::peer::Context;
use crate::peer::Peer;

/// Remove it; its chain goes with its last credential. The provider is not told.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The credential
    #[arg(value_parser = Name::parse)]
    name: Name,
}

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a str,
}

impl Remove {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let out = context.out;
        let work = async |peer: &dyn Peer| {
            peer.remove(&self.name).await?;
            if out.is_json() {
                return out.json(&Removed { removed: self.name.as_str() });
            }
            out.line(format!("{} is removed", self.name))
        };
        context.peer(work).await
    }
}
