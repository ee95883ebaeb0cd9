//! Cooldowns: asked for, and shown.

use std::time::Duration;

use keyherd_core::credential::{Cooldown, Loaded};
use keyherd_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parse::{at_most, check_text_within};
use super::{BadDocument, Moment};

/// The longest cooldown, in seconds: a year.
pub const COOLDOWN_SECONDS_MAX: u64 = 366 * 24 * 3600;
/// The longest reason, in bytes.
const REASON_LEN_MAX: usize = 128;
/// The longest scope, in bytes.
const SCOPE_LEN_MAX: usize = 256;

/// Lets a credential rest, for `POST /v1/credentials/{name}/cooldown`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CooldownDocument {
    /// How long from now, in seconds, 1 or more and at most a year. This or `until`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_622_400)]
    pub for_seconds: Option<u64>,
    /// Until when. This or `for_seconds`.
    #[serde(default)]
    pub until: Option<Moment>,
    /// `rate_limit`, `authentication`, `manual`, or a word of your own; clearing names it again.
    pub reason: String,
    /// The part of the account that rests, such as a model; without it the whole account does.
    #[serde(default)]
    pub scope: Option<String>,
}

impl CooldownDocument {
    /// The cooldown it stands for, counted from `now`.
    pub fn into_cooldown(self, now: Timestamp) -> Result<Cooldown, BadDocument> {
        if self.reason.is_empty() {
            return Err(BadDocument::field(
                "reason",
                "is empty: give rate_limit, authentication, manual, or a word of your own",
            ));
        }
        check_text_within("reason", &self.reason, REASON_LEN_MAX)?;
        if let Some(scope) = &self.scope {
            check_scope(scope)?;
        }
        let until = match (self.for_seconds, self.until) {
            (Some(0), None) => {
                return Err(BadDocument::field("for_seconds", "is 0, which is no rest: give 1 or more"));
            }
            (Some(seconds), None) => {
                now + Duration::from_secs(at_most("for_seconds", seconds, COOLDOWN_SECONDS_MAX)?)
            }
            (None, Some(until)) => within_a_year(until.timestamp(), now)?,
            (Some(_), Some(_)) => {
                return Err(BadDocument::field("until", "and 'for_seconds' exclude each other: give one"));
            }
            (None, None) => return Err(BadDocument::field("for_seconds", "is missing: give it, or 'until'")),
        };
        Ok(Cooldown { scope: self.scope, until, reason: self.reason })
    }
}

/// A scope is compared by its exact text: short, and without control characters.
pub(crate) fn check_scope(scope: &str) -> Result<(), BadDocument> {
    check_text_within("scope", scope, SCOPE_LEN_MAX)
}

fn within_a_year(until: Timestamp, now: Timestamp) -> Result<Timestamp, BadDocument> {
    if until <= now {
        return Err(BadDocument::field("until", "has passed already"));
    }
    if until > now + Duration::from_secs(COOLDOWN_SECONDS_MAX) {
        return Err(BadDocument::field("until", "is more than a year away: disable the credential instead"));
    }
    Ok(until)
}

/// A cooldown that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CoolingView {
    /// Until when; only ever extended.
    pub until: Moment,
    /// Why; clearing names it.
    pub reason: String,
    /// The part that rests; absent: the whole account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl CoolingView {
    /// Of the domain's.
    pub fn new(cooldown: &Cooldown) -> Self {
        let (until, reason) = (cooldown.until.into(), cooldown.reason.clone());
        Self { until, reason, scope: cooldown.scope.clone() }
    }

    /// Of the parts of an account that rest at `now`.
    pub fn of_scopes(loaded: &Loaded, now: Timestamp) -> Vec<Self> {
        let holds = |cooldown: &&Cooldown| now < cooldown.until;
        loaded.credential.scoped.iter().filter(holds).map(Self::new).collect()
    }
}
