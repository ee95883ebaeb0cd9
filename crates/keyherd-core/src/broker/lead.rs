//! One flight: from the row to an end that all callers share. Reads, decides, claims, and hands over to `spend`.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::AcquireError;
use super::Broker;
use super::flight::{Answer, Lost};
use super::mutant::flight_key;
use super::tenure::Seat;
use crate::audit::{Actor, Note};
use crate::crash;
use crate::credential::{Chain, Loaded, Purpose};
use crate::ids::{ClaimId, Name};
use crate::ports::store::{ClaimAsk, Claimed, Record, Settled};
use crate::ports::{StoreError, Turn};
use crate::provider::{
    ClientApp, Profile, Rotates, TokenRequest, client_credentials_request, refresh_request,
};
use crate::refresh::{Ask, Plan, Policy, Refusal, Rules, Settlement, plan};
use crate::time::Timestamp;

/// Decisions a flight takes at most: each follows a change of the row by someone else.
const DECISIONS_MAX: usize = 64;

/// A flight's end: shared by all who boarded it.
#[derive(Debug, Clone)]
pub(super) struct FlightEnd {
    /// The chain's row as the flight left it; `None`: not known.
    pub(super) chain: Option<Arc<Chain>>,
    pub(super) end: End,
}

#[derive(Debug, Clone)]
pub(super) enum End {
    /// The provider granted new tokens.
    Minted,
    /// The row served the leader as it was.
    Found,
    /// Upstream refuses what refreshing cannot cure.
    Rest,
    /// The background does not wait for another process.
    Skipped,
    Refused(Refusal),
    Failed(AcquireError),
}

impl FlightEnd {
    pub(super) fn lost(lost: Lost) -> Self {
        Self { chain: None, end: End::Failed(AcquireError::Lost(lost)) }
    }
}

/// What the leader carries through its flight.
pub(super) struct Lead {
    pub(super) broker: Broker,
    pub(super) name: Name,
    pub(super) ask: Ask,
    pub(super) actor: Actor,
    pub(super) rules: Rules,
    pub(super) profile: Arc<Profile>,
    /// Other processes are waited for until then, on the clock that counts suspend.
    pub(super) wait_until: Duration,
    /// The coordinator's word was heeded once. It is not heeded again: it may be wrong.
    pub(super) has_waited_turn: AtomicBool,
    /// The generation and the time of this flight's claim under which certainly nothing was sent.
    pub(super) unsent: Mutex<Option<(u64, Timestamp)>>,
}

/// What to do after a step: go on with this row, or end.
pub(super) enum Step {
    Look(Box<Chain>),
    End(Option<Box<Chain>>, End),
}

impl Broker {
    /// Joins the chain's flight, or leads one from the row that is known.
    pub(super) fn board(
        &self,
        name: &Name,
        first: &Chain,
        ask: &Ask,
        actor: &Actor,
    ) -> (Answer<FlightEnd>, bool) {
        let begin = || self.flight(name.clone(), first.clone(), ask.clone(), actor.clone());
        let (answer, led) = self.0.flights.board(flight_key(first.id, ask), begin);
        if !led {
            metrics::counter!("keyherd_refresh_joined_total").increment(1);
        }
        (answer, led)
    }

    /// Bounded by its parts: waiting for others by the flight's bound, a call by the call's own. Nothing cuts a call off.
    fn flight(
        &self,
        name: Name,
        first: Chain,
        ask: Ask,
        actor: Actor,
    ) -> impl Future<Output = FlightEnd> + use<> {
        let broker = self.clone();
        async move { broker.lead(name, first, ask, actor).await }
    }

    async fn lead(&self, name: Name, first: Chain, ask: Ask, actor: Actor) -> FlightEnd {
        let lead = match self.profile(&first.provider) {
            Ok(profile) => {
                let rules = Rules::new(&self.0.options.refresh, &profile);
                let wait_until = self.0.ports.clock.uptime() + self.0.options.refresh.flight_timeout;
                let (broker, has_waited_turn) = (self.clone(), AtomicBool::new(false));
                let unsent = Mutex::default();
                Lead { broker, name, ask, actor, rules, profile, wait_until, has_waited_turn, unsent }
            }
            Err(error) => return FlightEnd { chain: None, end: End::Failed(error) },
        };
        match lead.run(first).await {
            Ok((chain, end)) => FlightEnd { chain: chain.map(|chain| Arc::new(*chain)), end },
            Err(error) => FlightEnd { chain: None, end: End::Failed(error) },
        }
    }
}

impl Lead {
    async fn run(&self, first: Chain) -> Result<(Option<Box<Chain>>, End), AcquireError> {
        let mut row = Box::new(first);
        let mut is_reread = false;
        for _ in 0..DECISIONS_MAX {
            row = self.without_own_doubt(row);
            let plan = plan(&row, &self.ask, &self.rules, self.broker.now());
            // What memory would refuse, the store may know better; a claim re-reads by itself.
            if !is_reread && matches!(plan, Plan::Refuse(_) | Plan::Rest) {
                is_reread = true;
                match self.reread(&row).await? {
                    Some(newer) => row = newer,
                    None => return Ok((None, End::Refused(Refusal::Removed))),
                }
                continue;
            }
            match self.act(row, plan).await? {
                Step::Look(newer) => {
                    self.broker.0.snapshots.publish(&newer);
                    (row, is_reread) = (newer, true);
                }
                Step::End(chain, end) => return Ok((chain, end)),
            }
        }
        Err(AcquireError::Unusable(format!(
            "credential '{}' keeps changing under its refresh: try again",
            self.name
        )))
    }

    async fn act(&self, row: Box<Chain>, plan: Plan) -> Result<Step, AcquireError> {
        match plan {
            Plan::Serve => Ok(Step::End(Some(row), End::Found)),
            Plan::Rest => Ok(Step::End(Some(row), End::Rest)),
            Plan::Refuse(refusal) => self.refuse(row, refusal).await,
            Plan::Wait if self.ask.policy == Policy::Background => Ok(Step::End(Some(row), End::Skipped)),
            Plan::Wait => self.wait(row, None).await,
            Plan::Resolve(claim) => self.resolve(row, claim).await,
            // What is under way at shutdown is finished; nothing new is begun.
            Plan::Spend(_) if self.broker.0.stop.is_cancelled() => {
                let retry_at = self.broker.now();
                let stopping = Refusal::Unavailable { code: "stopping".into(), retry_at };
                Ok(Step::End(Some(row), End::Refused(stopping)))
            }
            Plan::Spend(purpose) => self.claim_and_spend(row, purpose).await,
        }
    }

    /// Another process is at it, says the coordinator: its commit is waited for, and the row looked at, once. Then the
    /// claim is tried for, whatever the coordinator says.
    async fn wait_turn(&self, row: Box<Chain>) -> Result<Step, AcquireError> {
        if self.ask.policy == Policy::Background {
            return Ok(Step::End(Some(row), End::Skipped));
        }
        self.wait(row, Some(self.broker.0.options.turn_wait)).await
    }

    /// Waits for another process's claim; at the bound, or at our own shutdown, a last look at the store, and no call.
    async fn wait(&self, row: Box<Chain>, first_rest: Option<Duration>) -> Result<Step, AcquireError> {
        let left = self.wait_until.saturating_sub(self.broker.0.ports.clock.uptime());
        let followed = async {
            tokio::select! {
                biased;
                entry = self.answered(&row), if row.is_held() => self.roll_forward(entry).await,
                followed = self.broker.follow(&self.name, row.id, first_rest, Chain::is_held) => {
                    self.found(followed?)
                }
            }
        };
        let followed = self.broker.0.stop.run_until_cancelled(followed);
        if let Ok(Some(followed)) = tokio::time::timeout(left, followed).await {
            return followed;
        }
        match self.reread(&row).await? {
            // Nobody is at it any more: what that means is decided as ever.
            Some(last) if !last.is_held() => Ok(Step::Look(last)),
            Some(last) if plan(&last, &self.ask, &self.rules, self.broker.now()) == Plan::Serve => {
                Ok(Step::End(Some(last), End::Found))
            }
            last => {
                let retry_at = self.broker.now() + self.rules.bounds.backoff_first;
                Ok(Step::End(
                    last,
                    End::Refused(Refusal::Unavailable { code: "claim_held".into(), retry_at }),
                ))
            }
        }
    }

    async fn reread(&self, row: &Chain) -> Result<Option<Box<Chain>>, StoreError> {
        Ok(self.broker.0.ports.store.chain(row.id).await?.map(Box::new))
    }

    /// The claim is the only thing that authorises the call; what the journal has is not asked for again.
    async fn claim_and_spend(&self, row: Box<Chain>, purpose: Purpose) -> Result<Step, AcquireError> {
        self.request(&row)?;
        crash::point("planned");
        let is_answer_lost = match self.journaled(&row).await? {
            Journaled::Entry(entry) => return self.roll_forward(*entry).await,
            Journaled::Unreadable => self.rules.rotates != Rotates::Never,
            Journaled::Nothing => false,
        };
        if let Some(problem) = self.broker.too_short_a_life(self.rules.bounds.provider_timeout) {
            return Err(AcquireError::Unusable(problem));
        }
        let (turn, seat) = self.broker.turn(row.id).await;
        if turn == Turn::Wait && !self.has_waited_turn.swap(true, Ordering::Relaxed) {
            return self.wait_turn(row).await;
        }
        self.claim(row, purpose, is_answer_lost, seat).await
    }

    async fn claim(
        &self,
        row: Box<Chain>,
        purpose: Purpose,
        is_answer_lost: bool,
        seat: Option<Seat>,
    ) -> Result<Step, AcquireError> {
        // One doubtful claim for each chain: what became of it is told before another is asked for.
        if let Some(Settled::Done(row)) = self.broker.settle_owed(row.id).await? {
            return Ok(Step::Look(row));
        }
        let id = ClaimId::from_i64(self.broker.0.ports.entropy.id());
        let asked_at = self.broker.0.ports.clock.uptime();
        let ask = ClaimAsk { id, chain: row.id, revision: row.revision, purpose };
        let detail = json!({"generation": row.generation, "purpose": purpose.as_str()});
        let claimed = self.broker.0.ports.store.claim(&ask, self.record("refresh.claim", detail)).await;
        match claimed.inspect_err(|error| self.give_back(&row, id, error))? {
            Claimed::Missed(newer) => self.missed(newer).await,
            Claimed::Granted(granted) => {
                let tenure = self.broker.tenure(granted.id, id, asked_at, seat);
                crash::point("claimed");
                let granted = self.without_own_doubt(granted);
                // Two rows may have one revision, where memory was ahead of the store or the store lost commits.
                if !is_same_question(&row, &granted) {
                    return self.let_go(granted, tenure).await;
                }
                let row = granted;
                if is_answer_lost && purpose == Purpose::Refresh {
                    return self.lost(row, purpose, "journal_unreadable", tenure).await;
                }
                // From the row as the claim re-read it: the client app may be another one by now.
                match self.request(&row) {
                    Ok(request) => self.spend(row, purpose, request, tenure).await,
                    Err(error) => {
                        self.fail(row, id, Settlement::Released, Some(tenure)).await?;
                        Err(error)
                    }
                }
            }
        }
    }

    /// The row is another one by now. Where another process is at it, following that looks at the credential too.
    async fn missed(&self, newer: Option<Box<Chain>>) -> Result<Step, AcquireError> {
        match newer {
            Some(held) if held.is_held() => Ok(Step::Look(held)),
            Some(newer) => self.found(self.broker.look(&self.name, newer.id).await?),
            None => self.found(None),
        }
    }

    /// What stands in the store now. Where the credential was switched off or removed, this flight has no business here
    /// any more; who else boarded it asks again.
    fn found(&self, loaded: Option<Loaded>) -> Result<Step, AcquireError> {
        match loaded {
            Some(loaded) if !loaded.credential.disabled => Ok(Step::Look(Box::new(loaded.chain))),
            loaded => {
                self.broker.0.snapshots.forget(self.name.as_str());
                Ok(Step::End(loaded.map(|loaded| Box::new(loaded.chain)), End::Skipped))
            }
        }
    }

    /// The request, or why this credential cannot be refreshed as it is configured. Built before the claim.
    fn request(&self, row: &Chain) -> Result<TokenRequest, AcquireError> {
        let unusable =
            |problem: String| AcquireError::Unusable(format!("credential '{}': {problem}", self.name));
        let token_url = self
            .profile
            .resolve_token_url(row.token_url.as_deref())
            .map_err(|error| unusable(error.to_string()))?;
        let client = ClientApp { id: row.client.id.as_deref(), secret: row.client.secret.as_ref() };
        let resource = row.resource.as_deref();
        Ok(match &row.tokens.refresh_token {
            Some(token) => refresh_request(&self.profile, &token_url, &client, token, &row.scopes, resource),
            None => client_credentials_request(&self.profile, &token_url, &client, &row.scopes, resource),
        })
    }

    /// A record whose event is left to the caller.
    pub(super) fn record(&self, action: &'static str, detail: serde_json::Value) -> Record {
        let note = Note { action, actor: self.actor.clone(), subject: self.name.to_string(), detail };
        Record { note, event: None }
    }
}

/// Whether the decision that was made on one row holds for the other: the same token, in the same trouble.
fn is_same_question(decided: &Chain, granted: &Chain) -> bool {
    decided.generation == granted.generation
        && decided.spend_hash == granted.spend_hash
        && decided.trouble == granted.trouble
}

/// What the journal knows of a token that is about to be spent.
pub(super) enum Journaled {
    Nothing,
    Entry(Box<crate::ports::JournalEntry>),
    Unreadable,
}

pub(super) fn looked(row: Option<Chain>) -> Step {
    match row {
        Some(row) => Step::Look(Box::new(row)),
        None => Step::End(None, End::Refused(Refusal::Removed)),
    }
}
