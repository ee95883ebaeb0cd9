//! The one decision of the engine: what does this row, at this time, want done for this caller?

use std::time::Duration;

use crate::credential::{Chain, Claim, Holder, Kind, Purpose, Trouble, Uncertain};
use crate::time::Timestamp;

use super::due::due_at;
use super::policy::{Ask, Policy, RefreshBounds, Rules};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The row's token will do.
    Serve,
    /// Another live process is at it: wait for its commit.
    Wait,
    /// A claim whose owner cannot act any more: recover its answer, or record that it is lost.
    Resolve(Claim),
    /// Claim the refresh token and spend it.
    Spend(Purpose),
    /// A fresh token is refused upstream again: let the credential rest.
    Rest,
    /// Nothing may be done now.
    Refuse(Refusal),
}

/// Why a caller gets no (new) token: outcomes, not errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The credential is switched off.
    Disabled,
    /// The credential rests.
    Cooling {
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// A human must log in again.
    ReauthRequired {
        /// The provider's code, `rotation_lost`, or `no_refresh_token`.
        code: String,
    },
    /// The client app is refused.
    Blocked {
        /// The provider's code.
        code: String,
    },
    /// The provider does not answer well.
    Unavailable {
        /// The last failure's code.
        code: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// It is unknown whether the provider rotated.
    Uncertain {
        /// How the answer was lost.
        code: String,
        /// When it is probed, at the earliest.
        retry_at: Timestamp,
    },
    /// The caller's own deadline passed.
    TimedOut,
    /// The credential was removed meanwhile.
    Removed,
}

/// Decides. The order of the questions is the order of DESIGN's "Refresh once".
pub fn plan(chain: &Chain, ask: &Ask, rules: &Rules, now: Timestamp) -> Plan {
    if serves(chain, ask, rules, now) {
        return Plan::Serve;
    }
    if let Some(claim) = &chain.claim {
        return match claim.holder {
            Holder::Alive => Plan::Wait,
            Holder::Mine | Holder::Gone => Plan::Resolve(claim.clone()),
        };
    }
    if rejected_again(chain, ask, rules, now) {
        return Plan::Rest;
    }
    if let Some(refusal) = cannot_refresh(chain, rules, now) {
        return Plan::Refuse(refusal);
    }
    if let Some(block) = &chain.block {
        return Plan::Refuse(Refusal::Blocked { code: block.code.clone() });
    }
    in_trouble(chain, rules, now)
}

/// Whether the row's token answers this caller without any call.
fn serves(chain: &Chain, ask: &Ask, rules: &Rules, now: Timestamp) -> bool {
    let is_rejected = ask.rejected.as_ref().is_some_and(|token| chain.tokens.is_access_token(token));
    let refreshed_lately = chain.refreshed_at.is_some_and(|at| is_near(at, rules.bounds.forced_apart, now));
    let wants_newer = ask.forced && chain.kind != Kind::Static && !refreshed_lately;
    // Keep-alive: the sweep spends a refresh token that dies of disuse although the access token would do.
    let is_due = ask.policy == Policy::Background && due_at(chain, rules, 0.0).is_some_and(|at| at <= now);
    !is_rejected && !wants_newer && !is_due && chain.tokens.outlasts(rules.window(ask), now)
}

/// Whether refreshing would only feed a storm: upstream refuses what was just minted, or what never changes.
fn rejected_again(chain: &Chain, ask: &Ask, rules: &Rules, now: Timestamp) -> bool {
    let Some(rejected) = &ask.rejected else { return false };
    let within = rules.bounds.rejected_again_within;
    let minted_lately =
        chain.minted_by_rejection && chain.refreshed_at.is_some_and(|at| is_near(at, within, now));
    chain.tokens.is_access_token(rejected) && (chain.kind == Kind::Static || minted_lately)
}

/// What no provider call could change.
fn cannot_refresh(chain: &Chain, rules: &Rules, now: Timestamp) -> Option<Refusal> {
    if chain.kind == Kind::OAuth2 && (chain.tokens.refresh_token.is_none() || !rules.refreshable) {
        return Some(Refusal::ReauthRequired { code: "no_refresh_token".into() });
    }
    // The last grant came without an access token that can be used: asking at once would only spend the next one too.
    if let Some(refreshed_at) = chain.refreshed_at.filter(|_| chain.tokens.access_token.is_none()) {
        let rest = rules.bounds.backoff_max;
        let refusal = Refusal::Unavailable { code: "no_token".into(), retry_at: refreshed_at + rest };
        return is_near(refreshed_at, rest, now).then_some(refusal);
    }
    let issued_at = chain.tokens.issued_at;
    let is_too_young = is_near(issued_at, rules.min_age, now) && chain.tokens.is_valid(now);
    is_too_young
        .then(|| Refusal::Unavailable { code: "too_young".into(), retry_at: issued_at + rules.min_age })
}

fn in_trouble(chain: &Chain, rules: &Rules, now: Timestamp) -> Plan {
    if let Some(verdict) = chain.verdict() {
        return match verdict.next_probe_at {
            Some(at) if at <= now => Plan::Spend(Purpose::ProbeVerdict),
            _ => Plan::Refuse(Refusal::ReauthRequired { code: verdict.code.clone() }),
        };
    }
    match &chain.trouble {
        Trouble::Uncertain(uncertain) => probe(chain, uncertain, rules, now),
        Trouble::Backoff(backoff) if is_awaited(backoff.retry_at, longest_backoff(&rules.bounds), now) => {
            Plan::Refuse(Refusal::Unavailable { code: backoff.code.clone(), retry_at: backoff.retry_at })
        }
        _ => Plan::Spend(Purpose::Refresh),
    }
}

/// An unknown outcome is probed once: inside the provider's grace, or when there is nothing left to lose.
fn probe(chain: &Chain, uncertain: &Uncertain, rules: &Rules, now: Timestamp) -> Plan {
    let inside_grace = now < uncertain.since + rules.reuse_grace;
    let bounds = &rules.bounds;
    let longest = longest_backoff(bounds).max(bounds.uncertain_backoff_max).max(bounds.owner_recovery);
    let retry_at = if is_awaited(uncertain.retry_at, longest, now) { uncertain.retry_at } else { now };
    let probe_at = match chain.tokens.expires_at {
        Some(end) if chain.tokens.is_valid(now) && !inside_grace => end.max(retry_at),
        _ => retry_at,
    };
    if probe_at <= now {
        return Plan::Spend(Purpose::ProbeUncertain);
    }
    Plan::Refuse(Refusal::Uncertain { code: uncertain.code.clone(), retry_at: probe_at })
}

/// The longest rest after a transient failure.
fn longest_backoff(bounds: &RefreshBounds) -> Duration {
    bounds.backoff_max.max(bounds.retry_after_max)
}

/// Whether that time is still to come, and could be the end of a rest that begins now. One that lies further ahead was
/// written under a clock that was wrong, and nobody waits for it.
fn is_awaited(at: Timestamp, longest: Duration, now: Timestamp) -> bool {
    now < at && at <= now + longest
}

/// Whether that was less than so long ago. The same for one that lies ahead: a clock that was wrong by more is not believed.
fn is_near(at: Timestamp, span: Duration, now: Timestamp) -> bool {
    now < at + span && at < now + span
}

#[cfg(test)]
mod tests;
