//! Deaths and lost commits: what was received is kept, what is unknown is not replayed.

use super::*;
use crate::fakes::{RotatingProvider, granted};

/// A stage over a provider that rotates and detects reuse.
async fn strict(left: Duration) -> (Stage, RotatingProvider) {
    let provider = RotatingProvider::new(SECOND, 60);
    let fleet = Fleet::new(Arc::new(provider.clone()), [generic()]);
    let host = fleet.host();
    let stage = Stage { fleet, host, provider: ScriptedProvider::new([]) };
    let account = provider.account();
    stage.import("acme", left, &account, |_| {}).await;
    (stage, provider)
}

async fn next_host_token(stage: &Stage) -> Result<Acquired, AcquireError> {
    stage.fleet.host().broker.acquire("acme", &plain(), &actor()).await
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_is_served_and_made_good() {
    let (stage, provider) = strict(Duration::ZERO).await;
    let outage = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.set_unwritable(true);
    };
    let (got, ()) = tokio::join!(stage.ask(plain()), outage);
    assert_eq!(token(got).generation(), 1, "callers get the token");
    assert_eq!(stage.token().await.generation(), 1);
    stage.fleet.installation.set_unwritable(false);
    pass(10 * SECOND).await;
    let row = stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!((row.generation, provider.calls(), provider.reuses()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn killed_before_the_commit_the_next_process_takes_the_journals_answer() {
    let (stage, provider) = strict(Duration::ZERO).await;
    let outage = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.set_unwritable(true);
    };
    let (got, ()) = tokio::join!(stage.ask(plain()), outage);
    token(got);
    stage.fleet.bury(&stage.host);
    stage.fleet.installation.set_unwritable(false);
    let recovered = token(next_host_token(&stage).await);
    assert_eq!((recovered.generation(), provider.calls(), provider.reuses()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_of_the_commit_is_a_success() {
    let (stage, provider) = strict(Duration::ZERO).await;
    let fault = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.lose_next_reply();
    };
    let (got, ()) = tokio::join!(stage.ask(plain()), fault);
    assert_eq!(token(got).generation(), 1);
    pass(10 * SECOND).await;
    let row = stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!((row.generation, provider.calls()), (1, 1), "committed once");
    pass(MINUTE).await;
    assert_eq!(stage.token().await.generation(), 2);
    assert_eq!(provider.reuses(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_restored_to_before_the_commit_is_rolled_forward() {
    let (stage, provider) = strict(Duration::ZERO).await;
    let backup = stage.fleet.installation.backup();
    for generation in 1..=3 {
        assert_eq!(stage.token().await.generation(), generation);
        pass(61 * SECOND).await;
    }
    stage.fleet.installation.restore(backup);
    let got = token(next_host_token(&stage).await);
    assert_eq!((got.generation(), provider.reuses()), (4, 0), "three from the journal, one call");
    assert_eq!(provider.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_owner_killed_after_its_claim_leaves_a_probe_and_no_storm() {
    let stage = stage(MINUTE, [granted("access-1", "refresh-1")]).await;
    claim_and_die(&stage).await;
    let other = stage.fleet.host();
    let ask = Ask { min_valid: Some(20 * SECOND), ..plain() };
    pass(45 * SECOND).await;
    assert_eq!(
        token(other.broker.acquire("acme", &ask, &actor()).await).expose(),
        "access-0",
        "while it lasts"
    );
    assert_eq!(stage.provider.calls(), 0);
    pass(20 * SECOND).await;
    assert_eq!(
        token(other.broker.acquire("acme", &ask, &actor()).await).expose(),
        "access-1",
        "then one probe"
    );
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_lives_is_waited_for_and_never_overtaken() {
    let stage = stage(Duration::ZERO, []).await;
    let claimer = stage.fleet.host();
    claim(&stage, &claimer).await;
    let ask = Ask::foreground(HOUR);
    let held = refusal(stage.ask(ask).await);
    assert!(matches!(held, Refusal::Unavailable { code, .. } if code == "claim_held"));
    assert_eq!(stage.provider.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_only_waits_for_another_process_can_end_at_once() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let claimer = stage.fleet.host();
    claim(&stage, &claimer).await;
    assert_eq!(refusal(stage.ask(Ask::foreground(SECOND)).await), Refusal::TimedOut);
    let before = stage.fleet.clock.uptime();
    assert!(stage.host.broker.shutdown(MINUTE).await);
    assert!(stage.fleet.clock.uptime() - before < SECOND, "it held nothing and waited for nothing");
    stage.fleet.bury(&claimer);
    assert!(matches!(stage.refusal().await, Refusal::Unavailable { code, .. } if code == "stopping"));
    assert_eq!(stage.provider.calls(), 0, "nothing new is begun after shutdown");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_takes_over_as_soon_as_the_owner_is_gone() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let claimer = stage.fleet.host();
    claim(&stage, &claimer).await;
    let death = async {
        pass(5 * SECOND).await;
        stage.fleet.bury(&claimer);
        stage.fleet.clock.uptime()
    };
    let (got, died) = tokio::join!(stage.ask(plain()), death);
    token(got);
    let took = stage.fleet.clock.uptime() - died;
    assert!(took < 2 * SECOND, "takeover took {took:?}, a second of it the call");
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_answer_is_lost_and_not_replayed() {
    let (stage, provider) = strict(Duration::ZERO).await;
    let backup = stage.fleet.installation.backup();
    stage.token().await;
    stage.fleet.installation.restore(backup);
    stage.fleet.journal.set_unreadable(true);
    let told = refusal(next_host_token(&stage).await);
    assert!(matches!(told, Refusal::Uncertain { .. } | Refusal::ReauthRequired { .. }), "{told:?}");
    assert_eq!(provider.calls(), 1, "known to be spent: not sent again by this flight");
}

#[tokio::test(start_paused = true)]
async fn pending_answers_are_recovered_at_start() {
    let (stage, provider) = strict(Duration::ZERO).await;
    let outage = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.set_unwritable(true);
    };
    let (got, ()) = tokio::join!(stage.ask(plain()), outage);
    token(got);
    stage.fleet.bury(&stage.host);
    stage.fleet.installation.set_unwritable(false);
    let next = stage.fleet.host();
    assert_eq!(next.broker.recover().await, Ok(1));
    assert_eq!(next.broker.recover().await, Ok(0));
    assert_eq!(provider.calls(), 1);
}

async fn claim_and_die(stage: &Stage) {
    let claimer = stage.fleet.host();
    claim(stage, &claimer).await;
    stage.fleet.bury(&claimer);
}

async fn claim(stage: &Stage, claimer: &Host) {
    use crate::ports::store::{ChainStore, ClaimAsk, Claimed, Record};
    let row = stage.host.broker.show(&acme()).await.expect("there").chain;
    let ask = ClaimAsk {
        id: crate::ids::ClaimId::from_i64(1),
        chain: row.id,
        revision: row.revision,
        purpose: crate::credential::Purpose::Refresh,
    };
    let note = crate::audit::Note {
        action: "refresh.claim",
        actor: actor(),
        subject: "acme".into(),
        detail: serde_json::Value::Null,
    };
    let claimed = claimer.store.claim(&ask, Record { note, event: None }).await.expect("a store");
    assert!(matches!(claimed, Claimed::Granted(_)));
}

#[tokio::test(start_paused = true)]
async fn with_journal_and_store_full_the_answer_lives_in_memory_until_one_of_them_takes_it() {
    let (stage, provider) = strict(Duration::ZERO).await;
    stage.fleet.journal.set_failing(true);
    let outage = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.set_unwritable(true);
    };
    let (got, ()) = tokio::join!(stage.ask(plain()), outage);
    assert_eq!(token(got).generation(), 1);
    stage.fleet.installation.set_unwritable(false);
    let again = token(stage.ask(rejecting("access-1-0")).await);
    assert_eq!((again.generation(), provider.calls(), provider.reuses()), (1, 1, 0));
    pass(10 * SECOND).await;
    let row = stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!((row.generation, provider.reuses()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn journal_entries_stay_for_a_day_and_until_the_next_generation() {
    let (stage, provider) = strict(Duration::ZERO).await;
    assert_eq!(stage.token().await.generation(), 1);
    pass(100 * HOUR).await;
    assert_eq!(stage.host.broker.trim_journal().await, Ok(0), "the newest one stays, however old");
    assert_eq!(stage.token().await.generation(), 2);
    assert_eq!(stage.host.broker.trim_journal().await, Ok(1), "its successor is there");
    assert_eq!(stage.fleet.journal.len(), 1);
    pass(23 * HOUR).await;
    stage.token().await;
    assert_eq!(stage.host.broker.trim_journal().await, Ok(0), "not a day old");
    assert_eq!((provider.calls(), provider.reuses()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_could_not_be_recorded_is_recorded_later_as_what_it_was() {
    let refused = crate::fakes::json_reply(400, &serde_json::json!({"error": "invalid_grant"}));
    let stage = stage(Duration::ZERO, [refused]).await;
    let outage = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.set_unwritable(true);
    };
    let (got, ()) = tokio::join!(stage.ask(plain()), outage);
    assert!(matches!(got, Err(AcquireError::Store(_))), "{got:?}");
    stage.fleet.installation.set_unwritable(false);
    let told = stage.refusal().await;
    assert_eq!(told, Refusal::ReauthRequired { code: "invalid_grant".into() }, "and not a lost rotation");
    pass(10 * SECOND).await;
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_reply_is_lost_is_given_back() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.fleet.installation.lose_next_reply();
    assert!(matches!(stage.ask(plain()).await, Err(AcquireError::Store(_))));
    assert_eq!(stage.token().await.expose(), "access-1", "nothing was sent under it");
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_refresh_token_is_kept_although_its_access_token_is_useless() {
    let odd =
        crate::fakes::json_reply(200, &serde_json::json!({"access_token": "", "refresh_token": "refresh-1"}));
    let stage = stage(Duration::ZERO, [odd, granted("access-2", "refresh-2")]).await;
    for _ in 0..5 {
        assert!(matches!(stage.refusal().await, Refusal::Unavailable { .. }));
    }
    assert_eq!(stage.provider.calls(), 1, "no storm");
    pass(31 * SECOND).await;
    assert_eq!(stage.token().await.expose(), "access-2");
    assert!(stage.provider.bodies().last().is_some_and(|body| body.contains("refresh-1")));
}

#[tokio::test(start_paused = true)]
async fn who_could_not_claim_can_end_at_once() {
    let stage = stage(Duration::ZERO, []).await;
    stage.fleet.installation.set_unwritable(true);
    assert!(matches!(stage.ask(plain()).await, Err(AcquireError::Store(_))));
    let before = stage.fleet.clock.uptime();
    assert!(stage.host.broker.shutdown(HOUR).await);
    assert!(stage.fleet.clock.uptime() - before < SECOND, "there was nothing to be saved");
}

#[tokio::test(start_paused = true)]
async fn what_was_granted_is_tried_for_long_at_shutdown() {
    let (stage, provider) = strict(Duration::ZERO).await;
    let outage = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.set_unwritable(true);
    };
    let (got, ()) = tokio::join!(stage.ask(plain()), outage);
    token(got);
    let recovery = async {
        pass(5 * SECOND).await;
        stage.fleet.installation.set_unwritable(false);
    };
    let (ended, ()) = tokio::join!(stage.host.broker.shutdown(HOUR), recovery);
    assert!(ended);
    let row = stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!((row.generation, provider.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_process_without_background_tidies_once_after_a_refresh() {
    let (stage, _provider) = strict(Duration::ZERO).await;
    let first = stage.fleet.host();
    for _ in 0..2 {
        token(first.broker.acquire("acme", &plain(), &actor()).await);
        pass(61 * SECOND).await;
    }
    pass(30 * HOUR).await;
    assert_eq!(stage.fleet.journal.len(), 2, "nothing was old enough");
    token(next_host_token(&stage).await);
    let host = stage.fleet.host();
    pass(61 * SECOND).await;
    token(host.broker.acquire("acme", &plain(), &actor()).await);
    let before = stage.fleet.clock.uptime();
    assert!(host.broker.shutdown(HOUR).await);
    assert!(stage.fleet.clock.uptime() - before < SECOND);
    assert_eq!(stage.fleet.journal.len(), 2, "what is not a day old");
}

#[tokio::test(start_paused = true)]
async fn what_only_memory_holds_counts_as_pending() {
    let (stage, _provider) = strict(Duration::ZERO).await;
    assert_eq!(stage.host.broker.pending().await, Ok(0));
    stage.fleet.journal.set_failing(true);
    let outage = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.set_unwritable(true);
    };
    let (got, ()) = tokio::join!(stage.ask(plain()), outage);
    token(got);
    assert_eq!(stage.host.broker.pending().await, Ok(1));
    stage.fleet.journal.set_failing(false);
    pass(10 * SECOND).await;
    assert_eq!(stage.host.broker.pending().await, Ok(1), "in the journal by now");
    stage.fleet.installation.set_unwritable(false);
    pass(10 * SECOND).await;
    assert_eq!(stage.host.broker.pending().await, Ok(0));
}
