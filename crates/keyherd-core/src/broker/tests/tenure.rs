//! Claims that expire, and coordinators that keep others from trying: neither authorises more than the store does.

use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::bent::{Renewal, Says, process};
use super::*;
use crate::broker::{Broker, Ports};
use crate::fakes::granted;
use crate::ports::{CallLimits, Coordinator, ProviderClient, SendGate, Turn};
use crate::provider::TokenRequest;

const LIFE: Option<Duration> = Some(Duration::from_secs(180));

/// A provider whose handshake takes its time.
struct FarProvider {
    inner: ScriptedProvider,
    handshake: Duration,
}

#[async_trait]
impl ProviderClient for FarProvider {
    async fn call(&self, request: &TokenRequest, limits: &CallLimits, gate: SendGate<'_>) -> Delivery {
        pass(self.handshake).await;
        self.inner.call(request, limits, gate).await
    }
}

fn far(stage: &Stage, broker: &Broker, handshake: Duration) -> Broker {
    let provider = Arc::new(FarProvider { inner: stage.provider.clone(), handshake });
    Broker::new(Ports { provider, ..broker.ports().clone() }, stage.fleet.options.clone())
}

async fn ask(broker: &Broker) -> Result<Acquired, AcquireError> {
    broker.acquire("acme", &Ask::foreground(HOUR), &actor()).await
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_renewed_while_its_call_is_under_way_and_not_after() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let (broker, store, _host) = process(&stage, Some(114 * SECOND), None);
    let broker = far(&stage, &broker, 40 * SECOND);
    stage.provider.takes(50 * SECOND);
    assert_eq!(token(ask(&broker).await).expose(), "access-1");
    assert_eq!(store.renewals.load(Ordering::Relaxed), 2);
    pass(HOUR).await;
    assert_eq!(store.renewals.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_lost_before_the_request_keeps_it_from_being_sent() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let (broker, store, _host) = process(&stage, LIFE, None);
    let broker = far(&stage, &broker, 61 * SECOND);
    store.set(Renewal::Refused);
    let got = refusal(ask(&broker).await);
    assert!(matches!(got, Refusal::Unavailable { code, .. } if code == "claim_lost"));
    assert_eq!(stage.provider.calls(), 0, "never under a lost claim");
    let row = broker.show(&acme()).await.expect("there").chain;
    assert_eq!(
        (row.trouble, row.claim),
        (crate::credential::Trouble::None, None),
        "and nobody backs off for it"
    );
    let near = far(&stage, &broker, Duration::ZERO);
    assert_eq!(token(ask(&near).await).expose(), "access-1");
}

/// Others found its claim ended, and wait for an answer that will not come: it knows that, and goes on at once.
#[tokio::test(start_paused = true)]
async fn who_knows_that_nothing_was_sent_does_not_wait_with_the_others() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let (broker, store, host) = process(&stage, Some(120 * SECOND), None);
    let broker = far(&stage, &broker, 50 * SECOND);
    let (other, _, _other) = process(&stage, Some(120 * SECOND), None);
    store.set(Renewal::Refused);
    let meanwhile = async {
        pass(45 * SECOND).await;
        stage.fleet.bury(&host);
        let told = refusal(ask(&other).await);
        assert!(matches!(&told, Refusal::Uncertain { code, .. } if code == "owner_gone"), "{told:?}");
        store.set(Renewal::Granted);
    };
    let (got, ()) = tokio::join!(ask(&broker), meanwhile);
    assert_eq!((token(got).expose(), stage.provider.calls()), ("access-1", 1));
    assert_eq!(token(ask(&other).await).expose(), "access-1");
}

/// A doubt that was there before its claim is another one, and stays.
#[tokio::test(start_paused = true)]
async fn an_older_doubt_is_not_cleared_by_who_sent_nothing() {
    let unanswered = Delivery::Unanswered { code: "reset".into(), detail: String::new() };
    let stage = stage(Duration::ZERO, [unanswered, granted("access-1", "refresh-1")]).await;
    assert!(matches!(stage.refusal().await, Refusal::Uncertain { .. }));
    let (broker, store, host) = process(&stage, Some(120 * SECOND), None);
    let broker = far(&stage, &broker, 50 * SECOND);
    let (other, _, _other) = process(&stage, Some(120 * SECOND), None);
    store.set(Renewal::Refused);
    let meanwhile = async {
        pass(45 * SECOND).await;
        stage.fleet.bury(&host);
        refusal(ask(&other).await);
        store.set(Renewal::Granted);
    };
    let (got, ()) = tokio::join!(ask(&broker), meanwhile);
    assert!(matches!(refusal(got), Refusal::Uncertain { .. }));
    assert_eq!(stage.provider.calls(), 1, "the probe of which others cannot know is waited for");
}

/// Where claims do not expire, a process that was stopped after its handshake finds that the time to send is over.
#[tokio::test(start_paused = true)]
async fn nobody_backs_off_for_a_process_that_stood_still_before_it_sent() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let stopped = far(&stage, &stage.host.broker, 61 * SECOND);
    let got = ask(&stopped).await;
    assert_eq!(stage.provider.calls(), 0, "{got:?}");
    let row = stopped.show(&acme()).await.expect("there").chain;
    assert_eq!((row.trouble, row.claim), (crate::credential::Trouble::None, None));
    assert_eq!(token(stage.ask(Ask::foreground(HOUR)).await).expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_could_not_be_renewed_keeps_the_gate_shut_before_it_ends() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let (broker, store, _host) = process(&stage, Some(120 * SECOND), None);
    store.set(Renewal::Down);
    // 120 s of life less 60 s for the answer less an eighth of its life.
    let far_off = far(&stage, &broker, 46 * SECOND);
    let got = ask(&far_off).await;
    assert_eq!(stage.provider.calls(), 0, "{got:?}");
    let near = far(&stage, &broker, 44 * SECOND);
    assert_eq!(token(ask(&near).await).expose(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn a_life_that_does_not_last_for_an_answer_is_said_and_nothing_is_claimed() {
    // Between two renewals 110 s leave 59.6 s for an answer that may take 60.
    for (life, claims) in [(60, 0), (110, 0), (111, 1)] {
        let stage = stage(Duration::ZERO, []).await;
        let (broker, store, _host) = process(&stage, Some(life * SECOND), None);
        assert_eq!(matches!(ask(&broker).await, Err(AcquireError::Unusable(_))), claims == 0);
        assert_eq!(store.claims.load(Ordering::Relaxed), claims);
    }
}

#[tokio::test(start_paused = true)]
async fn a_granted_answer_that_waits_for_the_store_keeps_its_claim() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let (broker, store, _host) = process(&stage, LIFE, None);
    let outage = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.set_unwritable(true);
        pass(300 * SECOND).await;
        assert_eq!(store.renewals.load(Ordering::Relaxed), 5);
        stage.fleet.installation.set_unwritable(false);
    };
    let (got, ()) = tokio::join!(ask(&broker), outage);
    token(got);
    pass(10 * SECOND).await;
    assert_eq!(broker.show(&acme()).await.expect("there").chain.generation, 1);
    pass(HOUR).await;
    assert_eq!(store.renewals.load(Ordering::Relaxed), 5, "and no longer");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_waits_for_another_reads_three_times_however_many_ask() {
    for says_wait in [false, true] {
        let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
        stage.provider.takes(10 * SECOND);
        let says: Option<Arc<dyn Coordinator>> = says_wait.then(|| Says::always(&stage, Turn::Wait) as _);
        let (waiting, store, _host) = process(&stage, LIFE, says);
        let herd = async {
            if !says_wait {
                pass(SECOND).await;
            }
            let asks = (0..50).map(|_| ask(&waiting));
            futures_util::future::join_all(asks).await
        };
        let (led, followed) = tokio::join!(stage.ask(plain()), herd);
        assert_eq!(token(led).expose(), "access-1");
        for got in followed {
            assert_eq!(token(got).expose(), "access-1");
        }
        let looks = store.looks.load(Ordering::Relaxed);
        assert!(looks <= 3, "{looks} reads, told to wait: {says_wait}");
        assert_eq!((store.claims.load(Ordering::Relaxed), stage.provider.calls()), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_a_claim_reads_three_times_too() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(10 * SECOND);
    let (waiting, store, _host) = process(&stage, LIFE, None);
    // Both look before either claims.
    let (led, got) = tokio::join!(stage.ask(plain()), ask(&waiting));
    assert_eq!((token(led).expose(), token(got).expose()), ("access-1", "access-1"));
    assert!(store.looks.load(Ordering::Relaxed) <= 3, "{} reads", store.looks.load(Ordering::Relaxed));
    assert_eq!(stage.provider.calls(), 1);
}

/// A coordinator that lies costs time and nothing else.
async fn check_liar(says: impl FnOnce(&Stage) -> Arc<Says>, extra_max: Duration) {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let says = says(&stage);
    let (one, _, _host) = process(&stage, None, Some(Arc::clone(&says) as _));
    let (other, _, _host) = process(&stage, None, Some(Arc::clone(&says) as _));
    let before = stage.fleet.clock.uptime();
    let (a, b) = tokio::join!(ask(&one), ask(&other));
    assert_eq!((token(a).expose(), token(b).expose()), ("access-1", "access-1"));
    let took = stage.fleet.clock.uptime() - before;
    assert!(took <= SECOND + extra_max, "{took:?}");
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_lies_or_hangs_changes_nothing_but_the_time_it_takes() {
    check_liar(|stage| Says::always(stage, Turn::Wait), SECOND / 2).await;
    check_liar(|stage| Says::always(stage, Turn::Try), SECOND / 2).await;
    check_liar(Says::hanging, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_given_back_once_however_it_ends() {
    let refused = crate::fakes::json_reply(400, &serde_json::json!({"error": "invalid_grant"}));
    for answer in [granted("access-1", "refresh-1"), refused] {
        let stage = stage(Duration::ZERO, [answer]).await;
        let says = Says::always(&stage, Turn::Try);
        let (broker, _, _host) = process(&stage, LIFE, Some(Arc::clone(&says) as _));
        let _ = ask(&broker).await;
        pass(SECOND).await;
        assert_eq!((says.asked.load(Ordering::Relaxed), says.done.load(Ordering::Relaxed)), (1, 1));
    }
}
