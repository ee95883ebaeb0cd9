//! A server dies in the middle of a refresh and is started again: what it had received is committed at the start, before
//! anybody asks.

use super::report::{Row, play_all};
use super::stage::{CONFIG, STEPS, Stage, Step, files_in, verify_audit};
use super::tally::{Told, all};
use crate::sandbox::until;
use crate::serving::Serving;

const REQUESTS: usize = 4;
const COMMANDS: usize = 2;
const LANES: usize = 3;

#[test]
fn a_server_dies_and_is_started_again() {
    let title = "A server dies and is started again";
    play_all("5-server.md", title, LANES, &STEPS, play);
}

fn play(step: &Step) -> Row {
    let stage = Stage::new(CONFIG, 0);
    let mut serving = Serving::crashing(&stage.sandbox, Some(&step.stall()));
    let ask = serving.ask(&serde_json::Value::Null);
    let caller = std::thread::spawn(move || ask.send());
    serving.reaches(step.point);
    serving.kill();
    let answer = caller.join().unwrap();
    assert!(answer.is_err(), "{step:?}: nobody was left to answer: {answer:?}");
    verify_audit(&stage.sandbox);
    let mut serving = Serving::start(&stage.sandbox);
    if step.is_kept() {
        until_recovered(&stage);
    }
    let mut told: Vec<_> = (0..REQUESTS).map(|_| Told::from(&serving.token())).collect();
    told.extend(all(&stage.tokens(COMMANDS)));
    assert!(serving.is_up());
    let row = stage.row(step, "kill -9", &told, None);
    stage.check(step, &told);
    row
}

/// With nobody asking, what the journal holds reaches the store.
fn until_recovered(stage: &Stage) {
    let show = || stage.sandbox.run(&["--json", "cred", "show", "acme"]).ok().json();
    until("the start commits what the journal holds", || show()["generation"] == 1);
    until("the journal has nothing pending", || files_in(&stage.sandbox, "journal/pending") == 0);
    assert_eq!(files_in(&stage.sandbox, "journal/done"), 1, "it is kept for a day");
}
