//! `keyherd cooldown`: rests by hand.

use std::time::Duration;

use clap::Subcommand;
use keyherd_api::documents::{CooldownDocument, CoolingView, CredentialView};
use keyherd_core::ids::Name;

use super::duration;
use super::failure::Failure;
use super::peer::Context;
use crate::peer::Peer;

/// Let a credential rest, or end its rest.
#[derive(Debug, Subcommand)]
pub(crate) enum Cooldown {
    /// Let a credential rest; a rest is only ever extended
    Set {
        /// The credential
        #[arg(value_parser = Name::parse)]
        name: Name,
        /// How long, as in 90s, 10m or 1h30m
        #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
        time: Duration,
        /// Why; clearing names it again
        #[arg(long, value_name = "REASON", default_value = "manual")]
        reason: String,
        /// Just that part of the account, such as a model
        #[arg(long, value_name = "S")]
        scope: Option<String>,
    },
    /// End a rest; fails where there is none of that reason
    Clear {
        /// The credential
        #[arg(value_parser = Name::parse)]
        name: Name,
        /// The reason it was set for
        #[arg(long, value_name = "REASON", default_value = "manual")]
        reason: String,
        /// Just that part of the account, such as a model
        #[arg(long, value_name = "S")]
        scope: Option<String>,
    },
}

impl Cooldown {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Set { name, time, reason, scope } => {
                let for_seconds = Some(time.as_secs().max(1));
                let document = CooldownDocument { for_seconds, until: None, reason, scope };
                set(&context, &name, document).await
            }
            Self::Clear { name, reason, scope } => clear(&context, &name, &reason, scope.as_deref()).await,
        }
    }
}

async fn set(context: &Context, name: &Name, document: CooldownDocument) -> Result<(), Failure> {
    let scope = document.scope.clone();
    let work = async |peer: &dyn Peer| {
        let (view, extended) = peer.cool(name, document).await?;
        if context.out.is_json() {
            return context.out.json(&view);
        }
        let mut rests = view.cooling.into_iter().chain(view.cooling_scopes);
        let until = rests.find(|rest| rest.scope == scope).map(|rest| format!(" until {}", rest.until));
        let how = if extended { "rests" } else { "rests longer already:" };
        context.out.line(format!("{} {how}{}", part(name, scope.as_deref()), until.unwrap_or_default()))
    };
    context.peer(work).await
}

async fn clear(context: &Context, name: &Name, reason: &str, scope: Option<&str>) -> Result<(), Failure> {
    let work = async |peer: &dyn Peer| {
        if !peer.warm(name, reason, scope).await? {
            return Err(Failure::failed(rests_otherwise(&peer.show(name).await?, reason, scope)));
        }
        if context.out.is_json() {
            return context.out.json(&peer.show(name).await?);
        }
        context.out.line(format!("{} rests no more", part(name, scope)))
    };
    context.peer(work).await
}

/// Which rests there are, where there is none of that reason.
fn rests_otherwise(view: &CredentialView, reason: &str, scope: Option<&str>) -> String {
    let one = |rest: &CoolingView| {
        let scope = rest.scope.as_deref().map_or_else(String::new, |scope| format!(" --scope '{scope}'"));
        format!("--reason '{}'{scope} until {}", rest.reason, rest.until)
    };
    let rests: Vec<_> = view.cooling.iter().chain(&view.cooling_scopes).map(one).collect();
    let there = if rests.is_empty() {
        "it does not rest at all".into()
    } else {
        format!("there is {}", rests.join(", "))
    };
    let scope = scope.map_or_else(String::new, |scope| format!(" of the scope '{scope}'"));
    format!("'{}' has no rest for '{reason}'{scope}: {there}", view.name)
}

fn part(name: &Name, scope: Option<&str>) -> String {
    scope.map_or_else(|| name.to_string(), |scope| format!("{name} ({scope})"))
}
