//! Channels: asked for, shown, tested, and the one answer that holds a signing key that was made.

use std::borrow::Cow;
use std::fmt;

use keyherd_core::broker::Tested;
use keyherd_core::channel::{Channel, ChannelDraft, DeliveryState, ListedChannel, Route};
use keyherd_core::ids::Name;
use keyherd_core::secret::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sensitive::secret;
use super::{BadDocument, Moment, SecretText};

/// A channel to be added, for `POST /v1/channels`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelDocument {
    /// What people call it.
    #[schema(example = "ops")]
    pub name: String,
    /// `webhook` or `telegram`.
    #[schema(example = "webhook")]
    pub kind: String,
    /// A webhook's: where it is told. https, or http to this machine. No more than its origin is ever shown.
    #[serde(default)]
    pub url: Option<String>,
    /// A webhook's: what messages are signed with. Without it one is made, and shown in the answer alone.
    #[serde(default)]
    pub signing_key: Option<SecretText>,
    /// Telegram's: where the Bot API is, if not at Telegram's own.
    #[serde(default)]
    pub api: Option<String>,
    /// Telegram's: the bot's token.
    #[serde(default)]
    pub token: Option<SecretText>,
    /// Telegram's: the chat's id.
    #[serde(default)]
    pub chat: Option<i64>,
    /// Telegram's: who may answer, by user id.
    #[serde(default)]
    pub users: Option<Vec<i64>>,
}

impl ChannelDocument {
    /// The name and the draft that it stands for.
    pub fn into_draft(self) -> Result<(Name, ChannelDraft), BadDocument> {
        // Naming every field here makes one that is for no kind a compile error.
        let Self { name, kind, url, signing_key, api, token, chat, users } = self;
        let name = Name::parse(&name).map_err(|error| BadDocument::field("name", error.to_string()))?;
        let is_webhook = match kind.as_str() {
            "webhook" => true,
            "telegram" => false,
            _ => return Err(BadDocument::field("kind", "is webhook or telegram")),
        };
        let foreign = [
            ("url", url.is_some() && !is_webhook),
            ("signing_key", signing_key.is_some() && !is_webhook),
            ("api", api.is_some() && is_webhook),
            ("token", token.is_some() && is_webhook),
            ("chat", chat.is_some() && is_webhook),
            ("users", users.is_some() && is_webhook),
        ];
        if let Some((field, _)) = foreign.into_iter().find(|(_, is_foreign)| *is_foreign) {
            return Err(BadDocument::field(field, format!("is not for a channel of kind '{kind}'")));
        }
        let needed =
            |field: &str| BadDocument::field(field, format!("is needed for a channel of kind '{kind}'"));
        let draft = if is_webhook {
            let url = url.ok_or_else(|| needed("url"))?;
            ChannelDraft::Webhook { url, signing_key: secret(signing_key) }
        } else {
            let chat = chat.ok_or_else(|| needed("chat"))?;
            let users = users.ok_or_else(|| needed("users"))?;
            ChannelDraft::Telegram { api, token: secret(token), chat, users }
        };
        Ok((name, draft))
    }
}

/// What may be shown of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelView {
    /// What people call it.
    pub name: String,
    /// `webhook` or `telegram`.
    pub kind: String,
    /// Scheme, host and port of where it is. A path may hold a secret, and is not shown.
    pub origin: String,
    /// Telegram's: the chat's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<i64>,
    /// Telegram's: who may answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<i64>>,
    /// When it was added.
    pub created_at: Moment,
    /// When something was delivered there last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Moment>,
    /// When something failed there last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Moment>,
    /// What went wrong then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl ChannelView {
    /// Of the domain's.
    pub fn new(listed: &ListedChannel) -> Self {
        let ListedChannel { channel, state } = listed;
        let (chat, users) = match &channel.route {
            Route::Webhook { .. } => (None, None),
            Route::Telegram { chat, users, .. } => (Some(*chat), Some(users.clone())),
        };
        Self {
            name: channel.name.to_string(),
            kind: channel.route.kind().into(),
            origin: channel.route.origin(),
            chat,
            users,
            created_at: channel.created_at.into(),
            delivered_at: state.delivered_at.map(Moment::from),
            failed_at: state.failed_at.map(Moment::from),
            problem: state.problem.clone(),
        }
    }

    /// How it went there last, in a word: `well`, `failing`, or `unused`.
    pub fn health(&self) -> &'static str {
        match (self.delivered_at, self.failed_at) {
            (None, None) => "unused",
            (delivered, failed) if delivered >= failed => "well",
            _ => "failing",
        }
    }
}

/// A new channel, with its signing key where that was made here: it is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelKeyView<'a> {
    /// The channel.
    #[serde(flatten)]
    pub channel: ChannelView,
    /// What its messages are signed with, where none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub signing_key: Option<Cow<'a, str>>,
}

impl<'a> ChannelKeyView<'a> {
    /// Of a new channel: the one place where its key goes into a view.
    pub fn new(channel: &Channel, made: Option<&'a Secret>) -> Self {
        let listed = ListedChannel { channel: channel.clone(), state: DeliveryState::default() };
        Self { channel: ChannelView::new(&listed), signing_key: made.map(|key| key.expose().into()) }
    }
}

impl fmt::Debug for ChannelKeyView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelKeyView").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestedView {
    /// Which channel.
    pub name: String,
    /// Whether the other side has the message.
    pub delivered: bool,
    /// What went wrong, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl TestedView {
    /// Of the domain's.
    pub fn new(name: &Name, tested: &Tested) -> Self {
        let problem = match tested {
            Tested::Delivered => None,
            Tested::Failed(problem) => Some(problem.clone()),
        };
        Self { name: name.to_string(), delivered: problem.is_none(), problem }
    }
}
