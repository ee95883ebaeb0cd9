//! A host is killed with signal 9 in the middle of a refresh, and other hosts go on: at once where its death shows, else
//! when its claim ends. What it had received they find in Redis; without one they give it time, then probe once.

use super::super::report::{Row, play_all};
use super::super::stage::{STEPS, Step, TAKEOVER_MAX, new_token, since};
use super::super::tally::Told;
use super::hosts::{Hosts, LANES, NEWCOMERS, PLACES, WAITERS};
use crate::place::Place;
use crate::running::now;
use crate::sandbox::until;
use crate::serving::Serving;

/// What becomes of the host that was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Nobody hears of it again.
    Gone,
    /// It is started again while the others give it time.
    Back,
    /// It is started again when another host has probed.
    BackLate,
}

struct Case {
    place: Place,
    step: Step,
    then: Then,
}

impl Case {
    fn words(&self) -> &'static str {
        match self.then {
            Then::Gone => "kill -9",
            Then::Back => "kill -9; its host is back in time",
            Then::BackLate => "kill -9; its host is back after the probe",
        }
    }

    /// Whether the answer is where every host finds it.
    fn is_copied(&self) -> bool {
        self.step.is_kept() && self.place == Place::PostgresAndRedis
    }

    /// Whether nobody can know at first what the host did.
    fn is_uncertain(&self) -> bool {
        self.step.is_claimed && self.place != Place::Sqlite && !self.is_copied()
    }

    /// Whether the provider's answer is with nobody but the host that is gone when its time is over.
    fn is_lost(&self) -> bool {
        self.step.is_lost || (self.is_uncertain() && self.step.is_kept() && self.then != Then::Back)
    }

    fn outcome(&self) -> Told {
        if self.is_lost() { Told::Lost } else { new_token() }
    }
}

#[test]
fn a_host_dies() {
    let gone = STEPS.into_iter().flat_map(|step| PLACES.map(|place| Case { place, step, then: Then::Gone }));
    let journaled = STEPS.into_iter().find(|step| step.point == "journaled").unwrap();
    let back =
        [Then::Back, Then::BackLate].map(|then| Case { place: Place::Postgres, step: journaled, then });
    let cases: Vec<_> = gone.chain(back).collect();
    play_all("10-kill.md", "One host of several dies; the token has ended", LANES, &cases, play);
}

fn play(case: &Case) -> Row {
    let (step, hosts) = (&case.step, Hosts::new(case.place, &case.step, case.words()));
    let owner = hosts.held(step);
    let stood_until = hosts.claim_until();
    let expires = step.is_claimed && case.place != Place::Sqlite;
    assert_eq!(stood_until.is_some(), expires, "{step:?}");
    let died_at = now();
    assert_eq!(owner.kill().out, "", "{step:?}");
    let (first, told_at) = hosts.ask(WAITERS);
    hosts.no_sooner(told_at, stood_until.filter(|_| !case.is_copied()));
    let took = since(stood_until.map_or(died_at, |until| until.max(died_at)));
    assert!(took < TAKEOVER_MAX, "{step:?} on {:?}: took over in {took:?}", case.place);
    let mut told = vec![first];
    if case.is_uncertain() {
        hosts.all_were_told(&told[0], &Told::Uncertain);
        let _back = (case.then == Then::Back).then(|| back(&hosts));
        told.push(hosts.ask_when_settled(NEWCOMERS, step.calls_before, stood_until.unwrap()));
    }
    hosts.all_were_told(told.last().unwrap(), &case.outcome());
    if case.then == Then::BackLate {
        hosts.check_lost_there();
        // The pair is kept, whatever it is still worth to a provider that has seen a reuse.
        let _back = back(&hosts);
        told.push(hosts.ask(NEWCOMERS).0);
        hosts.all_were_told(told.last().unwrap(), &new_token());
    }
    let row = hosts.row(step.point, case.words(), None, &told, step.is_claimed.then_some(took));
    match (case.then, case.is_lost()) {
        (Then::BackLate, _) => {}
        // Whoever asks on the host that died finds what it had received: kept, whatever it is still worth.
        (_, true) if step.is_kept() => {
            hosts.check_lost_there();
            hosts.check_reused();
        }
        (_, true) => hosts.check_lost(),
        (_, false) => hosts.check_healthy(1),
    }
    row
}

/// The killed host's server starts again: what it had received is committed, and nobody has to ask.
fn back(hosts: &Hosts) -> Serving {
    let serving = Serving::start(&hosts.here);
    until("it commits what it had received", || hosts.show()["generation"] == 1);
    serving
}
