//! `keyherd agent`: programs with keys of their own, and what each may use.

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use comfy_table::Cell;
use keyherd_api::documents::{AgentDocument, AgentKeyView, AgentView, ListView, PhantomView};
use keyherd_core::agent::RIGHT_TOKEN;
use keyherd_core::ids::Name;
use serde::Serialize;

use super::failure::Failure;
use super::peer::Context;
use crate::peer::Peer;

/// Agents: programs with keys of their own.
#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Make an agent. Its key is shown here and never again
    ///
    /// The key is a bearer, the gateway's x-api-key, and the agent's password at the proxy. keyherd keeps only its hash.
    Create {
        /// What people call it
        #[arg(value_parser = Name::parse)]
        name: Name,
        /// The credentials and pools that it may use; none where it is left out
        #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = Name::parse)]
        allow: Vec<Name>,
        /// What it may do beside that. token: have the tokens of what it is allowed themselves
        #[arg(long, value_name = "RIGHT", value_delimiter = ',', value_parser = PossibleValuesParser::new([RIGHT_TOKEN]))]
        may: Vec<String>,
    },
    /// List the agents. Keys are never shown
    List,
    /// Print an agent's phantoms, one VAR=value a line
    ///
    /// A phantom stands where a secret would. Behind the proxy, as this agent, it becomes the secret where a binding lets it go;
    /// anywhere else it is worthless. It is the same as long as the agent lives.
    Env {
        /// The agent
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
    /// Take an agent's key from it, on every host
    Revoke {
        /// The agent
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
}

#[derive(Serialize)]
struct Revoked<'a> {
    revoked: &'a str,
}

impl Agent {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Create { name, allow, may } => {
                let allow = allow.iter().map(Name::to_string).collect();
                create(&context, AgentDocument { name: name.to_string(), allow, may }).await
            }
            Self::List => context.peer(async |peer: &dyn Peer| list(&context, peer).await).await,
            Self::Env { name } => env(&context, &name).await,
            Self::Revoke { name } => revoke(&context, &name).await,
        }
    }
}

async fn create(context: &Context, document: AgentDocument) -> Result<(), Failure> {
    let out = context.out;
    let mut show = |view: &AgentKeyView<'_>| {
        if out.is_json() {
            return out.json(view);
        }
        let AgentView { name, allow, .. } = &view.agent;
        let allow = if allow.is_empty() { "nothing".to_owned() } else { allow.join(", ") };
        out.line(format_args!(
            "agent {name} is made, and may use {allow}. Its key, which is not shown again:"
        ))?;
        out.line(&view.key)
    };
    context.peer(async |peer: &dyn Peer| peer.create_agent(document, &mut show).await).await
}

async fn list(context: &Context, peer: &dyn Peer) -> Result<(), Failure> {
    let views = peer.agents().await?;
    if context.out.is_json() {
        return context.out.json(&ListView::whole(views));
    }
    if views.is_empty() {
        return context.out.line("no agents yet: see 'keyherd agent create --help'");
    }
    let mut table = context.out.table(&["NAME", "MAY USE", "MAY", "MADE"]);
    for view in views {
        let cells = [view.name, view.allow.join(" "), view.may.join(" "), view.created_at.to_string()];
        table.add_row(cells.map(Cell::new));
    }
    context.out.show(&table)
}

async fn env(context: &Context, name: &Name) -> Result<(), Failure> {
    let work = async |peer: &dyn Peer| {
        let phantoms = peer.phantoms(name).await?;
        if context.out.is_json() {
            return context.out.json(&ListView::whole(phantoms));
        }
        phantoms.iter().try_for_each(|PhantomView { variable, value, .. }| {
            context.out.line(format_args!("{variable}={value}"))
        })
    };
    context.peer(work).await
}

async fn revoke(context: &Context, name: &Name) -> Result<(), Failure> {
    let work = async |peer: &dyn Peer| {
        peer.revoke_agent(name).await?;
        if context.out.is_json() {
            return context.out.json(&Revoked { revoked: name.as_str() });
        }
        context.out.line(format!("agent {name} is revoked: its key opens nothing any more"))
    };
    context.peer(work).await
}
