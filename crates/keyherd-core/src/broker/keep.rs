//! Looking after open approvals: each room of this process looks at the store until its approval has ended, and says how
//! many wait there; what nobody waits for ends in time all the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Broker;
use super::ask::{Sign, WAITERS, Word};
use crate::approval::{Answer, Approval, Decision, Stage};
use crate::ids::ApprovalId;
use crate::ports::StoreError;
use crate::ports::store::{APPROVAL_ANSWERED, RULES_CHANGED, StoredEvent};
use crate::secret::TokenHash;
use crate::spell::Spell;
use crate::time::Timestamp;

/// How often a room says how many wait there, where their number changes.
const SAY_EVERY: Duration = Duration::from_millis(500);
/// How often it says so where it does not: a store that failed over may have lost it.
const SAY_AGAIN: u32 = 20;
/// How often this process says that all it said holds, for all rooms at once.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How often it looks at the store without being told to.
const LOOK_EVERY: u32 = 10;
/// How long whoever answered waits for the other processes to say how many they released: for show, so that nobody notices.
const COUNTED_MAX: Duration = Duration::from_millis(100);
/// How long it waits for the count itself after that.
const COUNT_READ_MAX: Duration = Duration::from_millis(100);
/// The first sleep between two looks at that; doubled each time.
const COUNT_FIRST: Duration = Duration::from_millis(10);
/// How often a process in the background looks for approvals whose time has ended.
const EXPIRE_EVERY: Duration = Duration::from_secs(2);
/// Approvals ended in one go.
const EXPIRE_MAX: usize = 1_000;

impl super::ask::Asking {
    fn closed(&self, id: ApprovalId) -> impl Future<Output = ()> + use<> {
        let told = self.rooms.told(id);
        async move {
            if let Some(told) = told {
                let _ = told.await;
            }
        }
    }

    /// Whether it is time to say that all that was said holds; so for the one who asks first.
    fn is_renewal_due(&self, uptime: Duration) -> bool {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (due, next) = (self.renewal_due.load(Ordering::Relaxed), millis(uptime + RENEW_EVERY));
        millis(uptime) >= due
            && self.renewal_due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Broker {
    /// The room of an open approval; somebody looks after it.
    pub(super) fn keep_room(&self, sign: Sign, key: TokenHash) -> Arc<Approval> {
        let approval = Arc::clone(&sign.approval);
        let (_, is_new) = self.0.asking.rooms.open(approval.id, &key, sign.clone());
        if is_new {
            let broker = self.clone();
            self.0.tasks.spawn(async move { broker.look_after(&sign).await });
        }
        approval
    }

    /// Tells everybody in a room, and then the store how many they were: whoever answered could only know how many this
    /// process had said. Best effort: it is for show.
    pub(super) async fn tell_room(&self, id: ApprovalId, word: Word) {
        let ended = if let Word::Ended(approval) = &word { Some(Arc::clone(approval)) } else { None };
        let Some(released) = self.0.asking.rooms.close(id, word) else { return };
        let left_word = u32::try_from(released.left_word).unwrap_or(u32::MAX);
        metrics::gauge!(WAITERS).decrement(f64::from(left_word));
        if let Some(ended) = &ended
            && released.sign.is_opener
        {
            super::answer::count_what_no_other_process_shows(ended);
        }
        let count = released.count as u64;
        if count == 0 && released.sign.said.load(Ordering::Relaxed) == 0 {
            return;
        }
        // Where this process ends, nobody waits with it any more.
        let (waiters, at) = if ended.is_some() { (count, Timestamp::NEVER) } else { (0, self.now()) };
        let broker = self.clone();
        // Also where whoever has answered does not wait for it.
        let noting = self.0.tasks.spawn(async move { broker.note_waiters(id, waiters, at).await });
        let _ = noting.await;
    }

    /// Until the approval has ended, or this process does.
    async fn look_after(&self, sign: &Sign) {
        let closed = self.0.asking.closed(sign.approval.id);
        let ended = tokio::select! {
            biased;
            () = closed => return,
            () = self.0.hush.cancelled() => Word::Stopping,
            ended = self.until_ended(sign) => Word::Ended(ended),
        };
        self.tell_room(sign.approval.id, ended).await;
    }

    async fn until_ended(&self, Sign { approval, look, said, .. }: &Sign) -> Arc<Approval> {
        let unread = Spell::default();
        let mut round = 0_u32;
        loop {
            let rest = SAY_EVERY.min(self.now().until(approval.expires_at)).max(Duration::from_millis(1));
            let is_told = tokio::select! {
                () = look.notified() => true,
                () = sleep(rest) => false,
            };
            round = round.wrapping_add(1);
            let is_over = approval.expires_at <= self.now();
            let looked = if is_over {
                self.end_in_time(approval.id).await
            } else if is_told || round.is_multiple_of(LOOK_EVERY) {
                self.0.ports.store.approval(approval.id).await
            } else {
                Ok(Some((**approval).clone()))
            };
            match looked {
                Ok(Some(ended)) if ended.answer.is_some() => return Arc::new(ended),
                Ok(Some(_)) => drop(unread.over()),
                // Gone, or the store is: whoever waits here has waited long enough.
                Ok(None) => return Arc::new(self.unanswered(approval)),
                Err(_) if is_over => return Arc::new(self.unanswered(approval)),
                Err(error) => {
                    if unread.failed() {
                        tracing::warn!(%error, approval = %approval.id, "an open approval cannot be looked at");
                    }
                }
            }
            let waiters = self.0.asking.rooms.count(approval.id).map(|count| count as u64);
            if waiters != Some(said.load(Ordering::Relaxed)) || round.is_multiple_of(SAY_AGAIN) {
                self.say_how_many(approval.id, 0).await;
            }
            if said.load(Ordering::Relaxed) > 0 && self.0.asking.is_renewal_due(self.0.ports.clock.uptime()) {
                self.renew_words().await;
            }
        }
    }

    /// Its time is over: as it stands in the store, which knows how many wait with other processes.
    async fn end_in_time(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        match self.0.ports.store.approval(id).await? {
            Some(open) if open.answer.is_none() => self.time_out(&open).await,
            ended => Ok(ended),
        }
    }

    /// A deny by time that the store could not be told of.
    fn unanswered(&self, approval: &Approval) -> Approval {
        let answer = Answer { decision: None, until: None, by: None, at: self.now() };
        Approval { answer: Some(answer), ..approval.clone() }
    }

    /// Tells the store how many wait here. `least`: so many are about to.
    pub(super) async fn say_how_many(&self, id: ApprovalId, least: u64) {
        let rooms = &self.0.asking.rooms;
        let (Some(sign), Some(count)) = (rooms.sign(id), rooms.count(id)) else { return };
        let waiters = least.max(count as u64);
        if self.note_waiters(id, waiters, self.now()).await {
            sign.said.store(waiters, Ordering::Relaxed);
        }
    }

    async fn note_waiters(&self, id: ApprovalId, waiters: u64, at: Timestamp) -> bool {
        let noted = self.0.ports.store.note_waiters(id, waiters, at).await;
        if let Err(error) = &noted {
            tracing::debug!(%error, "the number of waiters cannot be told");
        }
        noted.is_ok()
    }

    /// All that this process said of its waiters holds: one statement, whichever of its rooms finds it due.
    async fn renew_words(&self) {
        if let Err(error) = self.0.ports.store.renew_words(self.now()).await {
            tracing::debug!(%error, "it cannot be told that waiters wait on");
        }
    }

    /// An approval that was just answered, when every process has said how many it released, or at last after a moment:
    /// one that died says nothing.
    pub(super) async fn when_counted(&self, answered: Approval) -> Approval {
        let store = &self.0.ports.store;
        let counting = async {
            let mut rest = COUNT_FIRST;
            while store.uncounted(answered.id).await.is_ok_and(|processes| processes > 0) {
                sleep(rest).await;
                rest *= 2;
            }
        };
        let _ = timeout(COUNTED_MAX, counting).await;
        let counted = timeout(COUNT_READ_MAX, store.approval(answered.id)).await;
        counted.ok().and_then(Result::ok).flatten().unwrap_or(answered)
    }

    /// One approval as it stands. What is over is ended first.
    pub async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        let found = self.0.ports.store.approval(id).await?;
        match found {
            Some(open) if self.is_over(&open) => Ok(self.time_out(&open).await?.or(Some(open))),
            found => Ok(found.map(|approval| self.counted(approval))),
        }
    }

    /// The same, when it has ended, or at last after so long.
    pub async fn approval_ended(
        &self,
        id: ApprovalId,
        wait: Duration,
    ) -> Result<Option<Approval>, StoreError> {
        self.watch();
        let found = self.approval(id).await?;
        let Some(open) = found.filter(|approval| approval.answer.is_none() && !wait.is_zero()) else {
            return self.approval(id).await;
        };
        let key = if open.coalesces {
            open.question.remembered_as(&self.0.ports.hasher)
        } else {
            self.0.ports.hasher.labelled(b"alone", &id.as_i64().to_be_bytes())
        };
        self.keep_room(Sign::found(open), key);
        let told = self.0.asking.rooms.told(id);
        let Some(told) = told else { return self.approval(id).await };
        match timeout(wait, told).await {
            Ok(Some(Word::Ended(approval))) => Ok(Some((*approval).clone())),
            _ => self.approval(id).await,
        }
    }

    /// Approvals in that stage, or all of them, the oldest first. What is over is ended first.
    pub async fn approvals(
        &self,
        stage: Option<Stage>,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> Result<super::Page<Approval>, StoreError> {
        let limit = limit.clamp(1, super::PAGE_MAX);
        let mut items = self.0.ports.store.approvals(stage, after, limit + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| last.id.to_string());
        let mut shown = Vec::with_capacity(items.len());
        for item in items {
            if self.is_over(&item) {
                let ended = self.time_out(&item).await?.unwrap_or(item);
                shown.extend(Some(ended).filter(|ended| stage.is_none_or(|stage| ended.stage() == stage)));
            } else {
                shown.push(self.counted(item));
            }
        }
        Ok(super::Page { items: shown, next })
    }

    /// What others said of their waiters may be a moment old; those here are known.
    pub(super) fn counted(&self, approval: Approval) -> Approval {
        let here = self.0.asking.rooms.count(approval.id).map_or(0, |count| count as u64);
        if approval.answer.is_some() {
            approval
        } else {
            Approval { waiters: approval.waiters.max(here), ..approval }
        }
    }

    fn is_over(&self, approval: &Approval) -> bool {
        approval.answer.is_none() && approval.expires_at <= self.now()
    }

    /// For a process that stays: ends what nobody waits for here, and drops what ended long ago.
    pub(super) async fn keep_ending(&self) {
        let unread = Spell::default();
        loop {
            match self.end_overdue().await {
                Ok(()) => drop(unread.over()),
                Err(error) if unread.failed() => {
                    tracing::warn!(%error, "approvals cannot be ended in time");
                }
                Err(_) => {}
            }
            sleep(EXPIRE_EVERY).await;
        }
    }

    async fn end_overdue(&self) -> Result<(), StoreError> {
        for open in self.0.ports.store.approvals(Some(Stage::Open), None, EXPIRE_MAX).await? {
            if self.is_over(&open) {
                self.time_out(&open).await?;
            }
        }
        Ok(())
    }

    /// Drops approvals that ended long ago, and remembered answers that hold no more.
    pub(super) async fn trim_approvals(&self) -> Result<u64, StoreError> {
        let now = self.now();
        self.0.ports.store.trim_approvals(now - self.0.options.approvals.keep, now).await
    }

    /// Something was told of approvals or rules: the approval's room looks, and rules are read anew.
    pub(super) fn heard_of_asking(&self, event: &StoredEvent) {
        let is_answer = event.kind == APPROVAL_ANSWERED;
        let is_change = matches!(event.kind.as_str(), RULES_CHANGED | "agent_revoked");
        if event.kind == "agent_revoked" {
            // What it has asked has ended.
            self.missed_of_asking();
        }
        if is_change || (is_answer && is_remembered(event)) {
            self.0.policy.changed();
        }
        if let Some(sign) = ApprovalId::parse(&event.subject).and_then(|id| self.0.asking.rooms.sign(id)) {
            sign.look.notify_one();
        }
    }

    /// Something may have been told that was not heard.
    pub(super) fn missed_of_asking(&self) {
        self.0.policy.changed();
        self.0.errands.something_is_due();
        self.0.errands.channels_changed();
        for sign in self.0.asking.rooms.signs() {
            sign.look.notify_one();
        }
    }
}

/// Whether the answer is about later requests too; so it is taken to be where that cannot be read.
fn is_remembered(event: &StoredEvent) -> bool {
    let detail = serde_json::from_str::<serde_json::Value>(&event.detail).unwrap_or_default();
    let decision = detail.get("decision").and_then(|word| word.as_str());
    match decision {
        Some(word) => Decision::parse(word).is_some_and(Decision::is_remembered),
        None => true,
    }
}
