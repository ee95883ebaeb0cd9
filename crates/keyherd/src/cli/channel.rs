//! `keyherd channel`: where approvals are announced, and answered.

use clap::{Args, Subcommand};
use comfy_table::{Cell, Color};
use keyherd_api::documents::{ChannelDocument, ChannelKeyView, ChannelView, ListView, SecretText};
use keyherd_core::ids::Name;
use serde::Serialize;

use super::failure::Failure;
use super::input::Secrets;
use super::peer::Context;
use crate::peer::Peer;

/// Channels: where approvals are announced.
#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// Add a channel: servers announce every approval there that is opened from then on
    #[command(subcommand)]
    Add(Add),
    /// List the channels, and how it went there last. Secrets are never shown
    List,
    /// Send a message that asks nothing, once
    Test {
        /// The channel
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
    /// Remove a channel: nobody answers through it any more
    Remove {
        /// The channel
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
}

/// What kind of channel.
#[derive(Debug, Subcommand)]
pub(crate) enum Add {
    Webhook(Webhook),
    Telegram(Telegram),
}

/// An HTTP endpoint, which gets signed JSON and may answer at once or later.
///
/// The signing key is asked for on a terminal, without an echo; otherwise it is the first line of standard input. Where it is
/// empty one is made, and shown this once.
#[derive(Debug, Args)]
pub(crate) struct Webhook {
    /// What people call it
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// Where: https, or http to this machine. Its path is kept as a secret
    #[arg(long, value_name = "URL")]
    url: String,
}

/// A chat of a Telegram bot, with buttons.
///
/// The bot's token is asked for on a terminal, without an echo; otherwise it is the first line of standard input.
#[derive(Debug, Args)]
pub(crate) struct Telegram {
    /// What people call it
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// The chat's id; groups have negative ones
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    chat: i64,
    /// Who may answer, by user id; may be repeated
    #[arg(long = "user", value_name = "ID", required = true)]
    users: Vec<i64>,
    /// Where the Bot API is, if not at Telegram's own address
    #[arg(long, value_name = "URL")]
    bot_api: Option<String>,
}

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a str,
}

impl Channel {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Add(Add::Webhook(webhook)) => add(&context, webhook.document()?).await,
            Self::Add(Add::Telegram(telegram)) => add(&context, telegram.document()?).await,
            Self::List => context.peer(async |peer: &dyn Peer| list(&context, peer).await).await,
            Self::Test { name } => test(&context, &name).await,
            Self::Remove { name } => remove(&context, &name).await,
        }
    }
}

impl Webhook {
    fn document(self) -> Result<ChannelDocument, Failure> {
        let signing_key = asked("signing_key", "Signing key (empty: one is made)")?;
        let name = self.name.to_string();
        let url = Some(self.url);
        Ok(ChannelDocument { name, kind: "webhook".into(), url, signing_key, ..ChannelDocument::default() })
    }
}

impl Telegram {
    fn document(self) -> Result<ChannelDocument, Failure> {
        let token = asked("token", "Bot token")?;
        if token.is_none() {
            return Err(Failure::usage(
                "a bot token is needed: give it on the first line of standard input, as @BotFather showed it",
            ));
        }
        Ok(ChannelDocument {
            name: self.name.to_string(),
            kind: "telegram".into(),
            api: self.bot_api,
            token,
            chat: Some(self.chat),
            users: Some(self.users),
            ..ChannelDocument::default()
        })
    }
}

fn asked(field: &str, prompt: &str) -> Result<Option<SecretText>, Failure> {
    let mut secrets = Secrets::default();
    let secret = secrets.ask(field, prompt)?;
    secrets.finish()?;
    Ok(secret.map(SecretText::from))
}

async fn add(context: &Context, document: ChannelDocument) -> Result<(), Failure> {
    let out = context.out;
    let mut show = |view: &ChannelKeyView<'_>| {
        if out.is_json() {
            return out.json(view);
        }
        let ChannelView { name, kind, origin, .. } = &view.channel;
        let line =
            format!("channel {name} is added: {kind}, {origin}; 'keyherd channel test {name}' tries it");
        match &view.signing_key {
            None => out.line(line),
            Some(key) => {
                out.line(format_args!("{line}. Its signing key, which is not shown again:"))?;
                out.line(key)
            }
        }
    };
    context.peer(async |peer: &dyn Peer| peer.add_channel(document, &mut show).await).await
}

async fn list(context: &Context, peer: &dyn Peer) -> Result<(), Failure> {
    let views = peer.channels().await?;
    if context.out.is_json() {
        return context.out.json(&ListView::whole(views));
    }
    if views.is_empty() {
        return context.out.line("no channels yet: see 'keyherd channel add --help'");
    }
    let mut table = context.out.table(&["NAME", "KIND", "WHERE", "WHO ANSWERS", "LAST"]);
    for view in views {
        let who = view.users.as_ref().map_or_else(
            || "the endpoint".to_owned(),
            |users| users.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        );
        let place = view.chat.map_or_else(String::new, |chat| format!(" chat {chat}"));
        table.add_row([
            Cell::new(&view.name),
            Cell::new(&view.kind),
            Cell::new(format!("{}{place}", view.origin)),
            Cell::new(who),
            last(context, &view),
        ]);
    }
    context.out.show(&table)
}

fn last(context: &Context, view: &ChannelView) -> Cell {
    match (view.health(), view.delivered_at, view.failed_at) {
        ("well", Some(at), _) => context.out.colored(format_args!("delivered {at}"), Color::Green),
        ("failing", _, Some(at)) => {
            let problem = view.problem.as_deref().unwrap_or("it failed");
            context.out.colored(format_args!("failed {at}: {problem}"), Color::Red)
        }
        _ => Cell::new("-"),
    }
}

async fn test(context: &Context, name: &Name) -> Result<(), Failure> {
    let work = async |peer: &dyn Peer| {
        let tested = peer.test_channel(name).await?;
        if context.out.is_json() {
            context.out.json(&tested)?;
        } else if tested.delivered {
            context.out.line(format!("channel {name} works: a message was delivered"))?;
        }
        match tested.problem {
            None => Ok(()),
            Some(problem) => Err(Failure::failed(format!("channel '{name}' was not reached: {problem}"))),
        }
    };
    context.peer(work).await
}

async fn remove(context: &Context, name: &Name) -> Result<(), Failure> {
    let work = async |peer: &dyn Peer| {
        peer.remove_channel(name).await?;
        if context.out.is_json() {
            return context.out.json(&Removed { removed: name.as_str() });
        }
        context.out.line(format!("channel {name} is removed"))
    };
    context.peer(work).await
}
