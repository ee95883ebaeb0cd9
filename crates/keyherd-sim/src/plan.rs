//! Which faults a seed brings, and how often: each seed has some kinds and not others, so that rare combinations of few
//! faults are not drowned by common ones.
//!
//! Owns the rates and the times of a run. Never acts: the ports do.

use std::time::Duration;

use keyherd_core::broker::Options;
use keyherd_core::refresh::RefreshBounds;

use crate::dice::Dice;

/// A claim's life on the store's clock. It outlives a call's whole time with a wide margin.
pub(crate) const CLAIM_LIFE: Duration = Duration::from_secs(30);
/// The longest that an event becomes visible after one with a higher number.
pub(crate) const LATECOMERS: Duration = Duration::from_secs(2);
/// At worst this long after a commit a host looks at the outbox.
pub(crate) const POLL: Duration = Duration::from_secs(2);
/// The longest that a host stands still: past every claim's expiry.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long others wait for an answer that a vanished host may have.
pub(crate) const OWNER_RECOVERY: Duration = Duration::from_secs(40);
/// How long faults go on.
pub(crate) const CHAOS: Duration = Duration::from_secs(900);
/// How long nothing goes wrong after that, before all must be well.
pub(crate) const CALM: Duration = Duration::from_secs(900);
/// Access tokens live this long.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(90);
/// How long a graceful provider takes a spent token, and so its profile says.
pub(crate) const GRACE: Duration = Duration::from_secs(20);

/// What may go wrong in a run: each number is so many of a thousand steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) hosts: usize,
    pub(crate) crash: u32,
    pub(crate) pause: u32,
    pub(crate) disk_lost: u32,
    pub(crate) store_before: u32,
    pub(crate) store_after: u32,
    pub(crate) store_slow: u32,
    pub(crate) store_down: u32,
    pub(crate) cut_off: u32,
    pub(crate) failover: u32,
    pub(crate) journal_fails: u32,
    pub(crate) notice_lost: u32,
    pub(crate) notice_late: u32,
    pub(crate) coordinator: Coordination,
    pub(crate) coordinator_before: u32,
    pub(crate) coordinator_after: u32,
    pub(crate) coordinator_silent: u32,
    pub(crate) coordinator_flushed: u32,
    pub(crate) shared_copies: bool,
    pub(crate) not_sent: u32,
    pub(crate) answer_lost: u32,
    pub(crate) gateway: u32,
    pub(crate) busy: u32,
    pub(crate) commands: u32,
    pub(crate) people: u32,
    pub(crate) revoked: u32,
    pub(crate) bad_client: u32,
    pub(crate) clock_step: u32,
    /// Hosts judge by clocks of their own, which may be wrong; else by the store's, as a fleet does.
    pub(crate) own_clocks: bool,
}

/// What the coordinator is worth in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Coordination {
    /// There is none: everyone may try.
    #[default]
    None,
    /// It keeps others from trying.
    Honest,
    /// Only hosts with an even number reach it.
    Half,
    /// It says anything.
    Lying,
}

impl Plan {
    /// What this seed brings.
    pub(crate) fn of(dice: &mut Dice, hosts: Option<usize>, fault_free: bool) -> Self {
        let hosts = hosts.unwrap_or_else(|| 2 + dice.below(4));
        if fault_free {
            return Self {
                hosts,
                commands: 60,
                people: 60,
                coordinator: coordination(dice),
                ..Self::default()
            };
        }
        // One seed in four has few faults, so that each stands alone.
        let often = if dice.chance(250) { 150 } else { 500 };
        let mut rate = |most: u32| {
            let rate = 1 + u32::try_from(dice.below(most as usize)).unwrap_or(0);
            if dice.chance(often) { rate } else { 0 }
        };
        let (crash, pause, disk_lost) = (rate(8), rate(8), rate(150));
        let (store_before, store_after, store_slow) = (rate(60), rate(60), rate(60));
        let (store_down, cut_off, journal_fails) = (rate(40), rate(60), rate(100));
        let (notice_lost, notice_late) = (rate(500), rate(300));
        let (coordinator_before, coordinator_after) = (rate(200), rate(200));
        let (coordinator_silent, coordinator_flushed) = (rate(100), rate(60));
        let (not_sent, answer_lost, gateway, busy) = (rate(150), rate(200), rate(150), rate(150));
        let (people, revoked, bad_client, clock_step) = (rate(120), rate(15), rate(15), rate(30));
        let commands = rate(300);
        Self {
            hosts,
            crash,
            pause,
            disk_lost,
            store_before,
            store_after,
            store_slow,
            store_down,
            cut_off,
            failover: if dice.chance(120) { 15 } else { 0 },
            journal_fails: if dice.chance(300) { journal_fails } else { 0 },
            notice_lost,
            notice_late,
            coordinator: coordination(dice),
            coordinator_before,
            coordinator_after,
            coordinator_silent,
            coordinator_flushed,
            shared_copies: dice.chance(300),
            not_sent,
            answer_lost,
            gateway,
            busy,
            commands,
            people,
            revoked,
            bad_client,
            clock_step,
            own_clocks: dice.chance(400),
        }
    }

    /// Nothing goes wrong any more.
    pub(crate) fn calm(&self) -> Self {
        let coordinator = match self.coordinator {
            Coordination::None => Coordination::None,
            _ => Coordination::Honest,
        };
        Self { hosts: self.hosts, shared_copies: self.shared_copies, coordinator, ..Self::default() }
    }
}

fn coordination(dice: &mut Dice) -> Coordination {
    let kinds = [Coordination::None, Coordination::Honest, Coordination::Half, Coordination::Lying];
    kinds[dice.below(kinds.len())]
}

/// The bounds of every host, in proportion to tokens that live for a minute and a half.
pub(crate) fn options() -> Options {
    let seconds = Duration::from_secs;
    let mut options = Options {
        refresh: RefreshBounds {
            min_valid: seconds(5),
            refresh_ahead: seconds(20),
            provider_timeout: seconds(8),
            connect_timeout: seconds(2),
            flight_timeout: seconds(60),
            backoff_max: seconds(10),
            uncertain_backoff_first: seconds(5),
            uncertain_backoff_max: seconds(20),
            owner_recovery: OWNER_RECOVERY,
            verdict_probe_first: seconds(120),
            verdict_probe_max: seconds(240),
            authentication_cooldown: seconds(30),
            ..RefreshBounds::default()
        },
        follow_poll_max: seconds(1),
        ..Options::default()
    };
    options.background.interval = seconds(2);
    options.background.breaker_rest = seconds(20);
    options
}
