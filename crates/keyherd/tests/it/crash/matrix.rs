//! A `keyherd token` dies at each step, in each way, while it refreshes a token that has ended. Some wait for it already,
//! others come afterwards.

use std::time::Duration;

use super::report::{Row, play_all};
use super::stage::{CONFIG, STEPS, Stage, Step, TAKEOVER_MAX, WRITTEN, since, verify_audit};
use super::tally::all;
use crate::running::{Running, now};
use crate::sandbox::Ran;

const WAITERS: usize = 3;
const NEWCOMERS: usize = 4;
const LANES: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// By its own hand, at the step.
    Abort,
    /// Held at the step, and killed while others wait.
    Kill,
    /// Stopped there as well, and killed while it is stopped.
    StopKill,
    /// Stopped, continued, and killed only then.
    StopContinueKill,
}

impl Death {
    const ALL: [Self; 4] = [Self::Abort, Self::Kill, Self::StopKill, Self::StopContinueKill];

    fn words(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Kill => "kill -9",
            Self::StopKill => "SIGSTOP, then kill -9",
            Self::StopContinueKill => "SIGSTOP, SIGCONT, then kill -9",
        }
    }
}

#[test]
fn a_command_dies_while_it_refreshes() {
    let cases: Vec<_> =
        STEPS.into_iter().chain([WRITTEN]).flat_map(|step| Death::ALL.map(|death| (step, death))).collect();
    let title = "A command dies; the token has ended";
    play_all("1-command.md", title, LANES, &cases, |(step, death)| play(step, *death));
}

fn play(step: &Step, death: Death) -> Row {
    let stage = Stage::new(CONFIG, 0);
    let (mut ran, took_over) = match death {
        Death::Abort => {
            let owner = stage.owner(&["token", "acme"], step.point).end();
            assert_eq!((owner.code, owner.out.as_str()), (-1, ""), "{step:?}: it dies of a signal");
            assert_eq!(stage.provider.calls(), step.calls_before, "{step:?}");
            (Vec::new(), None)
        }
        _ => watched(&stage, step, death),
    };
    verify_audit(&stage.sandbox);
    ran.extend(stage.tokens(NEWCOMERS));
    let told = all(&ran);
    let row = stage.row(step, death.words(), &told, took_over);
    stage.check(step, &told);
    row
}

/// Death from outside: nobody acts in the owner's place before, and whoever waits does at once after.
fn watched(stage: &Stage, step: &Step, death: Death) -> (Vec<Ran>, Option<Duration>) {
    let mut owner = stage.owner(&["token", "acme"], &step.stall());
    owner.reaches(step.point);
    if death != Death::Kill {
        owner.stop();
    }
    let mut waiters: Vec<_> = (0..WAITERS).map(|_| Running::token(&stage.sandbox)).collect();
    stage.nobody_overtakes(step);
    if death == Death::StopContinueKill {
        owner.resume();
        stage.nobody_overtakes(step);
    }
    assert!(!step.is_claimed || !waiters.iter_mut().any(Running::is_over), "{step:?}: they wait");
    let died_at = now();
    assert_eq!(owner.kill().out, "", "{step:?}");
    let ran: Vec<_> = waiters.into_iter().map(Running::end).collect();
    let took = since(died_at);
    assert!(took < TAKEOVER_MAX, "{step:?}, {death:?}: took over in {took:?}");
    (ran, step.is_claimed.then_some(took))
}
