//! Rules made ready for deciding, and the decision.
//!
//! Owns the order: deny, remembered answers, ask, allow, default. Of one kind the most specific rule is named as the one
//! that decides, and of equals the oldest; the verdict is the same whichever it is.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::book::Rulebook;
use super::globs::{Deep, Globs};
use super::leaf::{Best, Leaf, NONE, Place, Request, Requests, Wanted, Word};
use super::nets::Nets;
use super::pattern::{HostPattern, MethodWord, PathPattern};
use super::remembered::Remembered;
use super::rule::{About, Rule, Scope, Verdict};
use super::target::Target;
use crate::ids::{Name, RuleId};
use crate::secret::{Hasher, TokenHash};
use crate::time::Timestamp;

/// All rules, ready. Cheap to ask, costly to make.
#[derive(Debug)]
pub struct RuleSet {
    default: Verdict,
    /// By rank: of those that match, the first one decides.
    rules: Vec<Rule>,
    names: Globs<Leaf>,
    /// Of `**` alone.
    everywhere: Leaf,
    nets: Nets<Leaf>,
    /// Rules about networks that allow or ask.
    openers: Vec<u32>,
    agents: HashMap<Box<str>, Word, FixedState>,
    methods: HashMap<Box<str>, Word, FixedState>,
    /// Whether a written rule is about paths.
    judges_paths: bool,
    /// Whether one is about requests at all.
    judges_requests: bool,
    remembered: Remembered,
    outside: HashMap<TokenHash, u32>,
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// A written rule.
    Rule(RuleId),
    /// A remembered answer.
    Remembered(RuleId),
    /// No rule: the default.
    Default,
}

/// What becomes of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// By what.
    pub by: Decided,
    /// Where it is to ask: whether the question is about the method.
    pub asks_method: bool,
    /// Where it is to ask: whether the question is about the path.
    pub asks_path: bool,
}

/// The numbers of what matches best, so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) best: Best,
    pub(super) remembered_deny: u32,
    pub(super) remembered_allow: u32,
    asks_method: bool,
    asks_path: bool,
}

impl RuleSet {
    /// Makes a rulebook ready. The hasher is the installation's.
    pub fn new(book: Rulebook, hasher: &Hasher) -> Self {
        let mut rules = book.rules;
        rules.sort_by_key(|rule| (std::cmp::Reverse(rank(rule)), rule.created_at, rule.id));
        let mut set = Self {
            default: book.default,
            rules: Vec::new(),
            names: Globs::new(Deep::Some),
            everywhere: Leaf::default(),
            nets: Nets::default(),
            openers: Vec::new(),
            agents: HashMap::default(),
            methods: HashMap::default(),
            judges_paths: false,
            judges_requests: false,
            remembered: Remembered::default(),
            outside: HashMap::new(),
        };
        for (number, rule) in (0..NONE).zip(&rules) {
            match &rule.about {
                About::Written(scope) => set.put(scope, rule.verdict, number),
                About::Answered(question) => {
                    set.remembered.put(rule, number);
                    if question.is_outside() {
                        set.outside.insert(question.remembered_as(hasher), number);
                    }
                }
            }
        }
        set.rules = rules;
        set
    }

    /// What is done where no rule says anything.
    pub fn default_verdict(&self) -> Verdict {
        self.default
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What becomes of this target. Of two readings of its path the stricter decision counts.
    pub fn decide(&self, target: &Target<'_>, now: Timestamp) -> Decision {
        let decide = |path| self.decision(self.found(target, path, now));
        match target.path.filter(|_| self.judges_paths) {
            None => decide(&[]),
            Some(path) => match path.walked() {
                None => decide(path.plain()),
                Some(walked) => stricter(decide(path.plain()), decide(walked)),
            },
        }
    }

    /// Whether a rule for this connection can only be judged by who reads its requests.
    pub fn needs_request(&self, target: &Target<'_>) -> bool {
        let mut needs = false;
        if !self.judges_requests {
            return needs;
        }
        let wanted = self.wanted(target, &[]);
        self.each(target, &wanted, &mut |requests| needs |= requests.needs_request());
        needs
    }

    /// What the written rules are about that can only be judged by who reads requests.
    pub fn about_requests(&self) -> impl Iterator<Item = &Scope> {
        let scopes = self.rules().iter().filter_map(|rule| match &rule.about {
            About::Written(scope) => Some(scope),
            About::Answered(_) => None,
        });
        scopes.filter(|scope| scope.needs_request())
    }

    /// Whether a rule is about addresses: then a name is to be judged by the address that will be dialled.
    pub fn judges_addresses(&self) -> bool {
        !self.nets.is_empty()
    }

    /// Whether that is denied whatever address its name has: then nobody need look it up. `target` is judged by its name.
    pub fn denies_by_name(&self, target: &Target<'_>, now: Timestamp) -> bool {
        let decision = self.decide(target, now);
        decision.verdict == Verdict::Deny
            && (decision.by != Decided::Default || !self.may_open_by_net(target))
    }

    /// Whether an allowing or asking rule names this very host, or a network that holds the address: what lets a private
    /// address be dialled, where the decision lets it be.
    pub fn names_exactly(&self, target: &Target<'_>, now: Timestamp) -> bool {
        let decision = self.decide(target, now);
        if decision.verdict == Verdict::Deny || decision.by == Decided::Default {
            return false;
        }
        let wanted = self.wanted(target, target.path.map_or(&[][..], |path| path.plain()));
        let names = |number: u32| match self.by_number(number).map(|rule| &rule.about) {
            Some(About::Written(scope)) => scope.host.names(target.destination),
            _ => false,
        };
        let mut is_named = false;
        self.each(target, &wanted, &mut |requests| {
            requests.each(wanted.request, &mut |best| is_named |= names(best.allow) || names(best.ask));
        });
        is_named
    }

    /// The remembered answer to a question from outside, while it holds.
    pub fn answer_of(&self, key: &TokenHash, now: Timestamp) -> Option<&Rule> {
        self.outside.get(key).and_then(|number| self.by_number(*number)).filter(|rule| rule.holds_at(now))
    }

    /// A rule by its id.
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    pub(super) fn by_number(&self, number: u32) -> Option<&Rule> {
        usize::try_from(number).ok().and_then(|number| self.rules.get(number))
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The best of everything that matches, for one reading of the path.
    pub(super) fn found(&self, target: &Target<'_>, path: &[String], now: Timestamp) -> Found {
        let mut found = Found::default();
        let wanted = self.wanted(target, path);
        self.each(target, &wanted, &mut |requests| {
            requests.each(wanted.request, &mut |best| found.take(best, self));
        });
        self.remembered.each(target, &self.rules, &mut |number| match self
            .by_number(number)
            .filter(|rule| rule.holds_at(now))
            .map(|rule| rule.verdict)
        {
            Some(Verdict::Deny) => found.remembered_deny = number.min(found.remembered_deny),
            Some(Verdict::Allow) => found.remembered_allow = number.min(found.remembered_allow),
            Some(Verdict::Ask) | None => {}
        });
        found
    }

    /// Every set of rules whose host, agent and port fit.
    pub(super) fn each(&self, target: &Target<'_>, wanted: &Wanted<'_>, visit: &mut impl FnMut(&Requests)) {
        self.everywhere.each(wanted, visit);
        self.names.each(target.destination.labels(), &mut |leaf: &Leaf| leaf.each(wanted, visit));
        if let Some(address) = target.destination.address() {
            self.nets.each(address, &mut |leaf: &Leaf| leaf.each(wanted, visit));
        }
    }

    pub(super) fn wanted<'a>(&self, target: &Target<'_>, path: &'a [String]) -> Wanted<'a> {
        let known = target.method.is_some() || target.path.is_some();
        let method = target.method_word().and_then(|method| self.methods.get(&*method).copied());
        Wanted {
            agent: target.agent.and_then(|agent| self.agents.get(agent).copied()),
            port: target.destination.port(),
            request: known.then_some(Request { method, path: target.path.map(|_| path) }),
        }
    }

    fn put(&mut self, scope: &Scope, verdict: Verdict, number: u32) {
        let agent = scope.agent.as_ref().map(|agent| number_of(&mut self.agents, Name::as_str(agent)));
        let method =
            scope.method.as_ref().map(|method| number_of(&mut self.methods, MethodWord::as_str(method)));
        self.judges_paths |= scope.path.is_some();
        self.judges_requests |= scope.needs_request();
        if matches!(scope.host, HostPattern::Net(_)) && verdict != Verdict::Deny {
            self.openers.push(number);
        }
        let leaf = match &scope.host {
            HostPattern::Net(net) => self.nets.entry(*net),
            name if name.is_everything() => &mut self.everywhere,
            name @ HostPattern::Name(_) => self.names.entry(name.labels().into_iter().flatten()),
        };
        let requests = leaf.entry(Place { agent, port: scope.port });
        requests.entry(method, scope.path.as_ref().map(PathPattern::segments)).put(verdict, number);
    }

    fn decision(&self, found: Found) -> Decision {
        let Found { best, remembered_deny, remembered_allow, asks_method, asks_path } = found;
        let id = |number| self.by_number(number).map(|rule: &Rule| rule.id);
        let written = |verdict, number| id(number).map(|id| (verdict, Decided::Rule(id)));
        let answered = |verdict, number| id(number).map(|id| (verdict, Decided::Remembered(id)));
        let (verdict, by) = written(Verdict::Deny, best.deny)
            .or_else(|| answered(Verdict::Deny, remembered_deny))
            .or_else(|| answered(Verdict::Allow, remembered_allow))
            .or_else(|| written(Verdict::Ask, best.ask))
            .or_else(|| written(Verdict::Allow, best.allow))
            .unwrap_or((self.default, Decided::Default));
        Decision { verdict, by, asks_method, asks_path }
    }

    /// Whether a rule about a network might let that agent go to that port, at some address, by some request.
    fn may_open_by_net(&self, target: &Target<'_>) -> bool {
        self.openers.iter().filter_map(|number| self.by_number(*number)).any(|rule| match &rule.about {
            About::Written(scope) => {
                let agent = scope.agent.as_ref().is_none_or(|agent| target.agent == Some(agent.as_str()));
                agent && scope.port.is_none_or(|port| port == target.destination.port())
            }
            About::Answered(_) => false,
        })
    }
}

impl Default for Found {
    fn default() -> Self {
        Self {
            best: Best::default(),
            remembered_deny: NONE,
            remembered_allow: NONE,
            asks_method: false,
            asks_path: false,
        }
    }
}

impl Found {
    fn take(&mut self, best: &Best, set: &RuleSet) {
        self.best.deny = best.deny.min(self.best.deny);
        self.best.allow = best.allow.min(self.best.allow);
        if best.ask != NONE {
            self.best.ask = best.ask.min(self.best.ask);
            if let Some(About::Written(scope)) = set.by_number(best.ask).map(|rule| &rule.about) {
                self.asks_method |= scope.method.is_some();
                self.asks_path |= scope.path.is_some();
            }
        }
    }
}

/// A number for a word; the same for the same word.
fn number_of(words: &mut HashMap<Box<str>, Word, FixedState>, word: &str) -> Word {
    let next = Word::try_from(words.len()).unwrap_or(Word::MAX);
    *words.entry(word.into()).or_insert(next)
}

fn stricter(one: Decision, other: Decision) -> Decision {
    let strictness = |decision: &Decision| match decision.verdict {
        Verdict::Allow => 0,
        Verdict::Ask => 1,
        Verdict::Deny => 2,
    };
    if strictness(&other) > strictness(&one) { other } else { one }
}

/// How specific a rule is: its path before its method, its host before its port before its agent.
fn rank(rule: &Rule) -> u8 {
    let About::Written(scope) = &rule.about else { return u8::MAX };
    let flags = [
        scope.path.is_some(),
        scope.method.is_some(),
        scope.host.is_exact(),
        scope.port.is_some(),
        scope.agent.is_some(),
    ];
    flags.into_iter().fold(0, |rank, flag| rank * 2 + u8::from(flag))
}
