//! However many ask, it happens once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use tokio::runtime::Builder;
use tokio::task::{spawn_blocking, yield_now};

use super::*;
use crate::broker::acquire::Source;
use crate::fakes::{RotatingProvider, granted};
use crate::refresh::Policy;

#[tokio::test(start_paused = true)]
async fn ten_thousand_callers_cost_one_call_one_claim_and_one_commit() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let (reads, writes) = stage.fleet.installation.counts();
    let tokens = join_all((0..10_000).map(|_| stage.token())).await;
    assert!(tokens.iter().all(|token| token.expose() == "access-1" && token.generation() == 1));
    assert_eq!(stage.provider.calls(), 1);
    let (reads_after, writes_after) = stage.fleet.installation.counts();
    assert!(reads_after - reads <= 2, "{} reads", reads_after - reads);
    assert_eq!(writes_after - writes, 2, "a claim and a commit");
}

/// The caller looked at memory just before another's read ended.
#[tokio::test(start_paused = true)]
async fn who_comes_as_a_read_ends_does_not_read_again() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.token().await;
    let broker = &stage.host.broker;
    let reads = || stage.fleet.installation.counts().0;
    for (source, expected) in [(Source::Memory, 0), (Source::Store, 1)] {
        let before = reads();
        let standing = broker.read(&Name::parse("acme").expect("a name"), source).await.expect("known");
        assert_eq!((standing.chain.generation, reads() - before), (1, expected), "{source:?}");
    }
}

/// Who joins a read that began before it came may know of something newer.
#[tokio::test(start_paused = true)]
async fn a_joined_read_is_enough_only_where_memory_vouches_for_it() {
    let stage = stage(Duration::ZERO, []).await;
    let (other, name) = (stage.fleet.host(), Name::parse("acme").expect("a name"));
    let reads = || stage.fleet.installation.counts().0;
    for (source, expected) in [(Source::Memory, 1), (Source::Store, 2)] {
        let before = reads();
        let read = join_all((0..100).map(|_| other.broker.read(&name, source))).await;
        assert!(read.iter().all(Result::is_ok));
        assert_eq!(reads() - before, expected, "{source:?}");
    }
}

/// Ten thousand of them are made and woken at once.
#[tokio::test(start_paused = true)]
async fn a_waiter_is_small() {
    let stage = stage(Duration::ZERO, []).await;
    let (ask, actor) = (plain(), actor());
    let size = size_of_val(&stage.host.broker.acquire("acme", &ask, &actor));
    assert!(size <= 640, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn many_hosts_and_expiries_never_replay() {
    let provider = RotatingProvider::new(200 * SECOND / 1000, 60);
    let fleet = Fleet::new(Arc::new(provider.clone()), [generic()]);
    let hosts: Vec<Host> = (0..8).map(|_| fleet.host()).collect();
    let first = hosts.first().expect("a host");
    let fields = DraftFields {
        name: "acme".into(),
        provider: "generic".into(),
        refresh_token: Some(provider.account().into()),
        token_url: Some("https://id.example/token".into()),
        ..DraftFields::default()
    };
    let draft = Draft::parse(fields).expect("a draft");
    first.broker.connect(draft, ConnectMode::Create, &actor()).await.expect("created");
    for expiry in 1..=20 {
        let asks = hosts.iter().flat_map(|host| (0..25).map(move |late| (host, late)));
        let answers = join_all(asks.map(|(host, late)| async move {
            pass(Duration::from_millis(16 * late)).await;
            token(host.broker.acquire("acme", &plain(), &actor()).await)
        }));
        assert!(answers.await.iter().all(|token| token.generation() == expiry));
        assert_eq!((provider.calls() as u64, provider.reuses()), (expiry, 0));
        pass(61 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_callers_neither_cancel_nor_repeat() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let impatient = Ask::foreground(Duration::from_millis(10));
    assert_eq!(refusal(stage.ask(impatient).await), Refusal::TimedOut);
    assert_eq!(stage.token().await.expose(), "access-1");
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_success_is_still_committed() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(20 * SECOND);
    assert_eq!(refusal(stage.ask(Ask::foreground(SECOND)).await), Refusal::TimedOut);
    assert!(stage.host.broker.shutdown(MINUTE).await, "shutdown waits for the flight");
    let row = stage.host.broker.show(&acme()).await.expect("there");
    assert_eq!((row.chain.generation, stage.provider.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_long_window_delays_no_short_one() {
    let stage = stage(2 * MINUTE, [granted("access-1", "refresh-1")]).await;
    stage.token().await;
    stage.provider.takes(10 * SECOND);
    let background = Ask { min_valid: Some(50 * SECOND), policy: Policy::Background, ..plain() };
    pass(75 * SECOND).await;
    let (slow, quick) = tokio::join!(stage.ask(background), async {
        let before = stage.fleet.clock.uptime();
        let token = stage.token().await;
        (token, stage.fleet.clock.uptime() - before)
    });
    assert_eq!(
        (quick.0.expose(), quick.1),
        ("access-0", Duration::ZERO),
        "its own window is satisfied: no wait"
    );
    assert_eq!(token(slow).expose(), "access-1");
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_hosts_commit_reaches_snapshots() {
    let stage = stage(MINUTE, [granted("access-1", "refresh-1")]).await;
    let other = stage.fleet.host();
    let _events = other.broker.events();
    let seen = token(other.broker.acquire("acme", &plain(), &actor()).await);
    assert_eq!(seen.expose(), "access-0");
    token(stage.host.broker.refresh("acme", MINUTE, &actor()).await);
    pass(Duration::from_millis(100)).await;
    assert_eq!(token(other.broker.acquire("acme", &plain(), &actor()).await).expose(), "access-1");
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn followers_on_other_hosts_get_the_failure_too() {
    let stage = stage(
        Duration::ZERO,
        [crate::fakes::json_reply(400, &serde_json::json!({"error": "invalid_grant"}))],
    )
    .await;
    let other = stage.fleet.host();
    let (ask, by) = (plain(), actor());
    let (mine, theirs) = tokio::join!(stage.refusal(), other.broker.acquire("acme", &ask, &by));
    let dead = Refusal::ReauthRequired { code: "invalid_grant".into() };
    assert_eq!((mine, refusal(theirs)), (dead.clone(), dead));
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn members_of_a_chain_refresh_together() {
    let provider = ScriptedProvider::new([granted("access-1", "refresh-1")]);
    let fleet = Fleet::new(Arc::new(provider.clone()), [generic()]);
    let host = fleet.host();
    let stage = Stage { fleet, host, provider };
    let chained = |f: &mut DraftFields| f.chain = Some("workspace".into());
    stage.import("acme", Duration::ZERO, "refresh-0", chained).await;
    stage.import("acme-bot", Duration::ZERO, "refresh-0", chained).await;
    let ask = plain();
    let by = actor();
    let (one, two) = tokio::join!(stage.ask(plain()), stage.host.broker.acquire("acme-bot", &ask, &by));
    let (one, two) = (token(one), token(two));
    assert_eq!((one.expose(), one.credential()), ("access-1", "acme"));
    assert_eq!((two.expose(), two.credential()), ("access-1", "acme-bot"));
    assert_eq!(stage.provider.calls(), 1);
}

/// Whoever asks may be on a thread that has other work, or that ends.
#[tokio::test(start_paused = true)]
async fn what_many_wait_for_runs_with_the_background() {
    let stage = stage(HOUR, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(SECOND);
    stage.host.broker.run_background();
    let (broker, provider) = (stage.host.broker.clone(), stage.provider.clone());
    let asked_and_gone = move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("is made");
        runtime.block_on(async {
            let (ask, actor) = (rejecting("access-0"), actor());
            let asked = pin!(broker.acquire("acme", &ask, &actor));
            let begun = pin!(async {
                while provider.calls() == 0 {
                    yield_now().await;
                }
            });
            let ended = select(asked, begun).await;
            assert!(matches!(ended, Either::Right(_)), "it is under way");
        });
    };
    spawn_blocking(asked_and_gone).await.expect("no panic");
    pass(2 * SECOND).await;
    assert_eq!((stage.token().await.expose(), stage.provider.calls()), ("access-1", 1));
}
