//! What each outcome makes of each state.

use super::*;
use crate::refresh::samples::{NOW, chain, hash, rules};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn settle(chain: &Chain, purpose: Purpose, happened: Happened) -> Settlement {
    settlement(chain, purpose, happened, &rules(), NOW, 1.0)
}

fn terminal(code: &str, reuse: bool) -> Happened {
    Happened::Answered(Meaning::Terminal { code: code.into(), reuse })
}

fn unanswered() -> Happened {
    Happened::Unanswered { code: "reset".into() }
}

fn not_sent() -> Happened {
    Happened::NotSent { code: "dns_failed".into() }
}

#[track_caller]
fn verdict(settlement: Settlement) -> Verdict {
    match settlement {
        Settlement::Troubled(Trouble::Verdict(verdict)) => verdict,
        other => panic!("no verdict: {other:?}"),
    }
}

#[track_caller]
fn lost(settlement: Settlement) -> Uncertain {
    match settlement {
        Settlement::Troubled(Trouble::Uncertain(uncertain)) => uncertain,
        other => panic!("not uncertain: {other:?}"),
    }
}

fn in_trouble(trouble: Trouble) -> Chain {
    Chain { trouble, ..chain() }
}

fn dead(probes: u32, next_probe_at: Option<Timestamp>) -> Chain {
    let reason = VerdictReason::Refused;
    in_trouble(Trouble::Verdict(Verdict {
        hash: hash(),
        reason,
        code: "x".into(),
        at: NOW,
        probes,
        next_probe_at,
    }))
}

#[test]
fn terminal_errors() {
    let first = verdict(settle(&chain(), Purpose::Refresh, terminal("invalid_grant", false)));
    assert_eq!(
        (first.hash, first.reason, first.next_probe_at),
        (hash(), VerdictReason::Refused, Some(NOW + HOUR))
    );
    let reused = verdict(settle(&chain(), Purpose::Refresh, terminal("refresh_token_reused", true)));
    assert_eq!((reused.reason, reused.next_probe_at), (VerdictReason::Reused, None));
    let probed = verdict(settle(&chain(), Purpose::ProbeUncertain, terminal("refresh_token_reused", true)));
    assert_eq!((probed.code.as_str(), probed.next_probe_at), ("rotation_lost", None));
    for (probes, hours) in [(0, 2), (1, 4), (3, 16), (4, 24), (40, 24)] {
        let again = verdict(settle(
            &dead(probes, Some(NOW)),
            Purpose::ProbeVerdict,
            terminal("invalid_grant", false),
        ));
        assert_eq!(
            (again.probes, again.next_probe_at),
            (probes + 1, Some(NOW + hours * HOUR)),
            "after {probes}"
        );
    }
    let client = Chain { kind: Kind::ClientCredentials, ..chain() };
    assert!(matches!(
        settle(&client, Purpose::Refresh, terminal("invalid_grant", false)),
        Settlement::Blocked(_)
    ));
}

#[test]
fn an_outage_during_a_probe_keeps_the_verdict() {
    for happened in [not_sent(), unanswered()] {
        let kept = verdict(settle(&dead(1, Some(NOW)), Purpose::ProbeVerdict, happened));
        assert_eq!((kept.probes, kept.next_probe_at), (1, Some(NOW + 2 * HOUR)));
    }
}

#[test]
fn transient_failures_back_off() {
    let Settlement::Troubled(Trouble::Backoff(first)) = settle(&chain(), Purpose::Refresh, not_sent()) else {
        panic!()
    };
    assert_eq!((first.failures, first.retry_at), (1, NOW + SECOND));
    let Settlement::Troubled(Trouble::Backoff(sixth)) =
        settle(&in_trouble(Trouble::Backoff(Backoff { failures: 5, ..first })), Purpose::Refresh, not_sent())
    else {
        panic!()
    };
    assert_eq!((sixth.failures, sixth.retry_at), (6, NOW + 30 * SECOND));
    for (asked, rest) in [(0, 1), (7, 7), (1_000_000, 900)] {
        let busy = Meaning::Transient { code: "busy".into(), retry_after: Some(asked * SECOND) };
        let Settlement::Troubled(Trouble::Backoff(told)) =
            settle(&chain(), Purpose::Refresh, Happened::Answered(busy))
        else {
            panic!()
        };
        assert_eq!(told.retry_at, NOW + rest * SECOND, "asked for {asked} s");
    }
}

#[test]
fn unknown_outcomes() {
    let first = lost(settle(&chain(), Purpose::Refresh, unanswered()));
    assert_eq!((first.since, first.probes, first.retry_at), (NOW, 0, NOW));
    let since = NOW - HOUR;
    let earlier = Trouble::Uncertain(Uncertain { since, probes: 1, retry_at: since, code: "x".into() });
    let second = lost(settle(&in_trouble(earlier.clone()), Purpose::ProbeUncertain, unanswered()));
    assert_eq!((second.since, second.probes, second.retry_at), (since, 2, NOW + 120 * SECOND));
    let still = lost(settle(&in_trouble(earlier), Purpose::ProbeUncertain, not_sent()));
    assert_eq!((still.since, still.retry_at), (since, NOW + 2 * SECOND), "not sent: soon again");
    let never = Rules { rotates: Rotates::Never, ..rules() };
    let plain = settlement(&chain(), Purpose::Refresh, unanswered(), &never, NOW, 1.0);
    assert!(matches!(plain, Settlement::Troubled(Trouble::Backoff(_))));
}

#[test]
fn merging() {
    let grant = |refresh: Option<&str>| Grant {
        access_token: Some("next".into()),
        token_type: "Bearer".into(),
        expires_in: HOUR,
        expires_assumed: false,
        refresh_token: refresh.map(Into::into),
        refresh_expires_in: None,
        scopes: None,
    };
    let mut old = chain();
    old.tokens.refresh_expires_at = Some(NOW + 24 * HOUR);
    old.tokens.issued_at = NOW - 24 * HOUR;
    let kept = merge(&old, grant(None), NOW);
    assert_eq!(kept.refresh_token, Some("refresh".into()));
    assert_eq!((kept.scopes, kept.refresh_expires_at), (vec!["mail".to_owned()], Some(NOW + 24 * HOUR)));
    let rotated = merge(&old, grant(Some("other")), NOW);
    assert_eq!(rotated.refresh_token, Some("other".into()));
    assert_eq!(rotated.refresh_expires_at, Some(NOW + 48 * HOUR), "as long a life as its predecessor's");
}

fn claimed(ago: Duration) -> Chain {
    let claim = crate::credential::Claim {
        id: crate::ids::ClaimId::from_i64(1),
        owner: crate::ids::OwnerId::from_i64(2),
        purpose: Purpose::Refresh,
        at: NOW - ago,
        holder: crate::credential::Holder::Gone,
    };
    Chain { claim: Some(claim), ..chain() }
}

#[test]
fn a_grace_is_counted_from_the_request() {
    let late = lost(settle(&claimed(30 * SECOND), Purpose::Refresh, unanswered()));
    assert_eq!((late.since, late.retry_at), (NOW - 30 * SECOND, NOW));
}

#[test]
fn a_vanished_owner_has_its_time() {
    let gone = |chain: &Chain, grace, recovery| {
        let rules = Rules { reuse_grace: grace, ..rules() };
        let happened = Happened::OwnerGone { recovery };
        lost(settlement(chain, Purpose::Refresh, happened, &rules, NOW, 1.0)).retry_at
    };
    let row = claimed(30 * SECOND);
    assert_eq!(gone(&row, Duration::ZERO, HOUR), NOW + HOUR);
    assert_eq!(gone(&row, Duration::ZERO, Duration::ZERO), NOW, "on one machine its journal was read");
    assert_eq!(gone(&row, 60 * SECOND, HOUR), NOW, "inside the provider's grace a probe does no harm");
    assert_eq!(gone(&row, 20 * SECOND, HOUR), NOW + HOUR, "the grace is over");
}
