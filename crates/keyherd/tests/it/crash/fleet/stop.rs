//! A host stands still in the middle of a refresh, for longer than its claim lives, and goes on as if nothing had
//! happened. Nothing is sent for a claim that ended, but what was past the last look at it already: the late send that
//! SECURITY.md names.

use super::super::report::{Row, play_all};
use super::super::stage::{STEPS, Step, new_token, since};
use super::super::tally::{Told, all};
use super::hosts::{Hosts, LANES, NEWCOMERS, PLACES, WAITERS};
use crate::place::Place;
use crate::running::{Running, now};

/// When the host goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// On one machine while others wait; else while they give it time.
    InTime,
    /// When another host has probed.
    Late,
}

struct Case {
    place: Place,
    step: Step,
    when: When,
}

impl Case {
    fn words(&self) -> &'static str {
        match (self.place, self.when) {
            (Place::Sqlite, _) => "SIGSTOP; SIGCONT while others wait",
            (_, When::InTime) => "SIGSTOP past the claim's end; SIGCONT",
            (_, When::Late) => "SIGSTOP past the claim's end; SIGCONT after the probe",
        }
    }

    /// Whether others cannot know what the host did.
    fn is_uncertain(&self) -> bool {
        self.step.is_claimed && self.place != Place::Sqlite && !self.is_copied()
    }

    /// Whether the answer is where every host finds it.
    fn is_copied(&self) -> bool {
        self.step.is_kept() && self.place == Place::PostgresAndRedis
    }

    /// Whether the probe is a reuse, because the provider's answer is with the host that stands still.
    fn probe_is_reuse(&self) -> bool {
        self.when == When::Late && self.is_uncertain() && self.step.calls_before == 1
    }

    /// Whether the host's request goes out after another one's.
    fn is_late_send(&self) -> bool {
        self.when == When::Late && self.step.point == "sending"
    }
}

#[test]
fn a_host_stands_still_and_goes_on() {
    let case = |when| move |(step, place)| Case { place, step, when };
    let everywhere = STEPS.into_iter().flat_map(|step| PLACES.map(|place| (step, place)));
    let cases: Vec<_> = everywhere.clone().map(case(When::InTime)).collect();
    let late = everywhere.map(case(When::Late)).filter(Case::is_uncertain);
    let title = "One host of several stands still, and goes on; the token has ended";
    let cases: Vec<_> = cases.into_iter().chain(late).collect();
    play_all("11-stop.md", title, LANES, &cases, play);
}

fn play(case: &Case) -> Row {
    let (step, hosts) = (&case.step, Hosts::new(case.place, &case.step, case.words()));
    let owner = hosts.held(step);
    let stood_until = hosts.claim_until();
    owner.stop();
    hosts.release();
    let (told, own, took) = match case.place {
        Place::Sqlite => on_one_machine(&hosts, step, owner),
        _ => {
            let (first, told_at) = hosts.ask(WAITERS);
            hosts.no_sooner(told_at, stood_until.filter(|_| !case.is_copied()));
            hosts.all_were_told(&first, &if case.is_uncertain() { Told::Uncertain } else { new_token() });
            let mut told = vec![first];
            if case.when == When::Late {
                told.push(hosts.ask_when_settled(NEWCOMERS, step.calls_before, stood_until.unwrap()));
                hosts.all_were_told(&told[1], &if case.probe_is_reuse() { Told::Lost } else { new_token() });
            }
            let resumed_at = now();
            owner.resume();
            let own = hosts.told(owner);
            (told, own, since(resumed_at))
        }
    };
    // Where it sent nothing, it knows that better than those who wait for it.
    assert_eq!(own, new_token(), "{step:?} on {:?}, {:?}", case.place, case.when);
    finish(case, &hosts, &own, told, took)
}

/// Nobody overtakes it, however long it takes.
fn on_one_machine(hosts: &Hosts, step: &Step, owner: Running) -> (Vec<Vec<Told>>, Told, std::time::Duration) {
    let waiting: Vec<_> = (0..WAITERS).map(|_| Running::token(hosts.there())).collect();
    let hasty = Told::from(&hosts.there().token(&["acme", "--wait", step.patience()]));
    assert_eq!(hasty, if step.is_claimed { Told::NotYet } else { new_token() }, "{step:?}");
    let resumed_at = now();
    owner.resume();
    let ended: Vec<_> = waiting.into_iter().map(Running::end).collect();
    let took = since(resumed_at);
    hosts.all_were_told(&all(&ended), &new_token());
    (vec![all(&ended)], hosts.told(owner), took)
}

fn finish(
    case: &Case,
    hosts: &Hosts,
    own: &Told,
    mut told: Vec<Vec<Told>>,
    took: std::time::Duration,
) -> Row {
    told.push(hosts.ask_when_known(NEWCOMERS));
    // Its pair is kept, whatever it is still worth to a provider that has seen a reuse.
    hosts.all_were_told(told.last().unwrap(), &new_token());
    let row = hosts.row(case.step.point, case.words(), Some(own), &told, Some(took));
    if case.probe_is_reuse() || case.is_late_send() {
        hosts.check_reused();
    } else {
        hosts.check_healthy(1);
    }
    row
}
