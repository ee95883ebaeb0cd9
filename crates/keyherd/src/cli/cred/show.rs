//! `keyherd cred show`: one credential, everything but its secrets.

use clap::Args;
use keyherd_api::documents::{CoolingView, CredentialView};
use keyherd_core::ids::Name;
use keyherd_core::time::Timestamp;

use super::super::failure::Failure;
use super::super::output::Output;
use super::super::peer::Context;
use super::list::ends;
use crate::peer::Peer;

/// Show one credential: everything but its secrets.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The credential
    #[arg(value_parser = Name::parse)]
    name: Name,
}

impl Show {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let work = async |peer: &dyn Peer| {
            let view = peer.show(&self.name).await?;
            print(context.out, view, peer.now())
        };
        context.peer(work).await
    }
}

/// One credential as it stands.
fn print(out: Output, view: CredentialView, now: Timestamp) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&view);
    }
    let ends = ends(&view, now);
    let mut lines = Vec::new();
    let mut line =
        |title: &'static str, value: Option<String>| lines.extend(value.map(|value| (title, value)));
    line("name", Some(view.name));
    line("provider", Some(view.provider));
    line("kind", Some(view.kind));
    line("state", Some(view.state));
    line("trouble", view.trouble.as_ref().map(|trouble| format!("{} ({})", trouble.kind, trouble.code)));
    line("what to do", view.trouble.map(|trouble| trouble.what_to_do));
    line("cooling", view.cooling.map(|cooling| format!("until {} ({})", cooling.until, cooling.reason)));
    for CoolingView { until, reason, scope } in view.cooling_scopes {
        line("cooling", scope.map(|scope| format!("{scope} until {until} ({reason})")));
    }
    line("generation", Some(view.generation.to_string()));
    let assumed = if view.expires_assumed { " (assumed: the provider did not say)" } else { "" };
    line("token ends", Some(format!("{ends}{assumed}")));
    line("refreshed at", view.refreshed_at.map(|at| at.to_string()));
    line("refresh token", Some(if view.has_refresh_token { "yes" } else { "no" }.into()));
    line("refresh token ends", view.refresh_expires_at.map(|at| at.to_string()));
    line("scopes", Some(view.scopes.join(" ")).filter(|scopes| !scopes.is_empty()));
    line("chain", view.chain);
    line("client", view.client);
    line("client id", view.client_id);
    line("token url", view.token_url);
    line("resource", view.resource);
    line("attributes", Some(view.attributes.to_string()).filter(|attributes| attributes != "{}"));
    line("created at", Some(view.created_at.to_string()));
    lines.into_iter().try_for_each(|(title, value)| out.line(format_args!("{title:<20}{value}")))
}
