//! What every process did with every refresh token, as no process can see it: the judge of each step.
//!
//! Owns the rules of the promise. Never acts, and knows the store only by what it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keyherd_core::credential::{Chain, Purpose, VerdictReason};
use keyherd_core::ids::{ChainId, ClaimId, OwnerId};
use keyherd_core::secret::TokenHash;
use keyherd_core::time::Timestamp;

use crate::plan::{CLAIM_LIFE, OWNER_RECOVERY};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Duration,
    /// Which rule.
    pub rule: &'static str,
    /// Whose chain.
    pub chain: Option<ChainId>,
    /// What it was about.
    pub what: String,
}

/// A granted claim, by its process and the token that it is about.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) chain: ChainId,
    pub(crate) claim: ClaimId,
    pub(crate) generation: u64,
    pub(crate) purpose: Purpose,
    pub(crate) at: Duration,
}

/// One time a token was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) owner: OwnerId,
    pub(crate) claim: Option<ClaimId>,
    pub(crate) answer: Option<Answer>,
}

/// A complete answer that reached the process that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted,
    Terminal,
    ClientApp,
    /// The provider had no time, and says so: nothing was spent.
    Busy,
    /// It says nothing of what became of the token.
    Unknown,
}

/// An answer that a journal has.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) chain: ChainId,
    pub(crate) generation: u64,
    pub(crate) host: usize,
    pub(crate) at: Duration,
    /// Why nobody is to blame if it never reaches the store.
    pub(crate) excuse: Option<&'static str>,
}

/// The record of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) names: BTreeMap<TokenHash, String>,
    pub(crate) claims: BTreeMap<(OwnerId, TokenHash), Held>,
    pub(crate) sent: BTreeMap<TokenHash, Vec<Sent>>,
    /// Tokens for which the provider rotated.
    pub(crate) rotated: BTreeMap<TokenHash, Duration>,
    pub(crate) receipts: BTreeMap<TokenHash, Receipt>,
    /// Those that the store does not have, nor what is newer.
    pub(crate) open: BTreeSet<TokenHash>,
    verdicts: BTreeMap<(ChainId, TokenHash), (VerdictReason, Duration)>,
    /// Verdicts that had their cause: outages renew them as they are.
    caused: BTreeSet<(ChainId, TokenHash, Timestamp)>,
    /// When a token's outcome was first recorded as unknown by another process than the claim's owner.
    given_up: BTreeMap<TokenHash, Duration>,
    /// Tokens whose story a failover cut short.
    pub(crate) cut_short: BTreeSet<TokenHash>,
    /// Tokens whose answer was with a process that died before its journal had it.
    pub(crate) died_with: BTreeSet<TokenHash>,
    failed_over: Option<Duration>,
    /// Every chain's row as it was last seen: its generation and its refresh token.
    pub(crate) seen: BTreeMap<ChainId, (u64, Option<TokenHash>)>,
    pub(crate) violations: Vec<Violation>,
}

impl Ledger {
    pub(crate) fn blame(&mut self, at: Duration, rule: &'static str, chain: Option<ChainId>, what: String) {
        self.violations.push(Violation { at, rule, chain, what });
    }

    pub(crate) fn name(&self, hash: &TokenHash) -> String {
        self.names.get(hash).cloned().unwrap_or_else(|| format!("{hash:?}"))
    }

    pub(crate) fn claimed(
        &mut self,
        owner: OwnerId,
        row: &Chain,
        claim: ClaimId,
        purpose: Purpose,
        at: Duration,
    ) {
        let Some(hash) = row.spend_hash else { return };
        self.claims
            .insert((owner, hash), Held { chain: row.id, claim, generation: row.generation, purpose, at });
    }

    /// A process sends a token. `row`: the chain as the store has it now, and when its claim expires.
    pub(crate) fn sends(
        &mut self,
        (owner, hash): (OwnerId, TokenHash),
        row: Option<(Chain, Option<Timestamp>)>,
        (at, now): (Duration, Timestamp),
        rotates: bool,
    ) {
        let held = self.claims.get(&(owner, hash)).cloned();
        if held.as_ref().is_some_and(|held| held.purpose == Purpose::Refresh) && rotates {
            self.sends_anew(hash, at);
        }
        let sent = Sent { at, owner, claim: held.as_ref().map(|held| held.claim), answer: None };
        self.sent.entry(hash).or_default().push(sent);
        let Some(held) = held else {
            let what = format!("{} was sent without a claim", self.name(&hash));
            return self.blame(at, "no call without a claim", None, what);
        };
        let is_cut_short = self.failed_over.is_some_and(|then| then >= held.at);
        let Some((row, until)) = row.filter(|(row, _)| row.generation == held.generation && !is_cut_short)
        else {
            // Reconnected, removed or moved on meanwhile: whether the token was spent is seen at its arrival.
            return;
        };
        let stands = row.claim.as_ref().is_some_and(|claim| claim.id == held.claim);
        if !stands || until.is_some_and(|until| until <= now) {
            let what = format!("{} was sent under a claim that was lost", self.name(&hash));
            self.blame(at, "a lost claim is noticed before the request is sent", Some(held.chain), what);
        }
    }

    /// A token is sent as if nothing were known of it: then nothing may be unknown of what was sent before.
    fn sends_anew(&mut self, hash: TokenHash, at: Duration) {
        let is_known = |sent: &Sent| matches!(sent.answer, Some(Answer::ClientApp | Answer::Busy));
        let is_replay = self.sent.get(&hash).is_some_and(|sent| !sent.iter().all(is_known));
        if is_replay && !self.cut_short.contains(&hash) {
            let what = format!("{} was sent again, and not as a probe", self.name(&hash));
            self.blame(at, "no blind replay", None, what);
        }
    }

    /// A token arrives at the provider, which spent it before.
    pub(crate) fn comes_back(&mut self, owner: OwnerId, hash: TokenHash, at: Duration) {
        let Some(held) = self.claims.get(&(owner, hash)).cloned() else { return };
        if self.cut_short.contains(&hash) {
            return;
        }
        let verdict = self.verdicts.get(&(held.chain, hash)).map(|(reason, then)| (*reason, *then));
        let verdict = verdict
            .filter(|(_, then)| self.failed_over.is_none_or(|at| at < *then))
            .map(|(reason, _)| reason);
        let is_final = matches!(verdict, Some(VerdictReason::Reused | VerdictReason::RotationLost));
        let problem = match held.purpose {
            Purpose::Refresh => Some("as if it had not been spent"),
            Purpose::ProbeUncertain | Purpose::ProbeVerdict if is_final => {
                Some("after a verdict that is final")
            }
            Purpose::ProbeUncertain | Purpose::ProbeVerdict => None,
        };
        if let Some(problem) = problem {
            let what = format!("{} came back {problem}", self.name(&hash));
            self.blame(at, "no blind replay", Some(held.chain), what);
        }
    }

    /// Another process found the claim on this token without an owner: it had expired by then.
    pub(crate) fn gives_up(&mut self, hash: TokenHash, claim: ClaimId, at: Duration) {
        let held = self.claims.iter().find(|((_, other), held)| *other == hash && held.claim == claim);
        let expired = held.map_or(at, |(_, held)| held.at + CLAIM_LIFE);
        self.given_up.entry(hash).or_insert(expired);
    }

    /// A probe ends a family whose next token a journal has: the owner must have had its time to bring it.
    /// Where a clock was wrong, the time was measured wrong too.
    pub(crate) fn ends_family(&mut self, hash: TokenHash, has_skewed: bool, at: Duration) {
        let given_up = self.given_up.get(&hash).copied();
        let name = self.name(&hash);
        let is_open = self.open.contains(&hash);
        let Some(receipt) = self.receipts.get_mut(&hash).filter(|_| is_open) else { return };
        let (chain, host) = (receipt.chain, receipt.host);
        receipt.excuse.get_or_insert("its host was away for longer than others wait");
        if !has_skewed
            && given_up.is_some_and(|then| at < then + OWNER_RECOVERY)
            && !self.cut_short.contains(&hash)
        {
            let what = format!(
                "{name} was probed while host{host}, which has its answer, still had time to bring it"
            );
            self.blame(at, "no probe before the owner had its time", Some(chain), what);
        }
    }

    /// A complete answer reached the process that asked for it.
    pub(crate) fn answered(&mut self, owner: OwnerId, hash: TokenHash, answer: Answer) {
        let sent =
            self.sent.get_mut(&hash).and_then(|sent| sent.iter_mut().rfind(|sent| sent.owner == owner));
        if let Some(sent) = sent {
            sent.answer = Some(answer);
        }
    }

    /// The store took a verdict: the process had a terminal answer for this very token, under this very claim.
    pub(crate) fn condemned(
        &mut self,
        (owner, claim): (OwnerId, ClaimId),
        chain: ChainId,
        (hash, reason, since): (TokenHash, VerdictReason, Timestamp),
        at: Duration,
    ) {
        self.verdicts.insert((chain, hash), (reason, at));
        if !self.caused.insert((chain, hash, since)) {
            return;
        }
        let has_cause = self.sent.get(&hash).is_some_and(|sent| {
            let is_cause = |sent: &Sent| {
                sent.owner == owner && sent.claim == Some(claim) && sent.answer == Some(Answer::Terminal)
            };
            sent.iter().any(is_cause)
        });
        if !has_cause {
            let what = format!("{} was condemned ({})", self.name(&hash), reason.as_str());
            self.blame(at, "no verdict without a terminal answer for that very token", Some(chain), what);
        }
    }

    /// The store took a block.
    pub(crate) fn blocked(&mut self, owner: OwnerId, claim: ClaimId, chain: ChainId, at: Duration) {
        let is_cause = |sent: &Sent| {
            sent.owner == owner && sent.claim == Some(claim) && sent.answer == Some(Answer::ClientApp)
        };
        if !self.sent.values().flatten().any(is_cause) {
            self.blame(at, "no block without an answer that blames the client", Some(chain), String::new());
        }
    }

    /// Everything committed since `backup_at` is lost. `generation`: the one that a chain has now.
    pub(crate) fn failed_over(
        &mut self,
        (backup_at, at): (Duration, Duration),
        generation: impl Fn(ChainId) -> Option<u64>,
    ) {
        self.failed_over = Some(at);
        let sent = self.sent.iter().filter(|(_, sent)| sent.iter().any(|sent| sent.at >= backup_at));
        self.cut_short.extend(sent.map(|(hash, _)| *hash));
        let claims = self.claims.iter().filter(|(_, held)| held.at >= backup_at);
        self.cut_short.extend(claims.map(|((_, hash), _)| *hash));
        for (hash, receipt) in &self.receipts {
            let is_back = generation(receipt.chain).is_some_and(|now| now <= receipt.generation);
            let was_settled = !self.open.contains(hash);
            if is_back && was_settled || receipt.at >= backup_at {
                self.cut_short.insert(*hash);
            }
        }
        self.open.extend(self.receipts.keys());
        self.seen.clear();
    }

    /// A process died: what it had received and not journaled died with it.
    pub(crate) fn died(&mut self, owner: OwnerId) {
        for (hash, sent) in &self.sent {
            let was_its_own = sent.iter().any(|sent| sent.owner == owner);
            if was_its_own && !self.receipts.contains_key(hash) {
                self.died_with.insert(*hash);
            }
        }
    }

    /// Whether an answer to that process is in its host's journal, and not in the store.
    pub(crate) fn is_left_by(&self, owner: OwnerId) -> bool {
        let is_its = |sent: &Vec<Sent>| sent.iter().any(|sent| sent.owner == owner);
        self.open.iter().any(|hash| self.sent.get(hash).is_some_and(is_its))
    }

    /// A host's disk is gone.
    pub(crate) fn disk_lost(&mut self, host: usize) {
        for hash in &self.open {
            if let Some(receipt) = self.receipts.get_mut(hash).filter(|receipt| receipt.host == host) {
                receipt.excuse = Some("the disk was destroyed");
            }
        }
    }
}
