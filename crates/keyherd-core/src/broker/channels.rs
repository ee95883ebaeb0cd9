//! The verbs on channels: add, list, remove, test; and who answers later by a ticket.

use serde_json::json;
use tokio::time::timeout;

use super::Broker;
use crate::audit::{Actor, Note};
use crate::channel::{
    AnswerTicket, BadChannel, Channel, ChannelConflict, ChannelDraft, ListedChannel, Route,
};
use crate::ids::{ApprovalId, ChannelId, Name};
use crate::ports::store::{ChannelAdded, Event, Record};
use crate::ports::{Carried, Message, StoreError, Words};
use crate::secret::Secret;

/// Why nothing was done with a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Nothing of that name.
    #[error("no channel is named '{0}': see 'keyherd channel list'")]
    NotFound(Name),
    /// It cannot be like that.
    #[error(transparent)]
    Bad(#[from] BadChannel),
    /// What is there keeps it out.
    #[error("channel '{name}': {conflict}")]
    Conflict {
        /// Which channel.
        name: Name,
        /// Why.
        conflict: ChannelConflict,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tested {
    /// The other side has it.
    Delivered,
    /// It may not have arrived: in a line for people.
    Failed(String),
}

impl Broker {
    /// Adds a channel: from now on approvals are announced there. With it the signing key, where one was made: it is not
    /// shown again.
    pub async fn add_channel(
        &self,
        name: Name,
        draft: ChannelDraft,
        actor: &Actor,
    ) -> Result<(Channel, Option<Secret>), ChannelError> {
        let entropy = &*self.0.ports.entropy;
        let id = ChannelId::of_random(entropy.id());
        let (channel, made) = draft.check(id, name.clone(), self.now(), entropy)?;
        let record = record_of(&channel, "channel.add", "channel_added", actor);
        let channels_max = self.0.options.channels.channels_max;
        let added = self.0.ports.store.add_channel(channel.clone(), channels_max, record).await;
        self.channels_changed();
        match added? {
            ChannelAdded::Done => Ok((channel, made)),
            ChannelAdded::Conflict(conflict) => Err(ChannelError::Conflict { name, conflict }),
        }
    }

    /// The channels, in order of names, and how it went there last.
    pub async fn channels(&self) -> Result<Vec<ListedChannel>, ChannelError> {
        Ok(self.0.ports.store.channels().await?)
    }

    /// Removes a channel. What is under way there may still arrive; nobody answers through it any more.
    pub async fn remove_channel(&self, name: &Name, actor: &Actor) -> Result<(), ChannelError> {
        let channel = self.channel(name).await?;
        let record = record_of(&channel, "channel.remove", "channel_removed", actor);
        let removed = self.0.ports.store.remove_channel(channel.id, record).await;
        self.channels_changed();
        if removed? { Ok(()) } else { Err(ChannelError::NotFound(name.clone())) }
    }

    /// Sends a message that asks nothing, once.
    pub async fn test_channel(&self, name: &Name) -> Result<Tested, ChannelError> {
        let channel = self.channel(name).await?;
        let id = format!("test-{:010x}", self.0.ports.entropy.id());
        let message = Message { id: &id, attempt: 1, words: Words::Test };
        Ok(match self.carry(&channel, message).await {
            Carried::Delivered { .. } => Tested::Delivered,
            Carried::Failed(failure) => Tested::Failed(failure.problem),
        })
    }

    /// Who shows that ticket, and for which approval it is good. `None`: it is none, or its channel is gone.
    pub async fn of_ticket(&self, text: &[u8]) -> Result<Option<(Actor, ApprovalId)>, StoreError> {
        let Some(ticket) = AnswerTicket::read(&self.0.ports.hasher, text) else { return Ok(None) };
        let store = &self.0.ports.store;
        let channel = store.channels().await?.into_iter().find(|listed| listed.channel.id == ticket.channel);
        let Some(ListedChannel { channel, .. }) = channel else { return Ok(None) };
        let was_announced = store.has_notice(ticket.approval, ticket.channel).await?;
        Ok(was_announced.then(|| (channel.actor(), ticket.approval)))
    }

    /// One message, within the bound on its time, whatever the courier does.
    pub(super) async fn carry(&self, channel: &Channel, message: Message<'_>) -> Carried {
        let call_max = self.0.options.channels.call_max();
        match timeout(call_max, self.0.ports.courier.carry(channel, message)).await {
            Ok(carried) => carried,
            Err(_elapsed) => Carried::Failed(crate::ports::Undelivered {
                problem: format!("no answer within {} ms", call_max.as_millis()),
                is_final: false,
                retry_after: None,
            }),
        }
    }

    async fn channel(&self, name: &Name) -> Result<Channel, ChannelError> {
        let listed = self.channels().await?.into_iter().find(|listed| listed.channel.name == *name);
        listed.map(|listed| listed.channel).ok_or_else(|| ChannelError::NotFound(name.clone()))
    }

    fn channels_changed(&self) {
        self.0.errands.channels_changed();
        self.0.ports.coordinator.announce();
    }
}

/// What is told of a channel: nothing that could be a secret.
fn record_of(channel: &Channel, action: &'static str, kind: &'static str, actor: &Actor) -> Record {
    let subject = channel.name.to_string();
    let (id, kind_of, origin) = (channel.id.to_string(), channel.route.kind(), channel.route.origin());
    let detail = match &channel.route {
        Route::Webhook { .. } => json!({"id": id, "kind": kind_of, "origin": origin}),
        Route::Telegram { chat, users, .. } => {
            json!({"id": id, "kind": kind_of, "origin": origin, "chat": chat, "users": users})
        }
    };
    let note = Note { action, actor: actor.clone(), subject: subject.clone(), detail: detail.clone() };
    Record { note, event: Some(Event { kind, chain: None, subject, detail }) }
}
