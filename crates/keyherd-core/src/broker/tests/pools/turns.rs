//! Whose turn it is.

use futures_util::future::join_all;

use super::*;
use crate::fakes::{granted, json_reply};

#[tokio::test(start_paused = true)]
async fn it_stays_moves_on_and_never_snaps_back() {
    let stage = pooled("a b c", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    assert_eq!([host.serves().await, host.serves().await], ["a", "a"]);
    host.cools("a", MINUTE).await;
    assert_eq!(host.serves().await, "b");
    pass(2 * MINUTE).await;
    assert_eq!(host.serves().await, "b", "a has recovered");
    host.cools("b", MINUTE).await;
    assert_eq!(host.serves().await, "c");
    host.cools("c", HOUR).await;
    assert_eq!(host.serves().await, "a");
    assert_eq!((host.pool().await.epoch, host.entered("failover").await), (3, 3));
    assert_eq!(stage.fleet.host().serves().await, "a", "a process that begins now");
}

#[tokio::test(start_paused = true)]
async fn a_herd_fails_over_once() {
    let stage = pooled("a b", Strategy::Failover).await;
    let hosts: Vec<Host> = (0..8).map(|_| stage.fleet.host()).collect();
    for host in &hosts {
        watching(host).await;
        assert_eq!(host.serves().await, "a");
    }
    stage.host.cools("a", HOUR).await;
    pass(Duration::from_millis(100)).await;
    let (_, writes) = stage.fleet.installation.counts();
    let served = join_all(hosts.iter().flat_map(|host| (0..200).map(move |_| host.serves()))).await;
    assert!(served.iter().all(|member| member == "b"));
    assert_eq!(stage.host.entered("failover").await, 1);
    let (_, after) = stage.fleet.installation.counts();
    assert!(after - writes <= 8, "{} tries to write it", after - writes);
    let events = hosts[0].broker.ports().store.events(0, 1_000).await.expect("events");
    assert_eq!(events.iter().filter(|event| event.kind == "failover").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_resting_the_soonest_is_used_and_it_is_said_once() {
    let stage = pooled("a b c", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    for (member, minutes) in [("b", 3), ("c", 2), ("a", 5)] {
        host.cools(member, minutes * MINUTE).await;
    }
    let (until, ask, by) = (later(&stage, 2 * MINUTE), plain(), actor());
    let tokens = join_all((0..100).map(|_| host.broker.acquire("pool", &ask, &by))).await;
    for outcome in tokens {
        let token = token(outcome);
        assert_eq!((token.credential(), token.rests_until()), ("c", Some(until)));
    }
    assert_eq!((host.pool().await.active, host.pool().await.epoch), (0, 0), "the pointer stays");
    assert_eq!((host.entered("pool.exhausted").await, host.entered("failover").await), (1, 0));
    pass(2 * MINUTE + SECOND).await;
    let served = token(host.broker.acquire("pool", &plain(), &actor()).await);
    assert_eq!((served.credential(), served.rests_until()), ("c", None));
    assert_eq!((host.entered("pool.exhausted").await, host.entered("failover").await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_person_s_choice_is_used_first_while_all_rest() {
    let stage = pooled("a b c", Strategy::Failover).await;
    let host = &stage.host;
    for (member, minutes) in [("a", 5), ("b", 9), ("c", 2)] {
        host.cools(member, minutes * MINUTE).await;
    }
    host.broker.rotate_pool(&name("pool"), None, &actor()).await.expect("rotated");
    assert_eq!((host.serves().await.as_str(), host.pool().await.is_rotated), ("b", true));
    assert_eq!(host.entered("pool.rotate").await, 1);
    host.broker.rotate_pool(&name("pool"), Some(&name("a")), &actor()).await.expect("rotated");
    assert_eq!(host.serves().await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_rests_is_passed_over_and_the_pointer_stays() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    let large = |until| Cooldown { scope: Some("large".into()), ..Cooldown::whole(until, "rate_limit") };
    let rest = large(later(&stage, MINUTE));
    assert!(host.broker.cool(&name("a"), &rest, &actor()).await.expect("cooled"));
    assert_eq!(
        [host.serves_in(Some("large")).await, host.serves_in(Some("small")).await, host.serves().await],
        ["b", "a", "a"]
    );
    assert!(host.broker.cool(&name("b"), &large(later(&stage, HOUR)), &actor()).await.expect("cooled"));
    let ask = Ask { scope: Some("large".into()), ..plain() };
    let soonest = token(host.broker.acquire("pool", &ask, &actor()).await);
    assert_eq!((soonest.credential(), soonest.rests_until()), ("a", Some(rest.until)));
    let alone = refusal(host.broker.acquire("a", &ask, &actor()).await);
    assert_eq!(alone, Refusal::Cooling { until: rest.until, reason: "rate_limit".into() });
    assert_eq!(
        (host.pool().await.epoch, host.entered("failover").await, host.entered("pool.exhausted").await),
        (0, 0, 0)
    );
    assert!(host.broker.clear(&name("a"), Some("large"), "rate_limit", &actor()).await.expect("cleared"));
    assert_eq!(host.serves_in(Some("large")).await, "a");
}

#[tokio::test(start_paused = true)]
async fn every_request_has_its_turn() {
    let stage = pooled("a b c", Strategy::RoundRobin).await;
    let host = &stage.host;
    watching(host).await;
    let first = host.serves().await;
    let round = [host.serves().await, host.serves().await, host.serves().await];
    assert_eq!(round[2], first);
    let mut all = round.clone();
    all.sort();
    assert_eq!(all, ["a", "b", "c"]);
    host.cools(&round[0], HOUR).await;
    for _ in 0..6 {
        assert_ne!(host.serves().await, round[0]);
    }
    assert_eq!(host.entered("failover").await, 0);
    host.broker.rotate_pool(&name("pool"), Some(&name(&round[1])), &actor()).await.expect("rotated");
    assert_eq!(host.serves().await, round[1]);
}

#[tokio::test(start_paused = true)]
async fn who_rested_longest_comes_first() {
    let stage = pooled("a b c", Strategy::LeastRecentlyUsed).await;
    let host = &stage.host;
    watching(host).await;
    let round = [host.serves().await, host.serves().await, host.serves().await];
    host.cools(&round[0], MINUTE).await;
    assert_eq!(
        [host.serves().await, host.serves().await, host.serves().await],
        [&round[1], &round[2], &round[1]].map(Clone::clone)
    );
    pass(2 * MINUTE).await;
    assert_eq!([host.serves().await, host.serves().await], [&round[0], &round[2]].map(Clone::clone));
    for member in &round {
        host.cools(member, HOUR).await;
    }
    let soonest = token(host.broker.acquire("pool", &plain(), &actor()).await);
    assert!(soonest.rests_until().is_some());
    assert_eq!(host.entered("pool.exhausted").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_needs_a_person_is_left_for_good() {
    let refused = json_reply(400, &serde_json::json!({"error": "invalid_grant"}));
    let stage = stage(Duration::ZERO, [refused, granted("access-b", "refresh-b1")]).await;
    stage.import("b", Duration::ZERO, "refresh-b0", |_| {}).await;
    let host = &stage.host;
    host.broker
        .create_pool(&name("pool"), names("acme b"), Strategy::Failover, &actor())
        .await
        .expect("made");
    assert_eq!(host.serves().await, "b");
    assert_eq!((stage.provider.calls(), host.pool().await.active, host.entered("failover").await), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_outage_moves_no_pointer() {
    let busy = || json_reply(503, &serde_json::json!({}));
    let stage = stage(Duration::ZERO, [busy(), granted("access-b", "refresh-b1")]).await;
    stage.import("b", Duration::ZERO, "refresh-b0", |_| {}).await;
    let host = &stage.host;
    host.broker
        .create_pool(&name("pool"), names("acme b"), Strategy::Failover, &actor())
        .await
        .expect("made");
    assert_eq!(host.serves().await, "b", "this request is served by who can");
    assert_eq!((host.pool().await.epoch, host.entered("failover").await), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn with_the_store_gone_requests_go_on_to_the_next() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    assert_eq!(host.serves().await, "a");
    host.broker.pool_status(&name("pool")).await.expect("all are known");
    stage.fleet.installation.set_down(true);
    let report = told("a", limit(later(&stage, HOUR)));
    assert!(host.broker.report(&report, &actor()).await.is_err(), "it could not be written");
    assert_eq!(host.serves().await, "b", "and holds all the same");
    stage.fleet.installation.set_down(false);
    assert_eq!(host.serves().await, "b");
    assert_eq!(host.entered("failover").await, 1, "when the store was back");
}

/// A pool is moved by hand elsewhere, just while it is said here that all of it rest.
#[tokio::test(start_paused = true)]
async fn an_older_pool_does_not_replace_a_newer_one() {
    let stage = pooled("a b", Strategy::Failover).await;
    let (broker, store, _host) = crate::broker::tests::bent::process(&stage, None, None);
    broker.watched().await;
    *store.exhausts_for.lock().expect("sound") = SECOND;
    for member in ["a", "b"] {
        broker.report(&told(member, limit(later(&stage, HOUR))), &actor()).await.expect("taken");
    }
    let asking = tokio::spawn({
        let broker = broker.clone();
        async move { token(broker.acquire("pool", &plain(), &actor()).await).pool_epoch() }
    });
    pass(SECOND / 2).await;
    stage.host.broker.rotate_pool(&name("pool"), None, &actor()).await.expect("moved");
    pass(SECOND / 4).await;
    assert!(!asking.is_finished());
    asking.await.expect("ended");
    let next = token(broker.acquire("pool", &plain(), &actor()).await);
    assert_eq!(next.pool_epoch(), Some(1), "the newer one");
}
