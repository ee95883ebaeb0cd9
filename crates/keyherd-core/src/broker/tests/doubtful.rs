//! Claims whose reply was lost: given back, once for each chain, and also where they appear later.

use super::bent::process;
use super::*;
use crate::credential::Trouble;
use crate::fakes::granted;

async fn ask(broker: &crate::broker::Broker) {
    let _ = broker.acquire("acme", &plain(), &actor()).await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_was_done_there_is_nothing_to_give_back() {
    let stage = stage(Duration::ZERO, []).await;
    stage.fleet.installation.set_unwritable(true);
    for _ in 0..10 {
        assert!(stage.ask(plain()).await.is_err());
        pass(SECOND).await;
    }
    assert_eq!(stage.host.broker.owes(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_leaves_one_doubtful_claim_for_each_chain() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let (broker, store, _host) = process(&stage, Some(180 * SECOND), None);
    store.claim_late(Some(Duration::ZERO));
    ask(&broker).await;
    stage.fleet.installation.set_unwritable(true);
    for _ in 0..10 {
        ask(&broker).await;
        assert_eq!(broker.owes(), 1);
        pass(SECOND).await;
    }
    stage.fleet.installation.set_unwritable(false);
    store.claim_late(None);
    assert_eq!(token(broker.acquire("acme", &plain(), &actor()).await).expose(), "access-1");
    pass(MINUTE).await;
    assert_eq!((broker.owes(), stage.provider.calls()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_appears_after_its_reply_was_lost_is_given_back() {
    for is_asked_for in [false, true] {
        let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
        let (broker, store, _host) = process(&stage, Some(180 * SECOND), None);
        store.claim_late(Some(2 * SECOND));
        ask(&broker).await;
        store.claim_late(None);
        pass(3 * SECOND).await;
        if is_asked_for {
            assert_eq!(token(broker.acquire("acme", &plain(), &actor()).await).expose(), "access-1");
        }
        pass(10 * SECOND).await;
        let row = broker.show(&acme()).await.expect("there").chain;
        assert_eq!((row.claim, row.trouble, broker.owes()), (None, Trouble::None, 0));
    }
}

/// Who waits on another host looks now and then only: it is told that it may try.
#[tokio::test(start_paused = true)]
async fn a_claim_that_is_given_back_wakes_who_waits_for_it_elsewhere() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let (one, store, _host) = process(&stage, Some(180 * SECOND), None);
    let (other, _, _other) = process(&stage, Some(180 * SECOND), None);
    store.claim_late(Some(Duration::ZERO));
    ask(&one).await;
    stage.fleet.installation.set_unwritable(true);
    let outage = async {
        // Right after the first look.
        pass(16 * SECOND).await;
        stage.fleet.installation.set_unwritable(false);
    };
    let begun = stage.fleet.clock.uptime();
    let (wait, by) = (Ask::foreground(MINUTE), actor());
    let (got, ()) = tokio::join!(other.acquire("acme", &wait, &by), outage);
    assert_eq!(token(got).expose(), "access-1");
    let took = stage.fleet.clock.uptime() - begun;
    assert!(took < 25 * SECOND, "{took:?}");
}

/// A command that ended before the store was back leaves a claim that lives on, and the answer in this machine's journal.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_claim_finds_its_answer_in_the_journal() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let (one, _, _host) = process(&stage, Some(180 * SECOND), None);
    let (next, _, _next) = process(&stage, Some(180 * SECOND), None);
    let outage = async {
        pass(SECOND / 2).await;
        stage.fleet.installation.set_unwritable(true);
    };
    let by = actor();
    let wish = plain();
    let ((), asked) = tokio::join!(outage, one.acquire("acme", &wish, &by));
    token(asked);
    assert!(!one.shutdown(SECOND).await, "it ends before the store is back");
    pass(MINUTE).await;
    stage.fleet.installation.set_unwritable(false);
    let begun = stage.fleet.clock.uptime();
    assert_eq!(token(next.acquire("acme", &plain(), &by).await).expose(), "access-1");
    assert!(stage.fleet.clock.uptime() - begun < SECOND, "and no claim's end was waited for");
    assert_eq!(stage.provider.calls(), 1);
}
