//! Channels: nobody in what is played has one, and what a host's housekeeping asks takes neither time nor faults away from it.

use async_trait::async_trait;
use keyherd_core::channel::{Channel, ListedChannel, Notice, NoticeEnd};
use keyherd_core::ids::{ApprovalId, ChannelId};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{ChannelAdded, ChannelStore, Record};
use keyherd_core::time::Timestamp;

use super::SimStore;

#[async_trait]
impl ChannelStore for SimStore {
    async fn channels(&self) -> Result<Vec<ListedChannel>, StoreError> {
        self.inner.channels().await
    }

    async fn add_channel(
        &self,
        channel: Channel,
        channels_max: usize,
        record: Record,
    ) -> Result<ChannelAdded, StoreError> {
        self.inner.add_channel(channel, channels_max, record).await
    }

    async fn remove_channel(&self, id: ChannelId, record: Record) -> Result<bool, StoreError> {
        self.inner.remove_channel(id, record).await
    }

    async fn notices(&self, channel: ChannelId, limit: usize) -> Result<Vec<Notice>, StoreError> {
        self.inner.notices(channel, limit).await
    }

    async fn has_notice(&self, approval: ApprovalId, channel: ChannelId) -> Result<bool, StoreError> {
        self.inner.has_notice(approval, channel).await
    }

    async fn take_notice(&self, seen: &Notice, hold: i64, until: Timestamp) -> Result<bool, StoreError> {
        self.inner.take_notice(seen, hold, until).await
    }

    async fn settle_notice(&self, taken: &Notice, hold: i64, end: NoticeEnd) -> Result<bool, StoreError> {
        self.inner.settle_notice(taken, hold, end).await
    }

    async fn take_ear(
        &self,
        channel: ChannelId,
        ear: i64,
        until: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        self.inner.take_ear(channel, ear, until).await
    }

    async fn move_ear(&self, channel: ChannelId, ear: i64, position: i64) -> Result<bool, StoreError> {
        self.inner.move_ear(channel, ear, position).await
    }

    async fn leave_ear(&self, channel: ChannelId, ear: i64) -> Result<(), StoreError> {
        self.inner.leave_ear(channel, ear).await
    }
}
