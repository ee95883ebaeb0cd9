//! A refresh that is stopped in the middle and goes on later: nobody overtakes it, and everybody gets what it got.
//!
//! Stopped from outside when something of it can be seen, so somewhere thereafter, and not at a crash point. That may be
//! within a write, which holds the store: then others are told so, and nothing is done in the stopped one's place either.

use super::report::{Row, play_all};
use super::stage::{CONFIG, Stage, Step, files_in, new_token, since};
use super::tally::{Told, all};
use crate::provider::Mood;
use crate::running::{Running, now};
use crate::sandbox::until;

/// Of those who find the store held.
const IMPATIENT: &str = "[store]\nbusy_timeout_seconds = 0.2\n";
const WAITERS: usize = 3;
const NEWCOMERS: usize = 2;

/// What is seen of the owner when it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    play_all("6-stopped.md", title, signs.len(), &signs, |sign| play(*sign));
}

fn play(sign: Sign) -> Row {
    let stage = Stage::new(CONFIG, 0);
    if sign != Sign::Request {
        stage.sandbox.configure(&format!("{CONFIG}{IMPATIENT}"));
    }
    if sign != Sign::Entry {
        stage.provider.feels(Mood::Holds);
    }
    let owner = Running::token(&stage.sandbox);
    until_seen(&stage, sign);
    owner.stop();
    if sign == Sign::Lock {
        // Whoever asks in its place, where it has not claimed yet, must have an answer.
        stage.provider.lets_go();
    }
    let waiters: Vec<_> = (0..WAITERS).map(|_| Running::token(&stage.sandbox)).collect();
    let hasty = Told::from(&stage.sandbox.token(&["acme", "--wait", "1"]));
    assert!(is_fair(sign, &hasty) || hasty == Told::NotYet, "{sign:?}: {hasty:?}");
    assert!(stage.provider.calls() <= 1, "{sign:?}: overtaken");
    stage.provider.lets_go();
    let resumed_at = now();
    owner.resume();
    let waited: Vec<_> = waiters.into_iter().map(Running::end).collect();
    let took = since(resumed_at);
    let mut told = all(&waited);
    assert!(told.iter().all(|told| is_fair(sign, told)), "{sign:?}: {told:?}");
    let mut ran = vec![owner.end()];
    stage.sandbox.configure(CONFIG);
    ran.extend(stage.tokens(NEWCOMERS));
    let after = all(&ran);
    told.extend(after.iter().cloned());
    let step = Step { point: words(sign), is_claimed: true, calls_before: 1, calls_after: 1, is_lost: false };
    let others = if hasty == Told::NotYet { "others had waited a second" } else { "others had asked" };
    let row = stage.row(&step, &format!("SIGSTOP; SIGCONT when {others}"), &told, Some(took));
    stage.check(&step, &after);
    row
}

/// What a caller may be told while the owner is stopped, or when it goes on.
fn is_fair(sign: Sign, told: &Told) -> bool {
    *told == new_token() || (*told == Told::Held && sign != Sign::Request)
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
