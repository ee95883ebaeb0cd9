//! `keyherd cred amend`: a credential's client app, endpoint, scopes and attributes; never its tokens.

use clap::Args;
use keyherd_api::documents::{PatchDocument, SecretText};
use keyherd_core::ids::Name;
use serde_json::Value;

use super::super::failure::Failure;
use super::super::input::Secrets;
use super::super::peer::Context;
use super::add::attribute;
use crate::peer::Peer;

/// Change its client app, token endpoint, scopes or attributes; its tokens stay.
///
/// With --client-id the client secret is asked for on a terminal, without an echo; otherwise it is the first line of
/// standard input; an empty one makes a public client. A new client lifts a block on the old one. Client, token URL and
/// scopes belong to the token chain: where several credentials share it, all of them change.
#[derive(Debug, Args)]
pub(crate) struct Amend {
    /// The credential
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// Another client app of its own: its id
    #[arg(long, value_name = "ID", conflicts_with = "client")]
    client_id: Option<String>,
    /// Another client app that credentials share by name: see 'keyherd client set'
    #[arg(long, value_name = "NAME", value_parser = Name::parse)]
    client: Option<Name>,
    /// Another token endpoint
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// Another set of scopes; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Another set of attributes: values in JSON, or text; may be given several times
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, Value)>,
}

impl Amend {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let name = self.name.clone();
        let patch = self.patch()?;
        let out = context.out;
        let work = async |peer: &dyn Peer| {
            let view = peer.amend(&name, patch).await?;
            if out.is_json() {
                out.json(&view)
            } else {
                out.line(format!("{name} is changed ({})", view.state))
            }
        };
        context.peer(work).await
    }

    fn patch(self) -> Result<PatchDocument, Failure> {
        let mut patch = PatchDocument {
            client: self.client.map(|name| name.to_string()),
            token_url: self.token_url,
            scopes: Some(self.scopes).filter(|scopes| !scopes.is_empty()),
            attributes: (!self.attributes.is_empty()).then(|| self.attributes.into_iter().collect()),
            ..PatchDocument::default()
        };
        if let Some(id) = self.client_id {
            let mut secrets = Secrets::default();
            let secret = secrets.ask("client_secret", "Client secret (empty: public client)")?;
            secrets.finish()?;
            (patch.client_id, patch.client_secret) = (Some(id), secret.map(SecretText::from));
        }
        if patch == PatchDocument::default() {
            return Err(Failure::usage("nothing is to be changed: see 'keyherd cred amend --help'"));
        }
        Ok(patch)
    }
}
