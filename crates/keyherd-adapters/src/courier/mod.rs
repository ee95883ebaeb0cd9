//! The way to channels over HTTP: webhooks, and Telegram's Bot API.
//!
//! Owns what messages look like to the byte, and what the other side's answers mean. Sends each message once; when to try
//! again is the broker's. No secret is in any error: neither a bot's token, which stands in a path, nor what stands in a
//! webhook's.

mod signature;
mod telegram;
mod text;
mod webhook;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::channel::{Channel, ChannelBounds, Pressed, Route};
use keyherd_core::ports::{CallLimits, Carried, Clock, Courier, Delivery, Heard, Message, Undelivered};
use keyherd_core::provider::{Body, Reply};

pub use self::signature::SIGNATURE_HEADER;
pub use self::text::{QUESTION_SHOWN_MAX, TARGET_SHOWN_MAX};
pub use self::webhook::{ATTEMPT_HEADER, MESSAGE_HEADER};
use crate::provider::{BadCaBundle, HttpOptions, Poster};

/// How much of what the other side says is repeated, in characters.
const SAID_SHOWN_MAX: usize = 200;

/// A [`Courier`] over HTTP.
pub struct HttpCourier {
    poster: Poster,
    limits: CallLimits,
    clock: Arc<dyn Clock>,
}

impl HttpCourier {
    /// Reads the CA bundle, if there is one. The clock is for signatures.
    ///
    /// # Errors
    /// [`BadCaBundle`] names the file.
    pub fn new(
        options: HttpOptions,
        bounds: &ChannelBounds,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BadCaBundle> {
        let limits = CallLimits {
            connect_timeout: bounds.connect_timeout,
            answer_timeout: bounds.answer_timeout,
            body_len_max: bounds.answer_len_max,
        };
        Ok(Self { poster: Poster::new(options)?, limits, clock })
    }
}

impl fmt::Debug for HttpCourier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCourier").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[async_trait]
impl Courier for HttpCourier {
    async fn carry(&self, channel: &Channel, message: Message<'_>) -> Carried {
        let carried = match &channel.route {
            Route::Webhook { url, signing_key } => {
                self.post_to_webhook(channel, url, signing_key, &message).await
            }
            Route::Telegram { .. } => self.say_in_chat(channel, &message).await,
        };
        carried.unwrap_or_else(Carried::Failed)
    }

    async fn listen(&self, channel: &Channel, position: i64, wait: Duration) -> Result<Heard, Undelivered> {
        match &channel.route {
            Route::Webhook { .. } => Ok(Heard { position, pressed: Vec::new() }),
            Route::Telegram { .. } => self.updates(channel, position, wait).await,
        }
    }

    async fn reply(&self, channel: &Channel, pressed: &Pressed, text: &str) {
        if let Err(failure) = self.answer_press(channel, pressed, text).await {
            tracing::debug!(channel = %channel.name, problem = failure.problem, "who pressed a button is not told");
        }
    }
}

/// The answer's head and its whole body.
fn answered(delivery: Delivery) -> Result<(Reply, Vec<u8>), Undelivered> {
    match delivery {
        Delivery::NotSent { code, detail } | Delivery::Unanswered { code, detail } => {
            Err(passing(format!("{code}: {detail}")))
        }
        Delivery::Answered(reply) => {
            let bytes = match &reply.body {
                Body::Bytes(bytes) => bytes.to_vec(),
                // What it says is not needed where it says that it has it.
                Body::Truncated | Body::TooLarge | Body::Undecodable => Vec::new(),
            };
            Ok((reply, bytes))
        }
    }
}

/// It may go better a little later.
fn passing(problem: impl Into<String>) -> Undelivered {
    Undelivered { problem: problem.into(), is_final: false, retry_after: None }
}

/// A status that says that the other side has not taken it.
fn refused(reply: &Reply, problem: String) -> Undelivered {
    let is_passing = matches!(reply.status, 408 | 425 | 429 | 500..=599);
    let retry_after = reply.retry_after.as_deref().and_then(|text| text.trim().parse().ok());
    Undelivered { problem, is_final: !is_passing, retry_after: retry_after.map(Duration::from_secs) }
}

#[cfg(test)]
mod tests;
