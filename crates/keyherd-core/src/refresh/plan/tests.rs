//! The decision, row by row.

use std::time::Duration;

use super::*;
use crate::credential::{Backoff, Block, Claim, Verdict, VerdictReason};
use crate::ids::{ClaimId, OwnerId};
use crate::provider::{Profile, Rotates};
use crate::refresh::samples::{NOW, chain, hash, rules};
use crate::refresh::{Policy, RefreshBounds};
use crate::secret::TokenHash;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[track_caller]
fn check(change: impl FnOnce(&mut Chain, &mut Ask), expected: &Plan) {
    let (mut chain, mut ask) = (chain(), Ask::foreground(SECOND));
    change(&mut chain, &mut ask);
    assert_eq!(plan(&chain, &ask, &rules(), NOW), *expected);
}

fn ended(chain: &mut Chain) {
    chain.tokens.expires_at = Some(NOW - SECOND);
}

fn claimed(holder: Holder) -> Claim {
    Claim {
        id: ClaimId::from_i64(1),
        owner: OwnerId::from_i64(2),
        purpose: Purpose::Refresh,
        at: NOW,
        holder,
    }
}

fn verdict(reason: VerdictReason, next_probe_at: Option<Timestamp>) -> Trouble {
    Trouble::Verdict(Verdict { hash: hash(), reason, code: "dead".into(), at: NOW, probes: 0, next_probe_at })
}

fn uncertain(since: Timestamp, retry_at: Timestamp) -> Trouble {
    Trouble::Uncertain(Uncertain { since, probes: 0, retry_at, code: "reset".into() })
}

#[test]
fn windows() {
    check(|_, _| {}, &Plan::Serve);
    check(|_, ask| ask.min_valid = Some(29 * 60 * SECOND), &Plan::Serve);
    check(|_, ask| ask.min_valid = Some(10_000 * 3600 * SECOND), &Plan::Serve);
    check(|chain, _| chain.tokens.expires_at = Some(NOW + 29 * SECOND), &Plan::Spend(Purpose::Refresh));
    check(|chain, _| chain.tokens.expires_at = Some(NOW + 31 * SECOND), &Plan::Serve);
    check(|chain, _| ended(chain), &Plan::Spend(Purpose::Refresh));
    check(|chain, _| chain.tokens.expires_at = None, &Plan::Serve);
    check(|chain, _| chain.tokens.access_token = None, &Plan::Spend(Purpose::Refresh));
    let background = |chain: &mut Chain, ask: &mut Ask| {
        ask.policy = Policy::Background;
        chain.tokens.issued_at = NOW - 3600 * SECOND;
        chain.tokens.expires_at = Some(NOW + 299 * SECOND);
    };
    check(background, &Plan::Spend(Purpose::Refresh));
}

#[test]
fn a_profile_bends_the_bounds() {
    let profile = Profile { min_valid: Some(120 * SECOND), rotates: Rotates::Never, ..Profile::default() };
    let rules = Rules::new(&RefreshBounds::default(), &profile);
    let mut chain = chain();
    chain.tokens.issued_at = NOW - 3600 * SECOND;
    chain.tokens.expires_at = Some(NOW + 100 * SECOND);
    assert_eq!(plan(&chain, &Ask::foreground(SECOND), &rules, NOW), Plan::Spend(Purpose::Refresh));
}

#[test]
fn claims() {
    check(|chain, _| chain.claim = Some(claimed(Holder::Alive)), &Plan::Serve);
    for (holder, expected) in [
        (Holder::Alive, Plan::Wait),
        (Holder::Gone, Plan::Resolve(claimed(Holder::Gone))),
        (Holder::Mine, Plan::Resolve(claimed(Holder::Mine))),
    ] {
        check(
            |chain, _| {
                ended(chain);
                chain.claim = Some(claimed(holder));
            },
            &expected,
        );
    }
}

#[test]
fn rejections() {
    let reject = |ask: &mut Ask| ask.rejected = Some("access".into());
    check(|_, ask| reject(ask), &Plan::Spend(Purpose::Refresh));
    check(|_, ask| ask.rejected = Some("older".into()), &Plan::Serve);
    let minted = |chain: &mut Chain, ago: Duration| {
        (chain.minted_by_rejection, chain.refreshed_at) = (true, Some(NOW - ago));
    };
    check(
        |chain, ask| {
            reject(ask);
            minted(chain, 59 * SECOND);
        },
        &Plan::Rest,
    );
    check(
        |chain, ask| {
            reject(ask);
            minted(chain, 61 * SECOND);
        },
        &Plan::Spend(Purpose::Refresh),
    );
    check(
        |chain, ask| {
            reject(ask);
            chain.refreshed_at = Some(NOW);
        },
        &Plan::Spend(Purpose::Refresh),
    );
    check(
        |chain, ask| {
            reject(ask);
            chain.kind = Kind::Static;
        },
        &Plan::Rest,
    );
}

#[test]
fn forced() {
    check(|_, ask| ask.forced = true, &Plan::Spend(Purpose::Refresh));
    check(|chain, ask| (ask.forced, chain.refreshed_at) = (true, Some(NOW - 4 * SECOND)), &Plan::Serve);
    check(
        |chain, ask| (ask.forced, chain.refreshed_at) = (true, Some(NOW - 6 * SECOND)),
        &Plan::Spend(Purpose::Refresh),
    );
    check(|chain, ask| (ask.forced, chain.kind) = (true, Kind::Static), &Plan::Serve);
}

#[test]
fn troubles() {
    let in_trouble = |trouble: Trouble| {
        move |chain: &mut Chain, _: &mut Ask| {
            ended(chain);
            chain.trouble = trouble;
        }
    };
    let dead = Plan::Refuse(Refusal::ReauthRequired { code: "dead".into() });
    check(in_trouble(verdict(VerdictReason::Refused, Some(NOW + SECOND))), &dead);
    check(in_trouble(verdict(VerdictReason::Refused, Some(NOW))), &Plan::Spend(Purpose::ProbeVerdict));
    check(in_trouble(verdict(VerdictReason::Reused, None)), &dead);
    let about_another = |chain: &mut Chain, _: &mut Ask| {
        ended(chain);
        chain.trouble = verdict(VerdictReason::Reused, None);
        chain.spend_hash = Some(TokenHash::from_bytes([8; 32]));
    };
    check(about_another, &Plan::Spend(Purpose::Refresh));
    let rest = Trouble::Backoff(Backoff { failures: 1, retry_at: NOW + SECOND, code: "down".into() });
    check(
        in_trouble(rest),
        &Plan::Refuse(Refusal::Unavailable { code: "down".into(), retry_at: NOW + SECOND }),
    );
    let over = Trouble::Backoff(Backoff { failures: 1, retry_at: NOW, code: "down".into() });
    check(in_trouble(over), &Plan::Spend(Purpose::Refresh));
}

#[test]
fn unknown_outcomes_are_probed_when_nothing_is_left_to_lose() {
    let lost = |since, end: Timestamp| {
        move |chain: &mut Chain, ask: &mut Ask| {
            chain.trouble = uncertain(since, since);
            chain.tokens.expires_at = Some(end);
            ask.min_valid = Some(3600 * SECOND);
        }
    };
    let long_ago = NOW - 3600 * SECOND;
    check(lost(long_ago, NOW - SECOND), &Plan::Spend(Purpose::ProbeUncertain));
    let until_the_end = Refusal::Uncertain { code: "reset".into(), retry_at: NOW + 20 * SECOND };
    check(lost(long_ago, NOW + 20 * SECOND), &Plan::Refuse(until_the_end));
    check(lost(NOW - 9 * SECOND, NOW + 20 * SECOND), &Plan::Spend(Purpose::ProbeUncertain));
    let resting = |chain: &mut Chain, _: &mut Ask| {
        ended(chain);
        chain.trouble = uncertain(long_ago, NOW + SECOND);
    };
    check(resting, &Plan::Refuse(Refusal::Uncertain { code: "reset".into(), retry_at: NOW + SECOND }));
}

/// Written under a clock that was years ahead: nobody waits until then.
#[test]
fn times_beyond_belief_hold_nobody_up() {
    let bounds = RefreshBounds::default();
    let down = |retry_at| Trouble::Backoff(Backoff { failures: 1, retry_at, code: "down".into() });
    for (trouble, longest, then) in [
        (&down as &dyn Fn(_) -> _, bounds.retry_after_max, Purpose::Refresh),
        (&|at| uncertain(NOW - 3600 * SECOND, at), bounds.uncertain_backoff_max, Purpose::ProbeUncertain),
    ] {
        let mut chain = chain();
        ended(&mut chain);
        for (ahead, waits) in [(longest, true), (longest + SECOND, false), (70 * 365 * DAY, false)] {
            chain.trouble = trouble(NOW + ahead);
            let plan = plan(&chain, &Ask::foreground(SECOND), &rules(), NOW);
            assert_eq!(plan != Plan::Spend(then), waits, "{ahead:?}: {plan:?}");
        }
    }
    let later = NOW + 70 * 365 * DAY;
    check(
        |chain, ask| (ask.forced, chain.refreshed_at) = (true, Some(later)),
        &Plan::Spend(Purpose::Refresh),
    );
    let minted = |chain: &mut Chain, ask: &mut Ask| {
        ask.rejected = Some("access".into());
        (chain.minted_by_rejection, chain.refreshed_at) = (true, Some(later));
    };
    check(minted, &Plan::Spend(Purpose::Refresh));
    let bare = |chain: &mut Chain, _: &mut Ask| {
        (chain.tokens.access_token, chain.refreshed_at) = (None, Some(later));
    };
    check(bare, &Plan::Spend(Purpose::Refresh));
}

#[test]
fn what_cannot_be_refreshed() {
    let bare = |chain: &mut Chain, _: &mut Ask| {
        ended(chain);
        chain.tokens.refresh_token = None;
    };
    check(bare, &Plan::Refuse(Refusal::ReauthRequired { code: "no_refresh_token".into() }));
    let own_grant = |chain: &mut Chain, _: &mut Ask| {
        ended(chain);
        (chain.tokens.refresh_token, chain.kind) = (None, Kind::ClientCredentials);
    };
    check(own_grant, &Plan::Spend(Purpose::Refresh));
    let blocked = |chain: &mut Chain, _: &mut Ask| {
        ended(chain);
        chain.block = Some(Block { code: "invalid_client".into(), at: NOW });
    };
    check(blocked, &Plan::Refuse(Refusal::Blocked { code: "invalid_client".into() }));
}

#[test]
fn tokens_too_young_to_refresh_are_left_to_age() {
    let profile = Profile { min_age: 24 * 3600 * SECOND, ..Profile::default() };
    let rules = Rules::new(&RefreshBounds::default(), &profile);
    let rejecting = Ask { rejected: Some("access".into()), ..Ask::foreground(SECOND) };
    let mut chain = chain();
    let retry_at = chain.tokens.issued_at + 24 * 3600 * SECOND;
    let young = Plan::Refuse(Refusal::Unavailable { code: "too_young".into(), retry_at });
    assert_eq!(plan(&chain, &rejecting, &rules, NOW), young);
    ended(&mut chain);
    assert_eq!(plan(&chain, &rejecting, &rules, NOW), Plan::Spend(Purpose::Refresh));
}

#[test]
fn a_dying_refresh_token_is_kept_alive() {
    let profile = Profile { refresh_lifetime: Some(10 * 24 * 3600 * SECOND), ..Profile::default() };
    let rules = Rules::new(&RefreshBounds::default(), &profile);
    let mut chain = chain();
    chain.tokens.issued_at = NOW - 8 * 24 * 3600 * SECOND;
    chain.tokens.expires_at = Some(NOW + 22 * 24 * 3600 * SECOND);
    let (caller, sweep) = (Ask::foreground(SECOND), Ask::background(SECOND));
    assert_eq!(plan(&chain, &caller, &rules, NOW), Plan::Serve);
    assert_eq!(plan(&chain, &sweep, &rules, NOW), Plan::Spend(Purpose::Refresh));
}
