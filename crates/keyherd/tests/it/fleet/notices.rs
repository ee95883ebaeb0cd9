//! A change on one host reaches the others by a notice: polls are as good as switched off here.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::place::Place;
use crate::provider::{Provider, access_token};
use crate::sandbox::{Sandbox, in_seconds, until};
use crate::server::Server;

/// No poll of any kind comes in a test's time, and forced refreshes may follow one another.
pub(super) const NO_POLLS: &str = "[listen]\npoll_proven_milliseconds = 60000\npoll_unproven_milliseconds = 60000\n\
     [refresh]\nforced_apart_seconds = 0.01\n";
/// Every single change: far below what a poll takes here, so that nothing but its notice has brought it. How soon that
/// usually is, is a bench's question: a machine under test is a busy one.
const EACH_WITHIN: Duration = Duration::from_secs(30);
/// How often each change is made.
const ROUNDS: usize = 5;
/// Looks at the other host after a change that it may not hear of yet.
const LOOKS: usize = 50;

#[test]
fn changes_reach_the_other_host_through_postgres() {
    changes_reach_the_other_host(Place::Postgres);
}

#[test]
fn changes_reach_the_other_host_through_redis() {
    changes_reach_the_other_host(Place::PostgresAndRedis);
}

fn changes_reach_the_other_host(place: Place) {
    let (here, provider) = (place.sandbox(), Provider::new());
    here.configure(NO_POLLS);
    here.import("a", &provider, &in_seconds(3_600));
    let (one, other) = (Server::start(&here), Server::start(&there(&here)));
    // Until it listens, nothing would come before a poll does.
    until("the other host hears", || {
        switch(&one, false);
        let was_on = status(&other) == 200;
        switch(&one, true);
        was_on && (0..LOOKS).any(|_| status(&other) == 403)
    });
    let mut took: [Vec<Duration>; 4] = Default::default();
    for round in 1..=ROUNDS {
        took[0].push(seen(|| switch(&one, false), || status(&other) == 200));
        let refresh = || assert_eq!(one.ask("POST", "/v1/credentials/a/refresh", "").0, 200);
        let now = || other.access_token("a");
        took[1].push(seen(refresh, || now() == access_token("a", round)));
        // The account's new login, then the next generation of the old one: the provider counts on.
        let reconnect = || replace(&one, &provider, round);
        took[2].push(seen(reconnect, || now() == format!("pl4nt3d-again-{round}")));
        took[3].push(seen(|| switch(&one, true), || status(&other) == 403));
    }
    for (what, took) in ["enable", "refresh", "reconnect", "disable"].into_iter().zip(took) {
        assert!(took.iter().all(|took| *took < EACH_WITHIN), "{what} was seen after {took:?}");
    }
    assert_eq!(provider.reuse(), 0);
}

/// The same with a command in between, which ends right after its commit: its notice is out before it is.
#[test]
fn a_command_that_ends_has_said_what_it_did() {
    let (here, provider) = (Place::Postgres.sandbox(), Provider::new());
    here.configure(NO_POLLS);
    here.import("a", &provider, &in_seconds(3_600));
    let peer = there(&here);
    let server = Server::start(&peer);
    until("the server hears", || heard(&here, &server));
    for _ in 0..ROUNDS {
        until("it is on", || status(&server) == 200);
        here.run(&["cred", "disable", "a"]).ok();
        until("it is off", || status(&server) == 403);
        here.run(&["cred", "enable", "a"]).ok();
    }
}

/// Another host, with the same settings.
pub(super) fn there(here: &Sandbox) -> Sandbox {
    let peer = here.peer();
    peer.configure(&std::fs::read_to_string(here.data().join("keyherd.toml")).unwrap());
    peer
}

/// Whether the server, which had it in memory, hears that a command has switched it off.
pub(super) fn heard(here: &Sandbox, server: &Server) -> bool {
    let was_on = status(server) == 200;
    here.run(&["cred", "disable", "a"]).ok();
    let is_off = (0..LOOKS).any(|_| status(server) == 403);
    here.run(&["cred", "enable", "a"]).ok();
    was_on && is_off
}

pub(super) fn status(server: &Server) -> u16 {
    server.ask("POST", "/v1/token", &json!({"name": "a"}).to_string()).0
}

fn switch(server: &Server, off: bool) {
    let patch = json!({"disabled": off}).to_string();
    assert_eq!(server.ask("PATCH", "/v1/credentials/a", &patch).0, 200);
}

fn replace(server: &Server, provider: &Provider, round: usize) {
    let tokens = json!({
        "access_token": format!("pl4nt3d-again-{round}"),
        "refresh_token": provider.current("a"),
        "expires_at": in_seconds(3_600),
    });
    let (status, body) = server.ask("PUT", "/v1/credentials/a/tokens", &tokens.to_string());
    assert_eq!(status, 200, "{body}");
}

/// How long it takes after a change until it shows.
#[expect(clippy::disallowed_methods, reason = "how long real processes take is the question")]
fn seen(change: impl FnOnce(), shows: impl Fn() -> bool) -> Duration {
    change();
    let changed = Instant::now();
    until("the change shows", shows);
    changed.elapsed()
}
