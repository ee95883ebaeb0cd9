//! A channel as it is asked for, and what is wrong with it. Secrets are in no error.

use url::Url;

use super::{Channel, Route};
use crate::ids::{ChannelId, Name};
use crate::ports::Entropy;
use crate::provider::{BadEndpoint, check_endpoint};
use crate::secret::Secret;
use crate::time::Timestamp;

/// Where Telegram's Bot API is.
pub const TELEGRAM_API: &str = "https://api.telegram.org";
/// The shortest signing key, in bytes.
pub const SIGNING_KEY_LEN_MIN: usize = 16;
/// The longest signing key and the longest bot token, in bytes.
pub const TOKEN_LEN_MAX: usize = 256;
/// People who may answer on one channel, at most.
pub const ROUTE_USERS_MAX: usize = 100;
/// What a signing key that we made begins with, and how many random bytes it has.
const KEY_PREFIX: &str = "khs_";
const KEY_BYTES: usize = 32;

/// A channel to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelDraft {
    /// A webhook.
    Webhook {
        /// Where.
        url: String,
        /// None: one is made.
        signing_key: Option<Secret>,
    },
    /// A chat of a bot.
    Telegram {
        /// None: [`TELEGRAM_API`].
        api: Option<String>,
        /// The bot's token.
        token: Option<Secret>,
        /// The chat's id.
        chat: i64,
        /// Who may answer.
        users: Vec<i64>,
    },
}

/// Why a channel cannot be like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChannel {
    /// Where it is does not do.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// The signing key does not do.
    #[error(
        "the signing key must be {SIGNING_KEY_LEN_MIN} to {TOKEN_LEN_MAX} bytes without control characters; leave it out, and \
         one is made"
    )]
    SigningKey,
    /// The bot's token does not do.
    #[error(
        "the bot token is none: it is digits, ':', and letters, digits, '_' or '-', as @BotFather gave it"
    )]
    BotToken,
    /// A base of paths has no query.
    #[error("the Bot API's URL has a query: leave it out")]
    Query,
    /// Nobody could answer, or too many.
    #[error(
        "name 1 to {ROUTE_USERS_MAX} users who may answer, each by the positive number that Telegram knows them by"
    )]
    Users,
    /// No chat has that id.
    #[error("0 is no chat's id")]
    Chat,
}

impl ChannelDraft {
    /// The channel, and its signing key where that was made here: to be shown this once.
    pub fn check(
        self,
        id: ChannelId,
        name: Name,
        created_at: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(Channel, Option<Secret>), BadChannel> {
        let (route, made) = match self {
            Self::Webhook { url, signing_key } => webhook(&url, signing_key, entropy)?,
            Self::Telegram { api, token, chat, users } => {
                (telegram(api.as_deref(), token, chat, users)?, None)
            }
        };
        Ok((Channel { id, name, route, created_at }, made))
    }
}

fn webhook(
    url: &str,
    given: Option<Secret>,
    entropy: &dyn Entropy,
) -> Result<(Route, Option<Secret>), BadChannel> {
    let url = check_endpoint("url", url)?;
    let made = given.is_none().then(|| made_key(entropy));
    let signing_key = given.or_else(|| made.clone()).ok_or(BadChannel::SigningKey)?;
    let text = signing_key.expose();
    let fits = (SIGNING_KEY_LEN_MIN..=TOKEN_LEN_MAX).contains(&text.len());
    if !fits || text.chars().any(char::is_control) {
        return Err(BadChannel::SigningKey);
    }
    Ok((Route::Webhook { url, signing_key }, made))
}

fn telegram(
    api: Option<&str>,
    token: Option<Secret>,
    chat: i64,
    mut users: Vec<i64>,
) -> Result<Route, BadChannel> {
    let api: Url = check_endpoint("api", api.unwrap_or(TELEGRAM_API))?;
    if api.query().is_some() {
        return Err(BadChannel::Query);
    }
    let token = token.filter(|token| is_bot_token(token.expose())).ok_or(BadChannel::BotToken)?;
    users.sort_unstable();
    users.dedup();
    if users.is_empty() || users.len() > ROUTE_USERS_MAX || users.iter().any(|user| *user <= 0) {
        return Err(BadChannel::Users);
    }
    if chat == 0 {
        return Err(BadChannel::Chat);
    }
    Ok(Route::Telegram { api, token, chat, users })
}

/// It stands in a path: nothing that a path would read in another way.
fn is_bot_token(text: &str) -> bool {
    let Some((bot, key)) = text.split_once(':') else { return false };
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    text.len() <= TOKEN_LEN_MAX
        && !bot.is_empty()
        && bot.bytes().all(|byte| byte.is_ascii_digit())
        && !key.is_empty()
        && key.bytes().all(is_key)
}

fn made_key(entropy: &dyn Entropy) -> Secret {
    use std::fmt::Write;
    let mut bytes = zeroize::Zeroizing::new([0; KEY_BYTES]);
    entropy.fill(&mut *bytes);
    // Never grows, so that no part of the key is left behind in memory that is freed.
    let mut text = String::with_capacity(KEY_PREFIX.len() + 2 * KEY_BYTES);
    text.push_str(KEY_PREFIX);
    for byte in bytes.iter() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}
