//! Spending a refresh token under a claim: call, journal, commit, publish; and what each failure makes of the row.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::AcquireError;
use super::Broker;
use super::lead::{End, Lead, Step, looked};
use super::tenure::Tenure;
use crate::crash;
use crate::credential::{Chain, Purpose, Tokens, Trouble};
use crate::ids::ChainId;
use crate::ports::store::{Event, Record, Settled, Settling};
use crate::ports::{CallLimits, Delivery, JournalEntry};
use crate::provider::{Meaning, TokenRequest, classify, without_echo};
use crate::refresh::{Happened, Rules, Settlement, due_at, settlement};
use crate::secret::{Hasher, TokenHash};

/// Hash of what the next call on these tokens spends; for grants without a refresh token a stand-in that differs by
/// generation. `None`: nothing can be spent.
pub(super) fn spend_hash(
    hasher: &Hasher,
    kind: crate::credential::Kind,
    chain: ChainId,
    generation: u64,
    tokens: &Tokens,
) -> Option<TokenHash> {
    match &tokens.refresh_token {
        Some(token) => Some(hasher.token(token)),
        None if kind == crate::credential::Kind::ClientCredentials => {
            let mut text = chain.as_i64().to_be_bytes().to_vec();
            text.extend_from_slice(&generation.to_be_bytes());
            Some(hasher.labelled(b"client_credentials", &text))
        }
        None => None,
    }
}

/// Lives in an answer are counted from when it was asked for: it may have lain unread, in a process that was stopped,
/// for longer than its token lives. One that came in time is worth half of what it says at least: a slow provider's token
/// begins to live when it is made, and would otherwise be asked for again and again.
fn since_sent(meaning: Meaning, took: Duration, in_time: Duration) -> Meaning {
    let Meaning::Granted(mut grant) = meaning else { return meaning };
    let share = if took <= in_time { 2 } else { u32::MAX };
    let left = |life: Duration| life.saturating_sub(took).max(life / share);
    (grant.expires_in, grant.refresh_expires_in) =
        (left(grant.expires_in), grant.refresh_expires_in.map(left));
    Meaning::Granted(grant)
}

impl Lead {
    /// Calls the provider under a granted claim, and settles what follows.
    pub(super) async fn spend(
        &self,
        row: Box<Chain>,
        purpose: Purpose,
        request: TokenRequest,
        tenure: Tenure,
    ) -> Result<Step, AcquireError> {
        let Some(happened) = self.call(&row, &request, &tenure).await else {
            return self.let_go(row, tenure).await;
        };
        crash::point("answered");
        self.settle(row, purpose, happened, tenure).await
    }

    /// Records that an answer is lost, without any call.
    pub(super) async fn lost(
        &self,
        row: Box<Chain>,
        purpose: Purpose,
        code: &str,
        tenure: Tenure,
    ) -> Result<Step, AcquireError> {
        self.settle(row, purpose, Happened::Unanswered { code: code.into() }, tenure).await
    }

    /// `None`: nothing was sent, because the claim might have ended before the answer's deadline, or because this process
    /// stood still until the time to send was over.
    async fn call(&self, row: &Chain, request: &TokenRequest, tenure: &Tenure) -> Option<Happened> {
        let ports = &self.broker.0.ports;
        let bounds = &self.rules.bounds;
        let limits = CallLimits {
            connect_timeout: bounds.connect_timeout,
            answer_timeout: bounds.provider_timeout,
            body_len_max: bounds.answer_len_max,
        };
        let begun = ports.clock.uptime();
        let send_until = begun + bounds.provider_timeout;
        let is_shut = AtomicBool::new(false);
        let gate = || {
            crash::point("connected");
            let now = ports.clock.uptime();
            let is_open = now < send_until && tenure.outlasts(limits.answer_timeout, now);
            is_shut.store(!is_open, Ordering::Relaxed);
            if is_open {
                crash::point("sending");
            }
            is_open
        };
        let delivery = ports.provider.call(request, &limits, &gate).await;
        let took = ports.clock.uptime().saturating_sub(begun);
        metrics::histogram!("keyherd_provider_call_seconds").record(took.as_secs_f64());
        Some(match delivery {
            Delivery::NotSent { .. } if is_shut.load(Ordering::Relaxed) => return None,
            Delivery::Answered(reply) => {
                let meaning = classify(&self.profile, &reply, self.broker.now());
                let tokens = [&row.tokens.refresh_token, &row.tokens.access_token, &row.client.secret];
                let secrets: Vec<_> = tokens.into_iter().flatten().collect();
                Happened::Answered(since_sent(without_echo(meaning, &secrets), took, limits.answer_timeout))
            }
            Delivery::NotSent { code, detail } => {
                tracing::warn!(credential = %self.name, code, detail, "token request not sent");
                Happened::NotSent { code }
            }
            Delivery::Unanswered { code, detail } => {
                tracing::warn!(credential = %self.name, code, detail, "token request unanswered");
                Happened::Unanswered { code }
            }
        })
    }

    async fn settle(
        &self,
        row: Box<Chain>,
        purpose: Purpose,
        happened: Happened,
        tenure: Tenure,
    ) -> Result<Step, AcquireError> {
        let share = self.broker.0.ports.entropy.share();
        let settlement = settlement(&row, purpose, happened, &self.rules, self.broker.now(), share);
        let outcome = settlement.outcome();
        metrics::counter!("keyherd_refresh_total", "provider" => row.provider.clone(), "outcome" => outcome)
            .increment(1);
        let generation = row.generation;
        let step = match settlement {
            Settlement::Granted(tokens) => self.commit(row, *tokens, tenure).await,
            other => self.fail(row, tenure.claim, other, Some(tenure)).await,
        };
        // Who reads the log may be slow: an answer is kept before anything is said of it.
        tracing::info!(credential = %self.name, generation, outcome, "token request settled");
        step
    }

    /// Journal before anything else may fail, then compare-and-set, then everyone may know.
    async fn commit(&self, row: Box<Chain>, tokens: Tokens, tenure: Tenure) -> Result<Step, AcquireError> {
        let ports = &self.broker.0.ports;
        let Some(spent) = row.spend_hash else {
            return Err(AcquireError::Unusable(format!("credential '{}' has nothing to spend", self.name)));
        };
        let minted_by_rejection =
            self.ask.rejected.as_ref().is_some_and(|rejected| row.tokens.is_access_token(rejected));
        let entry = JournalEntry {
            chain: row.id,
            claim: tenure.claim,
            generation: row.generation,
            spent,
            tokens,
            minted_by_rejection,
            received_at: self.broker.now(),
        };
        let is_journaled = match ports.journal.write(&entry).await {
            Ok(()) => {
                self.broker.unjournaled().remove(&row.id);
                true
            }
            Err(error) => {
                tracing::error!(credential = %self.name, %error, "a provider's answer could not be journaled");
                self.broker.homeless().insert(spent, entry.clone());
                false
            }
        };
        crash::point("journaled");
        let (next, settling) = self.broker.granting(&row, &entry, &self.rules);
        tenure.ends();
        match ports.store.roll_forward(&spent, settling.clone(), self.granted_record(&next)).await {
            Ok(settled) => {
                crash::point("committed");
                Ok(self.conclude(settled, spent, &tenure))
            }
            Err(error) => {
                tracing::error!(credential = %self.name, %error, is_journaled, "a granted token waits for the store");
                Ok(self.serve_uncommitted(next, spent, settling, tenure))
            }
        }
    }

    /// Nobody waits for the journal to be told: an entry that stays pending is found committed at the next look.
    fn conclude(&self, settled: Settled, spent: TokenHash, tenure: &Tenure) -> Step {
        let step = match settled {
            Settled::Done(row) => {
                self.broker.publish(&row);
                self.broker.tidy_once();
                Step::End(Some(row), End::Minted)
            }
            Settled::Superseded(newer) => {
                tenure.count_lost();
                looked(newer.map(|row| *row))
            }
        };
        let broker = self.broker.clone();
        self.broker.0.tasks.spawn(async move { broker.settle_journal(&spent).await });
        step
    }

    /// The store is down: callers get their token now, and the commit is tried until it is durable.
    fn serve_uncommitted(
        &self,
        next: Box<Chain>,
        spent: TokenHash,
        settling: Settling,
        tenure: Tenure,
    ) -> Step {
        self.broker.0.snapshots.publish_uncommitted(&next);
        let (broker, record) = (self.broker.clone(), self.granted_record(&next));
        self.broker.0.tasks.spawn(async move { broker.commit_later(spent, settling, record, tenure).await });
        Step::End(Some(next), End::Minted)
    }

    fn granted_record(&self, next: &Chain) -> Record {
        let detail = json!({
            "generation": next.generation,
            "expires_at_ms": next.tokens.expires_at.map(|end| end.as_millis()),
        });
        self.told("refresh", "refreshed", next.id, detail)
    }

    pub(super) fn told(
        &self,
        action: &'static str,
        kind: &'static str,
        chain: ChainId,
        detail: Value,
    ) -> Record {
        let event =
            Event { kind, chain: Some(chain), subject: self.name.to_string(), detail: detail.clone() };
        Record { event: Some(event), ..self.record(action, detail) }
    }
}

impl Broker {
    /// What a granted answer makes of its row, and how the store is told.
    pub(super) fn granting(
        &self,
        row: &Chain,
        entry: &JournalEntry,
        rules: &Rules,
    ) -> (Box<Chain>, Settling) {
        let mut next = Box::new(row.clone());
        next.generation = entry.generation + 1;
        next.revision += 1;
        next.tokens = entry.tokens.clone();
        next.trouble = Trouble::None;
        next.claim = None;
        next.refreshed_at = Some(entry.received_at);
        next.minted_by_rejection = entry.minted_by_rejection;
        next.spend_hash = spend_hash(&self.0.ports.hasher, next.kind, next.id, next.generation, &next.tokens);
        next.due_at = due_at(&next, rules, self.0.ports.entropy.share());
        let settling = Settling {
            chain: entry.chain,
            claim: entry.claim,
            generation: entry.generation,
            settlement: Settlement::Granted(Box::new(entry.tokens.clone())),
            spend_hash: next.spend_hash,
            minted_by_rejection: entry.minted_by_rejection,
            due_at: next.due_at,
        };
        (next, settling)
    }

    /// The snapshot first, then other processes.
    pub(super) fn publish(&self, row: &Chain) {
        self.0.snapshots.publish(row);
        self.0.ports.coordinator.announce_chain(row.id);
        crash::point("published");
    }

    pub(super) async fn settle_journal(&self, spent: &TokenHash) {
        let homeless = self.homeless().remove(spent);
        if let Some(entry) = homeless
            && self.0.ports.journal.write(&entry).await.is_err()
        {
            self.unjournaled().insert(entry.chain, entry);
            return;
        }
        if let Err(error) = self.0.ports.journal.committed(spent).await {
            tracing::warn!(%error, "a committed journal entry could not be marked");
        }
    }
}
