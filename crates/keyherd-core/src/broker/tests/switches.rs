//! Changes that land while a refresh is under way, and what other processes see.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::bent::process;
use super::*;
use crate::audit::Note;
use crate::broker::{ConnectError, NewTokens};
use crate::credential::Amendment;
use crate::fakes::{granted, json_reply};
use crate::ports::store::{Change, Conflict, CredentialStore, Record};

fn off() -> Amendment {
    Amendment { disabled: Some(true), ..Amendment::default() }
}

fn new_token(refresh: &str) -> NewTokens {
    NewTokens {
        access_token: Some("login".into()),
        refresh_token: Some(refresh.into()),
        ..NewTokens::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_that_lands_mid_refresh_wins() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(10 * SECOND);
    let login = async {
        pass(5 * SECOND).await;
        stage.host.broker.reconnect(&acme(), new_token("refresh-login"), &actor()).await.expect("reconnected")
    };
    let (got, _) = tokio::join!(stage.ask(plain()), login);
    assert_eq!(token(got).expose(), "login");
    let row = stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!((row.generation, row.tokens.refresh_token), (1, Some("refresh-login".into())));
    assert!(row.claim.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_loses_against_a_reconnect_records_nothing() {
    let refused = json_reply(400, &serde_json::json!({"error": "invalid_grant"}));
    let stage = stage(Duration::ZERO, [refused]).await;
    stage.provider.takes(10 * SECOND);
    let login = async {
        pass(5 * SECOND).await;
        stage.host.broker.reconnect(&acme(), new_token("refresh-login"), &actor()).await.expect("reconnected")
    };
    let (got, _) = tokio::join!(stage.ask(plain()), login);
    assert_eq!(token(got).expose(), "login", "success with the other's token");
}

#[tokio::test(start_paused = true)]
async fn a_spent_token_over_a_live_one_is_refused() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.token().await;
    let error = stage.host.broker.reconnect(&acme(), new_token("refresh-0"), &actor()).await;
    let Err(ConnectError::Conflict { conflict: Conflict::TokenSpent { generation, current, .. }, .. }) =
        error
    else {
        panic!("{error:?}")
    };
    assert_eq!((generation, current), (0, 1));
    let draft = Draft::parse(stage.fields("twin", HOUR, "refresh-1")).expect("a draft");
    let error = stage.host.broker.connect(draft, ConnectMode::Create, &actor()).await;
    assert!(
        matches!(error, Err(ConnectError::Conflict { conflict: Conflict::TokenHeld { .. }, .. })),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn disabled_on_one_host_is_refused_on_the_other() {
    let stage = stage(HOUR, []).await;
    let other = stage.fleet.host();
    let _events = other.broker.events();
    token(other.broker.acquire("acme", &plain(), &actor()).await);
    stage.host.broker.amend(&acme(), off(), &actor()).await.expect("amended");
    pass(Duration::from_millis(100)).await;
    assert_eq!(refusal(other.broker.acquire("acme", &plain(), &actor()).await), Refusal::Disabled);
    assert_eq!(stage.refusal().await, Refusal::Disabled);
}

#[tokio::test(start_paused = true)]
async fn disabled_while_refreshing_gets_nothing_and_loses_nothing() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(10 * SECOND);
    let switch = async {
        pass(5 * SECOND).await;
        stage.host.broker.amend(&acme(), off(), &actor()).await.expect("amended")
    };
    let (got, _) = tokio::join!(stage.ask(plain()), switch);
    assert_eq!(refusal(got), Refusal::Disabled);
    let row = stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!(row.tokens.refresh_token, Some("refresh-1".into()), "the rotation is kept all the same");
}

#[tokio::test(start_paused = true)]
async fn removed_while_refreshing_is_not_found() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(10 * SECOND);
    let removal = async {
        pass(5 * SECOND).await;
        // Past the wait for it, as after a claim that was taken in the last moment.
        let id = stage.host.broker.show(&acme()).await.expect("there").credential.id;
        let subject = "acme".to_owned();
        let note = Note { action: "credential.remove", actor: actor(), subject, detail: Value::Null };
        let claim = stage.host.broker.show(&acme()).await.expect("there").chain.claim.map(|claim| claim.id);
        stage.fleet.host().store.remove(id, claim, Record { note, event: None }).await.expect("removed");
    };
    let (got, ()) = tokio::join!(stage.ask(plain()), removal);
    assert!(
        matches!(got, Err(AcquireError::NotFound(_)) | Ok(Acquired::Refused(Refusal::Removed))),
        "{got:?}"
    );
    assert!(matches!(stage.ask(plain()).await, Err(AcquireError::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn the_same_token_again_moves_no_generation() {
    let stage = stage(HOUR, []).await;
    let row =
        stage.host.broker.reconnect(&acme(), new_token("refresh-0"), &actor()).await.expect("reconnected");
    assert_eq!((row.chain.generation, row.chain.tokens.access_token), (0, Some("login".into())));
}

#[tokio::test(start_paused = true)]
async fn a_new_access_token_alone_keeps_the_refresh_token() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let expires_at = Some(stage.fleet.clock.now() + MINUTE);
    let tokens = NewTokens { access_token: Some("login".into()), expires_at, ..NewTokens::default() };
    let row = stage.host.broker.reconnect(&acme(), tokens, &actor()).await.expect("reconnected").chain;
    assert_eq!((row.generation, row.tokens.refresh_token), (0, Some("refresh-0".into())));
    assert_eq!(stage.token().await.expose(), "login");
    pass(2 * MINUTE).await;
    assert_eq!(stage.token().await.expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn the_sweep_refreshes_what_is_due_and_nothing_else() {
    let stage = stage(2 * HOUR, [granted("access-1", "refresh-1")]).await;
    stage.import("later", 9 * HOUR, "refresh-later", |_| {}).await;
    let mut sweeper = stage.host.broker.sweeper();
    assert_eq!(sweeper.sweep().await, Ok(0));
    pass(2 * HOUR - 3 * MINUTE).await;
    assert_eq!(sweeper.sweep().await, Ok(1));
    assert_eq!(sweeper.sweep().await, Ok(0), "under way");
    sweeper.settled().await;
    assert_eq!(sweeper.sweep().await, Ok(0), "done");
    assert_eq!((stage.token().await.expose(), stage.provider.calls()), ("access-1", 1));
}

#[tokio::test(start_paused = true)]
async fn the_breaker_rests_the_background_and_no_caller() {
    let down = |_| json_reply(503, &serde_json::json!({"error": "down"}));
    let stage = stage(Duration::ZERO, (0..50).map(down)).await;
    for n in 0..20 {
        stage.import(&format!("c{n}"), Duration::ZERO, &format!("refresh-c{n}"), |_| {}).await;
    }
    let mut sweeper = stage.host.broker.sweeper();
    sweeper.sweep().await.expect("swept");
    sweeper.settled().await;
    let after_first = stage.provider.calls();
    pass(40 * SECOND).await;
    assert_eq!(sweeper.sweep().await, Ok(0));
    sweeper.settled().await;
    assert_eq!(stage.provider.calls(), after_first, "open: the background makes no call");
    stage.refusal().await;
    assert_eq!(stage.provider.calls(), after_first + 1, "a caller is not held by it");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_holds_up_no_other() {
    let stage = stage(Duration::ZERO, [granted("late", "late"), granted("access-1", "refresh-1")]).await;
    stage.provider.takes(50 * SECOND);
    let mut sweeper = stage.host.broker.sweeper();
    assert_eq!(sweeper.sweep().await, Ok(1));
    pass(SECOND).await;
    stage.import("other", Duration::ZERO, "refresh-other", |_| {}).await;
    assert_eq!(sweeper.sweep().await, Ok(1), "the other is started while the first one hangs");
    sweeper.settled().await;
    assert_eq!(stage.provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_switched_off_meanwhile_is_not_refreshed() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let other = stage.fleet.host();
    other.broker.standing(&acme()).await.expect("read");
    stage.host.broker.amend(&acme(), off(), &actor()).await.expect("amended");
    assert_eq!(refusal(other.broker.acquire("acme", &plain(), &actor()).await), Refusal::Disabled);
    assert_eq!(stage.provider.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_corrected_client_is_sent_and_not_the_one_that_was_read_before() {
    let stage = stage(HOUR, [granted("access-1", "refresh-1")]).await;
    let put = |secret: &str| {
        let client = crate::ports::store::NamedClient {
            name: Name::parse("app").expect("a name"),
            provider: "generic".into(),
            id: "shared".into(),
            secret: Some(secret.into()),
            block: None,
        };
        let broker = stage.host.broker.clone();
        async move { broker.put_client(client, &actor()).await.expect("put") }
    };
    put("old-secret").await;
    let named =
        |f: &mut DraftFields| (f.client, f.client_id, f.client_secret) = (Some("app".into()), None, None);
    stage.import("named", Duration::ZERO, "refresh-named", named).await;
    let other = stage.fleet.host();
    other.broker.standing(&Name::parse("named").expect("a name")).await.expect("read");
    put("new-secret").await;
    token(other.broker.acquire("named", &plain(), &actor()).await);
    let sent = stage.provider.requests();
    let basic = sent.iter().flat_map(|request| &request.headers).find(|(name, _)| name == "authorization");
    assert_eq!(basic.map(|(_, value)| value.expose()), Some("Basic c2hhcmVkOm5ldy1zZWNyZXQ="));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rejections_cost_one_cooldown() {
    let stage = stage(HOUR, [granted("access-1", "refresh-1")]).await;
    token(stage.ask(rejecting("access-0")).await);
    let (_, before) = stage.fleet.installation.counts();
    let asks = (0..1_000).map(|_| stage.ask(rejecting("access-1")));
    for outcome in futures_util::future::join_all(asks).await {
        assert!(matches!(refusal(outcome), Refusal::Cooling { .. }));
    }
    let (_, after) = stage.fleet.installation.counts();
    assert_eq!(after - before, 1, "one write transaction");
}

#[tokio::test(start_paused = true)]
async fn at_its_deadline_a_caller_gets_what_is_still_valid() {
    let stage = stage(MINUTE, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(20 * SECOND);
    pass(35 * SECOND).await;
    assert_eq!(token(stage.ask(Ask::foreground(SECOND)).await).expose(), "access-0");
}

#[tokio::test(start_paused = true)]
async fn without_a_watch_memory_is_good_for_a_moment_only() {
    let stage = stage(HOUR, []).await;
    let other = stage.fleet.host();
    token(other.broker.acquire("acme", &plain(), &actor()).await);
    stage.host.broker.amend(&acme(), off(), &actor()).await.expect("amended");
    pass(Duration::from_millis(101)).await;
    assert_eq!(refusal(other.broker.acquire("acme", &plain(), &actor()).await), Refusal::Disabled);
}

#[tokio::test(start_paused = true)]
async fn a_removal_waits_for_the_refresh_that_is_under_way() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(5 * SECOND);
    for remover in [&stage.host, &stage.fleet.host()] {
        let removal = async {
            pass(SECOND).await;
            remover.broker.remove(&acme(), &actor()).await.expect("removed");
            stage.fleet.clock.uptime()
        };
        let before = stage.fleet.clock.uptime();
        let (_, removed) = tokio::join!(stage.ask(plain()), removal);
        assert!(removed - before >= 5 * SECOND, "it would have been spent unseen");
        stage.import("acme", Duration::ZERO, "refresh-new", |_| {}).await;
        stage.provider.then(granted("access-2", "refresh-2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_would_wait_for_long_is_refused() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(50 * SECOND);
    let other = stage.fleet.host();
    let removal = async {
        pass(SECOND).await;
        other.broker.remove(&acme(), &actor()).await
    };
    let (got, removed) = tokio::join!(stage.ask(Ask::foreground(MINUTE)), removal);
    assert_eq!(removed, Err(crate::broker::ManageError::Refreshing(acme())));
    assert_eq!(token(got).expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn an_amendment_keeps_the_bounds_of_a_draft() {
    let stage = stage(HOUR, []).await;
    let long = "x".repeat(crate::credential::TEXT_LEN_MAX + 1);
    let own = |secret: &str| crate::credential::ClientChoice::Own {
        id: "app".into(),
        secret: Some(Secret::from(secret)),
    };
    let unfit = [
        Amendment { attributes: Some(serde_json::json!({"x": long})), ..Amendment::default() },
        Amendment { attributes: Some(serde_json::json!([])), ..Amendment::default() },
        Amendment { scopes: Some(vec!["x".repeat(1025)]), ..Amendment::default() },
        Amendment { scopes: Some(vec!["x".into(); 513]), ..Amendment::default() },
        Amendment { client: Some(own(&long)), ..Amendment::default() },
        Amendment { client: Some(own("two\nlines")), ..Amendment::default() },
    ];
    for amendment in unfit {
        let got = stage.host.broker.amend(&acme(), amendment, &actor()).await;
        assert!(matches!(got, Err(crate::broker::ManageError::Unfit(_))), "{got:?}");
    }
}

/// A look at the store is no wait for a refresh.
#[tokio::test(start_paused = true)]
async fn without_any_time_a_valid_token_is_found_in_the_store() {
    let stage = stage(HOUR, []).await;
    let (broker, store, _host) = process(&stage, None, None);
    *store.looks_for.lock().expect("sound") = Duration::from_millis(20);
    let ask = Ask::foreground(Duration::ZERO);
    assert_eq!(token(broker.acquire("acme", &ask, &actor()).await).expose(), "access-0");
    assert!(matches!(broker.acquire("nobody", &ask, &actor()).await, Err(AcquireError::NotFound(_))));
    stage.import("ended", Duration::ZERO, "refresh-ended", |_| {}).await;
    stage.provider.takes(SECOND);
    assert_eq!(refusal(broker.acquire("ended", &ask, &actor()).await), Refusal::TimedOut);
}

/// An event that was never told: memory is read anew after a while, and nobody waits for it.
#[tokio::test(start_paused = true)]
async fn a_change_that_was_never_told_is_seen_within_a_bounded_time() {
    let stage = stage(HOUR, []).await;
    let (broker, store, _host) = process(&stage, Some(180 * SECOND), None);
    let _events = broker.events();
    pass(SECOND).await;
    let (wish, by) = (plain(), actor());
    let ask = || broker.acquire("acme", &wish, &by);
    token(ask().await);
    let looks = || store.looks.load(Ordering::Relaxed);
    let before = looks();
    let note = Note { action: "silent", actor: actor(), subject: "acme".into(), detail: Value::Null };
    let change = Change { disabled: Some(true), ..Default::default() };
    stage.host.store.amend(&acme(), change, Record { note, event: None }).await.expect("amended");
    pass(50 * SECOND).await;
    token(ask().await);
    assert_eq!(looks(), before);
    pass(11 * SECOND).await;
    for _ in 0..3 {
        token(ask().await);
    }
    pass(SECOND).await;
    assert_eq!(refusal(ask().await), Refusal::Disabled);
    assert_eq!(looks(), before + 1, "one reading for all who ask");
}

#[tokio::test(start_paused = true)]
async fn each_kind_is_reconnected_with_what_it_has() {
    let stage = stage(HOUR, []).await;
    let secret = NewTokens { secret: Some("key".into()), ..NewTokens::default() };
    let refused = stage.host.broker.reconnect(&acme(), secret.clone(), &actor()).await;
    assert!(matches!(refused, Err(ConnectError::Unfit { .. })), "{refused:?}");
    let fields = DraftFields {
        name: "plain".into(),
        provider: "generic".into(),
        kind: Some("static".into()),
        secret: Some("first".into()),
        ..Default::default()
    };
    let draft = Draft::parse(fields).expect("a draft");
    stage.host.broker.connect(draft, ConnectMode::Create, &actor()).await.expect("made");
    let plain = Name::parse("plain").expect("a name");
    for unfit in [new_token("r"), NewTokens { access_token: Some("a".into()), ..NewTokens::default() }] {
        let refused = stage.host.broker.reconnect(&plain, unfit, &actor()).await;
        assert!(matches!(refused, Err(ConnectError::Unfit { .. })), "{refused:?}");
    }
    let row = stage.host.broker.reconnect(&plain, secret, &actor()).await.expect("reconnected").chain;
    assert_eq!(row.tokens.access_token, Some("key".into()));
}
