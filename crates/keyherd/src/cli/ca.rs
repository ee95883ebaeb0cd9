//! `keyherd ca`: where the certificate is that agents trust.

use std::path::PathBuf;

use clap::Args;
use keyherd_core::ids::Name;
use keyherd_proxy::tls::Names;
use serde::Serialize;

use super::failure::Failure;
use super::peer::Context;
use crate::wire::{Wired, ca_file, constrained_ca_file, read_names};

/// Print the full path of the authority's certificate, for agents behind the proxy to trust.
///
/// It is made where it is missing. Its key is in no file. Never add it to a machine's own trust store.
#[derive(Debug, Args)]
pub(crate) struct Ca {
    /// Make another one, believed only for hosts at which agents' requests are read: by bindings, token endpoints and rules as
    /// they are now. Make it anew when they change
    #[arg(long)]
    constrain: bool,
    /// With --constrain: for what that agent may use, instead of all agents
    #[arg(long, value_name = "NAME", requires = "constrain", value_parser = Name::parse)]
    agent: Option<Name>,
}

#[derive(Serialize)]
struct Place {
    ca_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<Vec<String>>,
}

impl Ca {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let work = async |wired: &Wired| {
            let (path, names) = if self.constrain {
                self.constrained(&context, wired).await?
            } else {
                let path = ca_file(&context.settings.data, &wired.broker.ports().hasher);
                (path.map_err(Failure::failed)?, None)
            };
            // It goes into variables of programs that run elsewhere.
            let path = context.environment.folder().unwrap_or_default().join(path);
            let (out, ca_file) = (context.out, path.display().to_string());
            if out.is_json() { out.json(&Place { ca_file, names }) } else { out.line(ca_file) }
        };
        context.store("ca", work).await
    }

    async fn constrained(
        &self,
        context: &Context,
        wired: &Wired,
    ) -> Result<(PathBuf, Option<Vec<String>>), Failure> {
        let names = self.names(context, wired).await?;
        let (data, each) = (&context.settings.data, names.each().collect());
        let path = constrained_ca_file(data, &wired.broker, self.agent.as_ref(), names);
        Ok((path.map_err(Failure::failed)?, Some(each)))
    }

    async fn names(&self, context: &Context, wired: &Wired) -> Result<Names, Failure> {
        let mut agents = wired.broker.agents().await?;
        if let Some(name) = &self.agent {
            agents.retain(|agent| agent.name == *name);
            if agents.is_empty() {
                return Err(Failure::failed(format!("no agent is named '{name}': see 'keyherd agent list'")));
            }
        }
        let names = read_names(&wired.broker, &agents, context.settings.proxy.leaves.names_max).await?;
        names.map_err(|problem| Failure::failed(format!("no certificate can be constrained: {problem}")))
    }
}
