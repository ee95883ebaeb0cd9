//! Hearing answers on channels that have to be listened to: by one process of the fleet at a time, from where the last
//! one was.

use std::sync::Arc;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::announce::HOLD_MARGIN;
use super::{AnswerError, Broker};
use crate::channel::{Channel, Pressed, outcome};
use crate::ports::{Heard, StoreError, Undelivered};
use crate::spell::Spell;

/// What people are told who may not answer.
const NOT_YOU: &str = "You may not answer here.";
/// What people are told whose button is about nothing that is asked here.
const NOT_THIS: &str = "This question is not known here any more.";

/// How one look ended.
enum Looked {
    /// All that was heard is dealt with.
    Done,
    /// Another process listens.
    Elsewhere,
}

/// Why one look ended early.
enum Trouble {
    Store(StoreError),
    Channel(Undelivered),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Broker {
    pub(super) async fn keep_listening(self, channel: Arc<Channel>, end: CancellationToken) {
        let ear = self.0.ports.entropy.id();
        let _ = end.run_until_cancelled(self.listen_on(&channel, ear)).await;
        // Who listens next need not wait until our right has run out.
        if let Err(error) = self.0.ports.store.leave_ear(channel.id, ear).await {
            tracing::debug!(%error, channel = %channel.name, "the right to listen cannot be given back");
        }
    }

    async fn listen_on(&self, channel: &Channel, ear: i64) {
        let bounds = &self.0.options.channels;
        let (mut failures, unheard) = (0_u32, Spell::default());
        loop {
            let (problem, asked) = match self.listen_once(channel, ear).await {
                Ok(Looked::Done) => {
                    failures = 0;
                    if let Some(times) = unheard.over() {
                        tracing::info!(times, channel = %channel.name, "a channel is heard again");
                    }
                    continue;
                }
                Ok(Looked::Elsewhere) => {
                    sleep(bounds.look_every).await;
                    continue;
                }
                Err(Trouble::Store(error)) => (error.to_string(), None),
                Err(Trouble::Channel(failure)) => (failure.problem, failure.retry_after),
            };
            failures = failures.saturating_add(1);
            if unheard.failed() {
                tracing::warn!(channel = %channel.name, problem, "a channel cannot be heard");
            }
            sleep(bounds.rest(failures, asked)).await;
        }
    }

    async fn listen_once(&self, channel: &Channel, ear: i64) -> Result<Looked, Trouble> {
        let (bounds, store) = (&self.0.options.channels, &self.0.ports.store);
        let look_max = bounds.listen_wait + bounds.call_max();
        let until = self.now() + look_max + HOLD_MARGIN;
        let Some(position) = store.take_ear(channel.id, ear, until).await? else {
            return Ok(Looked::Elsewhere);
        };
        let listening = self.0.ports.courier.listen(channel, position, bounds.listen_wait);
        let Heard { position: next, pressed } = match timeout(look_max, listening).await {
            Ok(heard) => heard.map_err(Trouble::Channel)?,
            Err(_elapsed) => {
                let problem = format!("no answer within {} ms", look_max.as_millis());
                let is_final = false;
                return Err(Trouble::Channel(Undelivered { problem, is_final, retry_after: None }));
            }
        };
        for one in &pressed {
            // Where the store fails the position stays, and all is heard once more: an answer counts once.
            let text = self.heard(channel, one).await?;
            let reply = self.0.ports.courier.reply(channel, one, &text);
            let _ = timeout(bounds.call_max(), reply).await;
        }
        if next != position {
            store.move_ear(channel.id, ear, next).await?;
        }
        Ok(Looked::Done)
    }

    /// What the person who pressed is told.
    async fn heard(&self, channel: &Channel, pressed: &Pressed) -> Result<String, StoreError> {
        if !channel.route.may_answer(pressed) {
            tracing::info!(channel = %channel.name, user = pressed.user, "somebody pressed who may not answer");
            return Ok(NOT_YOU.into());
        }
        let Some((id, (decision, time))) = pressed.said else { return Ok(NOT_THIS.into()) };
        if !self.0.ports.store.has_notice(id, channel.id).await? {
            return Ok(NOT_THIS.into());
        }
        match self.answer(id, decision, time, &channel.actor_of(pressed.user)).await {
            Ok(approval) => Ok(outcome(&approval)),
            Err(AnswerError::Already(approval)) if approval.answer.is_some() => {
                Ok(format!("Too late. {}", outcome(&approval)))
            }
            Err(AnswerError::Already(_)) => Ok("Too late: its time is over.".into()),
            Err(AnswerError::NotFound(_)) => Ok(NOT_THIS.into()),
            Err(AnswerError::Store(error)) => Err(error),
            Err(refused @ (AnswerError::Unfit(_) | AnswerError::Time { .. })) => Ok(refused.to_string()),
        }
    }
}
