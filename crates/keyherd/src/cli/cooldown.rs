//! `keyherd cooldown`: rests by hand.

use std::time::Duration;

use clap::Subcommand;
use keyherd_api::documents::CooldownDocument;
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
    /// End a rest
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
        let cleared = peer.warm(name, reason, scope).await?;
        if context.out.is_json() {
            return context.out.json(&peer.show(name).await?);
        }
        let how = if cleared { "rests no more" } else { "was not resting for that reason" };
        context.out.line(format!("{} {how}", part(name, scope)))
    };
    context.peer(work).await
}

fn part(name: &Name, scope: Option<&str>) -> String {
    scope.map_or_else(|| name.to_string(), |scope| format!("{name} ({scope})"))
}
