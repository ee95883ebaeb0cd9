//! Rests: in force at once, known on every host, and ended by one who tries first.

use futures_util::future::join_all;

use super::*;

#[tokio::test(start_paused = true)]
async fn another_host_hears_of_it() {
    let stage = pooled("a b", Strategy::Failover).await;
    let other = stage.fleet.host();
    watching(&other).await;
    assert_eq!(other.serves().await, "a");
    stage.host.limited("a", later(&stage, HOUR)).await;
    pass(Duration::from_millis(60)).await;
    assert_eq!(other.serves().await, "b");
    assert_eq!([stage.host.entered("failover").await, stage.host.entered("cooldown.set").await], [1, 1]);
}

/// How many of so many who ask at once get a token before any time has passed.
async fn at_once(host: &Host, asks: usize) -> usize {
    let begun = host.broker.ports().clock.uptime();
    let answers = join_all((0..asks).map(|_| async {
        let token = token(host.broker.acquire("a", &plain(), &actor()).await);
        assert_eq!(token.credential(), "a");
        host.broker.ports().clock.uptime() - begun
    }));
    answers.await.into_iter().filter(|waited| *waited < Duration::from_millis(10)).count()
}

#[tokio::test(start_paused = true)]
async fn at_a_rest_s_end_one_tries_and_the_others_wait() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    host.limited("a", later(&stage, MINUTE)).await;
    assert!(matches!(refusal(host.broker.acquire("a", &plain(), &actor()).await), Refusal::Cooling { .. }));
    pass(MINUTE).await;
    assert_eq!(at_once(host, 50).await, 1, "the others wait for its end, or a second");
    assert_eq!(at_once(host, 50).await, 50, "after that it is over");
    host.limited("a", later(&stage, MINUTE)).await;
    pass(HOUR).await;
    assert_eq!(at_once(host, 50).await, 50, "long ago");
}

#[tokio::test(start_paused = true)]
async fn what_went_well_before_a_rest_s_end_says_nothing_of_it() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    let first = token(host.broker.acquire("a", &plain(), &actor()).await);
    host.limited("a", later(&stage, MINUTE)).await;
    // Two were under way: the other one's answer comes later, and is a good one.
    host.tells(&told("a", Evidence::Works)).await;
    host.broker.works(&first, None);
    pass(MINUTE).await;
    assert_eq!(at_once(host, 50).await, 1, "one tries all the same");
}

#[tokio::test(start_paused = true)]
async fn a_first_try_that_goes_well_releases_all() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = shared(stage.fleet.host());
    watching(&host).await;
    host.limited("a", later(&stage, MINUTE)).await;
    pass(MINUTE).await;
    let first = token(host.broker.acquire("a", &plain(), &actor()).await);
    let waiting = tokio::spawn({
        let host = Arc::clone(&host);
        async move { at_once(&host, 20).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let report =
        Report { name: name("a"), incarnation: Some(first.credential_id()), ..told("a", Evidence::Works) };
    assert_eq!(host.tells(&report).await, Followed::Nothing);
    assert_eq!(waiting.await.expect("ended"), 20, "no time has passed");
}

#[tokio::test(start_paused = true)]
async fn a_first_try_that_is_refused_again_rests_again() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = shared(stage.fleet.host());
    watching(&host).await;
    host.limited("a", later(&stage, MINUTE)).await;
    pass(MINUTE).await;
    token(host.broker.acquire("a", &plain(), &actor()).await);
    let waiting = tokio::spawn({
        let host = Arc::clone(&host);
        async move { refusal(host.broker.acquire("a", &plain(), &actor()).await) }
    });
    tokio::task::yield_now().await;
    let until = later(&stage, HOUR);
    host.limited("a", until).await;
    let refused = waiting.await.expect("ended");
    assert_eq!(refused, Refusal::Cooling { until, reason: "rate_limit".into() });
    assert_eq!(host.entered("cooldown.set").await, 2);
}

#[tokio::test(start_paused = true)]
async fn while_one_tries_a_pool_s_others_go_elsewhere() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    host.broker.pool_status(&name("pool")).await.expect("all are known");
    host.limited("b", later(&stage, HOUR)).await;
    host.limited("a", later(&stage, MINUTE)).await;
    assert_eq!(host.serves().await, "a", "the soonest");
    host.broker.clear(&name("b"), None, "rate_limit", &actor()).await.expect("cleared");
    pass(MINUTE).await;
    let served = [host.serves().await, host.serves().await, host.serves().await];
    assert_eq!(served, ["a", "b", "b"]);
    pass(2 * SECOND).await;
    assert_eq!(host.serves().await, "a", "the pointer stayed");
    assert_eq!(host.entered("failover").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rest_by_hand_ends_when_it_ends() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    host.cools("a", MINUTE).await;
    pass(MINUTE).await;
    assert_eq!(at_once(host, 50).await, 50);
}

#[tokio::test(start_paused = true)]
async fn clearing_names_the_reason() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    host.limited("a", later(&stage, HOUR)).await;
    let clear = async |reason| host.broker.clear(&name("a"), None, reason, &actor()).await.expect("asked");
    assert!(!clear("manual").await);
    assert!(matches!(refusal(host.broker.acquire("a", &plain(), &actor()).await), Refusal::Cooling { .. }));
    assert!(clear("rate_limit").await);
    token(host.broker.acquire("a", &plain(), &actor()).await);
}

/// A stage whose store could not be told that "a" rests for an hour.
async fn owing() -> Stage {
    let stage = pooled("a b", Strategy::Failover).await;
    watching(&stage.host).await;
    token(stage.host.broker.acquire("a", &plain(), &actor()).await);
    stage.fleet.installation.set_down(true);
    let report = told("a", limit(later(&stage, HOUR)));
    assert!(stage.host.broker.report(&report, &actor()).await.is_err(), "it could not be written");
    stage.fleet.installation.set_down(false);
    stage
}

#[tokio::test(start_paused = true)]
async fn clearing_another_reason_leaves_a_rest_that_is_yet_to_be_written() {
    for scope in [None, Some("model")] {
        let stage = owing().await;
        let host = &stage.host;
        let reason = if scope.is_some() { "rate_limit" } else { "manual" };
        let cleared = host.broker.clear(&name("a"), scope, reason, &actor()).await;
        assert_eq!(cleared, Ok(false));
        pass(MINUTE).await;
        let other = stage.fleet.host();
        for host in [host, &other] {
            let refused = refusal(host.broker.acquire("a", &plain(), &actor()).await);
            assert!(matches!(refused, Refusal::Cooling { .. }), "{scope:?}: {refused:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_is_yet_to_be_written_is_cleared_by_its_reason() {
    let stage = owing().await;
    let host = &stage.host;
    assert_eq!(host.broker.clear(&name("a"), None, "rate_limit", &actor()).await, Ok(true));
    pass(MINUTE).await;
    token(host.broker.acquire("a", &plain(), &actor()).await);
    assert_eq!(host.entered("cooldown.set").await, 0, "it is not written any more");
}
