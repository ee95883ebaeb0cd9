//! What does it cost to decide one request, with 10, 1,000 and 100,000 rules?
//!
//! Baseline: the same rules in a list, each looked at in turn until the strongest kind that matches is known. Three kinds
//! of rules: a host each, a path each on one host, and an agent each on every host.

use std::hint::black_box;

use keyherd_bench::baseline::Scan;
use keyherd_bench::{Arguments, Outcome, Report, Row, Stopwatch, ratio};
use keyherd_core::host::Host;
use keyherd_core::ids::{Name, RuleId};
use keyherd_core::policy::{
    About, Destination, HostPattern, MethodWord, PathPattern, RequestPath, Rule, RuleSet, Rulebook, Scope,
    Target, Verdict,
};
use keyherd_core::secret::Hasher;
use keyherd_core::time::Timestamp;

/// Rules, and what a decision may take with so many, in ns.
const AIMS: [(usize, f64); 3] = [(10, 1_000.0), (1_000, 2_000.0), (100_000, 10_000.0)];
/// Requests that are decided in turn.
const REQUESTS: usize = 64;

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let rounds = arguments.number("rounds", arguments.size(2, 15))?;
    let calls: usize = arguments.number("calls", arguments.size(2_000, 200_000))?;
    let mut report = Report::begin("deciding: one request against many rules");
    for (what, rule) in KINDS {
        for (count, aim) in AIMS {
            let sides = Sides::new(count, rule)?;
            let (ours, list) = sides.measure(rounds, calls);
            let row = Row::new(format!("{count} rules, {what}"));
            let row = row.ours(format!("{ours:.0} ns")).baseline(format!("{list:.0} ns"));
            report.row(row.ratio(ratio(ours, list)).aim(format!("< {aim:.0} ns"), ours < aim));
        }
    }
    report.note(format!(
        "ns a decision over {REQUESTS} requests, half of which match a rule: the fastest of {rounds} rounds."
    ));
    report.print();
    Ok(())
}

/// A kind of rules: the n-th one.
type Make = fn(usize) -> Outcome<(Verdict, Scope)>;

const KINDS: [(&str, Make); 3] = [
    ("a host each", |n| {
        let host =
            if n.is_multiple_of(2) { format!("*.h{n}.example.com") } else { format!("h{n}.example.com") };
        scope(n, &host, None, None)
    }),
    ("a path each", |n| scope(n, "h1.example.com", None, Some(&format!("/v1/things/{n}/**")))),
    ("an agent each", |n| scope(n, "**", Some(&format!("agent-{n}")), None)),
];

fn scope(n: usize, host: &str, agent: Option<&str>, path: Option<&str>) -> Outcome<(Verdict, Scope)> {
    let verdict = [Verdict::Allow, Verdict::Ask, Verdict::Deny].get(n % 3).copied().unwrap_or(Verdict::Deny);
    let scope = Scope {
        agent: agent.map(Name::parse).transpose()?,
        host: HostPattern::parse(host)?,
        port: (n.is_multiple_of(5)).then_some(443),
        method: (n.is_multiple_of(7)).then(|| MethodWord::parse("GET")).transpose()?,
        path: path.map(PathPattern::parse).transpose()?,
    };
    Ok((verdict, scope))
}

/// The same rules on both sides, and the requests.
struct Sides {
    ready: RuleSet,
    list: Scan,
    requests: Vec<(String, Destination, RequestPath)>,
}

impl Sides {
    fn new(count: usize, make: Make) -> Outcome<Self> {
        let rules: Vec<_> = (0..count).map(|n| rule(n, make)).collect::<Outcome<_>>()?;
        let list = Scan::new(&rules);
        let ready = RuleSet::new(Rulebook { default: Verdict::Allow, rules }, &Hasher::new([1; 32]));
        let requests = (0..REQUESTS).map(|n| request(n, count)).collect::<Outcome<_>>()?;
        Ok(Self { ready, list, requests })
    }

    /// ns a decision: ours, and the list's, which is asked less often where it takes long. Both must agree.
    fn measure(&self, rounds: usize, calls: usize) -> (f64, f64) {
        let now = Timestamp::from_millis(1);
        let ours = |target: &Target<'_>| self.ready.decide(target, now).verdict;
        let list = |target: &Target<'_>| self.list.decide(target);
        for target in self.targets() {
            assert_eq!(ours(&target), list(&target), "{target:?}");
        }
        let few = (calls * 100 / self.ready.len().max(100)).max(REQUESTS);
        let fastest = |calls, decide: &dyn Fn(&Target<'_>) -> Verdict| {
            (0..rounds).map(|_| self.time(calls, decide)).fold(f64::INFINITY, f64::min)
        };
        (fastest(calls, &ours), fastest(few, &list))
    }

    fn time(&self, calls: usize, decide: &dyn Fn(&Target<'_>) -> Verdict) -> f64 {
        let targets: Vec<_> = self.targets().collect();
        let watch = Stopwatch::start();
        for target in targets.iter().cycle().take(calls) {
            black_box(decide(black_box(target)));
        }
        watch.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(calls).unwrap_or(u32::MAX))
    }

    fn targets(&self) -> impl Iterator<Item = Target<'_>> {
        self.requests.iter().map(|(agent, destination, path)| Target {
            agent: Some(agent),
            destination,
            method: Some("GET"),
            path: Some(path),
        })
    }
}

fn rule(n: usize, make: Make) -> Outcome<Rule> {
    let (verdict, scope) = make(n)?;
    let id = i64::try_from(n)?;
    Ok(Rule {
        id: RuleId::from_i64(id),
        verdict,
        about: About::Written(scope),
        until: None,
        approval: None,
        created_at: Timestamp::from_millis(id),
        created_by: "bench".into(),
    })
}

/// Every second one is about a rule that is there.
fn request(n: usize, count: usize) -> Outcome<(String, Destination, RequestPath)> {
    let at = if n.is_multiple_of(2) { (n * 7_919) % count } else { count + n };
    let host =
        if n.is_multiple_of(4) { format!("x.h{at}.example.com") } else { format!("h{}.example.com", at | 1) };
    let destination = Destination::new(Host::parse(&host)?, 443);
    Ok((format!("agent-{at}"), destination, RequestPath::read(&format!("/v1/things/{at}/parts?x=1"))))
}
