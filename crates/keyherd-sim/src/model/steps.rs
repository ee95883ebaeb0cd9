//! When each step is possible, and what it does.

use super::{Call, Doubt, Held, Host, Phase, Protocol, Rules, State, Step};

impl Protocol {
    pub(super) fn is_possible(&self, state: &State, step: Step) -> bool {
        match step {
            Step::Claim(host) => self.may_claim(state, host),
            Step::Send(host) => matches!(state.hosts[host].phase, Phase::Claimed(_)),
            Step::Arrive(host) => matches!(state.hosts[host].phase, Phase::Sent(_)),
            Step::Receive(host) => matches!(state.hosts[host].phase, Phase::Dealt(..)),
            Step::LoseAnswer(host) => {
                state.lost_answers > 0 && matches!(state.hosts[host].phase, Phase::Dealt(..))
            }
            Step::Journal(host) => matches!(state.hosts[host].phase, Phase::Answered(_, true)),
            Step::Commit(host) => state.hosts[host].phase == Phase::Idle && self.may_commit(state, host),
            Step::Mark(host) => {
                let Host { phase, journal } = state.hosts[host];
                phase == Phase::Idle && journal.is_some_and(|generation| generation < state.generation)
            }
            Step::Settle(host) => {
                matches!(state.hosts[host].phase, Phase::Answered(_, false) | Phase::Unanswered(_))
            }
            Step::Crash(host) => state.crashes > 0 && state.hosts[host].phase != Phase::Down,
            Step::Restart(host) => state.hosts[host].phase == Phase::Down,
            Step::Expire => self.may_expire(state),
            Step::Resolve(host) => {
                let is_up = state.hosts[host].phase == Phase::Idle;
                let is_known_here = state.hosts[host].journal == Some(state.generation);
                is_up && !is_known_here && state.claim.is_some_and(|held| held.has_expired)
            }
            Step::OwnersTimePasses => {
                // Who is up and has the answer brings it in time, unless it is stalled.
                let is_coming = (0..self.hosts).any(|host| is_up_with_answer(state, host));
                state.doubt == Doubt::Unknown(false)
                    && state.claim.is_none()
                    && (!is_coming || state.stalls > 0)
            }
        }
    }

    fn may_claim(&self, state: &State, host: usize) -> bool {
        let Host { phase, journal } = state.hosts[host];
        let is_known_here = journal == Some(state.generation);
        let is_wanted =
            state.generation < self.generations && matches!(state.doubt, Doubt::None | Doubt::Unknown(true));
        phase == Phase::Idle && state.claim.is_none() && is_wanted && !is_known_here
    }

    fn may_commit(&self, state: &State, host: usize) -> bool {
        state.hosts[host].journal.is_some_and(|generation| match self.rules {
            Rules::NoCompareAndSet => generation != state.generation.wrapping_sub(1),
            _ => generation == state.generation,
        })
    }

    /// A claim expires where its owner is down, or stalls; but not while what it sent is on its way.
    fn may_expire(&self, state: &State) -> bool {
        let Some(held) = state.claim.filter(|held| !held.has_expired) else { return false };
        match state.hosts[held.owner].phase {
            Phase::Down | Phase::Idle => true,
            _ => state.stalls > 0,
        }
    }

    pub(super) fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::Claim(host) => {
                let is_probe = state.doubt != Doubt::None;
                state.claim = Some(Held { owner: host, has_expired: false });
                state.hosts[host].phase = Phase::Claimed(Call { generation: state.generation, is_probe });
            }
            Step::Send(host) => self.send(state, host),
            Step::Arrive(host) => arrive(state, host),
            Step::Receive(host) => {
                if let Phase::Dealt(call, is_granted) = state.hosts[host].phase {
                    state.hosts[host].phase = Phase::Answered(call, is_granted);
                }
            }
            Step::LoseAnswer(host) => {
                if let Phase::Dealt(call, is_granted) = state.hosts[host].phase {
                    state.lost_answers -= 1;
                    state.is_excused |= is_granted;
                    state.hosts[host].phase = Phase::Unanswered(call);
                }
            }
            Step::Journal(host) => {
                if let Phase::Answered(call, true) = state.hosts[host].phase {
                    state.hosts[host] = Host { phase: Phase::Idle, journal: Some(call.generation) };
                }
            }
            Step::Commit(host) => {
                if let Some(generation) = state.hosts[host].journal {
                    (state.generation, state.doubt, state.claim) = (generation + 1, Doubt::None, None);
                }
            }
            Step::Mark(host) => state.hosts[host].journal = None,
            Step::Settle(host) => settle(state, host),
            Step::Crash(host) => self.crash(state, host),
            Step::Restart(host) => state.hosts[host].phase = Phase::Idle,
            Step::Expire => expire(state),
            Step::Resolve(_) => {
                state.claim = None;
                state.doubt = match self.rules {
                    Rules::ShortLeaseNoProbe => Doubt::None,
                    Rules::NoOwnersTime => Doubt::Unknown(true),
                    _ => Doubt::Unknown(false),
                };
            }
            Step::OwnersTimePasses => {
                let is_coming = (0..self.hosts).any(|host| is_up_with_answer(state, host));
                state.stalls -= u8::from(is_coming);
                let has_answer = |host: &Host| host.journal == Some(state.generation);
                state.is_excused |= is_coming || state.hosts.iter().any(has_answer);
                state.doubt = Doubt::Unknown(true);
            }
        }
    }

    fn send(&self, state: &mut State, host: usize) {
        let Phase::Claimed(call) = state.hosts[host].phase else { return };
        let stands = state.claim.is_some_and(|held| held.owner == host && !held.has_expired);
        if !stands || state.generation != call.generation {
            state.hosts[host].phase = Phase::Idle;
            return;
        }
        state.hosts[host].phase = Phase::Sent(call);
        if self.rules != Rules::ShortLeaseNoProbe {
            arrive(state, host);
        }
    }

    fn crash(&self, state: &mut State, host: usize) {
        state.crashes -= 1;
        let Host { phase, journal } = &mut state.hosts[host];
        if matches!(phase, Phase::Dealt(_, true) | Phase::Answered(_, true)) {
            state.is_excused = true;
        }
        *phase = Phase::Down;
        if self.rules == Rules::NoJournal {
            *journal = None;
        }
    }
}

/// The provider deals with what was sent: a token that comes back ends the account.
fn arrive(state: &mut State, host: usize) {
    let Phase::Sent(call) = state.hosts[host].phase else { return };
    let is_granted = call.generation == state.good_token && !state.is_ended;
    if is_granted {
        state.good_token += 1;
    } else if call.generation < state.good_token {
        state.is_ended = true;
        state.was_replayed |= !call.is_probe;
    }
    state.hosts[host].phase = Phase::Dealt(call, is_granted);
}

/// What is not a grant is recorded under the claim, if it is still this host's.
fn settle(state: &mut State, host: usize) {
    let is_ours = state.claim.is_some_and(|held| held.owner == host);
    match state.hosts[host].phase {
        Phase::Answered(call, false) if is_ours && call.generation == state.generation => {
            (state.doubt, state.claim) = (Doubt::Verdict, None);
        }
        Phase::Unanswered(call) if is_ours && call.generation == state.generation => {
            (state.doubt, state.claim) = (Doubt::Unknown(true), None);
        }
        _ => {}
    }
    state.hosts[host].phase = Phase::Idle;
}

fn expire(state: &mut State) {
    let Some(held) = &mut state.claim else { return };
    held.has_expired = true;
    if !matches!(state.hosts[held.owner].phase, Phase::Down | Phase::Idle) {
        state.stalls -= 1;
    }
}

fn is_up_with_answer(state: &State, host: usize) -> bool {
    let Host { phase, journal } = state.hosts[host];
    let is_in_memory = matches!(phase,
        Phase::Dealt(call, true) | Phase::Answered(call, true) if call.generation == state.generation);
    is_in_memory || (phase != Phase::Down && journal == Some(state.generation))
}
