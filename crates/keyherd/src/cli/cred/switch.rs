//! `keyherd cred enable` and `disable`: the switch on a credential.

use clap::Args;
use keyherd_api::documents::CredentialView;
use keyherd_core::credential::Amendment;
use keyherd_core::ids::Name;

use super::super::failure::Failure;
use super::super::peer::{Context, actor};
use crate::wire::Wired;

/// Which credential.
#[derive(Debug, Args)]
pub(crate) struct Switch {
    /// The credential
    #[arg(value_parser = Name::parse)]
    name: Name,
}

impl Switch {
    pub(super) async fn run(self, context: Context, disabled: bool) -> Result<(), Failure> {
        let amendment = Amendment { disabled: Some(disabled), ..Amendment::default() };
        let out = context.out;
        let work = async |wired: &Wired| {
            let loaded = wired.broker.amend(&self.name, amendment, &actor()).await?;
            if out.is_json() {
                return out.json(&CredentialView::new(&loaded, wired.broker.now()));
            }
            out.line(format!("{} is {}", self.name, if disabled { "disabled" } else { "enabled" }))
        };
        context.peer(work).await
    }
}
