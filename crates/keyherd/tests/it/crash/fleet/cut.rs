//! One host of several loses the store in the middle of a refresh, or Redis, and has it again when its caller has an
//! answer. What the provider has granted its caller gets, whatever the store says; the others get it when the store has it.

use super::super::relay::Line;
use super::super::report::{Row, play_all};
use super::super::stage::{STEPS, Step, new_token, since};
use super::super::tally::{Told, all};
use super::hosts::{Hosts, LANES, NEWCOMERS, WAITERS};
use crate::place::Place;
use crate::running::{Running, now, until_some};

/// The server, and what becomes of the line to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Store(Line),
    Redis(Line),
}

impl Loss {
    fn words(self) -> &'static str {
        match self {
            Self::Store(Line::Cut) => "PostgreSQL is cut off",
            Self::Store(Line::CommitLost) => "PostgreSQL commits, and its answer is lost",
            Self::Store(_) => "PostgreSQL does not answer",
            Self::Redis(Line::Cut) => "Redis is cut off",
            Self::Redis(Line::Deaf) => "Redis acts, and its answers are lost",
            Self::Redis(_) => "Redis does not answer",
        }
    }
}

struct Case {
    place: Place,
    step: Step,
    loss: Loss,
}

impl Case {
    /// Without a store no request is sent.
    fn own(&self) -> Told {
        match self.loss {
            Loss::Store(_) if self.step.point == "planned" => Told::NoStore,
            _ => new_token(),
        }
    }
}

#[test]
fn a_host_is_cut_off() {
    let of_store = [Line::Cut, Line::Stalled, Line::CommitLost].map(Loss::Store);
    let of_redis = [Line::Cut, Line::Stalled, Line::Deaf].map(Loss::Redis);
    let on = |place| move |loss| (place, loss);
    let losses: Vec<_> = of_store
        .map(on(Place::Postgres))
        .into_iter()
        .chain(of_store.map(on(Place::PostgresAndRedis)))
        .chain(of_redis.map(on(Place::PostgresAndRedis)))
        .collect();
    let cases: Vec<_> = STEPS
        .into_iter()
        .flat_map(|step| losses.iter().map(move |&(place, loss)| Case { place, step, loss }))
        .collect();
    play_all("12-cut.md", "One host of several is cut off; the token has ended", LANES, &cases, play);
}

fn play(case: &Case) -> Row {
    let (step, hosts) = (&case.step, Hosts::new(case.place, &case.step, case.loss.words()));
    let (relay, line) = match case.loss {
        Loss::Store(line) => (hosts.store_through_relay(), line),
        Loss::Redis(line) => (hosts.redis_through_relay(), line),
    };
    let mut owner = hosts.held(step);
    let waiting: Vec<_> = (0..WAITERS).map(|_| Running::token(hosts.there())).collect();
    relay.becomes(line);
    hosts.release();
    until_some("its caller has an answer", || {
        let is_told = !owner.out().is_empty() || owner.err().contains("keyherd: ");
        (is_told || owner.is_over()).then_some(())
    });
    relay.becomes(Line::Whole);
    let whole_at = now();
    let own = hosts.told(owner);
    // Where it takes long to give up, another host has stood in for it by then, and it reads what that one was granted.
    assert!(
        own == case.own() || own == new_token(),
        "{own:?}: {step:?} on {:?}: {:?}",
        case.place,
        case.loss
    );
    let ended: Vec<_> = waiting.into_iter().map(Running::end).collect();
    let took = since(whole_at);
    let told = [all(&ended), hosts.ask(NEWCOMERS).0];
    told.iter().for_each(|told| hosts.all_were_told(told, &new_token()));
    let row = hosts.row(step.point, case.loss.words(), Some(&own), &told, Some(took));
    hosts.check_healthy(1);
    row
}
