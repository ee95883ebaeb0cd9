//! Channels and notices.
//!
//! A channel is sealed with its row, its secrets and where it leads alike: whoever can write to the database must not be
//! able to have approvals answered by others. How it goes there, and who listens, stand beside it in the clear.

use async_trait::async_trait;
use keyherd_core::channel::{Channel, DeliveryState, ListedChannel, Notice, NoticeEnd, Route};
use keyherd_core::ids::{ApprovalId, ChannelId};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{ChannelAdded, ChannelStore, Record};
use keyherd_core::secret::Secret;
use keyherd_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroize;

use super::SqlStore;
use super::credentials::signed;
use super::row::{name, needed, time, unsigned};
use super::vault::{CHANNEL_DOC, Slot};
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, Statement, query};

/// A channel as it is sealed. Its secrets are wiped when it is dropped.
#[derive(Serialize, Deserialize)]
struct ChannelDoc {
    name: String,
    kind: String,
    url: String,
    secret: String,
    chat: i64,
    users: Vec<i64>,
    created_at: i64,
}

#[async_trait]
impl ChannelStore for SqlStore {
    async fn channels(&self) -> Result<Vec<ListedChannel>, StoreError> {
        let rows = self.told(self.engine.read(query(sql::CHANNELS)).await)?;
        self.told(rows.iter().map(|row| self.listed_channel(row)).collect())
    }

    async fn add_channel(
        &self,
        channel: Channel,
        channels_max: usize,
        record: Record,
    ) -> Result<ChannelAdded, StoreError> {
        self.told(self.insist(|| self.insert_channel(&channel, channels_max, record.clone())).await)
    }

    async fn remove_channel(&self, id: ChannelId, record: Record) -> Result<bool, StoreError> {
        self.told(self.insist(|| self.delete_channel(id, record.clone())).await)
    }

    async fn notices(&self, channel: ChannelId, limit: usize) -> Result<Vec<Notice>, StoreError> {
        let page = query(sql::NOTICES_DUE).bind(channel.as_i64()).bind(signed(limit));
        let rows = self.told(self.engine.read(page).await)?;
        self.told(rows.iter().map(notice).collect())
    }

    async fn has_notice(&self, approval: ApprovalId, channel: ChannelId) -> Result<bool, StoreError> {
        let count = query(sql::HAS_NOTICE).bind(approval.as_i64()).bind(channel.as_i64());
        Ok(self.told(self.read_number(count).await)? > 0)
    }

    async fn take_notice(&self, seen: &Notice, hold: i64, until: Timestamp) -> Result<bool, StoreError> {
        let take = query(sql::TAKE_NOTICE)
            .bind(hold)
            .bind(until.as_millis())
            .bind(seen.approval.as_i64())
            .bind(seen.channel.as_i64())
            .bind(seen.due_at.as_millis())
            .bind(self.clock.now().as_millis());
        self.told(self.insist(|| self.keep_house(take.clone())).await).map(|rows| rows > 0)
    }

    async fn settle_notice(&self, taken: &Notice, hold: i64, end: NoticeEnd) -> Result<bool, StoreError> {
        self.told(self.insist(|| self.write_end(taken, hold, &end)).await)
    }

    async fn take_ear(
        &self,
        channel: ChannelId,
        ear: i64,
        until: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let take = query(sql::TAKE_EAR)
            .bind(ear)
            .bind(until.as_millis())
            .bind(channel.as_i64())
            .bind(self.clock.now().as_millis());
        if self.told(self.insist(|| self.keep_house(take.clone())).await)? == 0 {
            return Ok(None);
        }
        let position = self.read_number(query(sql::EAR_POSITION).bind(channel.as_i64())).await;
        self.told(position).map(Some)
    }

    async fn move_ear(&self, channel: ChannelId, ear: i64, position: i64) -> Result<bool, StoreError> {
        let move_to = query(sql::MOVE_EAR).bind(position).bind(channel.as_i64()).bind(ear);
        self.told(self.insist(|| self.keep_house(move_to.clone())).await).map(|rows| rows > 0)
    }

    async fn leave_ear(&self, channel: ChannelId, ear: i64) -> Result<(), StoreError> {
        let leave = query(sql::LEAVE_EAR).bind(channel.as_i64()).bind(ear);
        self.told(self.insist(|| self.keep_house(leave.clone())).await).map(drop)
    }
}

impl SqlStore {
    async fn insert_channel(
        &self,
        channel: &Channel,
        channels_max: usize,
        record: Record,
    ) -> Result<ChannelAdded, Fault> {
        let mut write = self.administer().await?;
        let rows = write.fetch(query(sql::CHANNELS)).await?;
        let there = rows.iter().map(|row| self.channel(row)).collect::<Result<Vec<_>, _>>()?;
        if let Some(conflict) = channel.conflict(&there, channels_max) {
            write.cancel().await?;
            return Ok(ChannelAdded::Conflict(conflict));
        }
        let id = channel.id.as_i64();
        let insert = query(sql::INSERT_CHANNEL)
            .bind(id)
            .bind(channel.name.as_str())
            .bind(self.seal_doc(Slot::of(CHANNEL_DOC, id, 0), &ChannelDoc::of(channel))?);
        write.execute(insert).await?;
        write.commit(record).await?;
        Ok(ChannelAdded::Done)
    }

    async fn delete_channel(&self, id: ChannelId, record: Record) -> Result<bool, Fault> {
        let mut write = self.write().await?;
        if !write.run(query(sql::REMOVE_CHANNEL).bind(id.as_i64())).await? {
            write.cancel().await?;
            return Ok(false);
        }
        write.lastly(query(sql::REMOVE_NOTICES).bind(id.as_i64()));
        write.commit(record).await?;
        Ok(true)
    }

    async fn write_end(&self, taken: &Notice, hold: i64, end: &NoticeEnd) -> Result<bool, Fault> {
        let now = self.clock.now().as_millis();
        let mut write = self.write().await?;
        if !write.run(settling(taken, hold, end, now)).await? {
            write.cancel().await?;
            return Ok(false);
        }
        match end {
            NoticeEnd::Announced(_) | NoticeEnd::Said => {
                write.lastly(query(sql::CHANNEL_DELIVERED).bind(now).bind(taken.channel.as_i64()));
            }
            NoticeEnd::Again { problem, .. } | NoticeEnd::GivenUp { problem } => {
                let failed = query(sql::CHANNEL_FAILED).bind(now).bind(problem);
                write.lastly(failed.bind(taken.channel.as_i64()));
            }
            NoticeEnd::Moot => {}
        }
        write.commit_silently().await?;
        Ok(true)
    }

    fn listed_channel(&self, row: &Row) -> Result<ListedChannel, Fault> {
        let state = DeliveryState {
            delivered_at: time(row, "delivered_at")?,
            failed_at: time(row, "failed_at")?,
            problem: row.try_get("problem")?,
        };
        Ok(ListedChannel { channel: self.channel(row)?, state })
    }

    fn channel(&self, row: &Row) -> Result<Channel, Fault> {
        let (id, label) = (row.try_get("id")?, name(row, "name")?);
        let slot = Slot::of(CHANNEL_DOC, id, 0);
        let doc: ChannelDoc = self.open_doc(slot, row, |doc: &ChannelDoc| &doc.name)?;
        let created_at = Timestamp::from_millis(doc.created_at);
        let route =
            doc.route().ok_or_else(|| Fault::Damaged(format!("{CHANNEL_DOC} of row {id} is no channel")))?;
        Ok(Channel { id: ChannelId::from_i64(id), name: label, route, created_at })
    }
}

fn settling(taken: &Notice, hold: i64, end: &NoticeEnd, now: i64) -> Statement {
    let again = match end {
        NoticeEnd::Announced(message) => {
            return query(sql::NOTICE_ANNOUNCED)
                .bind(message.as_deref())
                .bind(now)
                .bind(taken.approval.as_i64())
                .bind(taken.channel.as_i64())
                .bind(hold);
        }
        NoticeEnd::Again { at, .. } => Some(at.as_millis()),
        NoticeEnd::Said | NoticeEnd::Moot | NoticeEnd::GivenUp { .. } => None,
    };
    query(sql::NOTICE_SETTLED)
        .bind(again)
        .bind(taken.approval.as_i64())
        .bind(taken.channel.as_i64())
        .bind(hold)
}

fn notice(row: &Row) -> Result<Notice, Fault> {
    Ok(Notice {
        approval: ApprovalId::from_i64(row.try_get("approval")?),
        channel: ChannelId::from_i64(row.try_get("channel")?),
        due_at: needed(row, "due_at")?,
        attempts: u32::try_from(unsigned(row, "attempts")?).unwrap_or(u32::MAX),
        is_announced: row.try_get("announced")?,
        message: row.try_get("message")?,
    })
}

impl Drop for ChannelDoc {
    fn drop(&mut self) {
        self.url.zeroize();
        self.secret.zeroize();
    }
}

impl ChannelDoc {
    fn of(channel: &Channel) -> Self {
        let (url, secret, chat, users) = match &channel.route {
            Route::Webhook { url, signing_key } => (url, signing_key, 0, Vec::new()),
            Route::Telegram { api, token, chat, users } => (api, token, *chat, users.clone()),
        };
        Self {
            name: channel.name.to_string(),
            kind: channel.route.kind().to_owned(),
            url: url.to_string(),
            secret: secret.expose().to_owned(),
            chat,
            users,
            created_at: channel.created_at.as_millis(),
        }
    }

    fn route(&self) -> Option<Route> {
        let (url, secret) = (Url::parse(&self.url).ok()?, Secret::from(self.secret.as_str()));
        match self.kind.as_str() {
            "webhook" => Some(Route::Webhook { url, signing_key: secret }),
            "telegram" => {
                Some(Route::Telegram { api: url, token: secret, chat: self.chat, users: self.users.clone() })
            }
            _ => None,
        }
    }
}
