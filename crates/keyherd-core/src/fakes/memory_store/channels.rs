//! Channels and notices.

use async_trait::async_trait;

use super::{MemoryStore, Rows};
use crate::channel::{Channel, DeliveryState, ListedChannel, Notice, NoticeEnd};
use crate::ids::{ApprovalId, ChannelId};
use crate::ports::StoreError;
use crate::ports::store::{ChannelAdded, ChannelStore, Record};
use crate::time::Timestamp;

#[derive(Clone)]
pub(super) struct ChannelRow {
    channel: Channel,
    state: DeliveryState,
    /// Who listens, and until when.
    ear: Option<(i64, Timestamp)>,
    position: i64,
}

#[derive(Clone)]
pub(super) struct NoticeRow {
    notice: Notice,
    /// `None`: it is not due.
    due_at: Option<Timestamp>,
    hold: Option<i64>,
    has_ended: bool,
}

impl Rows {
    /// A new approval is due on every channel.
    pub(super) fn notify(&mut self, approval: ApprovalId, now: Timestamp) {
        let row = |row: &ChannelRow| NoticeRow {
            notice: Notice {
                approval,
                channel: row.channel.id,
                due_at: now,
                attempts: 0,
                is_announced: false,
                message: None,
            },
            due_at: Some(now),
            hold: None,
            has_ended: false,
        };
        let new: Vec<_> = self.channels.iter().map(row).collect();
        self.notices.extend(new);
    }

    /// It has ended: so is told where it was announced.
    pub(super) fn notify_end(&mut self, approval: ApprovalId, now: Timestamp) {
        for row in self.notices.iter_mut().filter(|row| row.notice.approval == approval) {
            row.has_ended = true;
            if row.notice.is_announced {
                row.due_at = Some(now);
            }
        }
    }

    fn notice(&mut self, of: &Notice) -> Option<&mut NoticeRow> {
        let is_same =
            |row: &&mut NoticeRow| row.notice.approval == of.approval && row.notice.channel == of.channel;
        self.notices.iter_mut().find(is_same)
    }

    fn channel(&mut self, id: ChannelId) -> Option<&mut ChannelRow> {
        self.channels.iter_mut().find(|row| row.channel.id == id)
    }
}

impl NoticeRow {
    pub(super) fn approval(&self) -> ApprovalId {
        self.notice.approval
    }

    fn settle(&mut self, end: NoticeEnd, now: Timestamp) {
        self.hold = None;
        self.due_at = match end {
            NoticeEnd::Announced(message) => {
                (self.notice.is_announced, self.notice.message, self.notice.attempts) = (true, message, 0);
                self.has_ended.then_some(now)
            }
            NoticeEnd::Said | NoticeEnd::Moot | NoticeEnd::GivenUp { .. } => None,
            NoticeEnd::Again { at, .. } => Some(at),
        };
    }
}

#[async_trait]
impl ChannelStore for MemoryStore {
    async fn channels(&self) -> Result<Vec<ListedChannel>, StoreError> {
        self.read(|rows| {
            let listed =
                |row: &ChannelRow| ListedChannel { channel: row.channel.clone(), state: row.state.clone() };
            let mut all: Vec<_> = rows.channels.iter().map(listed).collect();
            all.sort_by(|one, other| one.channel.name.cmp(&other.channel.name));
            all
        })
    }

    async fn add_channel(
        &self,
        channel: Channel,
        channels_max: usize,
        record: Record,
    ) -> Result<ChannelAdded, StoreError> {
        self.write(record, |rows| {
            let there: Vec<_> = rows.channels.iter().map(|row| row.channel.clone()).collect();
            if let Some(conflict) = channel.conflict(&there, channels_max) {
                return (ChannelAdded::Conflict(conflict), false);
            }
            let state = DeliveryState::default();
            rows.channels.push(ChannelRow { channel, state, ear: None, position: 0 });
            (ChannelAdded::Done, true)
        })
    }

    async fn remove_channel(&self, id: ChannelId, record: Record) -> Result<bool, StoreError> {
        self.write(record, |rows| {
            let before = rows.channels.len();
            rows.channels.retain(|row| row.channel.id != id);
            rows.notices.retain(|row| row.notice.channel != id);
            let is_gone = rows.channels.len() < before;
            (is_gone, is_gone)
        })
    }

    async fn notices(&self, channel: ChannelId, limit: usize) -> Result<Vec<Notice>, StoreError> {
        self.read(|rows| {
            let due = |row: &NoticeRow| row.due_at.map(|due_at| Notice { due_at, ..row.notice.clone() });
            let of_channel = rows.notices.iter().filter(|row| row.notice.channel == channel);
            let mut due: Vec<_> = of_channel.filter_map(due).collect();
            due.sort_by_key(|notice| (notice.due_at, notice.approval));
            due.truncate(limit);
            due
        })
    }

    async fn has_notice(&self, approval: ApprovalId, channel: ChannelId) -> Result<bool, StoreError> {
        let is_it = |row: &NoticeRow| row.notice.approval == approval && row.notice.channel == channel;
        self.read(|rows| rows.notices.iter().any(is_it))
    }

    async fn take_notice(&self, seen: &Notice, hold: i64, until: Timestamp) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        self.keep_house(|rows| {
            let is_due = |row: &&mut NoticeRow| row.due_at == Some(seen.due_at) && seen.due_at <= now;
            let Some(row) = rows.notice(seen).filter(is_due) else { return false };
            (row.hold, row.due_at) = (Some(hold), Some(until));
            row.notice.attempts += 1;
            true
        })
    }

    async fn settle_notice(&self, taken: &Notice, hold: i64, end: NoticeEnd) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        self.keep_house(|rows| {
            let Some(row) = rows.notice(taken).filter(|row| row.hold == Some(hold)) else { return false };
            row.settle(end.clone(), now);
            let state = rows.channel(taken.channel).map(|row| &mut row.state);
            match (state, end) {
                (Some(state), NoticeEnd::Announced(_) | NoticeEnd::Said) => state.delivered_at = Some(now),
                (Some(state), NoticeEnd::Again { problem, .. } | NoticeEnd::GivenUp { problem }) => {
                    (state.failed_at, state.problem) = (Some(now), Some(problem));
                }
                (None, _) | (_, NoticeEnd::Moot) => {}
            }
            true
        })
    }

    async fn take_ear(
        &self,
        channel: ChannelId,
        ear: i64,
        until: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let now = self.shared.clock.now();
        self.keep_house(|rows| {
            let row = rows.channel(channel)?;
            if row.ear.is_some_and(|(other, until)| other != ear && until > now) {
                return None;
            }
            row.ear = Some((ear, until));
            Some(row.position)
        })
    }

    async fn move_ear(&self, channel: ChannelId, ear: i64, position: i64) -> Result<bool, StoreError> {
        self.keep_house(|rows| {
            let row = rows.channel(channel).filter(|row| row.ear.is_some_and(|(held, _)| held == ear));
            row.is_some_and(|row| {
                row.position = position;
                true
            })
        })
    }

    async fn leave_ear(&self, channel: ChannelId, ear: i64) -> Result<(), StoreError> {
        self.keep_house(|rows| {
            if let Some(row) =
                rows.channel(channel).filter(|row| row.ear.is_some_and(|(held, _)| held == ear))
            {
                row.ear = None;
            }
        })
    }
}

impl MemoryStore {
    /// A change that nobody is told of.
    fn keep_house<R>(&self, change: impl FnOnce(&mut Rows) -> R) -> Result<R, StoreError> {
        self.read(|_| ())?;
        Ok(change(&mut self.shared.lock()))
    }
}
