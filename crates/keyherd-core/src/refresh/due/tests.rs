//! When the background looks again.

use std::time::Duration;

use super::*;
use crate::credential::{Backoff, Uncertain, Verdict, VerdictReason};
use crate::provider::Profile;
use crate::refresh::RefreshBounds;
use crate::refresh::samples::{NOW, chain, hash, rules};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[track_caller]
fn check(change: impl FnOnce(&mut Chain), expected: Option<Timestamp>) {
    let mut chain = chain();
    change(&mut chain);
    assert_eq!(due_at(&chain, &rules(), 0.0), expected);
}

#[test]
fn ahead_of_the_end_and_never_before_half_a_life() {
    check(|_| {}, Some(NOW + 55 * MINUTE));
    check(
        |chain| (chain.tokens.issued_at, chain.tokens.expires_at) = (NOW, Some(NOW + 4 * MINUTE)),
        Some(NOW + 2 * MINUTE),
    );
    check(|chain| chain.tokens.expires_at = None, None);
    check(|chain| chain.tokens.refresh_token = None, None);
    check(|chain| chain.kind = Kind::Static, None);
}

#[test]
fn a_crowd_is_spread() {
    let spread = due_at(&chain(), &rules(), 1.0).expect("due");
    assert_eq!(spread, NOW + 55 * MINUTE + 75 * Duration::from_secs(1), "a quarter of the window later");
}

#[test]
fn refresh_tokens_that_die_of_disuse_are_kept_alive() {
    let idle = |life: Duration| {
        move |chain: &mut Chain| {
            (chain.tokens.issued_at, chain.tokens.expires_at) = (NOW, None);
            chain.tokens.refresh_expires_at = Some(NOW + life);
        }
    };
    check(idle(90 * DAY), Some(NOW + 87 * DAY));
    check(idle(2 * DAY), Some(NOW + DAY));
}

#[test]
fn troubles_move_it() {
    let backoff = Trouble::Backoff(Backoff { failures: 9, retry_at: NOW + 59 * MINUTE, code: "x".into() });
    check(|chain| chain.trouble = backoff, Some(NOW + 59 * MINUTE));
    let lost = Trouble::Uncertain(Uncertain { since: NOW, probes: 0, retry_at: NOW, code: "x".into() });
    check(|chain| chain.trouble = lost, Some(NOW + 60 * MINUTE));
    let verdict = Verdict {
        hash: hash(),
        reason: VerdictReason::Refused,
        code: "x".into(),
        at: NOW,
        probes: 0,
        next_probe_at: Some(NOW),
    };
    check(|chain| chain.trouble = Trouble::Verdict(verdict), None);
}

#[test]
fn profiles_know_what_answers_do_not_say() {
    let mut chain = chain();
    (chain.tokens.issued_at, chain.tokens.expires_at) = (NOW, None);
    let due = |profile: Profile| due_at(&chain, &Rules::new(&RefreshBounds::default(), &profile), 0.0);
    assert_eq!(due(Profile { refresh_lifetime: Some(90 * DAY), ..Profile::default() }), Some(NOW + 87 * DAY));
    assert_eq!(
        due(Profile { refresh_lifetime: Some(90 * DAY), refreshable: false, ..Profile::default() }),
        None
    );
    let aged = Profile { refresh_lifetime: Some(2 * DAY), min_age: 2 * DAY, ..Profile::default() };
    assert_eq!(due(aged), Some(NOW + 2 * DAY), "not before it is old enough");
}
