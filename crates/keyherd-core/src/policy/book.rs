//! All rules as they are kept.

use super::rule::{Rule, Verdict};

/// All rules, in no particular order, and what is done where none says anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Rulebook {
    /// For whatever no rule is about.
    pub default: Verdict,
    /// The rules.
    pub rules: Vec<Rule>,
}

impl Default for Rulebook {
    /// A new installation's: keyherd's first job is credentials, rules are there to tighten.
    fn default() -> Self {
        Self { default: Verdict::Allow, rules: Vec::new() }
    }
}
