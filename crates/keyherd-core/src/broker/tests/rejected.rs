//! Tokens that upstream refused, forced refreshes, and the storms they must not make.

use futures_util::future::join_all;

use super::*;
use crate::fakes::granted;

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_replaced_once_and_never_given_back() {
    let stage = stage(HOUR, [granted("access-1", "refresh-1")]).await;
    let tokens = join_all((0..100).map(|_| stage.ask(rejecting("access-0")))).await;
    assert!(tokens.into_iter().all(|outcome| token(outcome).expose() == "access-1"));
    assert_eq!(stage.provider.calls(), 1);
    let late = token(stage.ask(rejecting("access-0")).await);
    assert_eq!((late.expose(), stage.provider.calls()), ("access-1", 1), "a late rejection of an old token");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_that_is_rejected_again_rests() {
    let stage = stage(HOUR, (1..9).map(|n| granted(&format!("access-{n}"), &format!("refresh-{n}")))).await;
    assert_eq!(token(stage.ask(rejecting("access-0")).await).expose(), "access-1");
    let resting = refusal(stage.ask(rejecting("access-1")).await);
    assert!(matches!(&resting, Refusal::Cooling { reason, .. } if reason == "authentication"), "{resting:?}");
    assert!(matches!(stage.refusal().await, Refusal::Cooling { .. }), "for everyone");
    assert_eq!(stage.provider.calls(), 1);
    pass(5 * MINUTE).await;
    assert_eq!(stage.token().await.expose(), "access-1");
    assert_eq!(
        token(stage.ask(rejecting("access-1")).await).expose(),
        "access-2",
        "later it may be tried again"
    );
}

#[tokio::test(start_paused = true)]
async fn rejecting_for_ever_makes_no_storm() {
    let stage =
        stage(HOUR, (1..1_000).map(|n| granted(&format!("access-{n}"), &format!("refresh-{n}")))).await;
    let mut current = "access-0".to_owned();
    for _ in 0..600 {
        if let Ok(Acquired::Token(token)) = stage.ask(rejecting(&current)).await {
            current = token.expose().to_owned();
        }
        pass(SECOND).await;
    }
    assert!(stage.provider.calls() <= 4, "{} calls in ten minutes", stage.provider.calls());
}

#[tokio::test(start_paused = true)]
async fn a_rejected_static_secret_rests() {
    let stage = stage(HOUR, []).await;
    let to_static = |f: &mut DraftFields| {
        *f = DraftFields {
            name: "key".into(),
            provider: "generic".into(),
            kind: Some("static".into()),
            secret: Some("sk-1".into()),
            ..DraftFields::default()
        };
    };
    stage.import("key", HOUR, "", to_static).await;
    let first = token(stage.host.broker.acquire("key", &plain(), &actor()).await);
    assert_eq!((first.expose(), first.expires_at()), ("sk-1", None));
    let outcome = stage.host.broker.acquire("key", &rejecting("sk-1"), &actor()).await;
    assert!(matches!(refusal(outcome), Refusal::Cooling { .. }));
}

#[tokio::test(start_paused = true)]
async fn forced_refreshes_coalesce() {
    let stage = stage(HOUR, (1..9).map(|n| granted(&format!("access-{n}"), &format!("refresh-{n}")))).await;
    let force = || async { token(stage.host.broker.refresh("acme", MINUTE, &actor()).await).generation() };
    assert_eq!(join_all((0..50).map(|_| force())).await, vec![1; 50]);
    assert_eq!((force().await, stage.provider.calls()), (1, 1), "within five seconds");
    pass(6 * SECOND).await;
    assert_eq!((force().await, stage.provider.calls()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn windows_beyond_a_tokens_life_make_no_storm() {
    let stage =
        stage(Duration::ZERO, (1..9).map(|n| granted(&format!("access-{n}"), &format!("refresh-{n}")))).await;
    let greedy = Ask { min_valid: Some(1_000 * HOUR), ..plain() };
    for _ in 0..1_000 {
        assert_eq!(token(stage.ask(greedy.clone()).await).expose(), "access-1");
        pass(SECOND).await;
    }
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_clock_an_hour_fast_makes_no_storm() {
    let stage =
        stage(30 * MINUTE, (1..9).map(|n| granted(&format!("access-{n}"), &format!("refresh-{n}")))).await;
    stage.fleet.clock.skew(3_600_000);
    for _ in 0..100 {
        assert_eq!(stage.token().await.expose(), "access-1");
        pass(SECOND).await;
    }
    assert_eq!(stage.provider.calls(), 1);
}
