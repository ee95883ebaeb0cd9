//! Spellings of hosts, and what globs match.

use super::{Host, HostGlob};

#[test]
fn one_spelling() {
    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Host::parse(text).ok().as_ref().map(Host::as_str), expected, "{text}");
    }
    check("API.Example.com", Some("api.example.com"));
    check("api.example.com.", Some("api.example.com"));
    check("bücher.example", Some("xn--bcher-kva.example"));
    check("localhost", Some("localhost"));
    check("127.0.0.1", Some("127.0.0.1"));
    check("127.1", Some("127.0.0.1"));
    check("0x7f.0.0.1", Some("127.0.0.1"));
    check("[::1]", Some("::1"));
    check("::1", Some("::1"));
    check("[0:0:0:0:0:0:0:1]", Some("::1"));
    check("::ffff:127.0.0.1", Some("127.0.0.1"));
    check("a_b.example", Some("a_b.example"));
    for bad in ["", ".", "a..b", ".a", "a..", "a b", "a/b", "a@b", "a:80", "a%2eb", "1.2.3.4.5", "[::1", "a?"]
    {
        check(bad, None);
    }
    check(&format!("{}.example", "a".repeat(250)), None);
}

#[track_caller]
fn check(glob: &str, hosts: &[&str], others: &[&str]) {
    let read = HostGlob::parse(glob).unwrap_or_else(|error| panic!("{glob}: {error}"));
    for (hosts, expected) in [(hosts, true), (others, false)] {
        for host in hosts {
            assert_eq!(read.matches(&Host::parse(host).expect("is a host")), expected, "{glob} and {host}");
        }
    }
}

#[test]
fn globs() {
    check("api.example.com", &["API.example.com", "api.example.com."], &["example.com", "a.api.example.com"]);
    check("*.example.com", &["a.example.com"], &["example.com", "a.b.example.com", "a.example.com.evil.org"]);
    check("**.example.com", &["a.example.com", "a.b.c.example.com"], &["example.com", "aexample.com"]);
    check("api.*.example.com", &["api.eu.example.com"], &["api.example.com", "api.a.b.example.com"]);
    check("api.**.com", &["api.a.com", "api.a.b.com", "api.com.com"], &["api.com", "x.api.a.com"]);
    check("**.a.**.b", &["x.a.y.b", "x.a.a.y.b", "a.a.a.b"], &["a.y.b", "x.a.b", "x.y.b"]);
    check("*.*", &["a.b"], &["a", "a.b.c", "1.2.3.4"]);
    check("**", &["a", "a.b.c"], &["127.0.0.1", "::1"]);
    check("*", &["localhost"], &["a.b"]);
    check("127.0.0.1", &["127.1"], &["127.0.0.2", "localhost"]);
    check("[::1]", &["::1"], &["::2"]);
    check("*.Bücher.example", &["a.xn--bcher-kva.example"], &["a.bucher.example"]);
}

#[test]
fn what_is_no_glob() {
    for bad in
        ["", "a*.example.com", "*a.b", "***", "*.example..com", "**example.com", "*.0.0.1", "*。a", "a b.*"]
    {
        assert!(HostGlob::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_it_ends_with() {
    for (glob, suffix) in [
        ("a.b", "a.b"),
        ("*.a.b", "a.b"),
        ("a.**.B", "b"),
        ("a.*", ""),
        ("**", ""),
        ("*.Example.com.", "example.com"),
    ] {
        assert_eq!(HostGlob::parse(glob).expect("is one").suffix(), suffix, "{glob}");
    }
}

#[test]
fn many_wildcards_end_soon() {
    let glob = HostGlob::parse(&format!("{}b", "**.a.".repeat(30))).expect("is one");
    let host = Host::parse(&"a.".repeat(120)).expect("is one");
    assert!(!glob.matches(&host));
}
