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
    },
    /// End a rest
    Clear {
        /// The credential
        #[arg(value_parser = Name::parse)]
        name: Name,
        /// The reason it was set for
        #[arg(long, value_name = "REASON", default_value = "manual")]
        reason: String,
    },
}

impl Cooldown {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Set { name, time, reason } => set(&context, &name, time, reason).await,
            Self::Clear { name, reason } => clear(&context, &name, &reason).await,
        }
    }
}

async fn set(context: &Context, name: &Name, time: Duration, reason: String) -> Result<(), Failure> {
    let document =
        CooldownDocument { for_seconds: Some(time.as_secs().max(1)), until: None, reason, scope: None };
    let work = async |peer: &dyn Peer| {
        let (view, extended) = peer.cool(name, document).await?;
        if context.out.is_json() {
            return context.out.json(&view);
        }
        let until = view.cooling.map_or_else(String::new, |cooling| format!(" until {}", cooling.until));
        let how = if extended { "rests" } else { "rests longer already:" };
        context.out.line(format!("{name} {how}{until}"))
    };
    context.peer(work).await
}

async fn clear(context: &Context, name: &Name, reason: &str) -> Result<(), Failure> {
    let work = async |peer: &dyn Peer| {
        let cleared = peer.warm(name, reason).await?;
        if context.out.is_json() {
            return context.out.json(&peer.show(name).await?);
        }
        let how = if cleared { "rests no more" } else { "was not resting for that reason" };
        context.out.line(format!("{name} {how}"))
    };
    context.peer(work).await
}
