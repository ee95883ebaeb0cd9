//! Which rule decides a target, and why not another: for `rule test`.

use std::net::IpAddr;

use super::evaluate::{Decided, Decision, RuleSet};
use super::globs::{Deep, Globs};
use super::rule::{About, Rule, Scope, Verdict};
use super::target::{RequestPath, Target};
use crate::host::AddressKind;
use crate::time::Timestamp;

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What is decided.
    pub decision: Decision,
    /// The rule that decides; none where it is the default.
    pub rule: Option<Rule>,
    /// What else matches, the strongest first.
    pub outranked: Vec<Rule>,
    /// Matching needs the method or the path, and they were not given: what it would be may differ.
    pub needs_request: bool,
    /// The address, where it is private and no rule or binding names it: it is not dialled, though the decision would let it be.
    /// [`RuleSet::explain`] knows of no bindings and leaves it out.
    pub unnamed: Option<(IpAddr, AddressKind)>,
    /// The path can be read in two ways, and the stricter one counts.
    pub is_ambiguous: bool,
}

/// Why a rule that matches does not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outranked {
    /// Its kind comes later: deny, remembered answers, ask, allow.
    ByKind,
    /// Another rule of its kind is more specific, or as specific and older.
    ByRule,
}

impl RuleSet {
    /// Looks at every rule, one by one: slow, and in no way the same code as the decision.
    pub fn explain(&self, target: &Target<'_>, now: Timestamp) -> Explanation {
        let decision = self.decide(target, now);
        let mut matching: Vec<&Rule> =
            self.rules().iter().filter(|rule| matches(rule, target, now)).collect();
        matching.sort_by_key(|rule| kind(rule));
        let decider = match decision.by {
            Decided::Rule(id) | Decided::Remembered(id) => Some(id),
            Decided::Default => None,
        };
        let is_unread = target.method.is_none() && target.path.is_none();
        Explanation {
            rule: decider.and_then(|id| self.rule(id)).cloned(),
            outranked: matching.into_iter().filter(|rule| Some(rule.id) != decider).cloned().collect(),
            needs_request: is_unread && self.needs_request(target),
            unnamed: None,
            is_ambiguous: target.path.is_some_and(|path| path.walked().is_some()),
            decision,
        }
    }
}

impl Explanation {
    /// Why that one of the outranked rules does not decide.
    pub fn outranked_why(&self, rule: &Rule) -> Outranked {
        match &self.rule {
            Some(decider) if kind(decider) == kind(rule) => Outranked::ByRule,
            _ => Outranked::ByKind,
        }
    }
}

/// The order in which kinds of rule are heard.
fn kind(rule: &Rule) -> u8 {
    match (&rule.about, rule.verdict) {
        (About::Written(_), Verdict::Deny) => 0,
        (About::Answered(_), Verdict::Deny) => 1,
        (About::Answered(_), _) => 2,
        (About::Written(_), Verdict::Ask) => 3,
        (About::Written(_), Verdict::Allow) => 4,
    }
}

fn matches(rule: &Rule, target: &Target<'_>, now: Timestamp) -> bool {
    match &rule.about {
        About::Written(scope) => fits(scope, target),
        About::Answered(question) => rule.holds_at(now) && question.covers(target),
    }
}

fn fits(scope: &Scope, target: &Target<'_>) -> bool {
    let agent = scope.agent.as_ref().is_none_or(|agent| target.agent == Some(agent.as_str()));
    let port = scope.port.is_none_or(|port| port == target.destination.port());
    let method =
        scope.method.as_ref().is_none_or(|method| target.method_word().as_deref() == Some(method.as_str()));
    agent && port && method && fits_host(scope, target) && fits_path(scope, target.path)
}

fn fits_host(scope: &Scope, target: &Target<'_>) -> bool {
    match (&scope.host, scope.host.labels()) {
        (super::HostPattern::Net(net), _) => {
            target.destination.address().is_some_and(|address| net.holds(address))
        }
        (name, _) if name.is_everything() => true,
        (_, labels) => is_glob_of(Deep::Some, labels.into_iter().flatten(), target.destination.labels()),
    }
}

fn fits_path(scope: &Scope, path: Option<&RequestPath>) -> bool {
    match (&scope.path, path) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(pattern), Some(path)) => path
            .readings()
            .any(|reading| is_glob_of(Deep::Any, pattern.segments(), reading.iter().map(String::as_str))),
    }
}

fn is_glob_of<'a>(
    deep: Deep,
    pattern: impl Iterator<Item = &'a str>,
    text: impl Iterator<Item = &'a str> + Clone,
) -> bool {
    let mut globs: Globs<bool> = Globs::new(deep);
    *globs.entry(pattern) = true;
    let mut found = false;
    globs.each(text, &mut |here| found |= *here);
    found
}
