//! Rules: who may go where, decided without awaiting anything.
//!
//! Owns what a rule says, how a target is read, and which rule decides: deny, then remembered answers, then ask, then
//! allow, then the default. Never asks anybody, reads no clock, and knows nothing of how rules are kept.

mod book;
mod evaluate;
mod explain;
mod globs;
mod leaf;
mod nets;
mod pattern;
mod remembered;
mod rule;
mod target;

pub use self::book::Rulebook;
pub use self::evaluate::{Decided, Decision, RuleSet};
pub use self::explain::{Explanation, Outranked};
pub use self::pattern::{
    BadPattern, HostPattern, MethodWord, Net, PATTERN_LEN_MAX, PathPattern, SEGMENTS_MAX,
};
pub use self::rule::{About, Rule, Scope, Verdict, stands_against};
pub use self::target::{Destination, RequestPath, Target};

#[cfg(test)]
mod tests;
