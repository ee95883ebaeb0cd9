//! When the background looks at a chain next: one point in time per chain, so that the sweep's cost follows what is
//! due and not what exists.

use crate::credential::{Chain, Kind, Trouble};
use crate::time::Timestamp;

use super::policy::Rules;

/// When to refresh ahead: a window before the access token's end, or before the refresh token dies of disuse,
/// whichever comes first. `None`: nothing the background could do. `share` (0..=1) spreads a crowd over a quarter of the window.
pub fn due_at(chain: &Chain, rules: &Rules, share: f64) -> Option<Timestamp> {
    let is_spendable = match chain.kind {
        Kind::Static => false,
        Kind::OAuth2 => chain.tokens.refresh_token.is_some() && rules.refreshable,
        Kind::ClientCredentials => true,
    };
    if !is_spendable {
        return None;
    }
    let not_before = match &chain.trouble {
        Trouble::Verdict(_) => return None,
        Trouble::Uncertain(uncertain) => chain.tokens.expires_at?.max(uncertain.retry_at),
        Trouble::Backoff(backoff) => backoff.retry_at,
        Trouble::None => chain.tokens.issued_at + rules.min_age,
    };
    let access = chain.tokens.expires_at.map(|end| {
        let ahead = chain
            .tokens
            .lifetime()
            .map_or(rules.bounds.refresh_ahead, |life| rules.bounds.refresh_ahead.min(life / 2));
        end - ahead.mul_f64(1.0 - share.clamp(0.0, 1.0) / 4.0)
    });
    let by_profile = || rules.refresh_lifetime.map(|life| chain.tokens.issued_at + life);
    let keep_alive = chain.tokens.refresh_expires_at.or_else(by_profile).map(|end| {
        let half = chain.tokens.issued_at.until(end) / 2;
        end - rules.bounds.keep_alive_ahead.min(half)
    });
    let earliest = [access, keep_alive].into_iter().flatten().min()?;
    Some(earliest.max(not_before))
}

#[cfg(test)]
mod tests;
