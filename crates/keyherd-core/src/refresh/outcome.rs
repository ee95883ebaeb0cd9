//! What a provider call, or the lack of its answer, makes of a chain.

use std::time::Duration;

use crate::credential::{
    Backoff, Block, Chain, Kind, Purpose, Tokens, Trouble, Uncertain, Verdict, VerdictReason,
};
use crate::provider::{Grant, Meaning, Rotates};
use crate::secret::TokenHash;
use crate::time::Timestamp;

use super::backoff::{doubling, jittered};
use super::policy::{RefreshBounds, Rules};

/// How a claim ended, as far as this process can know.
#[derive(Debug, Clone)]
pub enum Happened {
    /// The request did not leave: nothing can have rotated.
    NotSent {
        /// What failed (`connect_failed`, `tls_failed`, …).
        code: String,
    },
    /// It left, and no complete answer came back.
    Unanswered {
        /// How the answer was lost.
        code: String,
    },
    /// The claim's owner cannot act any more, and may yet bring its answer.
    OwnerGone {
        /// For how long that is waited for. Zero: what it left behind was read.
        recovery: Duration,
    },
    /// A complete answer, classified.
    Answered(Meaning),
}

/// The row's next state, for the store to commit under the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The next generation.
    Granted(Box<Tokens>),
    /// The same generation, in this trouble.
    Troubled(Trouble),
    /// The client app is refused.
    Blocked(Block),
    /// Nothing happened: the claim is given back.
    Released,
}

impl Settlement {
    /// One word for metrics and the audit.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Granted(_) => "refreshed",
            Self::Troubled(Trouble::Verdict(_)) => "reauth_required",
            Self::Troubled(Trouble::Uncertain(_)) => "uncertain",
            Self::Troubled(_) => "unavailable",
            Self::Blocked(_) => "blocked",
            Self::Released => "released",
        }
    }
}

/// Decides what becomes of the row. `share` (0..=1) is the jitter of rests.
pub fn settlement(
    chain: &Chain,
    purpose: Purpose,
    happened: Happened,
    rules: &Rules,
    now: Timestamp,
    share: f64,
) -> Settlement {
    let case = Case { chain, purpose, rules, now, share };
    match happened {
        Happened::Answered(Meaning::Granted(grant)) => {
            Settlement::Granted(Box::new(merge(chain, *grant, now)))
        }
        Happened::Answered(Meaning::ClientApp { code }) => Settlement::Blocked(Block { code, at: now }),
        Happened::Answered(Meaning::Terminal { code, reuse }) => case.refused(code, reuse),
        Happened::Answered(Meaning::Transient { code, retry_after }) => case.transient(code, retry_after),
        Happened::NotSent { code } => case.transient(code, None),
        Happened::OwnerGone { recovery } => case.after_recovery(case.unknown("owner_gone".into()), recovery),
        Happened::Answered(Meaning::Unknown { code }) | Happened::Unanswered { code } => case.unknown(code),
    }
}

/// The next generation's tokens: what the answer lacks is kept, and any differing refresh token is kept,
/// whatever the profile says of rotation.
pub fn merge(chain: &Chain, grant: Grant, now: Timestamp) -> Tokens {
    let old = &chain.tokens;
    let rotated = grant.refresh_token.is_some() && grant.refresh_token != old.refresh_token;
    let refresh_expires_at = match grant.refresh_expires_in {
        Some(life) => Some(now + life),
        None if rotated => old.refresh_expires_at.map(|end| now + old.issued_at.until(end)),
        None => old.refresh_expires_at,
    };
    Tokens {
        expires_at: grant.access_token.is_some().then_some(now + grant.expires_in),
        access_token: grant.access_token,
        token_type: grant.token_type,
        expires_assumed: grant.expires_assumed,
        issued_at: now,
        refresh_token: grant.refresh_token.or_else(|| old.refresh_token.clone()),
        refresh_expires_at,
        scopes: grant.scopes.unwrap_or_else(|| old.scopes.clone()),
    }
}

struct Case<'a> {
    chain: &'a Chain,
    purpose: Purpose,
    rules: &'a Rules,
    now: Timestamp,
    share: f64,
}

impl Case<'_> {
    fn bounds(&self) -> &RefreshBounds {
        &self.rules.bounds
    }

    /// The hash a verdict is bound to. A claim is only ever granted over a row that has one.
    fn spent(&self) -> TokenHash {
        self.chain.spend_hash.unwrap_or(TokenHash::from_bytes([0; 32]))
    }

    fn refused(&self, code: String, reuse: bool) -> Settlement {
        if self.chain.kind == Kind::ClientCredentials {
            return Settlement::Blocked(Block { code, at: self.now });
        }
        let (reason, probes, probe_in) = match self.purpose {
            Purpose::ProbeUncertain => (VerdictReason::RotationLost, 0, None),
            _ if reuse => (VerdictReason::Reused, 0, None),
            Purpose::Refresh => (VerdictReason::Refused, 0, Some(self.bounds().verdict_probe_first)),
            Purpose::ProbeVerdict => {
                let probes = self.chain.verdict().map_or(0, |verdict| verdict.probes) + 1;
                let rest =
                    doubling(self.bounds().verdict_probe_first, self.bounds().verdict_probe_max, probes + 1);
                (VerdictReason::Refused, probes, Some(rest))
            }
        };
        let code = if reason == VerdictReason::RotationLost { reason.as_str().to_owned() } else { code };
        let next_probe_at = probe_in.map(|rest| self.now + rest);
        let verdict = Verdict { hash: self.spent(), reason, code, at: self.now, probes, next_probe_at };
        Settlement::Troubled(Trouble::Verdict(verdict))
    }

    /// Certainly not rotated: rest and try again. A verdict or an unknown outcome stays what it is.
    fn transient(&self, code: String, retry_after: Option<Duration>) -> Settlement {
        let trouble = match &self.chain.trouble {
            Trouble::Verdict(_) if self.chain.verdict().is_some() => return self.verdict_stays(),
            Trouble::Uncertain(old) => {
                let probes = old.probes + 1;
                Trouble::Uncertain(Uncertain {
                    probes,
                    retry_at: self.retry_at(probes, retry_after),
                    ..old.clone()
                })
            }
            Trouble::Backoff(old) => {
                let failures = old.failures.saturating_add(1);
                Trouble::Backoff(Backoff { failures, retry_at: self.retry_at(failures, retry_after), code })
            }
            _ => Trouble::Backoff(Backoff { failures: 1, retry_at: self.retry_at(1, retry_after), code }),
        };
        Settlement::Troubled(trouble)
    }

    fn unknown(&self, code: String) -> Settlement {
        if self.rules.rotates == Rotates::Never || self.chain.kind == Kind::ClientCredentials {
            return self.transient(code, None);
        }
        match &self.chain.trouble {
            Trouble::Verdict(_) if self.chain.verdict().is_some() => self.verdict_stays(),
            Trouble::Uncertain(old) => {
                let probes = old.probes + 1;
                let bounds = self.bounds();
                let rest = doubling(bounds.uncertain_backoff_first, bounds.uncertain_backoff_max, probes);
                let retry_at = self.now + jittered(rest, self.share);
                Settlement::Troubled(Trouble::Uncertain(Uncertain {
                    since: old.since,
                    probes,
                    retry_at,
                    code,
                }))
            }
            _ => Settlement::Troubled(Trouble::Uncertain(Uncertain {
                since: self.sent_at(),
                probes: 0,
                retry_at: self.now,
                code,
            })),
        }
    }

    /// When the request may have been sent, at the earliest: what a provider's grace is counted from over there.
    fn sent_at(&self) -> Timestamp {
        self.chain.claim.as_ref().map_or(self.now, |claim| claim.at.min(self.now))
    }

    /// No probe before the owner had its time, but inside the provider's grace, where a probe does no harm.
    fn after_recovery(&self, settlement: Settlement, recovery: Duration) -> Settlement {
        match settlement {
            Settlement::Troubled(Trouble::Uncertain(uncertain))
                if self.now >= uncertain.since + self.rules.reuse_grace =>
            {
                let retry_at = uncertain.retry_at.max(self.now + recovery);
                Settlement::Troubled(Trouble::Uncertain(Uncertain { retry_at, ..uncertain }))
            }
            other => other,
        }
    }

    /// An outage during a verdict's probe proves nothing: the same verdict, probed again after the same time.
    fn verdict_stays(&self) -> Settlement {
        let Some(verdict) = self.chain.verdict() else { return Settlement::Released };
        let rest =
            doubling(self.bounds().verdict_probe_first, self.bounds().verdict_probe_max, verdict.probes + 1);
        let next_probe_at = verdict.next_probe_at.map(|_| self.now + rest);
        Settlement::Troubled(Trouble::Verdict(Verdict { next_probe_at, ..verdict.clone() }))
    }

    fn retry_at(&self, failures: u32, retry_after: Option<Duration>) -> Timestamp {
        let bounds = self.bounds();
        let own = jittered(doubling(bounds.backoff_first, bounds.backoff_max, failures), self.share);
        self.now + retry_after.map_or(own, |asked| asked.min(bounds.retry_after_max).max(own))
    }
}

#[cfg(test)]
mod tests;
