//! How often each thing really happened: a fault that never strikes proves nothing.
//!
//! Owns the list of what is counted. Never draws from the dice, so that counting changes no run.

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A process died between two steps.
    Crash,
    /// It held a claim.
    CrashInClaim,
    /// Its disk went with it.
    DiskLost,
    /// A command ran beside the process that stays on its host.
    Command,
    /// It ended, and its host's journal had what the store had not.
    CommandLeft,
    /// A host stood still.
    Pause,
    /// For longer than the claim lives that it held.
    PausePastExpiry,
    /// A call of the store failed before it took effect.
    StoreBefore,
    /// A call of the store took effect, and its answer was lost.
    StoreAfter,
    /// That call changed something.
    WriteUnanswered,
    /// A claim took effect after its asker was told that the answer is lost.
    ClaimLate,
    /// The store was slow.
    StoreSlow,
    /// The store was down for all.
    StoreDown,
    /// One host was cut off from the store.
    CutOff,
    /// The store failed over to a standby that lagged.
    Failover,
    /// A chain's row went back by that.
    CommitLost,
    /// A journal had no room.
    JournalFull,
    /// The coordinator failed before it did what it was asked.
    CoordinatorBefore,
    /// It did, and its answer was lost.
    CoordinatorAfter,
    /// It never answered.
    CoordinatorSilent,
    /// It was out of this host's reach, while others reached it.
    CoordinatorUnseen,
    /// It said what is not so.
    CoordinatorLie,
    /// It forgot everything.
    CoordinatorFlushed,
    /// A notice was lost.
    NoticeLost,
    /// A notice came late.
    NoticeLate,
    /// A request did not reach the provider's door.
    NotSent,
    /// No answer in time; the provider never saw the request.
    TimeoutBefore,
    /// No answer in time; the provider had rotated.
    TimeoutAfter,
    /// A gateway answered; the provider never saw the request.
    GatewayBefore,
    /// A gateway answered; the provider had rotated.
    GatewayAfter,
    /// The answer broke off.
    Truncated,
    /// The provider had no time.
    Busy,
    /// Somebody logged in again.
    Reconnect,
    /// While that chain's token was under way.
    ReconnectInFlight,
    /// Somebody switched a credential off.
    Disable,
    /// While its token was under way.
    DisableInFlight,
    /// Somebody removed a credential, and made another one of that name.
    Replaced,
    /// The account's owner took the consent back.
    Revoked,
    /// The client's secret was another one for a while.
    ClientChanged,
    /// A host's clock was set wrong.
    ClockWrong,
    /// By more than a minute.
    ClockWrongByMinutes,
    /// A claim was found without an owner.
    Ownerless,
    /// A token of unknown outcome was probed.
    Probe,
    /// Nothing was sent, because the claim might have ended.
    GateShut,
    /// An answer was committed by another process than the one that got it.
    Recovered,
    /// An answer was found in the coordinator's copy.
    CopyFound,
}

impl Event {
    /// All of them, in the order in which they are shown, with their names.
    pub const ALL: [(Self, &'static str); 46] = [
        (Self::Crash, "process died"),
        (Self::CrashInClaim, "  holding a claim"),
        (Self::DiskLost, "  and its disk with it"),
        (Self::Command, "command beside the host's process"),
        (Self::CommandLeft, "  ended while the store lacked its answer"),
        (Self::Pause, "host paused"),
        (Self::PausePastExpiry, "  past the expiry of a claim it held"),
        (Self::StoreBefore, "store error before taking effect"),
        (Self::StoreAfter, "store error after taking effect"),
        (Self::WriteUnanswered, "  of a write"),
        (Self::ClaimLate, "  before taking effect, of a claim"),
        (Self::StoreSlow, "store slow"),
        (Self::StoreDown, "store down"),
        (Self::CutOff, "one host cut off from the store"),
        (Self::Failover, "store failed over"),
        (Self::CommitLost, "  and a chain's commits were lost"),
        (Self::JournalFull, "journal without room"),
        (Self::CoordinatorBefore, "coordinator error before taking effect"),
        (Self::CoordinatorAfter, "coordinator error after taking effect"),
        (Self::CoordinatorSilent, "coordinator silent"),
        (Self::CoordinatorUnseen, "coordinator unseen by this half"),
        (Self::CoordinatorLie, "coordinator lied"),
        (Self::CoordinatorFlushed, "coordinator flushed"),
        (Self::NoticeLost, "notice lost"),
        (Self::NoticeLate, "notice late"),
        (Self::NotSent, "request not sent"),
        (Self::TimeoutBefore, "timeout before rotating"),
        (Self::TimeoutAfter, "timeout after rotating"),
        (Self::GatewayBefore, "gateway's answer before rotating"),
        (Self::GatewayAfter, "gateway's answer after rotating"),
        (Self::Truncated, "answer broke off"),
        (Self::Busy, "provider busy"),
        (Self::Reconnect, "reconnect"),
        (Self::ReconnectInFlight, "  during a call"),
        (Self::Disable, "disable"),
        (Self::DisableInFlight, "  during a call"),
        (Self::Replaced, "removed, and made anew"),
        (Self::Revoked, "consent taken back"),
        (Self::ClientChanged, "client's secret changed"),
        (Self::ClockWrong, "clock wrong"),
        (Self::ClockWrongByMinutes, "  by more than a minute"),
        (Self::Ownerless, "claim found without an owner"),
        (Self::Probe, "probe of an unknown outcome"),
        (Self::GateShut, "gate shut, nothing sent"),
        (Self::Recovered, "answer committed from a journal"),
        (Self::CopyFound, "answer found in the coordinator's copy"),
    ];
}

/// How often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally([u64; Event::ALL.len()]);

impl Default for Tally {
    fn default() -> Self {
        Self([0; Event::ALL.len()])
    }
}

impl Tally {
    pub(crate) fn count(&mut self, event: Event) {
        self.0[event as usize] += 1;
    }

    /// How often it happened.
    pub fn of(&self, event: Event) -> u64 {
        self.0[event as usize]
    }

    /// Takes another run's counts in.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}
