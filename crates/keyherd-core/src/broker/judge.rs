//! What a door needs that sees upstream's answers itself: by which profile they are judged, and a word when all is well.

use std::sync::Arc;

use super::snapshot::Known;
use super::{AcquireError, Broker, Token};
use crate::ids::Name;
use crate::provider::Profile;
use crate::upstream::{self, Answer, CooldownBounds, Evidence};

/// One credential's judge: its provider's profile, and how long rests may be.
#[derive(Clone)]
pub struct Judge {
    profile: Arc<Profile>,
    bounds: CooldownBounds,
    broker: Broker,
}

impl Broker {
    /// The judge of that credential's upstream answers.
    pub async fn judge_of(&self, credential: &Name) -> Result<Judge, AcquireError> {
        let provider = match self.0.snapshots.with_old(credential.as_str(), provider_of) {
            Some(provider) => provider,
            None => self.standing(credential).await?.chain.provider.clone(),
        };
        let profile = self.profile(&provider)?;
        Ok(Judge { profile, bounds: self.0.options.cooldown.clone(), broker: self.clone() })
    }

    /// Upstream took that token: whoever waits to see whether a rest is over need not wait any more. The same as a report
    /// of [`Evidence::Works`], for those who have the token in hand.
    pub fn works(&self, token: &Token, scope: Option<&str>) {
        self.0.snapshots.proven(token.credential(), token.credential_id(), scope, self.now());
    }
}

fn provider_of(known: &Known) -> String {
    known.cell.last().provider.clone()
}

impl Judge {
    /// What an answer that came just now proves.
    pub fn judge(&self, answer: &Answer<'_>) -> Evidence {
        upstream::judge(answer, &self.profile, &self.bounds, self.broker.now())
    }

    /// The words without one of which no body of an answer says anything: the fields that codes stand in.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let fields = self.profile.quota_pointers.iter();
        fields.filter_map(|pointer| pointer.split('/').nth(1)).filter(|field| !field.is_empty())
    }
}
