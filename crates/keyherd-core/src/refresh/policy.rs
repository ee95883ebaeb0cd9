//! What a caller wants of a refresh, and the bounds that all refreshes keep.

use std::time::Duration;

use crate::provider::{Profile, Rotates};
use crate::secret::Secret;

/// Who asks: someone who waits for the token, or the sweep that keeps tokens fresh ahead of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Waits for a flight of another process; gets the still-valid token where a refresh fails.
    Foreground,
    /// Leaves a chain alone that another process is at; a failure is only remembered.
    Background,
}

/// One caller's question.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Who asks.
    pub policy: Policy,
    /// How long the token must live on; `None`: the policy's own window.
    pub min_valid: Option<Duration>,
    /// An access token that upstream refused: never given back.
    pub rejected: Option<Secret>,
    /// Refresh although the token is valid (coalesced, see [`RefreshBounds::forced_apart`]).
    pub forced: bool,
    /// The part of the account that the token is for, such as a model: it may rest while others do not.
    pub scope: Option<String>,
    /// How long this caller waits.
    pub wait: Duration,
}

impl Ask {
    /// A valid token, within `wait`.
    pub fn foreground(wait: Duration) -> Self {
        Self { policy: Policy::Foreground, min_valid: None, rejected: None, forced: false, scope: None, wait }
    }

    /// A token that outlasts the background's window.
    pub fn background(wait: Duration) -> Self {
        Self { policy: Policy::Background, ..Self::foreground(wait) }
    }
}

/// Bounds of the refresh engine. Every one is a configuration value of the same name.
#[derive(Debug, Clone)]
pub struct RefreshBounds {
    /// How long a token must live on where the caller does not say.
    pub min_valid: Duration,
    /// How long before its end the background refreshes a token.
    pub refresh_ahead: Duration,
    /// How long before its end a refresh token is spent to keep it alive.
    pub keep_alive_ahead: Duration,
    /// From the connection's first byte to the answer's last.
    pub provider_timeout: Duration,
    /// DNS, TCP and TLS.
    pub connect_timeout: Duration,
    /// The largest answer of a token endpoint, in bytes, decompressed.
    pub answer_len_max: usize,
    /// A flight ends by then, whatever holds it: waiting for other processes included.
    pub flight_timeout: Duration,
    /// Rest after a first transient failure, doubled with each further one.
    pub backoff_first: Duration,
    /// The longest rest after transient failures.
    pub backoff_max: Duration,
    /// The longest Retry-After that is believed.
    pub retry_after_max: Duration,
    /// Rest after a probe whose outcome was unknown again; doubled each time.
    pub uncertain_backoff_first: Duration,
    /// The longest rest between such probes.
    pub uncertain_backoff_max: Duration,
    /// Where claims expire: how long an owner that let one expire has to bring its answer before others probe.
    pub owner_recovery: Duration,
    /// The first probe of a verdict, doubled with each probe that confirms it.
    pub verdict_probe_first: Duration,
    /// The longest time between a verdict's probes.
    pub verdict_probe_max: Duration,
    /// Forced refreshes coalesce within this time.
    pub forced_apart: Duration,
    /// A token minted by a rejection and rejected within this time is not refreshed again.
    pub rejected_again_within: Duration,
    /// How long a credential rests that upstream refuses although its token is fresh.
    pub authentication_cooldown: Duration,
}

impl Default for RefreshBounds {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let minutes = |m: u64| Duration::from_secs(60 * m);
        let hours = |h: u64| Duration::from_secs(3600 * h);
        Self {
            min_valid: seconds(30),
            refresh_ahead: minutes(5),
            keep_alive_ahead: hours(72),
            provider_timeout: seconds(60),
            connect_timeout: seconds(10),
            answer_len_max: 1024 * 1024,
            flight_timeout: seconds(120),
            backoff_first: seconds(1),
            backoff_max: seconds(30),
            retry_after_max: minutes(15),
            uncertain_backoff_first: minutes(1),
            uncertain_backoff_max: hours(1),
            owner_recovery: minutes(1),
            verdict_probe_first: hours(1),
            verdict_probe_max: hours(24),
            forced_apart: seconds(5),
            rejected_again_within: seconds(60),
            authentication_cooldown: minutes(5),
        }
    }
}

/// The bounds as one provider's profile bends them.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The bounds.
    pub bounds: RefreshBounds,
    /// Whether the provider rotates refresh tokens.
    pub rotates: Rotates,
    /// How long a spent refresh token still works there.
    pub reuse_grace: Duration,
    /// Whether its tokens can be refreshed at all.
    pub refreshable: bool,
    /// How old a token must be before it can be refreshed.
    pub min_age: Duration,
    /// How long a refresh token lives there unused, where its answers do not say.
    pub refresh_lifetime: Option<Duration>,
}

impl Rules {
    /// The bounds, with what the profile overrides.
    pub fn new(bounds: &RefreshBounds, profile: &Profile) -> Self {
        let mut bounds = bounds.clone();
        bounds.min_valid = profile.min_valid.unwrap_or(bounds.min_valid);
        bounds.refresh_ahead = profile.refresh_ahead.unwrap_or(bounds.refresh_ahead);
        Self {
            bounds,
            rotates: profile.rotates,
            reuse_grace: profile.reuse_grace,
            refreshable: profile.refreshable,
            min_age: profile.min_age,
            refresh_lifetime: profile.refresh_lifetime,
        }
    }

    /// How long a token must live on for this caller.
    pub fn window(&self, ask: &Ask) -> Duration {
        ask.min_valid.unwrap_or(match ask.policy {
            Policy::Foreground => self.bounds.min_valid,
            Policy::Background => self.bounds.refresh_ahead,
        })
    }
}
