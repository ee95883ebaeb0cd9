//! What each failure makes of the row, for the next caller and for everyone else.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::credential::State;
use crate::fakes::{granted, json_reply};
use crate::ports::StoreError;

fn error(status: u16, code: &str) -> Delivery {
    json_reply(status, &json!({"error": code}))
}

#[tokio::test(start_paused = true)]
async fn a_terminal_error_is_asked_once_and_probed_rarely() {
    let stage = stage(Duration::ZERO, (0..9).map(|_| error(400, "invalid_grant"))).await;
    let dead = Refusal::ReauthRequired { code: "invalid_grant".into() };
    let refusals = join_all((0..5).map(|_| stage.refusal())).await;
    assert!(refusals.iter().all(|refusal| *refusal == dead));
    assert_eq!(stage.provider.calls(), 1);
    // Probes on demand: after one hour, then two, then four; each only once.
    for (hours, calls) in [(1, 2), (2, 3), (4, 4), (8, 5), (16, 6), (24, 7), (24, 8)] {
        pass(hours * HOUR - MINUTE).await;
        assert_eq!(
            (stage.refusal().await, stage.provider.calls()),
            (dead.clone(), calls - 1),
            "before {hours} h"
        );
        pass(2 * MINUTE).await;
        assert_eq!((stage.refusal().await, stage.provider.calls()), (dead.clone(), calls), "after {hours} h");
        assert_eq!((stage.refusal().await, stage.provider.calls()), (dead.clone(), calls));
    }
}

#[tokio::test(start_paused = true)]
async fn reuse_is_never_probed() {
    let stage = stage(Duration::ZERO, [error(400, "refresh_token_reused"), granted("a", "r")]).await;
    stage.refusal().await;
    pass(1_000 * HOUR).await;
    assert_eq!(stage.refusal().await, Refusal::ReauthRequired { code: "refresh_token_reused".into() });
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_heals_and_an_outage_during_it_keeps_the_verdict() {
    let stage =
        stage(Duration::ZERO, [error(400, "invalid_grant"), error(503, "x"), granted("access-1", "r1")])
            .await;
    stage.refusal().await;
    pass(HOUR + SECOND).await;
    assert!(matches!(stage.refusal().await, Refusal::ReauthRequired { .. }), "an outage proves nothing");
    pass(HOUR + SECOND).await;
    assert_eq!(stage.token().await.expose(), "access-1");
    assert_eq!(stage.provider.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_clears_a_verdict_at_once() {
    let stage = stage(Duration::ZERO, [error(400, "invalid_grant"), granted("access-2", "refresh-2")]).await;
    stage.refusal().await;
    let tokens = crate::broker::NewTokens { refresh_token: Some("refresh-new".into()), ..Default::default() };
    stage.host.broker.reconnect(&acme(), tokens, &actor()).await.expect("reconnected");
    assert_eq!(stage.token().await.expose(), "access-2");
}

#[tokio::test(start_paused = true)]
async fn client_app_errors_block_the_client_and_not_the_credential() {
    let stage = stage(Duration::ZERO, [error(401, "invalid_client"), granted("access-1", "r1")]).await;
    stage.import("other", Duration::ZERO, "refresh-other", |_| {}).await;
    let blocked = Refusal::Blocked { code: "invalid_client".into() };
    assert_eq!(stage.refusal().await, blocked);
    let other = stage.host.broker.acquire("other", &plain(), &actor()).await;
    assert_eq!(refusal(other), blocked, "the same client app: no call of its own");
    assert_eq!(stage.provider.calls(), 1);
    let client = crate::credential::ClientChoice::Own { id: "app".into(), secret: Some("corrected".into()) };
    let amendment = crate::credential::Amendment { client: Some(client), ..Default::default() };
    stage.host.broker.amend(&acme(), amendment, &actor()).await.expect("amended");
    assert_eq!(stage.token().await.expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn an_outage_backs_off_and_serves_what_is_valid() {
    let answers = (0..6).map(|_| error(503, "down")).chain([granted("access-1", "refresh-1")]);
    let stage = stage(20 * SECOND, answers).await;
    let force = Ask { min_valid: Some(15 * SECOND), ..plain() };
    pass(11 * SECOND).await;
    assert_eq!(token(stage.ask(force.clone()).await).expose(), "access-0", "still valid");
    assert_eq!(stage.provider.calls(), 1);
    assert_eq!(token(stage.ask(force).await).expose(), "access-0");
    assert_eq!(stage.provider.calls(), 1, "not before the backoff's end");
    pass(20 * SECOND).await;
    for calls in 2..=6 {
        assert!(
            matches!(stage.refusal().await, Refusal::Unavailable { .. }),
            "ended, and the provider is down"
        );
        assert!(matches!(stage.refusal().await, Refusal::Unavailable { .. }));
        assert_eq!(stage.provider.calls(), calls);
        pass(31 * SECOND).await;
    }
    assert_eq!(stage.token().await.expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_within_bounds() {
    let slow = |retry_after: &str| {
        let Delivery::Answered(mut reply) = error(429, "slow_down") else { unreachable!() };
        reply.retry_after = Some(retry_after.into());
        Delivery::Answered(reply)
    };
    let stage = stage(Duration::ZERO, [slow("120"), slow("99999999"), granted("access-1", "r1")]).await;
    stage.refusal().await;
    pass(119 * SECOND).await;
    stage.refusal().await;
    assert_eq!(stage.provider.calls(), 1);
    pass(3 * SECOND).await;
    stage.refusal().await;
    assert_eq!(stage.provider.calls(), 2);
    pass(15 * MINUTE + SECOND).await;
    assert_eq!(stage.token().await.expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn merge_keeps_what_the_answer_lacks_and_every_new_token() {
    let never = Profile { rotates: crate::provider::Rotates::Never, ..generic() };
    let lacking: Value = json!({"access_token": "access-1", "expires_in": "60"});
    let stage =
        stage_with(Duration::ZERO, never, [json_reply(200, &lacking), granted("access-2", "rotated")]).await;
    stage.token().await;
    let kept = stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!(kept.tokens.refresh_token, Some("refresh-0".into()));
    pass(61 * SECOND).await;
    stage.token().await;
    let rotated = stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!(rotated.tokens.refresh_token, Some("rotated".into()), "whatever the profile says of rotation");
}

#[tokio::test(start_paused = true)]
async fn the_store_down_means_no_call_and_valid_tokens_served() {
    let stage = stage(2 * MINUTE, [granted("access-1", "refresh-1")]).await;
    stage.token().await;
    stage.fleet.installation.set_down(true);
    assert_eq!(token(stage.ask(Ask { min_valid: Some(HOUR), ..plain() }).await).expose(), "access-0");
    pass(95 * SECOND).await;
    assert_eq!(stage.token().await.expose(), "access-0", "within the window, and no call can be made");
    pass(MINUTE).await;
    assert!(matches!(stage.ask(plain()).await, Err(AcquireError::Store(_))));
    assert_eq!(stage.provider.calls(), 0);
    stage.fleet.installation.set_down(false);
    assert_eq!(stage.token().await.expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn a_verdict_needs_a_readable_store() {
    let stage = stage(Duration::ZERO, [error(400, "invalid_grant")]).await;
    stage.provider.takes(10 * SECOND);
    let outage = async {
        pass(5 * SECOND).await;
        stage.fleet.installation.set_down(true);
    };
    let (outcome, ()) = tokio::join!(stage.ask(plain()), outage);
    assert!(matches!(outcome, Err(AcquireError::Store(_))), "{outcome:?}");
    stage.fleet.installation.set_down(false);
    let row = stage.host.broker.show(&acme()).await.expect("there");
    assert_ne!(row.state(stage.fleet.clock.now()), State::ReauthRequired);
}

#[tokio::test(start_paused = true)]
async fn a_credential_without_refresh_token_says_so_when_it_ends() {
    let stage = stage(HOUR, []).await;
    stage.import("bare", MINUTE, "x", |f| f.refresh_token = None).await;
    let bare = || stage.host.broker.acquire("bare", &NOW, &BY);
    static NOW: std::sync::LazyLock<Ask> = std::sync::LazyLock::new(plain);
    static BY: std::sync::LazyLock<Actor> = std::sync::LazyLock::new(actor);
    assert_eq!(token(bare().await).expose(), "access-0");
    pass(2 * MINUTE).await;
    assert_eq!(refusal(bare().await), Refusal::ReauthRequired { code: "no_refresh_token".into() });
    assert_eq!(stage.provider.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_served_although_its_profile_is_gone() {
    let stage = stage(HOUR, []).await;
    let ports = stage.host.broker.ports().clone();
    let profiles = Arc::new(crate::fakes::FixedProfiles::new([]));
    let bare =
        crate::broker::Broker::new(crate::broker::Ports { profiles, ..ports }, stage.fleet.options.clone());
    let ask = |ask: Ask| {
        let bare = bare.clone();
        async move { bare.acquire("acme", &ask, &actor()).await }
    };
    assert_eq!(token(ask(plain()).await).expose(), "access-0");
    assert!(matches!(ask(rejecting("access-0")).await, Err(AcquireError::Unusable(_))));
    pass(2 * HOUR).await;
    assert!(matches!(ask(plain()).await, Err(AcquireError::Unusable(_))));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_under_the_journal_is_one_under_the_store() {
    let stage = stage(Duration::ZERO, []).await;
    stage.fleet.journal.set_without_reserve(true);
    let got = stage.host.broker.acquire("acme", &plain(), &actor()).await;
    assert!(matches!(got, Err(AcquireError::Store(StoreError::Unwritable(_)))), "{got:?}");
    assert_eq!(stage.provider.calls(), 0);
}
