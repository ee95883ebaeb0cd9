//! `keyherd cooldown`: rests by hand.

use std::time::Duration;

use clap::Subcommand;
use keyherd_api::documents::{CooldownDocument, CredentialView};
use keyherd_core::ids::Name;

use super::duration;
use super::failure::Failure;
use super::peer::{Context, actor};

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
    let work = async |wired: &crate::wire::Wired| {
        let broker = &wired.broker;
        let cooldown = document.into_cooldown(broker.now()).map_err(Failure::usage)?;
        let extended = broker.cool(name, &cooldown, &actor()).await?;
        let loaded = broker.show(name).await?;
        if context.out.is_json() {
            return context.out.json(&CredentialView::new(&loaded, broker.now()));
        }
        let until = loaded.cooling(broker.now()).map(|now| keyherd_api::documents::Moment::from(now.until));
        let until = until.map_or_else(String::new, |until| format!(" until {until}"));
        let how = if extended { "rests" } else { "rests longer already:" };
        context.out.line(format!("{name} {how}{until}"))
    };
    context.peer(work).await
}

async fn clear(context: &Context, name: &Name, reason: &str) -> Result<(), Failure> {
    let work = async |wired: &crate::wire::Wired| {
        let broker = &wired.broker;
        let cleared = broker.warm(name, reason, &actor()).await?;
        if context.out.is_json() {
            return context.out.json(&CredentialView::new(&broker.show(name).await?, broker.now()));
        }
        let how = if cleared { "rests no more" } else { "was not resting for that reason" };
        context.out.line(format!("{name} {how}"))
    };
    context.peer(work).await
}
