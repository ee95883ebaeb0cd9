//! The decision against a reading of the rules one by one, on rules and requests made by chance.

use super::*;
use crate::fakes::SeededEntropy;
use crate::ports::Entropy;

const HOSTS: [&str; 6] = ["a.com", "b.com", "x.a.com", "y.x.a.com", "com", "10.0.0.1"];
const PATTERNS: [&str; 14] = [
    "a.com",
    "b.com",
    "*.com",
    "**.com",
    "**",
    "*",
    "x.*.com",
    "**.a.com",
    "x.**",
    "*.*.com",
    "x.*.*.com",
    "10.0.0.0/8",
    "10.0.0.1",
    "0.0.0.0/0",
];
const PATHS: [&str; 8] = ["/", "/a", "/a/b", "/a/b/c", "/b", "/a/x/c", "/a/%2e./b", "/x/..%2fa"];
const GLOBS: [&str; 8] = ["/a", "/a/*", "/a/**", "/**", "/**/c", "/a/*/c", "/*/b", "/a*/b"];
const AGENTS: [&str; 3] = ["bot", "other", "third"];
const METHODS: [&str; 3] = ["GET", "PUT", "DELETE"];

struct Dice(SeededEntropy);

impl Dice {
    fn pick<'a>(&self, from: &[&'a str]) -> &'a str {
        let at = self.0.id() % i64::try_from(from.len()).expect("few");
        from[usize::try_from(at).expect("small")]
    }

    fn is(&self, one_in: i64) -> bool {
        self.0.id() % one_in == 0
    }

    fn rule(&self, id: i64) -> Rule {
        let mut text = format!("{} {}", self.pick(&["allow", "deny", "ask"]), self.pick(&PATTERNS));
        for (field, words) in
            [("agent", &AGENTS[..]), ("method", &METHODS), ("path", &GLOBS), ("port", &["443", "80"])]
        {
            if self.is(3) {
                text.push_str(&format!(" {field}={}", self.pick(words)));
            }
        }
        rule(id, &text)
    }

    fn answer(&self, id: i64) -> Rule {
        let some = |word: &str| self.is(2).then(|| word.into());
        let asked = Asked::Target {
            host: self.pick(&HOSTS).into(),
            port: 443,
            method: some(self.pick(&METHODS)),
            path: some(self.pick(&PATHS)),
        };
        let question = Question { agent: Name::parse(self.pick(&AGENTS)).expect("a name"), asked };
        let verdict = if self.is(2) { Verdict::Allow } else { Verdict::Deny };
        let until = self.is(2).then(|| Timestamp::from_millis(if self.is(2) { 999 } else { 1_001 }));
        Rule { until, ..made(id, verdict, About::Answered(question)) }
    }
}

/// Labels or segments, read from the front: nothing in common with the tree. `**` is so many at least.
fn glob(deep_min: usize, pattern: &[&str], text: &[&str]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (deep_min..=text.len()).any(|skip| glob(deep_min, rest, &text[skip..])),
        (Some((part, rest)), Some((word, text))) => {
            within(part.as_bytes(), word.as_bytes()) && glob(deep_min, rest, text)
        }
        _ => false,
    }
}

fn within(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            let is_whole = pattern == b"*" && !text.is_empty();
            is_whole || (0..=text.len()).any(|skip| within(rest, &text[skip..]))
        }
        (Some((one, rest)), Some((other, text))) => one == other && within(rest, text),
        _ => false,
    }
}

fn fits(rule: &Rule, target: &Target<'_>, reading: &[String]) -> bool {
    let scope = match &rule.about {
        About::Answered(question) => return rule.holds_at(now()) && question.covers(target),
        About::Written(scope) => scope,
    };
    let words = |text: &'static str| -> Vec<&'static str> { text.split('.').collect() };
    let host = match &scope.host {
        HostPattern::Net(net) => target.destination.address().is_some_and(|address| net.holds(address)),
        HostPattern::Name(name) => {
            let pattern = PATTERNS.into_iter().find(|pattern| **pattern == **name).expect("one of ours");
            let host =
                HOSTS.into_iter().find(|host| *host == target.destination.host()).expect("one of ours");
            let labels = if target.destination.address().is_some() { vec![] } else { words(host) };
            pattern == "**" || glob(1, &words(pattern), &labels)
        }
    };
    let path = scope.path.as_ref().is_none_or(|pattern| {
        if target.path.is_none() {
            return false;
        }
        let parts: Vec<_> = pattern.as_str().split('/').filter(|part| !part.is_empty()).collect();
        glob(0, &parts, &reading.iter().map(String::as_str).collect::<Vec<_>>())
    });
    host && path
        && scope.agent.as_ref().is_none_or(|agent| Some(agent.as_str()) == target.agent)
        && scope.port.is_none_or(|port| port == target.destination.port())
        && scope.method.as_ref().is_none_or(|method| Some(method.as_str()) == target.method)
}

fn naive(rules: &[Rule], target: &Target<'_>, reading: &[String]) -> Verdict {
    let any = |is_answer: bool, verdict: Verdict| {
        let is_one =
            |rule: &&Rule| matches!(rule.about, About::Answered(_)) == is_answer && rule.verdict == verdict;
        rules.iter().filter(is_one).any(|rule| fits(rule, target, reading))
    };
    let order = [
        (false, Verdict::Deny),
        (true, Verdict::Deny),
        (true, Verdict::Allow),
        (false, Verdict::Ask),
        (false, Verdict::Allow),
    ];
    order
        .into_iter()
        .find(|(is_answer, verdict)| any(*is_answer, *verdict))
        .map_or(Verdict::Allow, |(_, verdict)| verdict)
}

fn strictest(rules: &[Rule], target: &Target<'_>) -> Verdict {
    let verdicts: Vec<_> = match target.path {
        Some(path) => path.readings().map(|reading| naive(rules, target, reading)).collect(),
        None => vec![naive(rules, target, &[])],
    };
    [Verdict::Deny, Verdict::Ask, Verdict::Allow]
        .into_iter()
        .find(|verdict| verdicts.contains(verdict))
        .expect("one")
}

#[test]
fn the_decision_is_that_of_a_naive_reading() {
    for seed in 0..400 {
        let dice = Dice(SeededEntropy::new(seed));
        let count = 1 + dice.0.id() % 12;
        let mut rules: Vec<_> = (1..=count).map(|id| dice.rule(id)).collect();
        rules.extend((100..103).map(|id| dice.answer(id)));
        let ready = set(rules.clone());
        for _ in 0..60 {
            let port = if dice.is(3) { 80 } else { 443 };
            let destination = place(dice.pick(&HOSTS), port);
            let path = RequestPath::read(dice.pick(&PATHS));
            let is_read = !dice.is(4);
            let target = Target {
                agent: (!dice.is(5)).then(|| dice.pick(&AGENTS)),
                destination: &destination,
                method: is_read.then(|| dice.pick(&METHODS)),
                path: is_read.then_some(&path),
            };
            let decision = ready.decide(&target, now());
            assert_eq!(
                decision.verdict,
                strictest(&rules, &target),
                "seed {seed}: {target:?} under {rules:?}"
            );
            assert_eq!(ready.explain(&target, now()).rule.is_some(), decision.by != Decided::Default);
        }
    }
}
