//! Channels: where approvals are announced, and who may answer there.
//!
//! Owns what a channel is, what is due on it, and what a channel's secrets must look like. Never sends, waits or keeps
//! anything.

mod draft;
mod notice;
mod ticket;

use std::time::Duration;

use url::Url;

pub use self::draft::{
    BadChannel, ChannelDraft, ROUTE_USERS_MAX, SIGNING_KEY_LEN_MIN, TELEGRAM_API, TOKEN_LEN_MAX,
};
pub use self::notice::{DeliveryState, Notice, NoticeEnd, Step};
pub use self::ticket::{AnswerTicket, TICKET_PREFIX};
use crate::approval::{Answer, Approval, Decision};
use crate::audit::Actor;
use crate::ids::{ChannelId, Name};
use crate::secret::Secret;
use crate::time::Timestamp;

/// How long the one button that allows for a time allows for.
pub const BUTTON_TIME: Duration = Duration::from_secs(600);

/// Where approvals are announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// This incarnation.
    pub id: ChannelId,
    /// What people call it. A namespace of its own.
    pub name: Name,
    /// How it is reached.
    pub route: Route,
    /// When it was added.
    pub created_at: Timestamp,
}

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// An HTTP endpoint that is told, and may answer.
    Webhook {
        /// Where: https, or http to this machine. Its path and query may hold a secret, and are shown to nobody.
        url: Url,
        /// What messages are signed with.
        signing_key: Secret,
    },
    /// A chat of a Telegram bot.
    Telegram {
        /// Where the Bot API is.
        api: Url,
        /// The bot's token.
        token: Secret,
        /// The chat's id.
        chat: i64,
        /// Who may answer, by user id. In order, each once.
        users: Vec<i64>,
    },
}

/// A channel, and how it went there last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChannel {
    /// The channel.
    pub channel: Channel,
    /// Its last deliveries.
    pub state: DeliveryState,
}

/// Why a channel was not added: nothing was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelConflict {
    /// The name is taken.
    #[error("a channel of that name exists already: remove it first, or choose another name")]
    NameTaken,
    /// A bot's messages are had once.
    #[error("channel '{0}' has that bot already, and a bot's messages are had once: make another bot")]
    SameBot(Name),
    /// More than there may be.
    #[error("there are {0} channels, and no more may be added: remove some, or raise channels_max")]
    TooMany(usize),
}

/// What somebody on a channel decided, and for how long where that belongs to it.
pub type Said = (Decision, Option<Duration>);

/// A press of a button, as a channel brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pressed {
    /// What the answer to it is addressed by.
    pub reply_to: String,
    /// Who pressed.
    pub user: i64,
    /// Where.
    pub chat: Option<i64>,
    /// About which approval, and what; none where the button is none of ours.
    pub said: Option<(crate::ids::ApprovalId, Said)>,
}

impl Route {
    /// Its kind, in a word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Telegram { .. } => "telegram",
        }
    }

    /// Scheme, host and port, which is all that is shown of where it is.
    pub fn origin(&self) -> String {
        match self {
            Self::Webhook { url, .. } => crate::provider::origin(url),
            Self::Telegram { api, .. } => crate::provider::origin(api),
        }
    }

    /// Whether answers have to be fetched there, by one process at a time.
    pub const fn is_listened_to(&self) -> bool {
        matches!(self, Self::Telegram { .. })
    }

    /// Whether that one may answer here.
    pub fn may_answer(&self, pressed: &Pressed) -> bool {
        match self {
            Self::Webhook { .. } => false,
            Self::Telegram { chat, users, .. } => {
                pressed.chat == Some(*chat) && users.binary_search(&pressed.user).is_ok()
            }
        }
    }
}

impl Channel {
    /// As the audit log names whoever answers through it.
    pub fn actor(&self) -> Actor {
        Actor::new(format!("{}:{}", self.route.kind(), self.name))
    }

    /// The same, of a person known by an id.
    pub fn actor_of(&self, user: i64) -> Actor {
        Actor::new(format!("{}:{} user {user}", self.route.kind(), self.name))
    }

    /// Why it cannot be beside those that are there.
    pub fn conflict(&self, others: &[Self], channels_max: usize) -> Option<ChannelConflict> {
        if others.iter().any(|other| other.name == self.name) {
            return Some(ChannelConflict::NameTaken);
        }
        let same_bot = others.iter().find(|other| self.bot().is_some() && other.bot() == self.bot());
        if let Some(other) = same_bot {
            return Some(ChannelConflict::SameBot(other.name.clone()));
        }
        (others.len() >= channels_max).then_some(ChannelConflict::TooMany(others.len()))
    }

    /// The bot, by where it is and the part of its token that is no secret.
    fn bot(&self) -> Option<(&Url, &str)> {
        match &self.route {
            Route::Webhook { .. } => None,
            Route::Telegram { api, token, .. } => token.expose().split_once(':').map(|(bot, _)| (api, bot)),
        }
    }
}

/// The answers that fit an approval, in the order of their buttons.
pub fn fitting(approval: &Approval, allow_for_max: Duration) -> Vec<Said> {
    let time = BUTTON_TIME.min(allow_for_max);
    let all = Decision::ALL.into_iter().filter(|decision| approval.refuses(*decision).is_none());
    all.map(|decision| (decision, (decision == Decision::AllowFor).then_some(time))).collect()
}

/// How an approval ended, in a line for people: what, by whom, and how many requests it covered.
pub fn outcome(approval: &Approval) -> String {
    let covered = match approval.waiters {
        1 => "1 request".to_owned(),
        count => format!("{count} requests"),
    };
    match &approval.answer {
        None => "open".to_owned(),
        Some(Answer { decision: None, by: None, .. }) => {
            format!("Nobody answered in time: denied for {covered}")
        }
        Some(Answer { decision: None, by: Some(_), .. }) => {
            format!("Agent '{}' was revoked: denied for {covered}", approval.question.agent)
        }
        Some(Answer { decision: Some(decision), by, .. }) => {
            let word = match decision {
                Decision::AllowOnce => "Allowed once",
                Decision::AllowFor => "Allowed for a time",
                Decision::AlwaysAllow => "Always allowed",
                Decision::Deny => "Denied",
                Decision::AlwaysDeny => "Always denied",
            };
            format!("{word} by {}, for {covered}", by.as_deref().unwrap_or("somebody"))
        }
    }
}

/// Bounds on channels.
#[derive(Debug, Clone)]
pub struct ChannelBounds {
    /// Channels of an installation, at most.
    pub channels_max: usize,
    /// Messages under way at once on one channel, in one process.
    pub at_once_max: usize,
    /// How often one message is sent, at most.
    pub attempts_max: u32,
    /// The rest after its first failure; doubled with each further one, up to …
    pub retry_first: Duration,
    /// … this, which bounds what the other side asks for too.
    pub retry_max: Duration,
    /// DNS, TCP and TLS.
    pub connect_timeout: Duration,
    /// From sending a message to the end of the answer.
    pub answer_timeout: Duration,
    /// The longest answer, in bytes.
    pub answer_len_max: usize,
    /// How long one look for presses of buttons stays open.
    pub listen_wait: Duration,
    /// How long the process that looks for them is waited for when it says nothing any more; renewed while it lives.
    pub listen_lease: Duration,
    /// How often a process looks for what is due without being told.
    pub look_every: Duration,
}

impl Default for ChannelBounds {
    fn default() -> Self {
        Self {
            channels_max: 32,
            at_once_max: 4,
            attempts_max: 8,
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
            answer_len_max: 64 * 1024,
            listen_wait: Duration::from_secs(25),
            listen_lease: Duration::from_secs(15),
            look_every: Duration::from_secs(5),
        }
    }
}

impl ChannelBounds {
    /// What one message may take in all. Who has taken it upon itself to send one has it for longer than that.
    pub fn call_max(&self) -> Duration {
        self.connect_timeout + self.answer_timeout
    }

    /// The rest after the n-th failure, n from 1, no shorter than what the other side asks for.
    pub fn rest(&self, attempts: u32, asked: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(20));
        let rest = self.retry_first.saturating_mul(doubled);
        rest.max(asked.unwrap_or_default()).min(self.retry_max)
    }
}

#[cfg(test)]
mod tests;
