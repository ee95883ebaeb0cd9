//! Rules in words, and the decision against a naive reading of the same rules.

mod naive;

use std::net::IpAddr;

use super::*;
use crate::approval::{Asked, Question};
use crate::host::Host;
use crate::ids::{Name, RuleId};
use crate::secret::Hasher;
use crate::time::Timestamp;

fn now() -> Timestamp {
    Timestamp::from_millis(1_000)
}

/// `allow host [agent=…] [port=…] [method=…] [path=…]`
fn rule(id: i64, text: &str) -> Rule {
    let mut words = text.split_whitespace();
    let verdict = words.next().and_then(Verdict::parse).expect("a verdict");
    let host = HostPattern::parse(words.next().expect("a host")).expect("a host");
    let mut scope = Scope { agent: None, host, port: None, method: None, path: None };
    for word in words {
        match word.split_once('=').expect("a field") {
            ("agent", text) => scope.agent = Some(Name::parse(text).expect("a name")),
            ("port", text) => scope.port = Some(text.parse().expect("a port")),
            ("method", text) => scope.method = Some(MethodWord::parse(text).expect("a method")),
            ("path", text) => scope.path = Some(PathPattern::parse(text).expect("a path")),
            (field, _) => panic!("no field {field}"),
        }
    }
    made(id, verdict, About::Written(scope))
}

fn made(id: i64, verdict: Verdict, about: About) -> Rule {
    Rule {
        id: RuleId::from_i64(id),
        verdict,
        about,
        until: None,
        approval: None,
        created_at: Timestamp::from_millis(id),
        created_by: "test".into(),
    }
}

fn answered(id: i64, verdict: Verdict, host: &str, until: Option<i64>) -> Rule {
    let asked = Asked::Target { host: host.into(), port: 443, method: None, path: None };
    let question = Question { agent: Name::parse("bot").expect("a name"), asked };
    let until = until.map(Timestamp::from_millis);
    Rule { until, ..made(id, verdict, About::Answered(question)) }
}

#[track_caller]
fn place(host: &str, port: u16) -> Destination {
    Destination::new(Host::parse(host).expect("a host"), port)
}

fn set(rules: Vec<Rule>) -> RuleSet {
    RuleSet::new(Rulebook { rules, ..Rulebook::default() }, &Hasher::new([1; 32]))
}

fn written(rules: &[&str]) -> RuleSet {
    set((1..).zip(rules).map(|(id, text)| rule(id, text)).collect())
}

/// `GET host[:port]/path`, or just a host.
#[track_caller]
fn decide(set: &RuleSet, request: &str) -> Decision {
    let (method, rest) =
        request.split_once(' ').map_or((None, request), |(method, rest)| (Some(method), rest));
    let (host, path) =
        rest.find('/').map_or((rest, None), |at| (&rest[..at], Some(RequestPath::read(&rest[at..]))));
    let (host, port) = match host.rsplit_once(':').filter(|(host, _)| !host.contains(':')) {
        Some((host, port)) => (host, port.parse().expect("a port")),
        None => (host, 443),
    };
    let destination = place(host, port);
    let target = Target { agent: Some("bot"), destination: &destination, method, path: path.as_ref() };
    let decision = set.decide(&target, now());
    let explained = set.explain(&target, now());
    assert_eq!(explained.decision, decision);
    decision
}

#[track_caller]
fn check(rules: &[&str], cases: &[(&str, &str)]) {
    let set = written(rules);
    for (request, expected) in cases {
        assert_eq!(decide(&set, request).verdict.as_str(), *expected, "{rules:?} on {request}");
    }
}

#[test]
fn deny_then_ask_then_allow_then_the_default() {
    check(&[], &[("example.com", "allow")]);
    let rules = ["allow **.example.com", "ask *.example.com", "deny b.example.com"];
    let cases = [
        ("x.y.example.com", "allow"),
        ("a.example.com", "ask"),
        ("b.example.com", "deny"),
        ("B.EXAMPLE.COM.", "deny"),
        ("example.org", "allow"),
    ];
    check(&rules, &cases);
    check(&["deny **"], &[("a", "deny"), ("a.b", "deny"), ("10.0.0.1", "deny"), ("[::1]", "deny")]);
    check(&["deny *"], &[("a", "deny"), ("a.b", "allow"), ("10.0.0.1", "allow")]);
}

#[test]
fn every_field_narrows_a_rule() {
    let rules = ["deny api.com agent=bot port=443 method=DELETE path=/v1/**", "deny api.com agent=other"];
    let cases = [
        ("DELETE api.com/v1/x", "deny"),
        ("DELETE api.com/v1", "deny"),
        ("delete api.com/v1/x", "deny"),
        ("GET api.com/v1/x", "allow"),
        ("DELETE api.com/v2/x", "allow"),
        ("DELETE api.com:80/v1/x", "allow"),
        ("DELETE api.org/v1/x", "allow"),
        ("api.com", "allow"),
    ];
    check(&rules, &cases);
}

#[test]
fn addresses_are_judged_however_they_are_written() {
    let rules = ["deny 10.0.0.0/8", "deny 169.254.169.254", "deny fd00::/8"];
    let cases = [
        ("10.1.2.3", "deny"),
        ("0xa010203", "deny"),
        ("10.66051", "deny"),
        ("169.254.169.254", "deny"),
        ("2852039166", "deny"),
        ("[::ffff:10.0.0.1]", "deny"),
        ("[fd00::1]", "deny"),
        ("fd00::1", "deny"),
        ("11.0.0.1", "allow"),
        ("[fe80::1]", "allow"),
    ];
    check(&rules, &cases);
    let rebound = place("nice.example.com", 443);
    let rebound = rebound.dialling("::ffff:10.0.0.9".parse().expect("an address"));
    let target = Target { agent: None, destination: &rebound, method: None, path: None };
    assert_eq!(written(&rules).decide(&target, now()).verdict, Verdict::Deny, "a name that leads there");
}

#[test]
fn wildcards_never_name_a_private_address() {
    let rules = ["allow **", "allow *.corp", "allow db.corp", "allow 10.0.0.0/8 port=5432", "ask ask.corp"];
    let set = written(&rules);
    let named = |host: &str, port, address: &str| {
        let destination = place(host, port);
        let destination = destination.dialling(address.parse::<IpAddr>().expect("an address"));
        set.names_exactly(
            &Target { agent: Some("bot"), destination: &destination, method: None, path: None },
            now(),
        )
    };
    assert!(named("db.corp", 443, "192.168.0.1"), "the exact host");
    assert!(named("x.corp", 5432, "10.2.3.4"), "a network that holds the address");
    assert!(named("ask.corp", 443, "192.168.0.1"));
    assert!(!named("x.corp", 443, "192.168.0.1"));
    assert!(!named("x.corp", 443, "10.2.3.4"), "the other port");
    assert!(!named("evil.example", 443, "192.168.0.1"));
}

#[test]
fn an_address_names_the_host_that_is_dialled_by_it() {
    let named = |rules: &[&str], host: &str, address: &str| {
        let destination = place(host, 443).dialling(address.parse::<IpAddr>().expect("an address"));
        let target = Target { agent: Some("bot"), destination: &destination, method: None, path: None };
        written(rules).names_exactly(&target, now())
    };
    assert!(named(&["allow 127.0.0.1"], "127.0.0.1", "127.0.0.1"));
    assert!(!named(&["allow 127.0.0.1"], "vm.corp", "127.0.0.1"), "another name that leads there");
    assert!(!named(&["allow ::1/128", "allow 127.0.0.1/32"], "vm.corp", "::1"), "as short as a network is");
    assert!(named(&["allow 127.0.0.0/31"], "vm.corp", "127.0.0.1"));
    assert!(named(&["allow 127.0.0.1", "allow 127.0.0.0/8"], "vm.corp", "127.0.0.1"), "the network names it");
    assert!(named(&["ask 127.0.0.1", "allow vm.corp"], "vm.corp", "127.0.0.1"));
    assert!(!named(&["allow 127.0.0.0/8", "deny 127.0.0.1"], "vm.corp", "127.0.0.1"), "denied by any name");
}

#[test]
fn what_a_name_alone_decides() {
    let denies = |default, rules: &[&str], agent| {
        let destination = place("secret.evil.example", 443);
        let target = Target { agent: Some(agent), destination: &destination, method: None, path: None };
        let rules = rules.iter().zip(1..).map(|(text, id)| rule(id, text)).collect();
        RuleSet::new(Rulebook { default, rules }, &Hasher::new([1; 32])).denies_by_name(&target, now())
    };
    let (allow, deny) = (Verdict::Allow, Verdict::Deny);
    assert!(denies(allow, &["deny *.evil.example", "allow 10.0.0.0/8"], "bot"));
    assert!(!denies(allow, &["deny 10.0.0.0/8"], "bot"), "its address may be denied");
    assert!(denies(deny, &["deny 10.0.0.0/8"], "bot"), "no address would be allowed");
    assert!(!denies(deny, &["allow 10.0.0.0/8"], "bot"));
    assert!(!denies(deny, &["ask 10.0.0.0/8 path=/x"], "bot"));
    assert!(denies(deny, &["allow 10.0.0.0/8 agent=other", "allow 10.0.0.0/8 port=80"], "bot"));
    assert!(!denies(deny, &["allow **", "deny 10.0.0.0/8"], "bot"));
}

#[test]
fn a_path_has_no_second_way_round_a_rule() {
    let denied = [
        "/admin",
        "/admin/",
        "//admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/%61dmin",
        "/x%2f..%2fadmin",
        "/admin;v=1/y",
        "/x\\..\\admin",
        "/./admin",
        "/admin/..%2fpublic",
        "/admin?x=1",
        "/%2fadmin",
    ];
    let set = written(&["deny api.com path=/admin/**"]);
    for path in denied {
        assert_eq!(decide(&set, &format!("GET api.com{path}")).verdict, Verdict::Deny, "{path}");
    }
    for path in ["/", "/public", "/admins", "/x/admin", "/Admin"] {
        assert_eq!(decide(&set, &format!("GET api.com{path}")).verdict, Verdict::Allow, "{path}");
    }
    let strict = RuleSet::new(
        Rulebook { default: Verdict::Deny, rules: vec![rule(1, "allow api.com path=/public/**")] },
        &Hasher::new([1; 32]),
    );
    for path in ["/public/../admin", "/admin/..%2fpublic", "/admin/%2e%2e/public"] {
        assert_eq!(decide(&strict, &format!("GET api.com{path}")).verdict, Verdict::Deny, "{path}");
    }
    assert_eq!(decide(&strict, "GET api.com/public/a%2fb").verdict, Verdict::Allow);
}

#[test]
fn an_answer_ranks_between_deny_and_ask() {
    let rules = |extra: Vec<Rule>| {
        let mut rules = vec![rule(1, "ask api.com"), rule(2, "allow **")];
        rules.extend(extra);
        set(rules)
    };
    let verdict = |set: &RuleSet| decide(set, "api.com").verdict;
    assert_eq!(verdict(&rules(vec![])), Verdict::Ask);
    assert_eq!(verdict(&rules(vec![answered(3, Verdict::Allow, "api.com", None)])), Verdict::Allow);
    assert_eq!(verdict(&rules(vec![answered(3, Verdict::Deny, "api.com", None)])), Verdict::Deny);
    assert_eq!(verdict(&rules(vec![answered(3, Verdict::Allow, "api.com", Some(1_001))])), Verdict::Allow);
    assert_eq!(
        verdict(&rules(vec![answered(3, Verdict::Allow, "api.com", Some(1_000))])),
        Verdict::Ask,
        "it is over"
    );
    assert_eq!(verdict(&rules(vec![answered(3, Verdict::Allow, "other.com", None)])), Verdict::Ask);
    let denied = rules(vec![answered(3, Verdict::Allow, "api.com", None), rule(4, "deny *.com")]);
    assert_eq!(verdict(&denied), Verdict::Deny);
}

#[test]
fn a_question_is_about_what_the_rules_ask_for() {
    let shape = |rules: &[&str], request| {
        let decision = decide(&written(rules), request);
        (decision.verdict, decision.asks_method, decision.asks_path)
    };
    assert_eq!(shape(&["ask a.com"], "GET a.com/x"), (Verdict::Ask, false, false));
    assert_eq!(shape(&["ask a.com method=GET"], "GET a.com/x"), (Verdict::Ask, true, false));
    assert_eq!(shape(&["ask a.com", "ask a.com path=/x"], "GET a.com/x"), (Verdict::Ask, false, true));
    assert_eq!(shape(&["ask a.com", "ask a.com path=/y"], "GET a.com/x"), (Verdict::Ask, false, false));
}

#[test]
fn a_connection_knows_whether_its_requests_must_be_read() {
    let set = written(&["deny a.com path=/x", "allow b.com", "deny c.com method=PUT agent=other"]);
    let needs = |host: &str| {
        let destination = place(host, 443);
        set.needs_request(&Target { agent: Some("bot"), destination: &destination, method: None, path: None })
    };
    assert_eq!(["a.com", "b.com", "c.com"].map(needs), [true, false, false]);
}

#[test]
fn the_most_specific_rule_is_named_and_the_oldest_of_equals() {
    let by = |rules: &[&str], request| match decide(&written(rules), request).by {
        Decided::Rule(id) => id.as_i64(),
        other => panic!("{other:?}"),
    };
    assert_eq!(by(&["deny **", "deny a.com", "deny a.com path=/x"], "GET a.com/x"), 3);
    assert_eq!(by(&["deny **", "deny a.com", "deny a.com path=/x"], "GET a.com/y"), 2);
    assert_eq!(by(&["deny *.com", "deny a.*"], "a.com"), 1);
    let explained = {
        let set = written(&["allow a.com", "deny **", "deny *.com port=443"]);
        let destination = place("a.com", 443);
        set.explain(&Target { agent: None, destination: &destination, method: None, path: None }, now())
    };
    assert_eq!(explained.rule.as_ref().map(|rule| rule.id.as_i64()), Some(3));
    let outranked: Vec<_> =
        explained.outranked.iter().map(|rule| (rule.id.as_i64(), explained.outranked_why(rule))).collect();
    assert_eq!(outranked, [(2, Outranked::ByRule), (1, Outranked::ByKind)]);
}

#[test]
fn what_is_no_pattern_is_refused() {
    for bad in [
        "",
        "http://a.com",
        "a.com:443",
        "a.com/x",
        "a b",
        "**.a.**",
        "a**b.com",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "*..com",
        "a*.com",
        "0x7f.1",
        &"a.".repeat(600),
    ] {
        assert!(HostPattern::parse(bad).is_err(), "{bad}");
    }
    for (good, shown) in [
        ("API.Example.com.", "api.example.com"),
        ("*.Example.com", "*.example.com"),
        ("bücher.de", "xn--bcher-kva.de"),
        ("[::1]", "::1"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("**", "**"),
        ("127.0.0.1/32", "127.0.0.1"),
    ] {
        assert_eq!(HostPattern::parse(good).map(|host| host.to_string()).as_deref(), Ok(shown));
    }
    for bad in ["", "v1", "/a?b", "/a/../b", "/**/a/**", "/a%20b", "/a**"] {
        assert!(PathPattern::parse(bad).is_err(), "{bad}");
    }
    assert!(
        MethodWord::parse("*").is_err()
            && MethodWord::parse("").is_err()
            && MethodWord::parse("A B").is_err()
    );
}
