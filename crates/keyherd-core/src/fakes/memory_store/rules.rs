//! Rules and remembered answers.

use async_trait::async_trait;

use super::{MemoryStore, Rows};
use crate::ids::Name;
use crate::policy::{About, Rule, Rulebook, stands_against};
use crate::ports::StoreError;
use crate::ports::store::{NewRule, Record, RuleStore, RulesEdit, RulesEdited};
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// What is kept of the rules.
#[derive(Clone, Default)]
pub(super) struct Kept {
    pub(super) book: Rulebook,
    prints: Vec<TokenHash>,
}

impl Kept {
    pub(super) fn find(&self, print: &TokenHash) -> Option<&Rule> {
        let at = self.prints.iter().position(|known| known == print)?;
        self.book.rules.get(at)
    }

    fn push(&mut self, new: NewRule) {
        self.prints.push(new.fingerprint);
        self.book.rules.push(new.rule);
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Rule) -> bool) -> usize {
        let before = self.book.rules.len();
        let kept: Vec<bool> = self.book.rules.iter().map(&mut keep).collect();
        let mut flags = kept.iter();
        self.prints.retain(|_| flags.next().copied().unwrap_or(true));
        let mut flags = kept.iter();
        self.book.rules.retain(|_| flags.next().copied().unwrap_or(true));
        before - self.book.rules.len()
    }

    /// Who has that name next was never answered.
    pub(super) fn forget_answers_of(&mut self, agent: &Name) {
        self.retain(|rule| !matches!(&rule.about, About::Answered(question) if question.agent == *agent));
    }

    /// Remembers an answer, unless what is remembered is as strong.
    pub(super) fn remember(&mut self, new: NewRule, now: Timestamp) {
        if self.find(&new.fingerprint).is_some_and(|held| stands_against(held, &new.rule, now)) {
            return;
        }
        let held = self.find(&new.fingerprint).map(|held| held.id);
        self.retain(|rule| Some(rule.id) != held);
        self.push(new);
    }
}

#[async_trait]
impl RuleStore for MemoryStore {
    async fn rules(&self) -> Result<Rulebook, StoreError> {
        self.read(|rows| {
            let mut book = rows.rules.book.clone();
            book.rules.sort_by_key(|rule| (rule.created_at, rule.id));
            book
        })
    }

    async fn edit_rules(&self, edit: RulesEdit, record: Record) -> Result<RulesEdited, StoreError> {
        self.write(record, |rows| edited(rows, edit))
    }
}

fn edited(rows: &mut Rows, edit: RulesEdit) -> (RulesEdited, bool) {
    let mut rules = rows.rules.clone();
    let removed = rules.retain(|rule| !edit.remove.contains(&rule.id));
    let (mut there, mut added) = (Vec::new(), 0);
    for new in edit.add {
        if let Some(held) = rules.find(&new.fingerprint) {
            there.push(held.clone());
            continue;
        }
        there.push(new.rule.clone());
        added += 1;
        rules.push(new);
    }
    if added > 0 && edit.rules_max.is_some_and(|max| rules.book.rules.len() as u64 > max) {
        return (RulesEdited::TooMany, false);
    }
    let default_changed = edit.default.is_some_and(|verdict| verdict != rules.book.default);
    rules.book.default = edit.default.unwrap_or(rules.book.default);
    rows.rules = rules;
    let is_changed = added + removed > 0 || default_changed;
    (RulesEdited::Done { there, added, removed, default_changed }, is_changed)
}
