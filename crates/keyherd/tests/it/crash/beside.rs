//! A command dies while a server on the same folder has requests waiting for it: they are answered at once.

use super::report::{Row, play_all};
use super::stage::{CONFIG, STEPS, Stage, Step, TAKEOVER_MAX, since};
use super::tally::{Told, all};
use crate::http::Answer;
use crate::running::{Running, now};
use crate::serving::Serving;

const REQUESTS: usize = 8;
const COMMANDS: usize = 2;
const LANES: usize = 2;

#[test]
fn a_command_dies_beside_a_server() {
    let title = "A command dies; requests to a server and commands wait for it";
    play_all("4-beside.md", title, LANES, &STEPS, play);
}

fn play(step: &Step) -> Row {
    let stage = Stage::new(CONFIG, 0);
    let mut serving = Serving::start(&stage.sandbox);
    let mut owner = stage.owner(&["token", "acme"], &step.stall());
    owner.reaches(step.point);
    let (mut told, took_over) = std::thread::scope(|scope| {
        let ask = || serving.token();
        let requests: Vec<_> = (0..REQUESTS).map(|_| scope.spawn(ask)).collect();
        let commands: Vec<_> = (0..COMMANDS).map(|_| Running::token(&stage.sandbox)).collect();
        stage.nobody_overtakes(step);
        assert!(
            !step.is_claimed || !requests.iter().any(|request| request.is_finished()),
            "{step:?}: they wait"
        );
        let died_at = now();
        owner.kill();
        let answers: Vec<Answer> = requests.into_iter().map(|request| request.join().unwrap()).collect();
        let ended: Vec<_> = commands.into_iter().map(Running::end).collect();
        ([all(&answers), all(&ended)].concat(), since(died_at))
    });
    assert!(took_over < TAKEOVER_MAX, "{step:?}: took over in {took_over:?}");
    told.extend((0..REQUESTS).map(|_| Told::from(&serving.token())));
    told.extend(all(&stage.tokens(COMMANDS)));
    assert!(serving.is_up());
    let row = stage.row(step, "kill -9", &told, step.is_claimed.then_some(took_over));
    stage.check(step, &told);
    row
}
