//! Rules and remembered answers.

use async_trait::async_trait;

use super::{Record, StoreError};
use crate::ids::RuleId;
use crate::policy::{Rule, Rulebook, Verdict};
use crate::secret::TokenHash;

/// The kind of the event that every change of the rules tells. It belongs to no chain.
pub const RULES_CHANGED: &str = "rules_changed";

/// A rule, and what is the same for two that say the same.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRule {
    /// The rule.
    pub rule: Rule,
    /// [`Rule::fingerprint`].
    pub fingerprint: TokenHash,
}

/// A change of the rules, all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct RulesEdit {
    /// Written rules to be there. One that says the same as one that is there is left out.
    pub add: Vec<NewRule>,
    /// Rules to go, remembered answers too.
    pub remove: Vec<RuleId>,
    /// Another default.
    pub default: Option<Verdict>,
    /// At most so many rules, where any are added.
    pub rules_max: Option<u64>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum RulesEdited {
    /// It is made.
    Done {
        /// The rules that say what was to be added: new ones, and those that were there.
        there: Vec<Rule>,
        /// How many of them are new.
        added: usize,
        /// How many went.
        removed: usize,
        /// Whether the default is another one now.
        default_changed: bool,
    },
    /// There would be too many: nothing was changed.
    TooMany,
}

/// Rules.
#[async_trait]
pub trait RuleStore: Send + Sync + 'static {
    /// All of them, the oldest first, and the default.
    async fn rules(&self) -> Result<Rulebook, StoreError>;

    /// Changes them. Where nothing changes, nothing is told.
    async fn edit_rules(&self, edit: RulesEdit, record: Record) -> Result<RulesEdited, StoreError>;
}
