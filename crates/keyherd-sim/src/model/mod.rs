//! The protocol of claim, journal and commit, small enough to be looked through whole.
//!
//! A *row* stands for a chain in the store: its generation, the claim on it, and what is not known about it. The
//! *provider* knows which generation's token is good; one that comes back after it was spent ends the account. A *host*
//! goes through these steps, between any two of which it may stall or die:
//!
//! 1. **Claim.** If no claim stands, the row is well (a refresh) or its outcome is unknown and the owner had its time (a
//!    probe), and this host's journal does not have the answer already.
//! 2. **Send**, if the claim still stands and has not expired: the gate. A claim lives longer than a call may take, so what
//!    was sent has arrived before the claim can expire.
//! 3. **Journal** what the provider granted. From here on a death loses nothing.
//! 4. **Commit**, by compare-and-set on the generation, whoever holds the claim by then. A journal's entry stays until it
//!    is marked, and may be committed again after a death: then the compare-and-set refuses it.
//!
//! A claim that expired is *resolved* by another host: the outcome is unknown. Its owner has a time to come back with the
//! answer; after that one probe is sent. Only a probe may spend a token that was perhaps spent.
//!
//! What holds in every order of steps ([`Rules::Sound`]): no token is replayed blindly; an account is lost only where an
//! answer died unjournaled or its host stayed away for longer than others wait; and everything is resolved in the end.
//! Each other rule set leaves one thing out, and is shown to break one of these. Left out of the model: failovers that lose
//! commits, reconnects, and time in numbers; the simulation has them.

mod steps;
#[cfg(test)]
mod tests;

use stateright::{Model, Property};

/// Which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    Sound,
    /// A claim may expire before what was sent under it arrived, and whoever finds it so refreshes as ever.
    ShortLeaseNoProbe,
    /// A commit takes whatever generation the row has.
    NoCompareAndSet,
    /// An answer goes from memory to the store.
    NoJournal,
    /// An expired claim's token is probed at once.
    NoOwnersTime,
}

/// The protocol on a number of hosts, and how much may go wrong.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    pub(crate) rules: Rules,
    pub(crate) hosts: usize,
    /// Refreshes until the end.
    pub(crate) generations: u8,
    pub(crate) crashes: u8,
    pub(crate) stalls: u8,
    pub(crate) lost_answers: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Doubt {
    None,
    /// It is not known what became of a call. `true`: a probe is allowed.
    Unknown(bool),
    Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) owner: usize,
    pub(crate) has_expired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) generation: u8,
    pub(crate) is_probe: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Down,
    Idle,
    Claimed(Call),
    /// On its way: only where a claim may be shorter than a call.
    Sent(Call),
    /// The provider has dealt with it. `true`: it granted.
    Dealt(Call, bool),
    Answered(Call, bool),
    Unanswered(Call),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Host {
    pub(crate) phase: Phase,
    /// The generation whose answer the journal has, not yet marked as committed.
    pub(crate) journal: Option<u8>,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) generation: u8,
    pub(crate) doubt: Doubt,
    pub(crate) claim: Option<Held>,
    pub(crate) good_token: u8,
    pub(crate) is_ended: bool,
    pub(crate) was_replayed: bool,
    /// An answer died unjournaled, or its host stayed away for too long.
    pub(crate) is_excused: bool,
    pub(crate) hosts: Vec<Host>,
    pub(crate) crashes: u8,
    pub(crate) stalls: u8,
    pub(crate) lost_answers: u8,
}

/// One step of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Claim(usize),
    Send(usize),
    Arrive(usize),
    Receive(usize),
    LoseAnswer(usize),
    Journal(usize),
    Commit(usize),
    Mark(usize),
    Settle(usize),
    Crash(usize),
    Restart(usize),
    Expire,
    Resolve(usize),
    OwnersTimePasses,
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            generation: 0,
            doubt: Doubt::None,
            claim: None,
            good_token: 0,
            is_ended: false,
            was_replayed: false,
            is_excused: false,
            hosts: vec![Host { phase: Phase::Idle, journal: None }; self.hosts],
            crashes: self.crashes,
            stalls: self.stalls,
            lost_answers: self.lost_answers,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for host in 0..self.hosts {
            let own = [
                Step::Claim(host),
                Step::Send(host),
                Step::Arrive(host),
                Step::Receive(host),
                Step::LoseAnswer(host),
                Step::Journal(host),
                Step::Commit(host),
                Step::Mark(host),
                Step::Settle(host),
                Step::Crash(host),
                Step::Restart(host),
                Step::Resolve(host),
            ];
            steps.extend(own.into_iter().filter(|step| self.is_possible(state, *step)));
        }
        let shared = [Step::Expire, Step::OwnersTimePasses];
        steps.extend(shared.into_iter().filter(|step| self.is_possible(state, *step)));
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut next = last.clone();
        self.take(&mut next, step);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no blind replay", |_, state: &State| !state.was_replayed),
            Property::always("no lost rotation", |_, state: &State| !state.is_ended || state.is_excused),
            Property::eventually("resolved", |model: &Self, state: &State| {
                let is_done = state.generation >= model.generations || state.doubt == Doubt::Verdict;
                is_done && state.claim.is_none()
            }),
            Property::sometimes("all is refreshed", |model: &Self, state: &State| {
                state.generation >= model.generations && !state.is_ended
            }),
        ]
    }
}
