//! The deaths that matter most, against an OAuth server that nobody here wrote.

use super::report::{Row, play_all};
use super::stage::{CONFIG, STEPS, Step, tokens, verify_audit};
use super::tally::{Told, all, words};
use crate::oidc::{Counts, OidcProvider};
use crate::place::Place;
use crate::running::Running;
use crate::sandbox::Sandbox;

const WAITERS: usize = 3;
const NEWCOMERS: usize = 4;
/// Longer than the test: what has ended is only said to have.
const TTL_SECONDS: u64 = 600;
const LANES: usize = 2;

#[test]
fn a_command_dies_at_a_real_server() {
    let points = ["claimed", "connected", "answered", "journaled", "committed"];
    let steps: Vec<_> = STEPS.into_iter().filter(|step| points.contains(&step.point)).collect();
    let title = "A command dies; the provider is npm oidc-provider";
    play_all("7-real.md", title, LANES, &steps, play);
}

fn play(step: &Step) -> Row {
    let (sandbox, server) = (Sandbox::new(), OidcProvider::start(TTL_SECONDS));
    sandbox.configure(CONFIG);
    let mut document = server.seed("basic");
    document["expires_at"] = "2020-01-01T00:00:00Z".into();
    server.import(&sandbox, &document, &[]).ok();
    let mut owner = Running::start(&sandbox, &["token", "acme"], "", Some(&step.stall()));
    owner.reaches(step.point);
    let waiters: Vec<_> = (0..WAITERS).map(|_| Running::token(&sandbox)).collect();
    assert_eq!(server.counts().calls, step.calls_before as u64, "{step:?}");
    owner.kill();
    let mut ran: Vec<_> = waiters.into_iter().map(Running::end).collect();
    ran.extend(tokens(&sandbox, NEWCOMERS));
    let told = all(&ran);
    check(step, &server, &told);
    verify_audit(&sandbox);
    let row = row(step, &server, words(&told, document["access_token"].as_str().unwrap()));
    if !step.is_lost {
        sandbox.run(&["cred", "refresh", "acme"]).ok();
        assert_eq!(server.counts().replays, 0, "{step:?}: the chain goes on");
    }
    row
}

fn row(step: &Step, server: &OidcProvider, callers: String) -> Row {
    let Counts { calls, replays, .. } = server.counts();
    let few = |count| usize::try_from(count).unwrap();
    let (calls, reuses) = (few(calls), few(replays));
    Row {
        place: Place::Sqlite,
        point: step.point,
        death: "kill -9".into(),
        callers,
        took_over: None,
        calls,
        reuses,
    }
}

fn check(step: &Step, server: &OidcProvider, told: &[Told]) {
    let lost = u64::from(step.is_lost);
    let seen = Counts { calls: step.calls_after as u64, granted: 1, replays: lost, reuses: lost };
    assert_eq!(server.counts(), seen, "{step:?}");
    let first = told.first().unwrap();
    assert!(told.iter().all(|told| told == first), "{step:?}: {told:?}");
    match first {
        Told::Token(token) => {
            assert!(!step.is_lost, "{step:?}");
            assert_eq!(server.userinfo_status(token), 200, "{step:?}");
        }
        told => assert_eq!((told, step.is_lost), (&Told::Lost, true), "{step:?}"),
    }
}
