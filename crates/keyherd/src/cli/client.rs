//! `keyherd client`: client apps that credentials share by name.

use clap::Subcommand;
use comfy_table::{Cell, Color};
use keyherd_api::documents::{ClientSettingsDocument, ListView, SecretText};
use keyherd_core::ids::Name;
use serde::Serialize;

use super::failure::Failure;
use super::input::{self, Secrets};
use super::peer::Context;
use crate::peer::Peer;

/// Client apps that credentials share by name.
#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    /// Make a client app or change it; a new configuration lifts its block
    ///
    /// The client secret is asked for on a terminal, without an echo; otherwise it is the first line of standard input.
    /// An empty one makes a public client.
    Set {
        /// What credentials call it
        #[arg(value_parser = Name::parse)]
        name: Name,
        /// The provider profile: see 'keyherd provider list'
        #[arg(long, value_name = "P")]
        provider: String,
        /// The app's id; default: the one it has
        #[arg(long, value_name = "ID")]
        client_id: Option<String>,
    },
    /// List the client apps. Secrets are never shown
    List,
    /// Remove a client app that no credential uses
    Remove {
        /// The client app
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
}

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a str,
}

impl Client {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Set { name, provider, client_id } => set(&context, name, provider, client_id).await,
            Self::List => context.peer(async |peer: &dyn Peer| list(&context, peer).await).await,
            Self::Remove { name } => remove(&context, &name).await,
        }
    }
}

async fn set(context: &Context, name: Name, provider: String, id: Option<String>) -> Result<(), Failure> {
    let client_id = match id {
        Some(id) => id,
        None => known_id(context, &name, &provider).await?,
    };
    let mut secrets = Secrets::default();
    let secret = secrets.ask("client_secret", "Client secret (empty: public client)")?;
    secrets.finish()?;
    let settings =
        ClientSettingsDocument { provider, client_id, client_secret: secret.map(SecretText::from) };
    let work = async |peer: &dyn Peer| {
        let (view, is_new) = peer.put_client(&name, settings).await?;
        if context.out.is_json() {
            return context.out.json(&view);
        }
        let what = if is_new { "is set" } else { "is changed" };
        context.out.line(format!("client {} of {} {what}", view.name, view.provider))
    };
    context.peer(work).await
}

/// The id that the client app has, or that a person gives it now.
async fn known_id(context: &Context, name: &Name, provider: &str) -> Result<String, Failure> {
    let clients = context.glance(async |peer: &dyn Peer| peer.clients().await).await?;
    let known =
        clients.into_iter().find(|client| client.name == name.as_str() && client.provider == provider);
    match known {
        Some(client) => Ok(client.client_id),
        None => input::visible("Client id")?
            .ok_or_else(|| Failure::usage(format!("client '{name}' is new: give its id with --client-id"))),
    }
}

async fn list(context: &Context, peer: &dyn Peer) -> Result<(), Failure> {
    let views = peer.clients().await?;
    if context.out.is_json() {
        return context.out.json(&ListView::whole(views));
    }
    if views.is_empty() {
        return context.out.line("no client apps yet: see 'keyherd client set --help'");
    }
    let mut table = context.out.table(&["NAME", "PROVIDER", "CLIENT ID", "SECRET", "STATE"]);
    for view in views {
        let state = match &view.blocked {
            Some(code) => context.out.colored(format_args!("blocked ({code})"), Color::Red),
            None => context.out.colored("active", Color::Green),
        };
        let secret = Cell::new(if view.has_client_secret { "yes" } else { "no" });
        table.add_row([
            Cell::new(view.name),
            Cell::new(view.provider),
            Cell::new(view.client_id),
            secret,
            state,
        ]);
    }
    context.out.show(&table)
}

async fn remove(context: &Context, name: &Name) -> Result<(), Failure> {
    let work = async |peer: &dyn Peer| {
        peer.remove_client(name).await?;
        if context.out.is_json() {
            return context.out.json(&Removed { removed: name.as_str() });
        }
        context.out.line(format!("client {name} is removed"))
    };
    context.peer(work).await
}
