//! The verbs on rules, and the rules as this process has them: made ready once for each change, swapped whole.
//!
//! A set that is known to be old judges nobody until it was read anew, except while the store cannot be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::{Value, json};

use super::Broker;
use super::flight::{Flights, Spawn};
use crate::audit::{Actor, Note};
use crate::host::AddressKind;
use crate::ids::RuleId;
use crate::policy::{About, Explanation, Rule, RuleSet, Rulebook, Scope, Target, Verdict};
use crate::ports::StoreError;
use crate::ports::store::{Event, NewRule, RULES_CHANGED, Record, RulesEdit, RulesEdited};

/// How long the rules in memory are trusted where no watch tells of changes.
const UNWATCHED_MAX: Duration = Duration::from_millis(100);

/// The rules in memory.
pub(super) struct Policy {
    held: ArcSwapOption<Held>,
    /// +1 with each change that is told, here or elsewhere.
    changes: AtomicU64,
    loads: Flights<u64, Result<Arc<RuleSet>, StoreError>>,
}

struct Held {
    set: Arc<RuleSet>,
    /// How many changes had been told when they were read.
    as_of: u64,
    /// On the clock that counts suspend.
    read_at: Duration,
    /// Somebody reads them anew, since they are old enough that something may have been missed.
    is_reread: AtomicBool,
}

/// Why rules were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No rule has that id.
    #[error("no rule has the id '{0}': see 'keyherd rule list'")]
    NotFound(RuleId),
    /// There would be too many.
    #[error("there may be {0} rules at most: remove some, or raise rules_max")]
    TooMany(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Rules from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct RulesImport {
    /// Another default, where the file says one.
    pub default: Option<Verdict>,
    /// The written rules.
    pub rules: Vec<(Verdict, Scope)>,
    /// Whether written rules that are not among them go.
    pub replaces: bool,
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RulesImported {
    /// New rules.
    pub added: usize,
    /// Rules that were there.
    pub kept: usize,
    /// Rules that went.
    pub removed: usize,
    /// Whether the default is another one now.
    pub default_changed: bool,
}

impl Policy {
    pub(super) fn new(spawn: Spawn) -> Self {
        Self { held: ArcSwapOption::empty(), changes: AtomicU64::new(0), loads: Flights::new(spawn) }
    }

    /// Rules may have changed: what is in memory is old.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// What is in memory, unless a change was told since it was read.
    fn unchanged(&self) -> Option<Arc<Held>> {
        let held = self.held.load_full()?;
        (held.as_of == self.changes.load(Ordering::Acquire)).then_some(held)
    }
}

impl Broker {
    /// The rules in memory, if they are known to be those of the store: no wait, no reading.
    pub fn rules_at_hand(&self) -> Option<Arc<RuleSet>> {
        let held = self.0.policy.unchanged()?;
        let age = self.0.ports.clock.uptime().saturating_sub(held.read_at);
        if !self.is_watching() {
            return (age < UNWATCHED_MAX).then(|| Arc::clone(&held.set));
        }
        // Where events may be missed: read anew now and then, while what is there serves on.
        let is_aged = self.0.ports.store.latecomers().is_some() && age >= self.0.options.memory_age_max;
        if is_aged && !held.is_reread.swap(true, Ordering::AcqRel) {
            let (broker, old) = (self.clone(), Arc::clone(&held));
            self.0.tasks.spawn(async move {
                if let Err(error) = broker.read_rules(old.as_of).await {
                    tracing::debug!(%error, "the rules cannot be read anew");
                    old.is_reread.store(false, Ordering::Release);
                }
            });
        }
        Some(Arc::clone(&held.set))
    }

    /// The rules: from memory, or read anew, once for all who ask. Old ones while the store cannot be asked.
    pub async fn rules_ready(&self) -> Result<Arc<RuleSet>, StoreError> {
        if let Some(set) = self.rules_at_hand() {
            return Ok(set);
        }
        // A reading that began before the last change is nobody's who comes after it.
        let as_of = self.0.policy.changes.load(Ordering::Acquire);
        let broker = self.clone();
        let (read, _) =
            self.0.policy.loads.board(as_of, move || async move { broker.read_rules(as_of).await });
        let read = read.await.unwrap_or_else(|lost| Err(StoreError::Unavailable(lost.to_string())));
        match (read, self.0.policy.held.load_full()) {
            (Ok(set), _) => Ok(set),
            (Err(error), Some(old)) => {
                tracing::warn!(%error, "the rules cannot be read: those of before count");
                Ok(Arc::clone(&old.set))
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn read_rules(&self, as_of: u64) -> Result<Arc<RuleSet>, StoreError> {
        let read_at = self.0.ports.clock.uptime();
        let book = self.0.ports.store.rules().await?;
        let set = Arc::new(RuleSet::new(book, &self.0.ports.hasher));
        let is_reread = AtomicBool::new(false);
        let held = Arc::new(Held { set: Arc::clone(&set), as_of, read_at, is_reread });
        self.0.policy.held.rcu(|old| match old {
            Some(old) if old.as_of > as_of => Some(Arc::clone(old)),
            _ => Some(Arc::clone(&held)),
        });
        Ok(set)
    }

    /// All rules as the store has them, the oldest first, and the default.
    pub async fn rulebook(&self) -> Result<Rulebook, StoreError> {
        self.0.ports.store.rules().await
    }

    /// Which rule decides a target, and why; and whether its address is refused whatever is decided.
    pub async fn explain(&self, target: &Target<'_>) -> Result<Explanation, StoreError> {
        let (rules, now) = (self.rules_ready().await?, self.now());
        let mut explanation = rules.explain(target, now);
        let lies = target.destination.address().map(|address| (address, AddressKind::of(address)));
        if let Some((_, kind)) = lies
            && kind != AddressKind::Public
            && explanation.decision.verdict != Verdict::Deny
            && !rules.names_exactly(target, now)
        {
            let (host, port) = (target.destination.as_host(), target.destination.port());
            let is_bound = self.access().await?.bindings.names(host, port);
            explanation.unnamed = lies.filter(|_| !is_bound);
        }
        Ok(explanation)
    }

    /// Writes a rule. Where it says what one says already, that one is given, and `false`.
    pub async fn add_rule(
        &self,
        verdict: Verdict,
        scope: Scope,
        actor: &Actor,
    ) -> Result<(Rule, bool), RuleError> {
        let new = self.new_rule(verdict, scope, actor);
        let (given, subject) = (new.rule.clone(), new.rule.id.to_string());
        let detail = told_of(&new.rule);
        let edit = RulesEdit { add: vec![new], ..self.bounded_edit() };
        let (there, added, ..) = self.edit(edit, actor, "rule.add", subject, detail).await?;
        Ok((there.into_iter().next().unwrap_or(given), added > 0))
    }

    /// Removes a rule, or forgets an answer.
    pub async fn remove_rule(&self, id: RuleId, actor: &Actor) -> Result<(), RuleError> {
        let book = self.0.ports.store.rules().await?;
        let detail = book.rules.iter().find(|rule| rule.id == id).map_or_else(|| json!({}), told_of);
        let edit = RulesEdit { remove: vec![id], ..RulesEdit::default() };
        let (_, _, removed, _) = self.edit(edit, actor, "rule.remove", id.to_string(), detail).await?;
        if removed == 0 { Err(RuleError::NotFound(id)) } else { Ok(()) }
    }

    /// Sets what is done where no rule says anything. `false`: it was so.
    pub async fn set_default_verdict(&self, verdict: Verdict, actor: &Actor) -> Result<bool, RuleError> {
        let edit = RulesEdit { default: Some(verdict), ..RulesEdit::default() };
        let detail = json!({"verdict": verdict.as_str()});
        let (.., changed) = self.edit(edit, actor, "rule.default", "default".into(), detail).await?;
        Ok(changed)
    }

    /// Adds the rules of a file, in one step; where it replaces, written rules that it lacks go. Remembered answers stay.
    pub async fn import_rules(&self, import: RulesImport, actor: &Actor) -> Result<RulesImported, RuleError> {
        let mut add: Vec<_> =
            import.rules.into_iter().map(|(verdict, scope)| self.new_rule(verdict, scope, actor)).collect();
        // All of one time: their ids keep the file's order.
        let mut ids: Vec<RuleId> = add.iter().map(|new| new.rule.id).collect();
        ids.sort_unstable();
        for (new, id) in add.iter_mut().zip(ids) {
            new.rule.id = id;
        }
        let mut edit = RulesEdit { default: import.default, ..self.bounded_edit() };
        if import.replaces {
            let book = self.0.ports.store.rules().await?;
            let prints: std::collections::HashSet<_> = add.iter().map(|new| new.fingerprint).collect();
            let goes = |rule: &&Rule| {
                matches!(rule.about, About::Written(_))
                    && !prints.contains(&rule.fingerprint(&self.0.ports.hasher))
            };
            edit.remove = book.rules.iter().filter(goes).map(|rule| rule.id).collect();
        }
        edit.add = add;
        let detail = json!({"rules": edit.add.len(), "replaces": import.replaces});
        let (there, added, removed, default_changed) =
            self.edit(edit, actor, "rule.import", "rules".into(), detail).await?;
        Ok(RulesImported { added, kept: there.len() - added, removed, default_changed })
    }

    async fn edit(
        &self,
        edit: RulesEdit,
        actor: &Actor,
        action: &'static str,
        subject: String,
        detail: Value,
    ) -> Result<(Vec<Rule>, usize, usize, bool), RuleError> {
        let event =
            Event { kind: RULES_CHANGED, chain: None, subject: subject.clone(), detail: detail.clone() };
        let note = Note { action, actor: actor.clone(), subject, detail };
        match self.0.ports.store.edit_rules(edit, Record { note, event: Some(event) }).await? {
            RulesEdited::Done { there, added, removed, default_changed } => {
                self.rules_changed();
                Ok((there, added, removed, default_changed))
            }
            RulesEdited::TooMany => Err(RuleError::TooMany(self.0.options.rules_max)),
        }
    }

    /// This process changed them: the others are told by the outbox.
    pub(super) fn rules_changed(&self) {
        self.0.policy.changed();
        self.0.ports.coordinator.announce();
    }

    fn bounded_edit(&self) -> RulesEdit {
        RulesEdit { rules_max: Some(self.0.options.rules_max), ..RulesEdit::default() }
    }

    fn new_rule(&self, verdict: Verdict, scope: Scope, actor: &Actor) -> NewRule {
        let rule = Rule {
            id: RuleId::of_random(self.0.ports.entropy.id()),
            verdict,
            about: About::Written(scope),
            until: None,
            approval: None,
            created_at: self.now(),
            created_by: actor.0.as_ref().to_owned(),
        };
        NewRule { fingerprint: rule.fingerprint(&self.0.ports.hasher), rule }
    }
}

/// A rule for the audit log.
fn told_of(rule: &Rule) -> Value {
    match &rule.about {
        About::Answered(question) => {
            json!({"verdict": rule.verdict.as_str(), "remembered": super::ask::told_of(question)})
        }
        About::Written(scope) => json!({
            "verdict": rule.verdict.as_str(),
            "agent": scope.agent.as_ref().map(|agent| agent.as_str()),
            "host": scope.host.to_string(),
            "port": scope.port,
            "method": scope.method.as_ref().map(|method| method.as_str()),
            "path": scope.path.as_ref().map(|path| path.as_str()),
        }),
    }
}
