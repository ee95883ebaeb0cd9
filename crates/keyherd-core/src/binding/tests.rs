//! What is a binding, which ones are for a host, and what stands in a new one's way.

use super::{Binding, BindingConflict, BindingDraft, Bindings, Injection, Template, User};
use crate::host::Host;
use crate::ids::{BindingId, Name};
use crate::time::Timestamp;

fn name(text: &str) -> Name {
    Name::parse(text).expect("is a name")
}

fn draft(host: &str) -> BindingDraft {
    BindingDraft {
        name: name("acme"),
        host: host.into(),
        port: None,
        header: None,
        query: None,
        template: None,
        upstream: None,
    }
}

fn made(id: i64, draft: BindingDraft) -> Binding {
    draft.check(BindingId::from_i64(id), Timestamp::from_millis(0)).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn injects(draft: BindingDraft, place: &str, filled: &str) {
    let injection = made(1, draft).injection;
    let (kind, at) = match &injection {
        Injection::Header { name, .. } => ("header", name),
        Injection::Query { parameter, .. } => ("query", parameter),
    };
    assert_eq!(format!("{kind} {at}"), place);
    assert_eq!(injection.template().fill("s3cret").expose(), filled);
}

#[test]
fn what_is_injected() {
    let text = |text: &str| Some(text.to_owned());
    injects(draft("a.b"), "header authorization", "Bearer s3cret");
    injects(BindingDraft { header: text("X-Api-Key"), ..draft("a.b") }, "header x-api-key", "s3cret");
    injects(
        BindingDraft { header: text("AUTHORIZATION"), ..draft("a.b") },
        "header authorization",
        "Bearer s3cret",
    );
    injects(
        BindingDraft { template: text("token {token}!"), ..draft("a.b") },
        "header authorization",
        "token s3cret!",
    );
    injects(BindingDraft { query: text("api key"), ..draft("a.b") }, "query api key", "s3cret");
    let both = BindingDraft { query: text("k"), template: text("v1:{token}"), ..draft("a.b") };
    injects(both, "query k", "v1:s3cret");
}

#[track_caller]
fn refused(draft: BindingDraft, expected: &str) {
    let told =
        draft.check(BindingId::from_i64(1), Timestamp::from_millis(0)).expect_err("is refused").to_string();
    assert!(told.contains(expected), "{told}");
    assert!(!told.contains("planted"), "{told}");
}

#[test]
fn what_is_no_binding() {
    let text = |text: &str| Some(text.to_owned());
    for wide in ["*", "**", "*.*", "a.**"] {
        refused(draft(wide), "too wide");
    }
    refused(draft("a b"), "not a host");
    refused(draft("x*.b"), "one label");
    refused(BindingDraft { port: Some(0), ..draft("a.b") }, "port");
    for header in ["", "a b", "a:", "a\r\nb", "Host", "content-length", "Transfer-Encoding", "é"] {
        refused(BindingDraft { header: text(header), ..draft("a.b") }, "not a header");
    }
    refused(BindingDraft { header: text("a"), query: text("b"), ..draft("a.b") }, "not both");
    for query in ["", "a\nb"] {
        refused(BindingDraft { query: text(query), ..draft("a.b") }, "'query'");
    }
    for template in ["", "Bearer", "{token}{token}", "{token}\r\nX: y", " {token}", "{token} ", "ü{token}"] {
        refused(BindingDraft { template: text(template), ..draft("a.b") }, "'template'");
    }
    let long = format!("{}{{token}}", "x".repeat(super::TEMPLATE_LEN_MAX));
    refused(BindingDraft { template: Some(long), ..draft("a.b") }, "'template'");
}

#[test]
fn an_upstream_is_where_the_secret_may_go() {
    let with = |host: &str, port, upstream: &str| BindingDraft {
        port,
        upstream: Some(upstream.to_owned()),
        ..draft(host)
    };
    let made = made(1, with("*.example.com", None, "https://api.example.com/v1"));
    let upstream = made.upstream.expect("is there");
    assert_eq!((upstream.host().as_str(), upstream.port()), ("api.example.com", 443));
    assert_eq!(upstream.to_string(), "https://api.example.com/v1");
    self::made(1, with("127.0.0.1", Some(8080), "http://127.0.0.1:8080"));
    self::made(1, with("localhost", None, "http://localhost:9"));
    self::made(1, with("::1", None, "http://[::1]:9"));
    self::made(1, with("api.example.com", Some(443), "https://API.example.com."));
    refused(with("a.example.com", None, "https://b.example.com"), "may go to");
    refused(with("a.example.com", Some(8443), "https://a.example.com"), "may go to");
    refused(with("a.example.com", None, "http://a.example.com"), "use https");
    refused(with("a.example.com", None, "ftp://a.example.com"), "use https");
    refused(with("a.example.com", None, "https://planted@a.example.com"), "user or password");
    refused(with("a.example.com", None, "https://a.example.com/?planted"), "query");
    refused(with("a.example.com", None, "https://a.example.com/#planted"), "fragment");
    refused(with("a.example.com", None, "a.example.com/planted"), "not a URL");
}

#[test]
fn what_stands_in_the_way() {
    let text = |text: &str| Some(text.to_owned());
    let old = made(7, BindingDraft { upstream: text("https://a.b"), ..draft("a.b") });
    let check = |draft: BindingDraft, expected: Option<BindingConflict>| {
        assert_eq!(made(8, draft).conflict([&old]), expected);
    };
    check(draft("A.b"), Some(BindingConflict::Duplicate(old.id)));
    check(
        BindingDraft { template: text("{token}"), ..draft("a.b") },
        Some(BindingConflict::Duplicate(old.id)),
    );
    check(BindingDraft { port: Some(443), ..draft("a.b") }, None);
    check(BindingDraft { header: text("x-api-key"), ..draft("a.b") }, None);
    check(BindingDraft { query: text("key"), ..draft("a.b") }, None);
    check(draft("*.b"), None);
    let second = BindingDraft { upstream: text("https://c.d"), ..draft("c.d") };
    check(second, Some(BindingConflict::SecondUpstream(old.id)));
}

#[test]
fn those_for_a_host() {
    let port = |port, draft| BindingDraft { port: Some(port), ..draft };
    let named = |label: &str, draft| BindingDraft { name: name(label), ..draft };
    let all = Bindings::new([
        made(1, draft("**.example.com")),
        made(2, draft("*.eu.example.com")),
        made(3, draft("api.eu.example.com")),
        made(4, port(8443, draft("api.eu.example.com"))),
        made(5, draft("api.*.com")),
        made(6, draft("127.0.0.1")),
        made(7, named("other", draft("*.0.1.example"))),
    ]);
    let at = |host: &str, port| -> Vec<i64> {
        let host = Host::parse(host).expect("is a host");
        all.at(&host, port).map(|binding| binding.id.as_i64()).collect()
    };
    assert_eq!(at("api.eu.example.com", 443), [3, 2, 1], "the narrowest first");
    assert_eq!(at("api.eu.example.com", 8443), [3, 4, 2, 1]);
    assert_eq!(at("a.example.com", 443), [1]);
    assert_eq!(at("example.com", 443), [0_i64; 0]);
    assert_eq!(at("api.x.com", 443), [5]);
    assert_eq!(at("127.0.0.1", 80), [6]);
    assert_eq!(at("127.0.0.2", 80), [0_i64; 0]);
    assert_eq!(at("evil-example.com", 443), [0_i64; 0]);
    let names = |host: &str, port| all.names(&Host::parse(host).expect("is a host"), port);
    assert!(names("127.0.0.1", 80) && names("api.eu.example.com", 1));
    assert!(!names("a.example.com", 443), "a pattern names nobody");
    assert_eq!(all.user_of(&name("other")), Some(User::Binding(BindingId::from_i64(7))));
    assert_eq!(all.user_of(&name("nobody")), None);
    let rest = all.without(BindingId::from_i64(3));
    let host = Host::parse("api.eu.example.com").expect("is a host");
    assert_eq!(rest.at(&host, 443).map(|binding| binding.id.as_i64()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(rest.all().len(), 6);
}

#[test]
fn the_gateways_target_is_found_by_name() {
    let with = |label: &str, upstream: Option<&str>| BindingDraft {
        name: name(label),
        upstream: upstream.map(str::to_owned),
        ..draft("a.b")
    };
    let all = Bindings::new([made(1, with("one", None)), made(2, with("two", Some("https://a.b/base")))]);
    assert_eq!(all.gateway("two").map(|binding| binding.id), Some(BindingId::from_i64(2)));
    assert!(all.gateway("one").is_none() && all.gateway("three").is_none());
}

#[test]
fn a_filled_template_does_not_print() {
    let filled = Template::parse("Bearer {token}").expect("is one").fill("planted");
    assert!(!format!("{filled:?}").contains("planted"));
}
