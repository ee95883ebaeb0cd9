//! A doubt about this process's own claim: others found it ended, and recorded that its outcome is unknown. Where nothing
//! was sent under it, this process knows better, and waits with nobody.
//!
//! Owns that knowledge, for one flight. Never clears the doubt by itself: what follows is a claim like any other, on the row
//! as it stands, and its outcome takes the doubt's place.

use std::sync::PoisonError;

use super::lead::Lead;
use crate::credential::{Chain, Holder, Trouble};

impl Lead {
    /// Nothing was sent under the claim on this row, and nothing will be.
    pub(super) fn sent_nothing(&self, claimed: &Chain) {
        if let Some(claim) = &claimed.claim {
            *self.unsent.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((claimed.generation, claim.at));
        }
    }

    /// The row without a doubt that is about that claim alone. A doubt counts from the moment its claim was taken; one that
    /// is older, or was probed since, is another one, and stays.
    pub(super) fn without_own_doubt(&self, mut row: Box<Chain>) -> Box<Chain> {
        let unsent = *self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        let Trouble::Uncertain(doubt) = &row.trouble else { return row };
        // Under another one's claim the token may have been sent since.
        let is_ours = row.claim.as_ref().is_none_or(|claim| claim.holder == Holder::Mine);
        if is_ours && doubt.probes == 0 && unsent == Some((row.generation, doubt.since)) {
            row.trouble = Trouble::None;
        }
        row
    }
}
