//! Approvals: opened under the lock of who looks and then writes, answered by one conditional statement.

use async_trait::async_trait;
use keyherd_core::approval::{Answer, Approval, Decision, Stage};
use keyherd_core::ids::{ApprovalId, RuleId};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::{
    ApprovalStore, Closed, NewApproval, NewRule, OpenBounds, Opened, Record, WORD_LIFE,
};
use keyherd_core::time::Timestamp;

use super::SqlStore;
use super::credentials::signed;
use super::questions::{QuestionColumns, question};
use super::row::{needed, time, unreadable, unsigned};
use super::write::Write;
use crate::store::engine::Kind;
use crate::store::fault::Fault;
use crate::store::sql;
use crate::store::statement::{Row, Sql, Statement, query};

#[async_trait]
impl ApprovalStore for SqlStore {
    async fn open_approval(
        &self,
        new: NewApproval,
        bounds: OpenBounds,
        record: Record,
    ) -> Result<Opened, StoreError> {
        self.told(self.insist(|| self.write_approval(&new, bounds, record.clone())).await)
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        let row = self.told(self.read_first(self.approval_of(id)).await)?;
        self.told(row.as_ref().map(approval).transpose())
    }

    async fn approvals(
        &self,
        stage: Option<Stage>,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> Result<Vec<Approval>, StoreError> {
        let page = query(sql::APPROVALS)
            .bind(self.words_since())
            .bind(stage.map_or("", Stage::as_str))
            .bind(after.map(ApprovalId::as_i64))
            .bind(signed(limit));
        let rows = self.told(self.engine.read(page).await)?;
        self.told(rows.iter().map(approval).collect())
    }

    async fn close_approval(
        &self,
        id: ApprovalId,
        answer: Answer,
        remember: Option<NewRule>,
        record: Record,
    ) -> Result<Closed, StoreError> {
        let close = || self.write_answer(id, &answer, remember.as_ref(), record.clone());
        self.told(self.insist(close).await)
    }

    async fn note_waiters(&self, id: ApprovalId, waiters: u64, at: Timestamp) -> Result<(), StoreError> {
        let note = self.word(id, waiters, at);
        self.told(self.insist(|| self.keep_house(note.clone())).await).map(drop)
    }

    async fn renew_words(&self, at: Timestamp) -> Result<(), StoreError> {
        let renewal = query(sql::RENEW_WORDS).bind(at.as_millis()).bind(self.owner().as_i64());
        self.told(self.insist(|| self.keep_house(renewal.clone())).await).map(drop)
    }

    async fn uncounted(&self, id: ApprovalId) -> Result<u64, StoreError> {
        let count = query(sql::UNCOUNTED).bind(self.words_since()).bind(id.as_i64());
        let row = self.told(self.read_first(count).await)?;
        self.told(row.as_ref().map_or(Ok(0), |row| unsigned(row, "number")))
    }

    async fn trim_approvals(&self, before: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.told(self.trim_ended(before, now).await)
    }
}

impl SqlStore {
    async fn write_approval(
        &self,
        new: &NewApproval,
        bounds: OpenBounds,
        record: Record,
    ) -> Result<Opened, Fault> {
        let mut write = self.begin(Kind::Administrative).await?;
        if let Some(other) = self.instead(&mut write, new, bounds).await? {
            write.cancel().await?;
            return Ok(other);
        }
        write.execute(insert(new)).await?;
        let due = self.clock.now().as_millis();
        write.lastly(query(sql::INSERT_NOTICES).bind(new.approval.id.as_i64()).bind(due));
        write.lastly(self.word(new.approval.id, new.approval.waiters, self.clock.now()));
        write.commit(record).await?;
        Ok(Opened::New)
    }

    /// What becomes of it where it is not opened.
    async fn instead(
        &self,
        write: &mut Write<'_>,
        new: &NewApproval,
        bounds: OpenBounds,
    ) -> Result<Option<Opened>, Fault> {
        let now = self.clock.now();
        if let Some(print) = &new.remembered_as
            && let Some(rule) = write.rule_of(print).await?.filter(|rule| rule.holds_at(now))
        {
            return Ok(Some(Opened::Remembered(Box::new(rule))));
        }
        let same = query(sql::APPROVAL_OPEN)
            .bind(self.words_since())
            .bind(new.key.as_bytes().to_vec())
            .bind(now.as_millis());
        if let Some(row) = write.first(same).await? {
            return Ok(Some(Opened::Attached(Box::new(approval(&row)?))));
        }
        let open = write.one(query(sql::COUNT_OPEN).bind(now.as_millis())).await?;
        if unsigned(&open, "number")? >= bounds.open_max {
            return Ok(Some(Opened::TooMany));
        }
        let prompts = query(sql::COUNT_PROMPTS).bind(&new.counted_as).bind(bounds.since.as_millis());
        let prompts = write.one(prompts).await?;
        let is_too_often = unsigned(&prompts, "number")? >= bounds.prompts_max;
        Ok(is_too_often.then_some(Opened::TooOften))
    }

    async fn write_answer(
        &self,
        id: ApprovalId,
        answer: &Answer,
        remember: Option<&NewRule>,
        record: Record,
    ) -> Result<Closed, Fault> {
        let mut write = self.begin(Kind::Administrative).await?;
        let now = self.clock.now();
        let closing = vec![self.closing(id, answer, now)];
        let (changed, row) = write.run_then_first(closing, self.approval_of(id)).await?;
        let is_closed = changed.first() == Some(&true);
        let found = row.as_ref().map(approval).transpose()?.map(Box::new);
        let closed = match found {
            Some(approval) if is_closed => approval,
            found => {
                write.cancel().await?;
                return Ok(found.map_or(Closed::NotFound, Closed::Already));
            }
        };
        write.lastly(query(sql::NOTICES_ENDED).bind(id.as_i64()).bind(now.as_millis()));
        if let Some(new) = remember {
            write.remember(new, now).await?;
        }
        write.commit(record).await?;
        Ok(Closed::Done(closed))
    }

    fn closing(&self, id: ApprovalId, answer: &Answer, now: Timestamp) -> Statement {
        let stage = if answer.decision.is_some() { Stage::Answered } else { Stage::TimedOut };
        query(sql::CLOSE_APPROVAL)
            .bind(self.words_since())
            .bind(stage.as_str())
            .bind(answer.decision.map(Decision::as_str))
            .bind(answer.until.map(Timestamp::as_millis))
            .bind(answer.by.as_deref())
            .bind(answer.at.as_millis())
            .bind(id.as_i64())
            .bind(now.as_millis())
    }

    async fn trim_ended(&self, before: Timestamp, now: Timestamp) -> Result<u64, Fault> {
        let rules = query(sql::RULES_TRIM).bind(now.as_millis());
        let mut trimmed = self.insist(|| self.keep_house(rules.clone())).await?;
        for _ in 0..self.bounds.trim_batches_max {
            let dropped = self.insist(|| self.drop_ended(before)).await?;
            trimmed += dropped;
            if dropped == 0 {
                break;
            }
        }
        let left = query(sql::NOTICES_TRIM);
        self.insist(|| self.keep_house(left.clone())).await?;
        Ok(trimmed)
    }

    /// A batch of what ended before, with what was said of it.
    async fn drop_ended(&self, before: Timestamp) -> Result<u64, Fault> {
        let batch = |trim: Sql| query(trim).bind(before.as_millis()).bind(self.bounds.trim_batch);
        let mut write = self.write().await?;
        write.execute(batch(sql::WORDS_TRIM)).await?;
        let rows = write.execute(batch(sql::APPROVALS_TRIM.into())).await?;
        if rows == 0 {
            write.cancel().await?;
        } else {
            write.commit_silently().await?;
        }
        Ok(rows)
    }

    /// A change that nobody is told of: nothing was decided by it.
    pub(super) async fn keep_house(&self, statement: Statement) -> Result<u64, Fault> {
        let mut write = self.write().await?;
        let rows = write.execute(statement).await?;
        if rows == 0 {
            write.cancel().await?;
        } else {
            write.commit_silently().await?;
        }
        Ok(rows)
    }

    fn word(&self, id: ApprovalId, waiters: u64, at: Timestamp) -> Statement {
        query(sql::NOTE_WAITERS)
            .bind(self.owner().as_i64())
            .bind(i64::try_from(waiters).unwrap_or(i64::MAX))
            .bind(at.as_millis())
            .bind(id.as_i64())
    }

    fn approval_of(&self, id: ApprovalId) -> Statement {
        query(sql::APPROVAL).bind(self.words_since()).bind(id.as_i64())
    }

    fn words_since(&self) -> i64 {
        (self.clock.now() - WORD_LIFE).as_millis()
    }
}

fn insert(new: &NewApproval) -> Statement {
    let approval = &new.approval;
    let insert = query(sql::INSERT_APPROVAL)
        .bind(approval.id.as_i64())
        .bind(new.key.as_bytes().to_vec())
        .bind(&new.counted_as);
    QuestionColumns::asked(&approval.question)
        .bind(insert)
        .bind(approval.coalesces)
        .bind(approval.rule.map(RuleId::as_i64))
        .bind(approval.opened_at.as_millis())
        .bind(approval.expires_at.as_millis())
}

fn approval(row: &Row) -> Result<Approval, Fault> {
    Ok(Approval {
        id: ApprovalId::from_i64(row.try_get("id")?),
        question: question(row)?.ok_or_else(|| unreadable("kind"))?,
        coalesces: row.try_get("coalesces")?,
        rule: row.try_get::<Option<i64>>("rule")?.map(RuleId::from_i64),
        waiters: unsigned(row, "waiters")?,
        opened_at: needed(row, "opened_at")?,
        expires_at: needed(row, "expires_at")?,
        answer: answer(row)?,
    })
}

fn answer(row: &Row) -> Result<Option<Answer>, Fault> {
    if row.try_get::<&str>("stage")? == Stage::Open.as_str() {
        return Ok(None);
    }
    let decision = row.try_get::<Option<&str>>("decision")?;
    Ok(Some(Answer {
        decision: match decision {
            None => None,
            Some(word) => Some(Decision::parse(word).ok_or_else(|| unreadable("decision"))?),
        },
        until: time(row, "until")?,
        by: row.try_get("answered_by")?,
        at: needed(row, "answered_at")?,
    }))
}
