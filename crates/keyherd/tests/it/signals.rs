//! SIGINT and SIGTERM: a refresh that is under way is committed first.

use rustix::process::{Pid, Signal, kill_process};

use crate::provider::{Mood, Provider, access_token};
use crate::sandbox::{Sandbox, finished, in_seconds, until};

#[track_caller]
fn check(signal: Signal, code: i32) {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let child = sandbox.spawn(&["token", "a"]);
    provider.wait_for_calls(1);
    kill_process(Pid::from_child(&child), signal).unwrap();
    provider.lets_go();
    let ran = finished(child);
    assert_eq!((ran.code, ran.err.as_str()), (code, ""));
    // The rotation is there: nobody has to ask the provider again.
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert_eq!((provider.calls(), provider.reuse()), (1, 0));
}

#[test]
fn sigterm_during_a_refresh() {
    check(Signal::TERM, 143);
}

#[test]
fn sigint_during_a_refresh() {
    check(Signal::INT, 130);
}

/// What was received survives even this, if it was journaled: here it was not received, and the next one finds out.
#[test]
fn kill_during_a_refresh_is_never_a_blind_replay() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Holds);
    let mut child = sandbox.spawn(&["token", "a"]);
    provider.wait_for_calls(1);
    child.kill().unwrap();
    child.wait().unwrap();
    provider.feels(Mood::Rotates);
    let next = sandbox.run(&["token", "a"]);
    next.failed(3, &["'a'", "rotation_lost", "log in again"]);
    // The one probe that an unknown outcome is allowed when the access token has ended.
    assert_eq!(provider.calls(), 2);
    until("a third call is never made", || sandbox.run(&["token", "a"]).code == 3 && provider.calls() == 2);
}
