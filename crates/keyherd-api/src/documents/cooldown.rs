//! Cooldowns: asked for, and shown.

use std::time::Duration;

use keyherd_core::credential::Cooldown;
use keyherd_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parse::{at_most, check_text_within};
use super::{BadDocument, Moment};

/// The longest cooldown, in seconds: a year.
pub const COOLDOWN_SECONDS_MAX: u64 = 366 * 24 * 3600;
/// The longest reason, in bytes.
const REASON_LEN_MAX: usize = 128;

/// Lets a credential rest, for `POST /v1/credentials/{name}/cooldown`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CooldownDocument {
    /// How long from now, in seconds, at most a year. This or `until`.
    #[serde(default)]
    #[schema(maximum = 31_622_400)]
    pub for_seconds: Option<u64>,
    /// Until when. This or `for_seconds`.
    #[serde(default)]
    pub until: Option<Moment>,
    /// `rate_limit`, `authentication`, `manual`, or a word of your own; clearing names it again.
    pub reason: String,
    /// Part of the credential, such as a model. Not supported yet: the whole credential rests.
    #[serde(default)]
    pub scope: Option<String>,
}

impl CooldownDocument {
    /// The cooldown it stands for, counted from `now`.
    pub fn into_cooldown(self, now: Timestamp) -> Result<Cooldown, BadDocument> {
        check_text_within("reason", &self.reason, REASON_LEN_MAX)?;
        if self.scope.is_some() {
            return Err(BadDocument::field(
                "scope",
                "is not supported yet: leave it out to rest the whole credential",
            ));
        }
        let until = match (self.for_seconds, self.until) {
            (Some(seconds), None) => {
                now + Duration::from_secs(at_most("for_seconds", seconds, COOLDOWN_SECONDS_MAX)?)
            }
            (None, Some(until)) => within_a_year(until.timestamp(), now)?,
            (Some(_), Some(_)) => {
                return Err(BadDocument::field("until", "and 'for_seconds' exclude each other: give one"));
            }
            (None, None) => return Err(BadDocument::field("for_seconds", "is missing: give it, or 'until'")),
        };
        Ok(Cooldown::whole(until, self.reason))
    }
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
}

impl CoolingView {
    /// Of the domain's.
    pub fn new(cooldown: &Cooldown) -> Self {
        Self { until: cooldown.until.into(), reason: cooldown.reason.clone() }
    }
}
