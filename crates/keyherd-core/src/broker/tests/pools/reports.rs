//! Reports: who is blamed, how often it is written, and who is not.

use futures_util::future::join_all;

use super::*;
use crate::broker::tests::bent;
use crate::broker::{AcquireError, Broker};
use crate::fakes::{granted, json_reply};
use crate::pool::Edit;
use crate::ports::store::{CredentialStore, PoolChange};

#[tokio::test(start_paused = true)]
async fn ten_thousand_reports_of_the_same_limit_are_written_once() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    assert_eq!(host.serves().await, "a");
    let (_, writes) = stage.fleet.installation.counts();
    // One wave: Retry-After counts from when each answer came.
    let bounds = crate::upstream::CooldownBounds::default();
    let wave = (0..10_000).map(|n| {
        let came = host.broker.now() + Duration::from_micros(90 * n);
        let until = bounds.end(MINUTE, came);
        async move { host.limited("a", until).await }
    });
    let followed = join_all(wave).await;
    assert!(followed.iter().all(|followed| matches!(followed, Followed::Cooled { .. })));
    let (_, after) = stage.fleet.installation.counts();
    assert_eq!((after - writes, host.entered("cooldown.set").await), (1, 1));
    assert_eq!(host.serves().await, "b", "in force when the first returned");
}

#[tokio::test(start_paused = true)]
async fn the_same_wish_is_written_once_and_others_apart() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    let (_, writes) = stage.fleet.installation.counts();
    let at = |minutes: u32| later(&stage, minutes * MINUTE);
    let scoped = Cooldown { scope: Some("m".into()), ..Cooldown::whole(at(1), "x") };
    let wishes = [
        ("a", Cooldown::whole(at(1), "x")),
        ("a", Cooldown::whole(at(2), "x")),
        ("a", Cooldown::whole(at(3), "y")),
        ("a", scoped),
        ("b", Cooldown::whole(at(1), "x")),
    ];
    for (number, (of, wish)) in (1..).zip(&wishes) {
        let (of, by) = (name(of), actor());
        let cooled = join_all((0..50).map(|_| host.broker.cool(&of, wish, &by))).await;
        assert!(cooled.into_iter().any(|cooled| cooled == Ok(true)));
        let (_, after) = stage.fleet.installation.counts();
        assert_eq!(
            (after - writes, host.entered("cooldown.set").await),
            (number, usize::try_from(number).expect("few"))
        );
    }
    let (_, after) = stage.fleet.installation.counts();
    let again = host.broker.cool(&name("a"), &Cooldown::whole(at(2), "y"), &actor()).await;
    assert!(!again.expect("asked"), "no longer than it is");
    assert_eq!((stage.fleet.installation.counts().1, host.entered("cooldown.set").await), (after, 5));
}

#[tokio::test(start_paused = true)]
async fn a_late_refusal_blames_who_was_used() {
    let stage = pooled("a b c", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    assert_eq!(host.serves().await, "a");
    host.limited("a", later(&stage, HOUR)).await;
    assert_eq!(host.serves().await, "b");
    // Of before the switch: a, which rests already, and never b.
    host.limited("a", later(&stage, HOUR)).await;
    assert_eq!(host.serves().await, "b");
    host.limited("c", later(&stage, HOUR)).await;
    assert_eq!(host.serves().await, "b", "the third was the one");
    host.limited("b", later(&stage, 2 * HOUR)).await;
    let resting = host.store.members(host.pool().await.id).await.expect("members");
    let now = host.broker.now();
    assert!(resting.iter().all(|member| member.cooling(now).is_some()));
    assert_eq!((host.entered("cooldown.set").await, host.entered("failover").await), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn without_proof_nobody_is_blamed() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    keys(&stage, "lone").await;
    let until = later(&stage, HOUR);
    let unproven = async |report: Report| {
        let followed = host.tells(&report).await;
        assert!(matches!(followed, Followed::Unproven(_)), "{report:?}: {followed:?}");
    };
    unproven(told("nobody", limit(until))).await;
    unproven(told("lone", limit(until))).await;
    unproven(Report { generation: 7, ..told("a", limit(until)) }).await;
    unproven(Report { name: name("other"), ..told("a", limit(until)) }).await;
    let former = token(host.broker.acquire("pool", &plain(), &actor()).await);
    let report = Report { incarnation: Some(former.credential_id()), ..told("a", limit(until)) };
    host.broker.change_pool(&name("pool"), edit(Edit::Drop(name("a"))), &actor()).await.expect("dropped");
    unproven(report.clone()).await;
    host.broker.remove(&name("a"), &actor()).await.expect("removed");
    keys(&stage, "a").await;
    host.broker.create_pool(&name("second"), names("a"), Strategy::Failover, &actor()).await.expect("made");
    unproven(report.clone()).await;
    unproven(Report { name: name("second"), ..report.clone() }).await;
    unproven(Report { name: name("a"), ..report }).await;
    assert_eq!(host.entered("cooldown.set").await, 0);
    let followed = host.tells(&Report { name: name("a"), ..told("a", limit(until)) }).await;
    assert!(matches!(followed, Followed::Cooled { is_news: true, .. }), "{followed:?}");
}

fn edit(edit: Edit) -> PoolChange {
    PoolChange { edit: Some(edit), ..PoolChange::default() }
}

#[tokio::test(start_paused = true)]
async fn what_proves_nothing_changes_nothing() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    for evidence in [Evidence::Nothing, Evidence::Works] {
        assert_eq!(host.tells(&told("a", evidence)).await, Followed::Nothing);
    }
    assert_eq!((host.serves().await.as_str(), host.entered("cooldown.set").await), ("a", 0));
}

#[tokio::test(start_paused = true)]
async fn a_scope_is_cooled_where_the_answer_was_of_one() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    let report = Report { scope: Some("large".into()), ..told("a", limit(later(&stage, HOUR))) };
    assert!(matches!(host.tells(&report).await, Followed::Cooled { is_news: true, .. }));
    assert_eq!([host.serves_in(Some("large")).await, host.serves().await], ["b", "a"]);
    let row = host.store.credential(&name("a")).await.expect("read").expect("there").credential;
    assert_eq!((row.cooldown, row.scoped.len()), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stale_token_cools_nobody() {
    let stage = stage(HOUR, [granted("access-1", "refresh-1"), granted("access-2", "refresh-2")]).await;
    let host = &stage.host;
    watching(host).await;
    let rejected = |generation| Report {
        name: name("acme"),
        generation,
        pool_epoch: None,
        ..told("acme", Evidence::Rejected { seen: seen(401) })
    };
    let all = join_all((0..100).map(|_| async { host.tells(&rejected(0)).await })).await;
    assert!(all.iter().all(|followed| *followed == Followed::Refreshed { generation: 1 }), "{:?}", all[0]);
    assert_eq!(host.tells(&rejected(0)).await, Followed::Stale { generation: 1 });
    assert_eq!((stage.provider.calls(), host.entered("cooldown.set").await), (1, 0));
    // The new one is refused, too: refreshing does not cure that.
    let cooled = host.tells(&rejected(1)).await;
    assert!(
        matches!(&cooled, Followed::Cooled { cooldown, .. } if cooldown.reason == "authentication"),
        "{cooled:?}"
    );
    assert_eq!((stage.provider.calls(), host.entered("cooldown.set").await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_rests_and_the_pool_moves_on() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    let rejected = told("a", Evidence::Rejected { seen: seen(401) });
    let all = join_all((0..100).map(|_| async { host.tells(&rejected).await })).await;
    assert!(all.iter().all(|followed| matches!(followed, Followed::Cooled { .. })), "{:?}", all[0]);
    assert_eq!((host.serves().await.as_str(), host.entered("cooldown.set").await), ("b", 1));
    assert_eq!(host.entered("failover").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_by_a_pools_caller_is_a_new_try_of_the_same_member() {
    let stage = stage(HOUR, [granted("access-1", "refresh-1")]).await;
    stage.import("b", HOUR, "refresh-b", |fields| fields.access_token = Some("access-b".into())).await;
    let broker: &Broker = &stage.host.broker;
    broker.create_pool(&name("pool"), names("acme b"), Strategy::Failover, &actor()).await.expect("made");
    let ask = |rejected: &str| Ask { rejected: Some(rejected.into()), ..plain() };
    let first = token(broker.acquire("pool", &ask("access-0"), &actor()).await);
    assert_eq!((first.credential(), first.expose()), ("acme", "access-1"));
    let second = token(broker.acquire("pool", &ask("access-1"), &actor()).await);
    assert_eq!((second.credential(), second.expose(), second.pool_epoch()), ("b", "access-b", Some(1)));
    assert_eq!(stage.provider.calls(), 1);
}

/// A pool whose first member has a token that nobody can replace, and its refusal upstream.
async fn with_a_dead_member() -> Stage {
    let stage = stage(HOUR, [json_reply(400, &serde_json::json!({"error": "invalid_grant"}))]).await;
    keys(&stage, "b").await;
    watching(&stage.host).await;
    let (pool, members, by) = (name("pool"), names("acme b"), actor());
    stage.host.broker.create_pool(&pool, members, Strategy::Failover, &by).await.expect("made");
    stage
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_and_cannot_be_replaced_is_left_alone() {
    let stage = with_a_dead_member().await;
    let host = &stage.host;
    assert_eq!(host.serves().await, "acme");
    let rejected = told("acme", Evidence::Rejected { seen: seen(401) });
    let followed = host.tells(&rejected).await;
    assert!(
        matches!(&followed, Followed::Cooled { cooldown, .. } if cooldown.reason == "authentication"),
        "{followed:?}"
    );
    // By its own account the token is good for an hour.
    assert_eq!([host.serves().await, host.serves().await], ["b", "b"]);
    assert_eq!((stage.provider.calls(), host.entered("failover").await), (1, 1));
    let alone = refusal(host.broker.acquire("acme", &plain(), &actor()).await);
    assert!(matches!(alone, Refusal::ReauthRequired { .. }), "what is to be done: {alone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_names_such_a_token_moves_everyone_on() {
    let stage = with_a_dead_member().await;
    let host = &stage.host;
    let ask = Ask { rejected: Some("access-0".into()), ..plain() };
    assert_eq!(token(host.broker.acquire("pool", &ask, &actor()).await).credential(), "b");
    assert_eq!((host.serves().await.as_str(), host.pool().await.active), ("b", 1));
    assert_eq!((stage.provider.calls(), host.entered("failover").await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_judged_by_the_rules_of_its_provider() {
    let stage = pooled("a", Strategy::Failover).await;
    let headers = std::collections::BTreeMap::from([("retry-after".to_owned(), "7".to_owned())]);
    let body = crate::provider::Body::from(r#"{"error":{"code":"insufficient_quota"}}"#);
    let answer = crate::upstream::Answer { status: 403, headers: &headers, body: &body };
    let evidence = stage.host.broker.evidence(&name("a"), &answer).await.expect("judged");
    let Evidence::RateLimit { until, seen } = evidence else { panic!("{evidence:?}") };
    assert_eq!((seen.pointer.as_deref(), seen.header), (Some("/error/code"), Some("retry-after")));
    assert!(until >= later(&stage, 7 * SECOND));
    assert!(stage.host.broker.evidence(&name("nobody"), &answer).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_repeats_the_key_is_not_quoted() {
    let stage = pooled("a", Strategy::Failover).await;
    let seen = Seen { code: Some("secret".into()), ..seen(429) };
    let evidence = Evidence::RateLimit { until: later(&stage, HOUR), seen };
    assert!(matches!(stage.host.tells(&told("a", evidence)).await, Followed::Cooled { .. }));
    let log = stage.host.store.tail(1).await.expect("read");
    let detail = &log[0].detail;
    assert!(detail.contains("unprintable_code") && !detail.contains("secret"), "{detail}");
}

/// The store takes its time, and is read meanwhile: what is read then knows nothing of the rest.
#[tokio::test(start_paused = true)]
async fn a_rest_holds_while_it_is_written() {
    let stage = pooled("a b", Strategy::Failover).await;
    let (broker, store, _host) = bent::process(&stage, None, None);
    broker.watched().await;
    *store.cools_for.lock().expect("sound") = SECOND;
    let report = told("a", limit(later(&stage, HOUR)));
    let (writer, told) = (broker.clone(), report.clone());
    let writing = tokio::spawn(async move { writer.report(&told, &actor()).await });
    pass(SECOND / 2).await;
    broker.pool_status(&name("pool")).await.expect("read");
    let again = broker.report(&report, &actor()).await;
    assert!(matches!(again, Ok(Followed::Cooled { is_news: false, .. })), "{again:?}");
    assert_eq!(token(broker.acquire("pool", &plain(), &actor()).await).credential(), "b");
    assert!(!writing.is_finished());
    assert!(matches!(writing.await.expect("ended"), Ok(Followed::Cooled { is_news: true, .. })));
    assert!(broker.clear(&name("a"), None, "rate_limit", &actor()).await.expect("cleared"));
    assert_eq!(token(broker.acquire("a", &plain(), &actor()).await).credential(), "a", "at once");
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_the_store_could_not_take_is_written_when_it_can() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    host.broker.pool_status(&name("pool")).await.expect("all are known");
    let id = token(host.broker.acquire("a", &plain(), &actor()).await).credential_id();
    stage.fleet.installation.set_unwritable(true);
    let report = told("a", limit(later(&stage, HOUR)));
    let by = actor();
    let all = join_all((0..50).map(|_| host.broker.report(&report, &by))).await;
    assert!(all.iter().any(Result::is_err), "the store was not told");
    assert!(host.broker.rests_here("a", id, None), "it rests here all the same");
    assert_eq!((host.serves().await.as_str(), host.entered("cooldown.set").await), ("b", 0));
    // Nobody asks for it, or speaks of it, for long.
    pass(20 * MINUTE).await;
    stage.fleet.installation.set_unwritable(false);
    pass(6 * SECOND).await;
    let row = host.store.credential(&name("a")).await.expect("read").expect("there").credential;
    assert!(row.resting(None, host.broker.now()).is_some());
    assert_eq!(host.entered("cooldown.set").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_was_ended_meanwhile_is_not_written() {
    let stage = pooled("a b", Strategy::Failover).await;
    let host = &stage.host;
    watching(host).await;
    stage.fleet.installation.set_unwritable(true);
    let report = told("a", limit(later(&stage, HOUR)));
    host.broker.report(&report, &actor()).await.expect_err("cannot be written");
    stage.fleet.installation.set_unwritable(false);
    host.broker.clear(&name("a"), None, "rate_limit", &actor()).await.expect("asked");
    pass(MINUTE).await;
    assert_eq!((host.serves().await.as_str(), host.entered("cooldown.set").await), ("a", 0));
}

#[tokio::test(start_paused = true)]
async fn a_report_that_only_the_store_could_prove_is_not_lost_with_it() {
    let stage = pooled("a b", Strategy::Failover).await;
    stage.host.serves().await;
    let newer = Report { generation: 7, ..told("a", limit(later(&stage, MINUTE))) };
    stage.fleet.installation.set_down(true);
    let followed = stage.host.broker.report(&newer, &actor()).await;
    assert!(matches!(followed, Err(AcquireError::Store(_))), "{followed:?}");
}
