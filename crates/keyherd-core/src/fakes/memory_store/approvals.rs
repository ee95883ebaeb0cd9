//! Approvals.

use async_trait::async_trait;
use std::collections::BTreeMap;

use super::{MemoryStore, Rows};
use crate::approval::{Answer, Approval, Stage};
use crate::audit::Actor;
use crate::ids::{ApprovalId, Name, OwnerId};
use crate::ports::StoreError;
use crate::ports::store::{
    ApprovalStore, Closed, NewApproval, NewRule, OpenBounds, Opened, Record, WORD_LIFE, withdrawal,
};
use crate::secret::TokenHash;
use crate::time::Timestamp;

#[derive(Clone)]
pub(super) struct Row {
    approval: Approval,
    key: TokenHash,
    counted_as: String,
    /// By process: how many wait there, and when it said so.
    waiters: BTreeMap<OwnerId, (u64, Timestamp)>,
}

impl Row {
    fn view(&self, now: Timestamp) -> Approval {
        let waiters = self.believed(now).map(|(count, _)| count).sum();
        Approval { waiters, ..self.approval.clone() }
    }

    fn believed(&self, now: Timestamp) -> impl Iterator<Item = (u64, Timestamp)> {
        self.waiters.values().copied().filter(move |(_, at)| now - WORD_LIFE < *at)
    }

    fn is_open(&self) -> bool {
        self.approval.answer.is_none()
    }

    /// An open question ends with who asked it.
    fn withdraw_if_of(&mut self, agent: &Name, by: &Actor, now: Timestamp) -> Option<ApprovalId> {
        let Approval { id, question, expires_at, answer, .. } = &mut self.approval;
        if answer.is_some() || *expires_at <= now || question.agent != *agent {
            return None;
        }
        *answer = Some(Answer { decision: None, until: None, by: Some(by.0.as_ref().to_owned()), at: now });
        Some(*id)
    }
}

impl MemoryStore {
    pub(super) fn withdraw_questions_of(&self, rows: &mut Rows, agent: &Name, by: &Actor) {
        let now = self.shared.clock.now();
        let ended = rows.approvals.iter_mut().filter_map(|row| row.withdraw_if_of(agent, by, now));
        for id in ended.collect::<Vec<_>>() {
            rows.notify_end(id, now);
            self.record(rows, withdrawal(id, agent.as_str(), by));
        }
    }
}

#[async_trait]
impl ApprovalStore for MemoryStore {
    async fn open_approval(
        &self,
        new: NewApproval,
        bounds: OpenBounds,
        record: Record,
    ) -> Result<Opened, StoreError> {
        let (now, id) = (self.shared.clock.now(), new.approval.id);
        self.write(record, |rows| match open(rows, self.owner, new, bounds, now) {
            Opened::New => {
                rows.notify(id, now);
                (Opened::New, true)
            }
            other => (other, false),
        })
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        let now = self.shared.clock.now();
        self.read(|rows| rows.approvals.iter().find(|row| row.approval.id == id).map(|row| row.view(now)))
    }

    async fn approvals(
        &self,
        stage: Option<Stage>,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> Result<Vec<Approval>, StoreError> {
        let now = self.shared.clock.now();
        self.read(|rows| {
            let mut all: Vec<_> = rows.approvals.iter().map(|row| row.view(now)).collect();
            all.sort_by_key(|approval| (approval.opened_at, approval.id));
            let place = |approval: &Approval| (approval.opened_at, approval.id);
            let from = after.map(|after| all.iter().find(|one| one.id == after).map(place));
            all.into_iter()
                .filter(|one| stage.is_none_or(|stage| one.stage() == stage))
                .filter(|one| from.is_none_or(|from| from.is_some_and(|from| place(one) > from)))
                .take(limit)
                .collect()
        })
    }

    async fn close_approval(
        &self,
        id: ApprovalId,
        answer: Answer,
        remember: Option<NewRule>,
        record: Record,
    ) -> Result<Closed, StoreError> {
        let now = self.shared.clock.now();
        self.write(record, |rows| {
            let Some(row) = rows.approvals.iter_mut().find(|row| row.approval.id == id) else {
                return (Closed::NotFound, false);
            };
            let is_over = row.approval.expires_at <= now;
            if !row.is_open() || is_over == answer.decision.is_some() {
                return (Closed::Already(Box::new(row.view(now))), false);
            }
            row.approval.answer = Some(answer);
            let closed = Closed::Done(Box::new(row.view(now)));
            if let Some(new) = remember {
                rows.rules.remember(new, now);
            }
            rows.notify_end(id, now);
            (closed, true)
        })
    }

    async fn note_waiters(&self, id: ApprovalId, waiters: u64, at: Timestamp) -> Result<(), StoreError> {
        self.read(|_| ())?;
        let mut rows = self.shared.lock();
        let counts = |row: &&mut Row| row.approval.id == id && row.is_open() != (at == Timestamp::NEVER);
        if let Some(row) = rows.approvals.iter_mut().find(counts) {
            row.waiters.insert(self.owner, (waiters, at));
        }
        Ok(())
    }

    async fn renew_words(&self, at: Timestamp) -> Result<(), StoreError> {
        self.read(|_| ())?;
        let mut rows = self.shared.lock();
        for row in rows.approvals.iter_mut().filter(|row| row.is_open()) {
            row.waiters.entry(self.owner).and_modify(|(_, said)| *said = at.max(*said));
        }
        Ok(())
    }

    async fn uncounted(&self, id: ApprovalId) -> Result<u64, StoreError> {
        let now = self.shared.clock.now();
        let is_awaited = |(waiters, at): &(u64, Timestamp)| *waiters > 0 && *at != Timestamp::NEVER;
        self.read(|rows| {
            let row = rows.approvals.iter().find(|row| row.approval.id == id);
            row.map_or(0, |row| row.believed(now).filter(is_awaited).count() as u64)
        })
    }

    async fn trim_approvals(&self, before: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.read(|_| ())?;
        let mut rows = self.shared.lock();
        let count = rows.approvals.len();
        let is_kept = |row: &Row| row.approval.answer.as_ref().is_none_or(|answer| answer.at >= before);
        rows.approvals.retain(is_kept);
        let dropped = count - rows.approvals.len();
        let Rows { approvals, notices, .. } = &mut *rows;
        notices.retain(|notice| approvals.iter().any(|row| row.approval.id == notice.approval()));
        let ended = rows.rules.retain(|rule| rule.holds_at(now));
        Ok((dropped + ended) as u64)
    }
}

fn open(rows: &mut Rows, owner: OwnerId, new: NewApproval, bounds: OpenBounds, now: Timestamp) -> Opened {
    if let Some(rule) =
        new.remembered_as.and_then(|print| rows.rules.find(&print)).filter(|rule| rule.holds_at(now))
    {
        return Opened::Remembered(Box::new(rule.clone()));
    }
    let is_same = |row: &&Row| row.is_open() && row.key == new.key && now < row.approval.expires_at;
    if let Some(row) = rows.approvals.iter().find(is_same) {
        return Opened::Attached(Box::new(row.view(now)));
    }
    let count = |is: &dyn Fn(&Row) -> bool| rows.approvals.iter().filter(|row| is(row)).count() as u64;
    if count(&|row| row.is_open() && now < row.approval.expires_at) >= bounds.open_max {
        return Opened::TooMany;
    }
    let is_counted = |row: &Row| row.counted_as == new.counted_as && row.approval.opened_at > bounds.since;
    if count(&is_counted) >= bounds.prompts_max {
        return Opened::TooOften;
    }
    let NewApproval { approval, key, counted_as, .. } = new;
    let waiters = BTreeMap::from([(owner, (approval.waiters, now))]);
    rows.approvals.push(Row { approval, key, counted_as, waiters });
    Opened::New
}
