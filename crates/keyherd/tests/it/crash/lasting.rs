//! The same deaths while the access token still lasts: it is served, and nothing is probed before it ends. With a sweep
//! nobody even has to ask.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::report::{Row, play_all};
use super::stage::{
    CONFIG, SWEEPING, Stage, Step, TAKEOVER_MAX, claimed_steps, new_token, old_token, since, verify_audit,
};
use super::tally::{Told, all};
use crate::running::{Running, now, until_past, until_some};
use crate::serving::Serving;

/// The access token's life, and the part of it in which callers want a newer one: less than half, to which windows are
/// clamped.
const LIFE_SECONDS: i64 = 24;
const WINDOW: Duration = Duration::from_secs(11);
const SWEPT_LIFE_SECONDS: i64 = 12;
const CALLERS: usize = 3;
const REFRESH: [&str; 3] = ["cred", "refresh", "acme"];

#[test]
fn a_command_dies_while_the_token_lasts() {
    let cases: Vec<_> = claimed_steps().into_iter().flat_map(|step| [(step, true), (step, false)]).collect();
    let title = "A command dies in a forced refresh; the token lasts";
    play_all("2-lasting.md", title, cases.len(), &cases, |(step, aborts)| play(step, *aborts));
}

#[test]
fn the_sweep_alone_makes_it_good() {
    let title = "A command dies beside a sweeping server; nobody asks until it is over";
    let steps = claimed_steps();
    play_all("3-sweep.md", title, steps.len(), &steps, swept);
}

fn play(step: &Step, aborts: bool) -> Row {
    let stage = Stage::new(CONFIG, LIFE_SECONDS);
    let ends_at = ends_at(&stage);
    let (mut told, took_over) =
        if aborts { (aborted(&stage, step, ends_at), None) } else { watched(&stage, step, ends_at) };
    assert_eq!(
        stage.provider.calls(),
        step.calls_before,
        "{step:?}: nothing is probed before the token ends"
    );
    assert!(now() < ends_at, "this machine is too slow for a token of {LIFE_SECONDS} s");
    until_past(ends_at);
    let after = callers(&stage);
    told.extend(after.iter().cloned());
    let row = stage.row(step, if aborts { "abort" } else { "kill -9" }, &told, took_over);
    stage.check(step, &after);
    row
}

/// Dies at once. At first nobody needs more than there is; inside the window callers find the claim without its owner.
fn aborted(stage: &Stage, step: &Step, ends_at: Timestamp) -> Vec<Told> {
    assert_eq!(stage.owner(&REFRESH, step.point).end().code, -1, "{step:?}");
    verify_audit(&stage.sandbox);
    let outside = callers(stage);
    assert_eq!(outside, [old_token(), old_token(), old_token()], "{step:?}: outside the window");
    until_past(ends_at - WINDOW);
    let inside = callers(stage);
    assert!(
        inside.iter().all(|told| *told == before_the_end(step)),
        "{step:?}: inside the window: {inside:?}"
    );
    [outside, inside].concat()
}

/// Dies while callers inside the window wait for it: they are answered at once.
fn watched(stage: &Stage, step: &Step, ends_at: Timestamp) -> (Vec<Told>, Option<Duration>) {
    let mut owner = stage.owner(&REFRESH, &step.stall());
    owner.reaches(step.point);
    let outside = callers(stage);
    assert_eq!(outside, [old_token(), old_token(), old_token()], "{step:?}: outside the window");
    until_past(ends_at - WINDOW);
    let mut waiters: Vec<_> = (0..CALLERS).map(|_| Running::token(&stage.sandbox)).collect();
    let hasty = Told::from(&stage.sandbox.token(&["acme", "--wait", "3"]));
    assert_eq!(hasty, old_token(), "{step:?}: its time is over, and the token lasts");
    assert!(!waiters.iter_mut().any(Running::is_over), "{step:?}: they wait");
    let died_at = now();
    owner.kill();
    let ran: Vec<_> = waiters.into_iter().map(Running::end).collect();
    let took = since(died_at);
    assert!(took < TAKEOVER_MAX, "{step:?}: took over in {took:?}");
    verify_audit(&stage.sandbox);
    let inside = all(&ran);
    assert!(
        inside.iter().all(|told| *told == before_the_end(step)),
        "{step:?}: inside the window: {inside:?}"
    );
    ([outside, inside].concat(), Some(took))
}

/// What a caller gets who finds that the owner is gone, while the old token lasts.
fn before_the_end(step: &Step) -> Told {
    if step.is_kept() { new_token() } else { old_token() }
}

fn swept(step: &Step) -> Row {
    let stage = Stage::new(SWEEPING, SWEPT_LIFE_SECONDS);
    let ends_at = ends_at(&stage);
    let mut serving = Serving::start(&stage.sandbox);
    let mut owner = stage.owner(&REFRESH, &step.stall());
    owner.reaches(step.point);
    owner.kill();
    until_some("the sweep makes it good", || {
        let shown = show(&stage);
        let is_over = shown["generation"] == 1 || shown["trouble"]["reason"] == "rotation_lost";
        assert!(
            !is_over || step.is_kept() || now() >= ends_at,
            "{step:?}: probed before the token's end: {shown}"
        );
        is_over.then_some(())
    });
    stage.check_counts(step);
    assert!(serving.is_up());
    let told = callers(&stage);
    let row = stage.row(step, "kill -9", &told, None);
    serving.kill();
    stage.check(step, &told);
    row
}

fn callers(stage: &Stage) -> Vec<Told> {
    all(&stage.tokens(CALLERS))
}

fn ends_at(stage: &Stage) -> Timestamp {
    show(stage)["expires_at"].as_str().unwrap().parse().unwrap()
}

fn show(stage: &Stage) -> Value {
    stage.sandbox.run(&["--json", "cred", "show", "acme"]).ok().json()
}
