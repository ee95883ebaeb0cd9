//! A claim that ends without a grant: what the row remembers of it, and what is given back because nothing was sent.

use serde_json::json;

use super::AcquireError;
use super::lead::{End, Lead, Step, looked};
use super::tenure::Tenure;
use crate::credential::{Chain, Trouble};
use crate::ids::ClaimId;
use crate::ports::StoreError;
use crate::ports::store::{Record, Settled, Settling};
use crate::refresh::{Plan, Refusal, Settlement, due_at, plan};

impl Lead {
    /// Nothing was sent under this claim, and nothing will be: given back, if it is still ours, and the row is looked at
    /// anew. Nobody backs off for it, since no provider was asked.
    pub(super) async fn let_go(&self, row: Box<Chain>, tenure: Tenure) -> Result<Step, AcquireError> {
        tracing::warn!(credential = %self.name, "not sent: too late, or the claim might have ended before the answer");
        tenure.count_lost();
        tenure.ends();
        self.sent_nothing(&row);
        let (settling, record) = self.releasing(&row, tenure.claim, "claim_lost");
        let settled = self.broker.0.ports.store.settle(settling.clone(), record.clone()).await;
        match settled.inspect_err(|_| self.broker.settle_later(settling, record, Some(tenure)))? {
            Settled::Superseded(newer) => Ok(looked(newer.map(|row| *row))),
            Settled::Done(row) if self.broker.0.ports.clock.uptime() < self.wait_until => {
                self.broker.publish(&row);
                Ok(Step::Look(row))
            }
            Settled::Done(row) => {
                self.broker.publish(&row);
                let retry_at = self.broker.now() + self.rules.bounds.backoff_first;
                let lost = Refusal::Unavailable { code: "claim_lost".into(), retry_at };
                Ok(Step::End(Some(row), End::Refused(lost)))
            }
        }
    }

    /// No grant: the row remembers why, for everyone.
    pub(super) async fn fail(
        &self,
        row: Box<Chain>,
        claim: ClaimId,
        settlement: Settlement,
        tenure: Option<Tenure>,
    ) -> Result<Step, AcquireError> {
        let (kind, code) = match &settlement {
            Settlement::Blocked(block) => ("client_blocked", block.code.clone()),
            Settlement::Troubled(Trouble::Verdict(verdict)) => ("reauth_required", verdict.code.clone()),
            Settlement::Troubled(Trouble::Uncertain(uncertain)) => ("uncertain", uncertain.code.clone()),
            Settlement::Troubled(Trouble::Backoff(backoff)) => ("unavailable", backoff.code.clone()),
            _ => ("released", String::new()),
        };
        let mut after = Chain::clone(&row);
        if let Settlement::Troubled(trouble) = &settlement {
            after.trouble = trouble.clone();
        }
        let settling = Settling {
            chain: row.id,
            claim,
            generation: row.generation,
            due_at: match settlement {
                // Looked at again now and then: a corrected client app wakes nobody by itself.
                Settlement::Blocked(_) => Some(self.broker.now() + self.rules.bounds.verdict_probe_first),
                _ => due_at(&after, &self.rules, self.broker.0.ports.entropy.share()),
            },
            settlement,
            spend_hash: row.spend_hash,
            minted_by_rejection: row.minted_by_rejection,
        };
        let detail = json!({"generation": row.generation, "code": code});
        let record = self.told("refresh.failed", kind, row.id, detail);
        if let Some(tenure) = &tenure {
            tenure.ends();
        }
        let settled = self.broker.0.ports.store.settle(settling.clone(), record.clone()).await;
        match settled.inspect_err(|_| self.broker.settle_later(settling, record, tenure))? {
            Settled::Superseded(newer) => Ok(looked(newer.map(|row| *row))),
            Settled::Done(row) => {
                self.broker.publish(&row);
                Ok(self.after_failure(row))
            }
        }
    }

    /// The claim's own reply was lost: if it was granted, nothing was sent under it, and it is given back. Where certainly
    /// nothing was granted there is nothing to give.
    pub(super) fn give_back(&self, row: &Chain, claim: ClaimId, error: &StoreError) {
        if error.may_have_been_done() {
            let (settling, record) = self.releasing(row, claim, "claim_unanswered");
            self.broker.give_back_later(settling, record);
        }
    }

    fn releasing(&self, row: &Chain, claim: ClaimId, code: &str) -> (Settling, Record) {
        let settling = Settling {
            chain: row.id,
            claim,
            generation: row.generation,
            settlement: Settlement::Released,
            spend_hash: row.spend_hash,
            minted_by_rejection: row.minted_by_rejection,
            due_at: row.due_at,
        };
        // Told like every other end of a claim: who waits for it on another host may try now.
        let detail = json!({"generation": row.generation, "code": code});
        (settling, self.told("refresh.released", "released", row.id, detail))
    }

    /// Inside a provider's grace an unknown outcome is probed at once; everything else ends the flight.
    fn after_failure(&self, row: Box<Chain>) -> Step {
        let now = self.broker.now();
        if let Trouble::Uncertain(uncertain) = &row.trouble {
            let first_inside_grace = uncertain.probes == 0 && now < uncertain.since + self.rules.reuse_grace;
            if first_inside_grace {
                return Step::Look(row);
            }
            let told =
                Refusal::Uncertain { code: uncertain.code.clone(), retry_at: uncertain.retry_at.max(now) };
            // The caller whose call was lost is told so; what may be probed already, the next one probes.
            let refusal = match plan(&row, &self.ask, &self.rules, now) {
                Plan::Refuse(refusal) => refusal,
                _ => told,
            };
            return Step::End(Some(row), End::Refused(refusal));
        }
        match plan(&row, &self.ask, &self.rules, now) {
            Plan::Refuse(refusal) => Step::End(Some(row), End::Refused(refusal)),
            _ => {
                let refusal = Refusal::Unavailable { code: "released".into(), retry_at: now };
                Step::End(Some(row), End::Refused(refusal))
            }
        }
    }
}
