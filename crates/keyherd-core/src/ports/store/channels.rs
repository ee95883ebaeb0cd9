//! Channels, and what is to be said on them: decided in the store, so that each thing is said once, whoever says it.

use async_trait::async_trait;

use super::{Record, StoreError};
use crate::channel::{Channel, ChannelConflict, ListedChannel, Notice, NoticeEnd};
use crate::ids::{ApprovalId, ChannelId};
use crate::time::Timestamp;

/// What became of an addition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelAdded {
    /// It is there.
    Done,
    /// Nothing was changed.
    Conflict(ChannelConflict),
}

/// Channels and notices. A notice for each channel is made with an approval, and is due at once; it is due once more
/// when the approval has ended, if it was announced by then. With either go away what is of it.
#[async_trait]
pub trait ChannelStore: Send + Sync + 'static {
    /// All of them, in order of names.
    async fn channels(&self) -> Result<Vec<ListedChannel>, StoreError>;

    /// Adds one.
    async fn add_channel(
        &self,
        channel: Channel,
        channels_max: usize,
        record: Record,
    ) -> Result<ChannelAdded, StoreError>;

    /// Removes one. `false`: it was not there.
    async fn remove_channel(&self, id: ChannelId, record: Record) -> Result<bool, StoreError>;

    /// Those on a channel that are or will be due, the first ones first.
    async fn notices(&self, channel: ChannelId, limit: usize) -> Result<Vec<Notice>, StoreError>;

    /// Whether that approval was, or is being, announced on that channel.
    async fn has_notice(&self, approval: ApprovalId, channel: ChannelId) -> Result<bool, StoreError>;

    /// Takes one in hand, if it is still as it was seen, and due: until then nobody else does, and it counts as tried
    /// once more. `hold` is random.
    async fn take_notice(&self, seen: &Notice, hold: i64, until: Timestamp) -> Result<bool, StoreError>;

    /// Says what became of it, if it is still in that hand.
    async fn settle_notice(&self, taken: &Notice, hold: i64, end: NoticeEnd) -> Result<bool, StoreError>;

    /// The right to listen on a channel, until then: one process at a time, known by `ear`, which is random. Taken anew
    /// by who has it. Where to listen from; `None`: another process has it.
    async fn take_ear(
        &self,
        channel: ChannelId,
        ear: i64,
        until: Timestamp,
    ) -> Result<Option<i64>, StoreError>;

    /// What was heard up to that position is dealt with. `false`: another process listens by now.
    async fn move_ear(&self, channel: ChannelId, ear: i64, position: i64) -> Result<bool, StoreError>;

    /// Gives that right back.
    async fn leave_ear(&self, channel: ChannelId, ear: i64) -> Result<(), StoreError>;
}
