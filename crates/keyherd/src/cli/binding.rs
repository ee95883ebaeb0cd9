//! `keyherd binding`: where credentials and pools may go, and how they are injected there.

use clap::{Args, Subcommand};
use comfy_table::Cell;
use keyherd_api::documents::{BindingDocument, BindingView, ListView};
use keyherd_core::ids::{BindingId, Name};
use keyherd_core::time::Timestamp;
use serde::Serialize;

use super::failure::Failure;
use super::peer::Context;
use crate::peer::Peer;

/// Bindings: where credentials and pools may go.
#[derive(Debug, Subcommand)]
pub(crate) enum Binding {
    Add(Add),
    /// List the bindings
    List,
    /// Remove a binding: nothing is injected by it any more
    Remove {
        /// The binding: see 'keyherd binding list'
        #[arg(value_parser = parse_id)]
        id: BindingId,
    },
}

/// Let a credential or pool go to a host.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The credential or pool
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// Where it may go: a host, or a pattern. '*' is one label, '**' one or more
    #[arg(long, value_name = "GLOB")]
    host: String,
    /// To which port; default: any
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The header that it is injected into; default: Authorization
    #[arg(long, value_name = "H", conflicts_with = "query")]
    header: Option<String>,
    /// The query parameter that it is injected into, instead of a header
    #[arg(long, value_name = "PARAMETER")]
    query: Option<String>,
    /// What it is put into; default: 'Bearer {token}' for Authorization, else '{token}'
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
    /// Where the gateway sends requests for the name: a base URL at that host and port
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
}

#[derive(Serialize)]
struct Removed {
    removed: String,
}

impl Binding {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(&context).await,
            Self::List => context.peer(async |peer: &dyn Peer| list(&context, peer).await).await,
            Self::Remove { id } => remove(&context, id).await,
        }
    }
}

impl Add {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let document = BindingDocument {
            name: self.name.to_string(),
            host: self.host,
            port: self.port,
            header: self.header,
            query: self.query,
            template: self.template,
            upstream: self.upstream,
        };
        // What is no binding at all is a mistake of the call, whoever would be asked.
        let draft = document.clone().into_draft()?;
        draft.check(BindingId::of_random(0), Timestamp::from_millis(0)).map_err(Failure::usage)?;
        let work = async |peer: &dyn Peer| {
            let view = peer.add_binding(document).await?;
            if context.out.is_json() {
                return context.out.json(&view);
            }
            let place = place(&view);
            context.out.line(format!("binding {}: {} may go to {} in {place}", view.id, view.name, view.host))
        };
        context.peer(work).await
    }
}

async fn list(context: &Context, peer: &dyn Peer) -> Result<(), Failure> {
    let views = peer.bindings().await?;
    if context.out.is_json() {
        return context.out.json(&ListView::whole(views));
    }
    if views.is_empty() {
        return context.out.line("no bindings yet: see 'keyherd binding add --help'");
    }
    let mut table = context.out.table(&["ID", "NAME", "HOST", "PORT", "IN", "AS", "UPSTREAM"]);
    for view in views {
        let port = view.port.map_or_else(|| "any".to_owned(), |port| port.to_string());
        let place = place(&view);
        let cells =
            [view.id, view.name, view.host, port, place, view.template, view.upstream.unwrap_or_default()];
        table.add_row(cells.map(Cell::new));
    }
    context.out.show(&table)
}

async fn remove(context: &Context, id: BindingId) -> Result<(), Failure> {
    let work = async |peer: &dyn Peer| {
        peer.remove_binding(id).await?;
        if context.out.is_json() {
            return context.out.json(&Removed { removed: id.to_string() });
        }
        context.out.line(format!("binding {id} is removed"))
    };
    context.peer(work).await
}

fn place(view: &BindingView) -> String {
    match (&view.header, &view.query) {
        (Some(header), _) => format!("header {header}"),
        (None, Some(parameter)) => format!("query {parameter}"),
        (None, None) => String::new(),
    }
}

fn parse_id(text: &str) -> Result<BindingId, String> {
    BindingId::parse(text).ok_or_else(|| "ten digits of 0-9 and a-f: see 'keyherd binding list'".to_owned())
}
