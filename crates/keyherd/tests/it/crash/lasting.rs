//! The same deaths while the access token still lasts: it is served, and nothing is probed before it ends. With a sweep
//! nobody even has to ask.

use std::time::Duration;

use jiff::Timestamp;

use super::report::{Row, play_all};
use super::stage::{CONFIG, SWEEPING, Stage, Step, claimed_steps, new_token, old_token};
use super::tally::{Told, all};
use crate::running::{now, until_some};
use crate::sandbox::until;
use crate::serving::Serving;

/// The access token's life, and the part of it in which callers want a newer one: less than half, to which windows are
/// clamped.
const LIFE_SECONDS: i64 = 14;
const WINDOW: Duration = Duration::from_secs(6);
const SWEPT_LIFE_SECONDS: i64 = 8;
const CALLERS: usize = 3;

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
    die(&stage, step, aborts);
    let mut told = callers(&stage);
    assert_eq!(told, vec![old_token(); CALLERS], "{step:?}: at once");
    until("the window", || now() + WINDOW > ends_at);
    let in_window = callers(&stage);
    let expected = if step.is_kept() { new_token() } else { old_token() };
    assert_eq!(in_window, vec![expected; CALLERS], "{step:?}: inside the window");
    assert_eq!(
        stage.provider.calls(),
        step.calls_before,
        "{step:?}: nothing is probed before the token ends"
    );
    assert!(now() < ends_at, "this machine is too slow for a token of {LIFE_SECONDS} s");
    told.extend(in_window);
    until("the token's end", || now() >= ends_at);
    let after = callers(&stage);
    told.extend(after.iter().cloned());
    let row = stage.row(step, if aborts { "abort" } else { "kill -9" }, &told, None);
    stage.check(step, &after);
    row
}

fn swept(step: &Step) -> Row {
    let stage = Stage::new(SWEEPING, SWEPT_LIFE_SECONDS);
    let ends_at = ends_at(&stage);
    let mut serving = Serving::start(&stage.sandbox);
    die(&stage, step, false);
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

/// A forced refresh dies at the step. While its owner is only held there, callers are served the old token.
fn die(stage: &Stage, step: &Step, aborts: bool) {
    let refresh = ["cred", "refresh", "acme"];
    if aborts {
        assert_eq!(stage.owner(&refresh, step.point).end().code, -1, "{step:?}");
        return;
    }
    let mut owner = stage.owner(&refresh, &step.stall());
    owner.reaches(step.point);
    assert_eq!(all(&stage.tokens(1)), [old_token()], "{step:?}");
    owner.kill();
}

fn callers(stage: &Stage) -> Vec<Told> {
    all(&stage.tokens(CALLERS))
}

fn ends_at(stage: &Stage) -> Timestamp {
    show(stage)["expires_at"].as_str().unwrap().parse().unwrap()
}

fn show(stage: &Stage) -> serde_json::Value {
    stage.sandbox.run(&["--json", "cred", "show", "acme"]).ok().json()
}
