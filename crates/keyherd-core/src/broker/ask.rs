//! The verb `ask`: one approval for everyone who asks the same, and one answer for all of them.
//!
//! Who asks joins the room that is open for the question in this process; the first one opens the approval in the store,
//! or finds it open there. Each waiter keeps its own deadline, and leaves alone.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Broker;
use super::flight::{Flights, Spawn};
use super::rooms::{NoSeat, Rooms, Seat};
use crate::approval::{Approval, Asked, Decision, Question};
use crate::audit::{Actor, Note};
use crate::ids::{ApprovalId, RuleId};
use crate::policy::Rule;
use crate::ports::StoreError;
use crate::ports::store::{APPROVAL_OPENED, Event, NewApproval, OpenBounds, Opened, Record};
use crate::secret::TokenHash;

/// Those who wait, in this process.
pub(super) const WAITERS: &str = "keyherd_approval_waiters";
/// Prompts about one target are counted over so long.
const MINUTE: Duration = Duration::from_secs(60);
/// How much of a path is told in the log and in events, in characters.
const PATH_SHOWN_MAX: usize = 256;
/// How often somebody may find the room that it was sent to closed, before it is said that the answer was lost.
const TRIES: usize = 8;

/// What somebody asks.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalAsk {
    /// The question.
    pub question: Question,
    /// Whether the same question of others is this one.
    pub coalesces: bool,
    /// The rule that asks, if one does.
    pub rule: Option<RuleId>,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Consent {
    /// The approval has ended: a human answered, or nobody did in time.
    Answered(Arc<Approval>),
    /// An answer of before covers it.
    Remembered(Arc<Rule>),
    /// The caller's own time ended; others wait on. `None`: before the question was open.
    Left(Option<ApprovalId>),
}

impl Consent {
    /// Whether the caller may go.
    pub fn allows(&self) -> bool {
        match self {
            Self::Answered(approval) => approval.answer.as_ref().is_some_and(crate::approval::Answer::allows),
            Self::Remembered(rule) => rule.verdict == crate::policy::Verdict::Allow,
            Self::Left(_) => false,
        }
    }
}

/// Why nobody was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Too many wait for that answer.
    #[error("{0} wait for this answer already, and no more may (waiters_max): try again when it is answered")]
    TooManyWaiters(usize),
    /// Too many approvals are open.
    #[error("{0} approvals are open, and no more may be (open_max): try again when some are answered")]
    TooManyOpen(usize),
    /// A human is not to be asked so often.
    #[error(
        "there were {max} prompts about {about} within a minute, and no more may be (prompts_per_minute): try again later"
    )]
    TooOften {
        /// The bound.
        max: u32,
        /// What prompts are counted by.
        about: String,
    },
    /// This process ends.
    #[error("keyherd is stopping: ask again, the question stays open")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is told to everybody in a room.
#[derive(Debug, Clone)]
pub(super) enum Word {
    /// It has ended.
    Ended(Arc<Approval>),
    /// This process ends.
    Stopping,
}

/// What leads to an answer.
#[derive(Clone)]
pub(super) enum Way {
    /// It waits in this room.
    Room(Arc<Approval>),
    /// It is remembered.
    Remembered(Arc<Rule>),
}

pub(super) type Openings = Flights<TokenHash, Result<Way, AskError>>;
pub(super) type ApprovalRooms = Rooms<TokenHash, ApprovalId, Sign, Word>;
type ApprovalSeat = Seat<TokenHash, ApprovalId, Sign, Word>;

/// An open approval, as its room knows it.
#[derive(Clone)]
pub(super) struct Sign {
    pub(super) approval: Arc<Approval>,
    /// Rung when the room is to look at the store.
    pub(super) look: Arc<Notify>,
    /// How many wait here, as the store was told last.
    pub(super) said: Arc<AtomicU64>,
    /// Whether it was this process that opened it.
    pub(super) is_opener: bool,
}

impl Sign {
    fn new(approval: Approval, is_opener: bool) -> Self {
        let said = Arc::new(AtomicU64::new(if is_opener { approval.waiters } else { 0 }));
        Self { approval: Arc::new(approval), look: Arc::default(), said, is_opener }
    }

    /// Of an approval that this process has just opened.
    pub(super) fn opened(approval: Approval) -> Self {
        Self::new(approval, true)
    }

    /// Of one that was found open.
    pub(super) fn found(approval: Approval) -> Self {
        Self::new(approval, false)
    }
}

/// Questions under way in this process.
pub(super) struct Asking {
    pub(super) rooms: ApprovalRooms,
    /// When this process says next that all it said of waiters holds, in milliseconds of its clock.
    pub(super) renewal_due: AtomicU64,
    openings: Openings,
    looks: Flights<ApprovalId, Result<Option<Approval>, StoreError>>,
}

impl Asking {
    pub(super) fn new(spawn: Spawn) -> Self {
        Self {
            rooms: Rooms::default(),
            renewal_due: AtomicU64::new(0),
            openings: Flights::new(Arc::clone(&spawn)),
            looks: Flights::new(spawn),
        }
    }
}

impl Broker {
    /// Asks, and waits for the answer, at most so long.
    pub async fn ask(&self, ask: ApprovalAsk, wait: Duration, actor: &Actor) -> Result<Consent, AskError> {
        let begun = self.0.ports.clock.uptime();
        // On the heap, and gone when the seat is there: what waits is small.
        let taking = timeout(wait, Box::pin(self.take_seat(ask, actor)));
        let (id, seat) = match taking.await {
            Err(_elapsed) => return Ok(Consent::Left(None)),
            Ok(taken) => match taken? {
                (Way::Remembered(rule), _) => return Ok(Consent::Remembered(rule)),
                (Way::Room(approval), Some(seat)) => (approval.id, seat),
                (Way::Room(approval), None) => return Ok(Consent::Answered(approval)),
            },
        };
        let _counted = Counted::new();
        let left = wait.saturating_sub(self.0.ports.clock.uptime().saturating_sub(begun));
        match timeout(left, seat.told()).await {
            Ok(Some(Word::Ended(approval))) => Ok(Consent::Answered(approval)),
            Ok(Some(Word::Stopping) | None) => Err(AskError::Stopping),
            Err(_elapsed) => Ok(Consent::Left(Some(id))),
        }
    }

    /// Asks and does not wait: the approval as it is now, open or answered. The caller comes back for the answer.
    pub async fn open(&self, ask: ApprovalAsk, actor: &Actor) -> Result<Consent, AskError> {
        let max = self.0.options.approvals.waiters_max;
        for _ in 0..TRIES {
            let approval = match self.way(&ask, actor).await? {
                Way::Room(approval) => approval,
                Way::Remembered(rule) => return Ok(Consent::Remembered(rule)),
            };
            if !self.is_still_open(approval.id).await? {
                continue;
            }
            match self.0.asking.rooms.leave_word(approval.id, max) {
                Ok(()) => {
                    metrics::gauge!(WAITERS).increment(1.0);
                    let waiters = self.0.asking.rooms.count(approval.id).unwrap_or(1) as u64;
                    let waiters = waiters.max(approval.waiters);
                    return Ok(Consent::Answered(Arc::new(Approval { waiters, ..(*approval).clone() })));
                }
                Err(NoSeat::Full) => return Err(AskError::TooManyWaiters(max)),
                // Answered in between: the same question asks anew.
                Err(NoSeat::NoRoom) => {}
            }
        }
        Err(AskError::Stopping)
    }

    /// Tells everybody who waits that this process ends, and asks nobody any more: the first step of an end, before
    /// requests that are under way are waited for. Approvals stay open in the store.
    pub fn stop_asking(&self) {
        self.0.hush.cancel();
    }

    /// Whether no other process has answered it, which may not have been told here yet: who does not wait would be shown an
    /// approval that has ended. One look for all who ask at once.
    async fn is_still_open(&self, id: ApprovalId) -> Result<bool, AskError> {
        let broker = self.clone();
        let look = move || async move { broker.0.ports.store.approval(id).await };
        let (looked, _) = self.0.asking.looks.board(id, look);
        let found = looked.await.unwrap_or_else(|lost| Err(StoreError::Unavailable(lost.to_string())))?;
        match found {
            Some(ended) if ended.answer.is_some() => {
                if ended
                    .answer
                    .as_ref()
                    .and_then(|answer| answer.decision)
                    .is_some_and(Decision::is_remembered)
                {
                    self.0.policy.changed();
                }
                self.release(&ended).await;
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    async fn take_seat(
        &self,
        ask: ApprovalAsk,
        actor: &Actor,
    ) -> Result<(Way, Option<ApprovalSeat>), AskError> {
        let max = self.0.options.approvals.waiters_max;
        for _ in 0..TRIES {
            let way = self.way(&ask, actor).await?;
            let Way::Room(approval) = &way else { return Ok((way, None)) };
            match self.0.asking.rooms.sit(approval.id, max) {
                Ok(seat) => return Ok((way, Some(seat))),
                Err(NoSeat::Full) => return Err(AskError::TooManyWaiters(max)),
                Err(NoSeat::NoRoom) => {}
            }
        }
        Err(AskError::Stopping)
    }

    /// Where the answer will come from: the open room, or what the store makes of the question, once for all who ask.
    async fn way(&self, ask: &ApprovalAsk, actor: &Actor) -> Result<Way, AskError> {
        if self.0.hush.is_cancelled() {
            return Err(AskError::Stopping);
        }
        let same = ask.question.remembered_as(&self.0.ports.hasher);
        if ask.coalesces
            && let Some(open) = self.0.asking.rooms.of(&same)
        {
            return Ok(Way::Room(open.approval));
        }
        let id = ApprovalId::of_random(self.0.ports.entropy.id());
        let alone = || self.0.ports.hasher.labelled(b"alone", &id.as_i64().to_be_bytes());
        let key = if ask.coalesces { same } else { alone() };
        let (broker, ask, actor) = (self.clone(), ask.clone(), actor.clone());
        let opening = move || async move { broker.open_in_store(id, key, same, ask, actor).await };
        let (way, _) = self.0.asking.openings.board(key, opening);
        way.await.unwrap_or(Err(AskError::Stopping))
    }

    async fn open_in_store(
        &self,
        id: ApprovalId,
        key: TokenHash,
        same: TokenHash,
        ask: ApprovalAsk,
        actor: Actor,
    ) -> Result<Way, AskError> {
        let bounds = &self.0.options.approvals;
        let now = self.now();
        let is_remembered = ask.coalesces || ask.question.is_named();
        let approval = Approval {
            id,
            coalesces: ask.coalesces,
            rule: ask.rule,
            // Whoever asks: others may answer before this process has said how many there are.
            waiters: 1,
            opened_at: now,
            expires_at: now + bounds.timeout,
            answer: None,
            question: ask.question,
        };
        let counted_as = approval.question.counted_as();
        let record = opening(&approval, &actor);
        let new = NewApproval {
            key,
            remembered_as: is_remembered.then_some(same),
            counted_as: counted_as.clone(),
            approval: approval.clone(),
        };
        let open_bounds = OpenBounds {
            open_max: bounds.open_max as u64,
            since: now - MINUTE,
            prompts_max: bounds.prompts_per_minute.into(),
        };
        // Before the approval is there: so that no answer goes by unheard.
        self.watching().await;
        match self.0.ports.store.open_approval(new, open_bounds, record).await? {
            Opened::New => {
                self.0.ports.coordinator.announce();
                Ok(Way::Room(self.keep_room(Sign::opened(approval), key)))
            }
            Opened::Attached(open) => {
                let open = self.keep_room(Sign::found(*open), key);
                self.say_how_many(open.id, 1).await;
                Ok(Way::Room(open))
            }
            Opened::Remembered(rule) => Ok(Way::Remembered(Arc::new(*rule))),
            Opened::TooMany => Err(AskError::TooManyOpen(bounds.open_max)),
            Opened::TooOften => Err(AskError::TooOften { max: bounds.prompts_per_minute, about: counted_as }),
        }
    }
}

/// A waiter in the gauge, until it goes, whichever way.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!(WAITERS).increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!(WAITERS).decrement(1.0);
    }
}

fn opening(approval: &Approval, actor: &Actor) -> Record {
    let subject = approval.id.to_string();
    let detail = told_of(&approval.question);
    Record {
        note: Note {
            action: "approval.open",
            actor: actor.clone(),
            subject: subject.clone(),
            detail: detail.clone(),
        },
        event: Some(Event { kind: APPROVAL_OPENED, chain: None, subject, detail }),
    }
}

/// A question for the log and for events. What a tool gate shows to humans may hold anything, and is not repeated: the
/// approval has it.
pub(super) fn told_of(question: &Question) -> Value {
    let agent = question.agent.as_str();
    match &question.asked {
        Asked::Target { host, port, method, path } => {
            json!({"agent": agent, "host": **host, "port": port, "method": method.as_deref(), "path": path.as_deref().map(clipped)})
        }
        Asked::Outside { key, text: _ } => json!({"agent": agent, "key": key.as_deref()}),
    }
}

/// A path may be as long as a request's head.
fn clipped(path: &str) -> String {
    path.chars().filter(|c| !c.is_control()).take(PATH_SHOWN_MAX).collect()
}
