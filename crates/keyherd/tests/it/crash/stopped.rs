//! A refresh that is stopped in the middle and goes on later: nobody overtakes it, and everybody gets what it got.
//!
//! Stopped from outside when something of it can be seen, so somewhere thereafter, and not at a crash point.

use super::report::{Row, play_all};
use super::stage::{CONFIG, Stage, Step, files_in, since};
use super::tally::{Told, all};
use crate::provider::Mood;
use crate::running::{Running, now};
use crate::sandbox::until;

const WAITERS: usize = 3;
const LANES: usize = 2;

/// What is seen of the owner when it is stopped.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// Its lock, which it takes before its claim.
    Lock,
    /// Its request, answered only after it has been stopped.
    Request,
    /// Its journal's entry.
    Entry,
}

#[test]
fn a_command_that_is_stopped_and_goes_on_is_not_overtaken() {
    let signs = [Sign::Lock, Sign::Request, Sign::Entry];
    let title = "A command is stopped from outside, and goes on while others wait";
    play_all("6-stopped.md", title, LANES, &signs, |sign| play(*sign));
}

fn play(sign: Sign) -> Row {
    let stage = Stage::new(CONFIG, 0);
    if !matches!(sign, Sign::Entry) {
        stage.provider.feels(Mood::Holds);
    }
    let owner = Running::token(&stage.sandbox);
    until_seen(&stage, sign);
    owner.stop();
    let waiters: Vec<_> = (0..WAITERS).map(|_| Running::token(&stage.sandbox)).collect();
    // Elsewhere it may be stopped within a write of the store, which nobody else gets past: then it is not for long.
    let hasty =
        matches!(sign, Sign::Request).then(|| Told::from(&stage.sandbox.token(&["acme", "--wait", "1"])));
    assert!(stage.provider.calls() <= 1, "{sign:?}: overtaken");
    stage.provider.lets_go();
    let resumed_at = now();
    owner.resume();
    let mut ran: Vec<_> = waiters.into_iter().map(Running::end).collect();
    let took = since(resumed_at);
    ran.push(owner.end());
    let told = all(&ran);
    let step = Step { point: words(sign), is_claimed: true, calls_before: 1, calls_after: 1, is_lost: false };
    let others = match hasty {
        Some(Told::NotYet) => "others waited a second",
        Some(_) => "others were served",
        None => "others waited",
    };
    let row = stage.row(&step, &format!("SIGSTOP, {others}, SIGCONT"), &told, Some(took));
    stage.check(&step, &told);
    row
}

fn until_seen(stage: &Stage, sign: Sign) {
    let files = |folder| files_in(&stage.sandbox, folder);
    match sign {
        Sign::Lock => until("its lock", || files("owners") > 0),
        Sign::Request => stage.provider.wait_for_calls(1),
        Sign::Entry => until("its journal's entry", || files("journal/pending") + files("journal/done") > 0),
    }
}

fn words(sign: Sign) -> &'static str {
    match sign {
        Sign::Lock => "owner's lock taken",
        Sign::Request => "request received",
        Sign::Entry => "journal entry begun",
    }
}
