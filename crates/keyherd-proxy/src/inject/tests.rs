//! Injections as a table.

use http::Request;
use keyherd_core::binding::BindingDraft;
use keyherd_core::ids::{BindingId, Name};
use keyherd_core::time::Timestamp;

use super::*;

fn placed(header: Option<&str>, query: Option<&str>, template: Option<&str>) -> Placed {
    let text = |part: Option<&str>| part.map(str::to_owned);
    let draft = BindingDraft {
        name: Name::parse("acme").expect("is a name"),
        host: "api.example".into(),
        port: None,
        header: text(header),
        query: text(query),
        template: text(template),
        upstream: None,
    };
    let binding = draft.check(BindingId::of_random(1), Timestamp::default()).expect("is a binding");
    Placed::of(&binding.injection).expect("has a place")
}

#[track_caller]
fn check(placed: &Placed, uri: &str, expected: (&str, &str, &str)) {
    let request = Request::builder().uri(uri).header("authorization", "Bearer agents-own");
    let (mut head, ()) = request.body(()).expect("is a request").into_parts();
    placed.head(&mut head, "to/ken").expect("fits");
    let (name, value, uri) = expected;
    let found = head.headers.get(name).map(|value| value.to_str().expect("is text"));
    assert_eq!((found, head.uri.to_string().as_str()), (Some(value), uri));
}

#[test]
fn places_and_templates() {
    check(&placed(None, None, None), "/a", ("authorization", "Bearer to/ken", "/a"));
    let github = placed(Some("Authorization"), None, Some("token {token}"));
    check(&github, "/a", ("authorization", "token to/ken", "/a"));
    check(&placed(Some("x-api-key"), None, None), "/a?b", ("x-api-key", "to/ken", "/a?b"));
    check(&placed(Some("X-Key"), None, Some("<{token}>")), "/a", ("x-key", "<to/ken>", "/a"));
    let unchanged = ("authorization", "Bearer agents-own");
    let by_key = placed(None, Some("key"), None);
    let query = |uri, expected| check(&by_key, uri, (unchanged.0, unchanged.1, expected));
    query("/a", "/a?key=to%2Fken");
    query("/a?x=1&key=own&k%65y=own&y", "/a?x=1&y&key=to%2Fken");
    query("/a?", "/a?key=to%2Fken");
}

#[test]
fn a_token_that_cannot_stand_in_a_header() {
    let (mut head, ()) = Request::new(()).into_parts();
    let error = placed(None, None, None).head(&mut head, "a\nplanted");
    let text = error.expect_err("does not fit").to_string();
    assert!(text.contains("'authorization'") && !text.contains("planted"), "{text}");
}

#[test]
fn an_injected_value_is_not_shown() {
    let (mut head, ()) = Request::new(()).into_parts();
    placed(None, None, None).head(&mut head, "planted").expect("fits");
    assert!(!format!("{head:?}").contains("planted"));
}
