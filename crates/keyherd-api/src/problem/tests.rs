//! Every error's code, status and Retry-After, as the outside surface says.

use keyherd_core::broker::Lost;
use keyherd_core::ids::Name;
use keyherd_core::ports::store::Conflict;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn name() -> Name {
    Name::parse("acme").expect("is a name")
}

#[track_caller]
fn check(problem: impl Into<Problem>, code: &str, status: u16, retry_after: Option<&str>) {
    let problem: Problem = problem.into();
    assert_eq!((problem.body.code.as_str(), problem.body.status), (code, status));
    assert_eq!(problem.body.kind, format!("urn:keyherd:problem:{code}"));
    let response = problem.into_response();
    assert_eq!(response.status().as_u16(), status);
    let header = response.headers().get(RETRY_AFTER).map(|value| value.to_str().expect("is text"));
    assert_eq!(header, retry_after);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers().contains_key(WWW_AUTHENTICATE), status == 401);
}

#[test]
fn refusals() {
    let refused = |refusal: Refusal| Problem::refused("acme", &refusal, NOW);
    let at = |millis: i64| Timestamp::from_millis(NOW.as_millis() + millis);
    let code = || "e".to_owned();
    check(refused(Refusal::Disabled), "denied", 403, None);
    let cooling = |millis| Refusal::Cooling { until: at(millis), reason: "manual".into() };
    check(refused(cooling(1)), "cooling", 429, Some("1"));
    check(refused(cooling(1_001)), "cooling", 429, Some("2"));
    check(refused(cooling(-1)), "cooling", 429, Some("1"));
    check(refused(Refusal::ReauthRequired { code: code() }), "reauth_required", 409, None);
    check(refused(Refusal::Blocked { code: code() }), "provider_blocked", 502, None);
    let unavailable = Refusal::Unavailable { code: code(), retry_at: at(3_000) };
    check(refused(unavailable), "provider_unavailable", 502, Some("3"));
    check(refused(Refusal::Uncertain { code: code(), retry_at: at(500) }), "uncertain", 503, Some("1"));
    check(refused(Refusal::TimedOut), "timeout", 504, None);
    check(refused(Refusal::Removed), "not_found", 404, None);
}

#[test]
fn a_cooling_problem_says_until_when_and_why() {
    let refusal = Refusal::Cooling { until: Timestamp::from_millis(2_000_000), reason: "manual".into() };
    let body = serde_json::to_value(&*Problem::refused("acme", &refusal, NOW).body).expect("serializes");
    assert_eq!(body["until"], "1970-01-01T00:33:20Z");
    assert_eq!(body["retry_at"], "1970-01-01T00:33:20Z");
    assert_eq!(body["reason"], "manual");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("'acme'")));
}

#[test]
fn errors() {
    let store = || StoreError::Unavailable("gone".into());
    check(AcquireError::NotFound(name()), "not_found", 404, None);
    check(AcquireError::Store(store()), "store_unavailable", 503, None);
    check(AcquireError::Unusable("no profile".into()), "conflict", 409, None);
    check(AcquireError::Lost(Lost), "internal", 500, None);
    check(ConnectError::NameTaken(name()), "conflict", 409, None);
    check(ConnectError::NotFound(name()), "not_found", 404, None);
    let held = Conflict::TokenHeld { holder: "b".into() };
    check(ConnectError::Conflict { name: name(), conflict: held.clone() }, "conflict", 409, None);
    check(ConnectError::Unfit { name: name(), problem: "x".into() }, "invalid_request", 400, None);
    check(ConnectError::Store(store()), "store_unavailable", 503, None);
    check(
        ManageError::NotFound { what: "client", name: name(), list: "client list" },
        "not_found",
        404,
        None,
    );
    check(ManageError::InUse { what: "client", name: name(), by: name() }, "in_use", 409, None);
    check(ManageError::Refreshing(name()), "in_use", 409, None);
    check(ManageError::Conflict { name: name(), conflict: held }, "conflict", 409, None);
    check(ManageError::Unfit("x".into()), "invalid_request", 400, None);
    check(ManageError::Store(store()), "store_unavailable", 503, None);
    check(BadDocument::whole("x"), "invalid_request", 400, None);
    check(Problem::internal(), "internal", 500, None);
    check(Problem::new(Code::Unauthorized, "x"), "unauthorized", 401, None);
}

#[test]
fn a_method_that_is_not_for_a_path_names_those_that_are() {
    let problem = || Problem::new(Code::MethodNotAllowed, "no").allowing("GET, HEAD");
    check(problem(), "method_not_allowed", 405, None);
    assert_eq!(problem().into_response().headers()[ALLOW], "GET, HEAD");
}
