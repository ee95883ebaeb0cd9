//! Who is counted among those who wait, and what becomes of the questions of an agent that is revoked.

use std::time::Duration;

use super::asking::{Asked, all_ask, answer, asking, empty, ends, open, the_open_one, told, tool};
use super::{HOUR, SECOND, acme, actor, pass};
use crate::approval::{Decision, Stage as State};
use crate::broker::{AnswerError, Consent, NewAgent};
use crate::ids::Name;
use crate::ports::Clock;
use crate::ports::store::{APPROVAL_ANSWERED, ApprovalStore, AuditStore, WORD_LIFE};

#[tokio::test(start_paused = true)]
async fn the_count_is_of_those_who_were_released_wherever_they_waited() {
    let stage = empty().await;
    let (first, second) = (stage.fleet.host().broker, stage.fleet.host().broker);
    let here = all_ask(&first, 20, &tool(), HOUR);
    the_open_one(&first, 20).await;
    let there = all_ask(&second, 9, &tool(), HOUR);
    pass(Duration::from_millis(1)).await;
    let leaving = all_ask(&second, 3, &tool(), HOUR);
    pass(Duration::from_millis(1)).await;
    leaving.iter().for_each(Asked::abort);
    // Sooner than the second has said how many wait there.
    let [approval] = &open(&stage.host.broker).await[..] else { panic!("not one") };
    assert!(approval.waiters < 29, "nobody knows yet: {}", approval.waiters);
    let answered = answer(&stage.host.broker, approval.id, Decision::AllowOnce).await;
    assert_eq!(answered.waiters, 29, "the answer says how many it covers");
    assert!(ends(here).await.into_iter().chain(ends(there).await).all(|consent| consent.allows()));
    for broker in [&first, &second, &stage.host.broker] {
        let kept = broker.approval(approval.id).await.expect("read").expect("kept");
        assert_eq!(kept.waiters, 29, "for good, and for all");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_died_does_not_keep_the_answer() {
    let stage = empty().await;
    let Ok(Consent::Answered(asked)) = stage.host.broker.open(tool(), &actor()).await else {
        panic!("not open")
    };
    assert!(stage.host.broker.shutdown(SECOND).await);
    let begun = stage.fleet.clock.now();
    let next = stage.fleet.host().broker;
    assert_eq!(answer(&next, asked.id, Decision::Deny).await.waiters, 0, "who has gone is not counted");
    assert_eq!(begun, stage.fleet.clock.now(), "and not waited for");
    let Ok(Consent::Answered(asked)) = next.open(tool(), &actor()).await else { panic!("not open") };
    let silent = stage.fleet.host().store;
    silent.note_waiters(asked.id, 5, stage.fleet.clock.now()).await.expect("noted");
    assert_eq!(answer(&next, asked.id, Decision::Deny).await.waiters, 6, "what it said last");
    assert!(begun.until(stage.fleet.clock.now()) <= Duration::from_millis(150), "it is not waited for");
    pass(WORD_LIFE).await;
    let kept = next.approval(asked.id).await.expect("read").expect("kept");
    assert_eq!(kept.waiters, 1, "the answer reached nobody there");
}

#[tokio::test(start_paused = true)]
async fn those_who_waited_with_a_host_that_died_are_not_counted() {
    let stage = empty().await;
    let there = stage.fleet.host().broker;
    let asked = all_ask(&there, 4, &tool(), HOUR);
    let approval = the_open_one(&there, 4).await;
    let dead = stage.fleet.host().store;
    dead.note_waiters(approval.id, 7, stage.fleet.clock.now()).await.expect("noted");
    the_open_one(&stage.host.broker, 11).await;
    pass(WORD_LIFE).await;
    the_open_one(&stage.host.broker, 4).await;
    for _ in 0..10 {
        pass(WORD_LIFE / 2).await;
        assert_eq!(open(&stage.host.broker).await[0].waiters, 4, "those who wait on are");
    }
    let begun = stage.fleet.clock.now();
    assert_eq!(answer(&stage.host.broker, approval.id, Decision::AllowOnce).await.waiters, 4);
    assert!(begun.until(stage.fleet.clock.now()) <= Duration::from_millis(150));
    assert!(ends(asked).await.iter().all(Consent::allows));
}

#[tokio::test(start_paused = true)]
async fn many_questions_are_one_word_a_second() {
    let stage = empty().await;
    stage.host.broker.watched().await;
    let calls_of_ten_seconds = async || {
        let before = stage.fleet.installation.counts().0;
        pass(10 * SECOND).await;
        stage.fleet.installation.counts().0 - before
    };
    let watching = calls_of_ten_seconds().await;
    let asked: Vec<_> = (0..20)
        .map(|number| all_ask(&stage.host.broker, 1, &asking(None, &number.to_string(), true), HOUR))
        .collect();
    pass(SECOND).await;
    // Each looks twice, and says once how many wait there.
    let calls = calls_of_ten_seconds().await - watching;
    assert!(calls < 20 * 3 + 60, "{calls}");
    assert!(open(&stage.fleet.host().broker).await.iter().all(|one| one.waiters == 1));
    drop(asked);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_agents_questions_end_as_what_they_are() {
    let stage = empty().await;
    let (here, there) = (&stage.host.broker, stage.fleet.host().broker);
    let bot = || NewAgent {
        name: Name::parse("bot").expect("a name"),
        allowed: vec![acme()],
        may_fetch_tokens: false,
    };
    here.create_agent(bot(), &actor()).await.expect("made");
    let asked = all_ask(here, 3, &tool(), HOUR);
    let approval = the_open_one(here, 3).await;
    let elsewhere = all_ask(&there, 2, &tool(), HOUR);
    the_open_one(&there, 5).await;
    here.revoke_agent(&bot().name, &actor()).await.expect("revoked");
    for consent in ends(asked).await.into_iter().chain(ends(elsewhere).await) {
        let Consent::Answered(ended) = &consent else { panic!("{consent:?}") };
        assert_eq!((ended.stage(), consent.allows()), (State::Withdrawn, false));
        assert_eq!(ended.expires_at, approval.expires_at, "its time did not end");
    }
    pass(SECOND).await;
    let kept = there.approval(approval.id).await.expect("read").expect("kept");
    let by = kept.answer.as_ref().and_then(|answer| answer.by.clone());
    assert_eq!((kept.stage(), kept.waiters, by), (State::Withdrawn, 5, Some(actor().0.as_ref().to_owned())));
    let refused = there.answer(approval.id, Decision::AlwaysAllow, None, &actor()).await;
    let Err(error @ AnswerError::Already(_)) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("agent 'bot' was revoked"), "{error}");
    let entries = stage.host.store.entries(0, 100).await.expect("entries");
    let logged: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert!(logged.ends_with(&["approval.withdraw", "agent.revoke"]), "{logged:?}");
    assert_eq!(told(&stage.host, APPROVAL_ANSWERED).await, 1);
    // Whoever has its name next asks anew.
    here.create_agent(bot(), &actor()).await.expect("made");
    let next = all_ask(here, 1, &tool(), HOUR);
    assert_ne!(the_open_one(here, 1).await.id, approval.id);
    next.iter().for_each(Asked::abort);
}
