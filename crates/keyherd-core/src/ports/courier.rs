//! The way to channels: one message each time, never retried here, and never with a secret in it.

use std::time::Duration;

use async_trait::async_trait;

use crate::approval::Approval;
use crate::channel::{Channel, Pressed, Said};
use crate::secret::Secret;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// What it is known by, the same however often it is sent.
    pub id: &'a str,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// What it says.
    pub words: Words<'a>,
}

/// What a message says.
#[derive(Debug, Clone)]
pub enum Words<'a> {
    /// A question to people.
    Asked {
        /// Open.
        approval: &'a Approval,
        /// The answers that fit it.
        answers: &'a [Said],
        /// By which an answer may come later.
        ticket: &'a Secret,
    },
    /// How a question ended.
    Ended {
        /// Ended.
        approval: &'a Approval,
        /// What its announcement is known by there, where that was told.
        announced_as: Option<&'a str>,
    },
    /// Whether the channel works.
    Test,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// The other side has it.
    Delivered {
        /// What it is known by there, where it is.
        known_as: Option<String>,
        /// An answer that came back with it, where one did.
        said: Option<Said>,
    },
    /// It may not have arrived.
    Failed(Undelivered),
}

/// Why something did not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// In a line for people. Never holds a secret.
    pub problem: String,
    /// Whether it makes no sense to try that again.
    pub is_final: bool,
    /// When it makes sense to try again, as the other side says.
    pub retry_after: Option<Duration>,
}

/// What was heard on a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// Where to listen from next: what came before is not heard again.
    pub position: i64,
    /// In the order in which it happened.
    pub pressed: Vec<Pressed>,
}

/// Carries messages to channels, and hears what is said there. Time and size of every call are bounded.
#[async_trait]
pub trait Courier: Send + Sync + 'static {
    /// Sends one message, once.
    async fn carry(&self, channel: &Channel, message: Message<'_>) -> Carried;

    /// What was said after `position`; waits so long for something.
    async fn listen(&self, channel: &Channel, position: i64, wait: Duration) -> Result<Heard, Undelivered>;

    /// Tells the person who pressed a button what came of it. Best effort.
    async fn reply(&self, channel: &Channel, pressed: &Pressed, text: &str);
}
