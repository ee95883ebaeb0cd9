//! The coordinator as one host sees it: out of reach, silent, failing before or after it did what it was asked; notices
//! that are late or lost, and turns that may be lies.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::ids::ChainId;
use keyherd_core::ports::{Coordinator, Turn};

use super::Seat;
use crate::plan::{Coordination, POLL};
use crate::tally::Event;

/// How long a turn lasts at most.
const TURN_LIFE: Duration = Duration::from_secs(15);
/// How long a silent coordinator lets its callers wait: longer than any of them does.
const SILENCE: Duration = Duration::from_secs(60);

/// What comes of one try to reach the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// There is none for this host.
    Unseen,
    /// It failed, and did nothing.
    FailedBefore,
    /// It did what it was asked, and its answer is lost.
    FailedAfter,
    /// It does not answer, and does nothing.
    Silent,
    Good,
}

impl Contact {
    pub(super) fn takes_effect(self) -> bool {
        matches!(self, Self::FailedAfter | Self::Good)
    }

    pub(super) fn answers(self) -> bool {
        self == Self::Good
    }

    fn event(self) -> Option<Event> {
        match self {
            Self::FailedBefore => Some(Event::CoordinatorBefore),
            Self::FailedAfter => Some(Event::CoordinatorAfter),
            Self::Silent => Some(Event::CoordinatorSilent),
            Self::Unseen | Self::Good => None,
        }
    }
}

impl Seat {
    /// One try to reach the coordinator.
    pub(super) fn contact(&self) -> Contact {
        let mut state = self.world.lock();
        if !state.reaches_coordinator(self.host) {
            if state.plan.coordinator == Coordination::Half {
                state.tally.count(Event::CoordinatorUnseen);
            }
            return Contact::Unseen;
        }
        let plan = &state.plan;
        let faults = [
            (plan.coordinator_before, Contact::FailedBefore),
            (plan.coordinator_after, Contact::FailedAfter),
            (plan.coordinator_silent, Contact::Silent),
        ];
        let struck = faults.into_iter().find(|(rate, _)| state.dice.chance(*rate));
        let contact = struck.map_or(Contact::Good, |(_, contact)| contact);
        if let Some(event) = contact.event() {
            state.tally.count(event);
        }
        contact
    }
}

pub(crate) struct SimCoordinator(pub(crate) Seat);

impl SimCoordinator {
    /// What the coordinator says of a turn, and does about it.
    fn decide(&self, chain: ChainId) -> Turn {
        let seat = &self.0;
        let at = seat.world.at();
        let mut state = seat.world.lock();
        let is_a_lie = state.plan.coordinator == Coordination::Lying && state.dice.chance(500);
        if is_a_lie {
            state.tally.count(Event::CoordinatorLie);
        }
        let held = state.turns.get(&chain).filter(|(owner, until)| *owner != seat.owner && *until > at);
        let turn = if held.is_some() != is_a_lie { Turn::Wait } else { Turn::Try };
        if turn == Turn::Try {
            state.turns.insert(chain, (seat.owner, at + TURN_LIFE));
        }
        turn
    }
}

#[async_trait]
impl Coordinator for SimCoordinator {
    fn announce(&self) {
        let seat = &self.0;
        let mut state = seat.world.lock();
        if !state.runs(seat.host, seat.owner) {
            return;
        }
        let (lost, late) = (state.plan.notice_lost, state.plan.notice_late);
        for host in 0..state.hosts.len() {
            if state.dice.chance(lost) {
                state.tally.count(Event::NoticeLost);
                continue;
            }
            let longest = if state.dice.chance(late) { 5_000 } else { 10 };
            if longest > 10 {
                state.tally.count(Event::NoticeLate);
            }
            let delay = state.dice.millis(0, longest);
            let bell = Arc::clone(&state.hosts[host].bell);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                bell.notify_one();
            });
        }
    }

    async fn changed(&self) {
        let bell = Arc::clone(&self.0.world.lock().hosts[self.0.host].bell);
        let _ = tokio::time::timeout(POLL, bell.notified()).await;
        self.0.held().await;
    }

    /// Who cannot reach it, or has no answer, may try.
    async fn turn(&self, chain: ChainId) -> Turn {
        let seat = &self.0;
        seat.moment("before asking for a turn").await;
        let contact = seat.contact();
        let turn = if contact.takes_effect() { self.decide(chain) } else { Turn::Try };
        if contact == Contact::Silent {
            tokio::time::sleep(SILENCE).await;
        }
        if contact != Contact::Unseen {
            seat.tell(Some(chain), format!("coordinator: {turn:?} ({contact:?})"));
        }
        seat.moment("after asking for a turn").await;
        if contact.answers() { turn } else { Turn::Try }
    }

    async fn done(&self, chain: ChainId) {
        self.0.held().await;
        let contact = self.0.contact();
        if contact == Contact::Silent {
            tokio::time::sleep(SILENCE).await;
        }
        let mut state = self.0.world.lock();
        let is_ours = state.turns.get(&chain).is_some_and(|(owner, _)| *owner == self.0.owner);
        if is_ours && contact.takes_effect() {
            state.turns.remove(&chain);
        }
    }
}
