//! The verb `announce`: what is due on each channel is said there, once in the whole fleet, and tried again within bounds.
//!
//! Who says what is decided in the store. Nobody who waits for an answer waits for a channel: each channel has a task of
//! its own, and no verb knows of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{AnswerError, Broker};
use crate::approval::Approval;
use crate::channel::{AnswerTicket, Channel, Notice, NoticeEnd, Said, Step, fitting};
use crate::ids::{ApprovalId, ChannelId};
use crate::ports::{Carried, Message, StoreError, Undelivered, Words};
use crate::spell::Spell;

/// What was sent on channels, by how that ended.
const SENT: &str = "keyherd_channel_messages_total";
/// How often a process looks for channels without being told.
const LOOK_FOR_CHANNELS: Duration = Duration::from_secs(60);
/// Rest after the store did not answer.
const STORE_REST: Duration = Duration::from_secs(1);
/// Beyond what a message may take: for what the store has to be told before and after it.
const HOLD_MARGIN: Duration = Duration::from_secs(10);
/// How long what is under way may go on when this process ends: what is not settled by then is sent once more.
const END_MAX: Duration = Duration::from_secs(2);

/// What rings for those who look after channels.
pub(super) struct Errands {
    due: watch::Sender<u64>,
    channels: watch::Sender<u64>,
}

impl Default for Errands {
    fn default() -> Self {
        Self { due: watch::Sender::new(0), channels: watch::Sender::new(0) }
    }
}

impl Errands {
    /// Something was told of approvals.
    pub(super) fn something_is_due(&self) {
        self.due.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Something was told of channels.
    pub(super) fn channels_changed(&self) {
        self.channels.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Broker {
    /// For a process that stays: looks after every channel, until it ends.
    pub(super) async fn keep_channels(self) {
        let stop = self.0.stop.clone();
        let mut kept = HashMap::new();
        let (mut changed, unread) = (self.0.errands.channels.subscribe(), Spell::default());
        while !stop.is_cancelled() {
            let rest = match self.0.ports.store.channels().await {
                Ok(listed) => {
                    let _ = unread.over();
                    self.look_after_just(&mut kept, listed.into_iter().map(|one| one.channel));
                    LOOK_FOR_CHANNELS
                }
                Err(error) => {
                    if unread.failed() {
                        tracing::warn!(%error, "the channels cannot be read");
                    }
                    STORE_REST
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = changed.changed() => {}
                () = sleep(rest) => {}
            }
        }
    }

    /// Begins with channels that are new, and ends with those that are gone.
    fn look_after_just(
        &self,
        kept: &mut HashMap<ChannelId, CancellationToken>,
        channels: impl Iterator<Item = Channel>,
    ) {
        let mut gone = std::mem::take(kept);
        for channel in channels {
            let end = gone.remove(&channel.id).unwrap_or_else(|| self.begin_with(channel.clone()));
            kept.insert(channel.id, end);
        }
        gone.values().for_each(CancellationToken::cancel);
    }

    fn begin_with(&self, channel: Channel) -> CancellationToken {
        let (channel, end) = (Arc::new(channel), self.0.stop.child_token());
        if channel.route.is_listened_to() {
            self.0.tasks.spawn(self.clone().keep_listening(Arc::clone(&channel), end.clone()));
        }
        self.0.tasks.spawn(self.clone().keep_announcing(channel, end.clone()));
        end
    }

    async fn keep_announcing(self, channel: Arc<Channel>, end: CancellationToken) {
        let (mut rung, unread) = (self.0.errands.due.subscribe(), Spell::default());
        let mut under_way = JoinSet::new();
        while !end.is_cancelled() {
            while under_way.try_join_next().is_some() {}
            rung.mark_unchanged();
            let rest = match self.begin_what_is_due(&channel, &mut under_way).await {
                Ok(rest) => {
                    let _ = unread.over();
                    rest
                }
                Err(error) => {
                    if unread.failed() {
                        tracing::warn!(%error, channel = %channel.name, "what is due on a channel cannot be read");
                    }
                    STORE_REST
                }
            };
            tokio::select! {
                () = end.cancelled() => {}
                _ = rung.changed() => {}
                Some(_) = under_way.join_next() => {}
                () = sleep(rest) => {}
            }
        }
        let _ = timeout(END_MAX, async { while under_way.join_next().await.is_some() {} }).await;
    }

    /// As many at once as there may be. Returns when something may be due next.
    async fn begin_what_is_due(
        &self,
        channel: &Arc<Channel>,
        under_way: &mut JoinSet<()>,
    ) -> Result<Duration, StoreError> {
        let bounds = &self.0.options.channels;
        let room = bounds.at_once_max.saturating_sub(under_way.len());
        if room == 0 {
            return Ok(bounds.look_every);
        }
        // One more than there is room for: it says when to look again.
        let found = self.0.ports.store.notices(channel.id, room + 1).await?;
        let now = self.now();
        let later = found.iter().find(|notice| notice.due_at > now).map(|notice| now.until(notice.due_at));
        for notice in found.into_iter().filter(|notice| notice.due_at <= now).take(room) {
            let (broker, channel) = (self.clone(), Arc::clone(channel));
            under_way.spawn(async move {
                if let Err(error) = broker.deliver(&channel, &notice).await {
                    tracing::debug!(%error, channel = %channel.name, "what became of a message cannot be told");
                    // It is due still: whoever looks again at once finds the same store.
                    sleep(STORE_REST).await;
                }
            });
        }
        Ok(later.unwrap_or(bounds.look_every).min(bounds.look_every).max(Duration::from_millis(1)))
    }

    /// Says what is due, if nobody else has it in hand.
    async fn deliver(&self, channel: &Channel, notice: &Notice) -> Result<(), StoreError> {
        let hold = self.0.ports.entropy.id();
        let until = self.now() + self.0.options.channels.call_max() + HOLD_MARGIN;
        if !self.0.ports.store.take_notice(notice, hold, until).await? {
            return Ok(());
        }
        let end = self.say(channel, notice).await?;
        count(channel, &end);
        if let NoticeEnd::GivenUp { problem } = &end {
            let (channel, approval) = (&channel.name, notice.approval);
            tracing::warn!(%channel, %approval, problem, "a message on a channel was given up");
        }
        self.0.ports.store.settle_notice(notice, hold, end).await?;
        Ok(())
    }

    async fn say(&self, channel: &Channel, notice: &Notice) -> Result<NoticeEnd, StoreError> {
        let Some(approval) = self.approval(notice.approval).await? else { return Ok(NoticeEnd::Moot) };
        let step = notice.step(&approval);
        let carried = match step {
            Step::Rest => return Ok(NoticeEnd::Moot),
            Step::Announce => self.ask_on(channel, notice, &approval).await,
            Step::Tell => {
                let announced_as = notice.message.as_deref();
                let words = Words::Ended { approval: &approval, announced_as };
                self.send(channel, notice, step, words).await
            }
        };
        match (step, carried) {
            (_, Carried::Failed(failure)) => Ok(self.failed(notice, failure)),
            (Step::Announce, Carried::Delivered { known_as, said }) => {
                if let Some(said) = said {
                    self.answer_from(channel, approval.id, said).await?;
                }
                Ok(NoticeEnd::Announced(known_as))
            }
            (_, Carried::Delivered { .. }) => Ok(NoticeEnd::Said),
        }
    }

    async fn ask_on(&self, channel: &Channel, notice: &Notice, approval: &Approval) -> Carried {
        let answers = fitting(approval, self.0.options.approvals.allow_for_max);
        let ticket = AnswerTicket { approval: approval.id, channel: channel.id };
        let ticket = ticket.write(&self.0.ports.hasher);
        let words = Words::Asked { approval, answers: &answers, ticket: &ticket };
        self.send(channel, notice, Step::Announce, words).await
    }

    async fn send(&self, channel: &Channel, notice: &Notice, step: Step, words: Words<'_>) -> Carried {
        let id = notice.message_id(step);
        let message = Message { id: &id, attempt: notice.attempts.saturating_add(1), words };
        self.carry(channel, message).await
    }

    /// An answer that came back with the question. One that is too late, or does not fit, changes nothing: how the
    /// question ended is told there as everywhere.
    async fn answer_from(&self, channel: &Channel, id: ApprovalId, said: Said) -> Result<(), StoreError> {
        let (decision, time) = said;
        match self.answer(id, decision, time, &channel.actor()).await {
            Ok(_) => Ok(()),
            Err(AnswerError::Store(error)) => Err(error),
            Err(refused) => {
                tracing::info!(channel = %channel.name, approval = %id, %refused, "an answer from a channel was not taken");
                Ok(())
            }
        }
    }

    fn failed(&self, notice: &Notice, failure: Undelivered) -> NoticeEnd {
        let bounds = &self.0.options.channels;
        let attempts = notice.attempts.saturating_add(1);
        let problem = failure.problem;
        if failure.is_final || attempts >= bounds.attempts_max {
            return NoticeEnd::GivenUp { problem };
        }
        NoticeEnd::Again { problem, at: self.now() + bounds.rest(attempts, failure.retry_after) }
    }
}

fn count(channel: &Channel, end: &NoticeEnd) {
    let outcome = match end {
        NoticeEnd::Announced(_) | NoticeEnd::Said => "delivered",
        NoticeEnd::Again { .. } => "failed",
        NoticeEnd::GivenUp { .. } => "given_up",
        NoticeEnd::Moot => return,
    };
    metrics::counter!(SENT, "channel" => channel.name.to_string(), "outcome" => outcome).increment(1);
}
