//! Ask once: one approval, one announcement, one answer for everyone, in every process.

use std::time::Duration;

use super::{HOUR, MINUTE, SECOND, Stage, actor, pass, stage};
use crate::approval::{Approval, Decision, Question, Stage as State};
use crate::audit::Actor;
use crate::broker::{AnswerError, ApprovalAsk, AskError, Broker, Consent};
use crate::fakes::Host;
use crate::ids::{ApprovalId, Name};
use crate::ports::Clock;
use crate::ports::store::{APPROVAL_ANSWERED, APPROVAL_OPENED, AuditStore, EventStore};

pub(super) async fn empty() -> Stage {
    stage(HOUR, []).await
}

pub(super) fn asking(key: Option<&str>, text: &str, coalesces: bool) -> ApprovalAsk {
    let agent = Name::parse("bot").expect("a name");
    ApprovalAsk { question: Question::outside(agent, key, text).expect("a question"), coalesces, rule: None }
}

pub(super) fn tool() -> ApprovalAsk {
    asking(Some("rm"), "{\"tool\":\"rm\"}", true)
}

/// Everybody asks, each in a task of its own.
pub(super) fn all_ask(broker: &Broker, count: usize, ask: &ApprovalAsk, wait: Duration) -> Vec<Asked> {
    let one = || {
        let (broker, ask) = (broker.clone(), ask.clone());
        tokio::spawn(async move { broker.ask(ask, wait, &actor()).await })
    };
    std::iter::repeat_with(one).take(count).collect()
}

pub(super) type Asked = tokio::task::JoinHandle<Result<Consent, AskError>>;

pub(super) async fn ends(asked: Vec<Asked>) -> Vec<Consent> {
    let mut ends = Vec::new();
    for one in asked {
        ends.push(one.await.expect("no panic").expect("an end"));
    }
    ends
}

pub(super) async fn open(broker: &Broker) -> Vec<Approval> {
    broker.approvals(Some(State::Open), None, 100).await.expect("list").items
}

/// The one open approval, when so many wait for it.
pub(super) async fn the_open_one(broker: &Broker, waiters: u64) -> Approval {
    for _ in 0..200 {
        if let [one] = &open(broker).await[..]
            && one.waiters == waiters
        {
            return one.clone();
        }
        pass(Duration::from_millis(50)).await;
    }
    panic!("not one approval with {waiters} waiters: {:?}", open(broker).await);
}

pub(super) async fn answer(broker: &Broker, id: ApprovalId, decision: Decision) -> Approval {
    let time = (decision == Decision::AllowFor).then_some(MINUTE);
    broker.answer(id, decision, time, &Actor::new("human")).await.expect("answered")
}

pub(super) async fn told(host: &Host, kind: &str) -> usize {
    let events = host.store.events(0, 10_000).await.expect("events");
    events.iter().filter(|event| event.kind == kind).count()
}

/// How many were waiting when it ended, by each event that says so.
async fn covered(host: &Host) -> Vec<u64> {
    let events = host.store.events(0, 10_000).await.expect("events");
    let ends = events.iter().filter(|event| event.kind == APPROVAL_ANSWERED);
    let detail = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("is JSON");
    ends.map(|event| detail(&event.detail)["waiters"].as_u64().expect("a number")).collect()
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_ask_and_it_is_asked_once() {
    let stage = empty().await;
    let broker = &stage.host.broker;
    let asked = all_ask(broker, 10_000, &tool(), HOUR);
    let approval = the_open_one(broker, 10_000).await;
    let entries = stage.host.store.entries(0, 100).await.expect("entries");
    assert_eq!(entries.iter().filter(|entry| entry.action == "approval.open").count(), 1);
    assert_eq!(told(&stage.host, APPROVAL_OPENED).await, 1, "one announcement");
    let answered = answer(broker, approval.id, Decision::AllowOnce).await;
    assert_eq!(answered.waiters, 10_000, "the answer says how many it covers");
    assert!(ends(asked).await.iter().all(Consent::allows));
    assert_eq!(covered(&stage.host).await, [10_000], "it is told once, with how many it covers");
    assert_eq!(broker.0.asking.rooms.len(), 0, "nothing is left behind");
    let again = all_ask(broker, 1, &tool(), HOUR);
    assert_ne!(the_open_one(broker, 1).await.id, approval.id, "once is once: the next asks anew");
    again.iter().for_each(Asked::abort);
}

#[tokio::test(start_paused = true)]
async fn asked_on_one_host_and_answered_on_another() {
    let stage = empty().await;
    let other = stage.fleet.host();
    let here = all_ask(&stage.host.broker, 30, &tool(), HOUR);
    the_open_one(&stage.host.broker, 30).await;
    let there = all_ask(&other.broker, 12, &tool(), HOUR);
    let approval = the_open_one(&other.broker, 42).await;
    answer(&other.broker, approval.id, Decision::Deny).await;
    for consent in ends(here).await.into_iter().chain(ends(there).await) {
        let Consent::Answered(seen) = consent else { panic!("{consent:?}") };
        let by = seen.answer.as_ref().and_then(|answer| answer.by.clone());
        assert_eq!((seen.id, by.as_deref()), (approval.id, Some("human")));
    }
    assert_eq!((told(&other, APPROVAL_OPENED).await, covered(&other).await), (1, vec![42]));
}

#[tokio::test(start_paused = true)]
async fn each_answer_means_what_it_says() {
    for (decision, now, later, remembered) in [
        (Decision::AllowOnce, true, None, 0),
        (Decision::AllowFor, true, Some(true), 1),
        (Decision::AlwaysAllow, true, Some(true), 1),
        (Decision::Deny, false, None, 0),
        (Decision::AlwaysDeny, false, Some(false), 1),
    ] {
        let stage = empty().await;
        let (broker, other) = (&stage.host.broker, stage.fleet.host().broker);
        let asked = all_ask(broker, 3, &tool(), HOUR);
        let approval = the_open_one(broker, 3).await;
        answer(broker, approval.id, decision).await;
        assert!(ends(asked).await.iter().all(|consent| consent.allows() == now), "{decision:?}");
        assert_eq!(broker.rulebook().await.expect("rules").rules.len(), remembered, "{decision:?}");
        for broker in [broker, &other] {
            let next = broker.ask(tool(), SECOND, &actor()).await.expect("an end");
            match later {
                None => assert!(matches!(next, Consent::Left(Some(_))), "{decision:?}: {next:?}"),
                Some(allows) => {
                    assert!(
                        matches!(next, Consent::Remembered(_)) && next.allows() == allows,
                        "{decision:?}"
                    );
                }
            }
        }
        pass(MINUTE * 2).await;
        if decision == Decision::AllowFor {
            let next = broker.ask(tool(), SECOND, &actor()).await.expect("an end");
            assert!(matches!(next, Consent::Left(Some(_))), "its time is over: {next:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_in_time_is_a_deny_and_is_said_so() {
    let stage = empty().await;
    let broker = &stage.host.broker;
    let asked = all_ask(broker, 5, &tool(), HOUR);
    let approval = the_open_one(broker, 5).await;
    let begun = stage.fleet.clock.now();
    for consent in ends(asked).await {
        let Consent::Answered(ended) = &consent else { panic!("{consent:?}") };
        assert_eq!((ended.stage(), consent.allows()), (State::TimedOut, false));
    }
    assert!(begun.until(stage.fleet.clock.now()) <= broker.0.options.approvals.timeout);
    let refused = broker.answer(approval.id, Decision::AllowOnce, None, &actor()).await;
    assert!(matches!(refused, Err(AnswerError::Already(_))), "{refused:?}");
    assert_eq!(told(&stage.host, APPROVAL_ANSWERED).await, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_takes_only_itself_away() {
    let stage = empty().await;
    let broker = &stage.host.broker;
    let (patient, brief) = (all_ask(broker, 2, &tool(), HOUR), all_ask(broker, 2, &tool(), 3 * SECOND));
    let gone = all_ask(broker, 2, &tool(), HOUR);
    the_open_one(broker, 6).await;
    gone.iter().for_each(Asked::abort);
    the_open_one(broker, 4).await;
    for consent in ends(brief).await {
        assert!(matches!(consent, Consent::Left(Some(_))), "{consent:?}");
    }
    let approval = the_open_one(broker, 2).await;
    let answered = answer(broker, approval.id, Decision::AllowOnce).await;
    assert_eq!(answered.waiters, 2, "those who left are not counted");
    assert!(ends(patient).await.iter().all(Consent::allows));
}

#[tokio::test(start_paused = true)]
async fn questions_of_their_own_are_asked_one_by_one() {
    let stage = empty().await;
    let broker = &stage.host.broker;
    let own = asking(None, "{\"n\":1}", false);
    let mut ids = Vec::new();
    for _ in 0..4 {
        let Ok(Consent::Answered(approval)) = broker.open(own.clone(), &actor()).await else {
            panic!("not open")
        };
        ids.push(approval.id);
    }
    assert_eq!(open(broker).await.len(), 4);
    answer(broker, ids[0], Decision::AllowOnce).await;
    assert_eq!(open(broker).await.len(), 3, "an answer is for its own question alone");
    for decision in [Decision::AllowFor, Decision::AlwaysAllow, Decision::AlwaysDeny] {
        let refused = broker.answer(ids[1], decision, Some(MINUTE), &actor()).await;
        assert!(matches!(refused, Err(AnswerError::Unfit(_))), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn always_under_many_answers_is_one_rule() {
    let stage = empty().await;
    let hosts = [stage.fleet.host(), stage.fleet.host()];
    let named = asking(Some("rm"), "{\"n\":1}", false);
    let mut answers = Vec::new();
    for number in 0..8 {
        let broker = hosts[number % 2].broker.clone();
        let Ok(Consent::Answered(approval)) = broker.open(named.clone(), &actor()).await else {
            panic!("not open")
        };
        answers.push((broker, approval.id));
    }
    let answers: Vec<_> = answers
        .into_iter()
        .map(|(broker, id)| tokio::spawn(async move { answer(&broker, id, Decision::AlwaysAllow).await }))
        .collect();
    for one in answers {
        one.await.expect("answered");
    }
    assert_eq!(stage.host.broker.rulebook().await.expect("rules").rules.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_second_answer_is_told_the_first() {
    let stage = empty().await;
    let other = stage.fleet.host();
    let Ok(Consent::Answered(approval)) = stage.host.broker.open(tool(), &actor()).await else {
        panic!("not open")
    };
    answer(&stage.host.broker, approval.id, Decision::Deny).await;
    match other.broker.answer(approval.id, Decision::AllowOnce, None, &actor()).await {
        Err(AnswerError::Already(seen)) => {
            assert_eq!(seen.answer.and_then(|answer| answer.decision), Some(Decision::Deny));
        }
        other => panic!("{other:?}"),
    }
    let nobody = other.broker.answer(ApprovalId::from_i64(1), Decision::Deny, None, &actor()).await;
    assert!(matches!(nobody, Err(AnswerError::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_not_shown_what_has_ended() {
    let stage = empty().await;
    let (here, there) = (&stage.host.broker, stage.fleet.host().broker);
    let Ok(Consent::Answered(approval)) = here.open(tool(), &actor()).await else { panic!("not open") };
    answer(&there, approval.id, Decision::AllowOnce).await;
    // Nothing was told here yet: no time has passed.
    let Ok(Consent::Answered(next)) = here.open(tool(), &actor()).await else { panic!("not open") };
    assert_ne!(next.id, approval.id, "the next question is a new one");
    answer(&there, next.id, Decision::AlwaysDeny).await;
    let covered = here.open(tool(), &actor()).await;
    assert!(matches!(covered, Ok(Consent::Remembered(_))), "{covered:?}");
}

#[tokio::test(start_paused = true)]
async fn an_open_approval_outlives_the_process_that_asked() {
    let stage = empty().await;
    let asked = all_ask(&stage.host.broker, 3, &tool(), HOUR);
    let approval = the_open_one(&stage.host.broker, 3).await;
    assert!(stage.host.broker.shutdown(SECOND).await);
    for one in asked {
        assert_eq!(one.await.expect("no panic"), Err(AskError::Stopping), "as what it is");
    }
    let next = stage.fleet.host().broker;
    let asked = all_ask(&next, 2, &tool(), HOUR);
    pass(SECOND).await;
    assert_eq!(
        open(&next).await.iter().map(|one| one.id).collect::<Vec<_>>(),
        [approval.id],
        "it is the same one"
    );
    answer(&next, approval.id, Decision::AllowOnce).await;
    assert!(ends(asked).await.iter().all(Consent::allows));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_as_soon_as_an_end_begins() {
    let stage = empty().await;
    let broker = &stage.host.broker;
    let asked = all_ask(broker, 3, &tool(), HOUR);
    let approval = the_open_one(broker, 3).await;
    broker.stop_asking();
    for one in asked {
        let told = tokio::time::timeout(SECOND, one).await.expect("at once").expect("no panic");
        assert_eq!(told, Err(AskError::Stopping), "as what it is");
    }
    assert_eq!(broker.ask(tool(), HOUR, &actor()).await, Err(AskError::Stopping), "nobody waits any more");
    assert_eq!(
        open(broker).await.iter().map(|one| one.id).collect::<Vec<_>>(),
        [approval.id],
        "it stays open"
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_ends_in_time() {
    let stage = empty().await;
    let Ok(Consent::Answered(approval)) = stage.host.broker.open(tool(), &actor()).await else {
        panic!("not open")
    };
    assert!(stage.host.broker.shutdown(SECOND).await);
    let next = stage.fleet.host().broker;
    next.run_background();
    pass(HOUR).await;
    let ended = next.approval(approval.id).await.expect("read").expect("kept");
    assert_eq!(ended.stage(), State::TimedOut);
    assert_eq!(told(&stage.host, APPROVAL_ANSWERED).await, 1);
}

#[tokio::test(start_paused = true)]
async fn asking_is_bounded_and_says_why() {
    let mut stage = empty().await;
    stage.fleet.options.approvals.waiters_max = 3;
    stage.fleet.options.approvals.open_max = 2;
    stage.fleet.options.approvals.prompts_per_minute = 3;
    let broker = &stage.fleet.host().broker;
    let asked = all_ask(broker, 3, &tool(), HOUR);
    the_open_one(broker, 3).await;
    assert_eq!(broker.ask(tool(), HOUR, &actor()).await, Err(AskError::TooManyWaiters(3)));
    assert_eq!(broker.open(tool(), &actor()).await, Err(AskError::TooManyWaiters(3)));
    let ask = async |text: &str| broker.open(asking(None, text, true), &actor()).await;
    assert!(ask("2").await.is_ok());
    assert_eq!(ask("3").await, Err(AskError::TooManyOpen(2)));
    for one in open(broker).await {
        answer(broker, one.id, Decision::Deny).await;
    }
    let third = ask("3").await;
    assert!(third.is_ok(), "{third:?}");
    for one in open(broker).await {
        answer(broker, one.id, Decision::Deny).await;
    }
    assert!(matches!(ask("4").await, Err(AskError::TooOften { max: 3, .. })));
    pass(MINUTE + SECOND).await;
    assert!(ask("4").await.is_ok(), "a minute later");
    drop(asked);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_asks_nobody() {
    let stage = empty().await;
    stage.fleet.installation.set_down(true);
    let asked = stage.host.broker.ask(tool(), HOUR, &actor()).await;
    assert!(matches!(asked, Err(AskError::Store(_))), "{asked:?}");
    stage.fleet.installation.set_down(false);
    let asked = all_ask(&stage.host.broker, 2, &tool(), HOUR);
    the_open_one(&stage.host.broker, 2).await;
    stage.fleet.installation.set_down(true);
    for consent in ends(asked).await {
        assert!(!consent.allows(), "a deny in the end, also without a store");
    }
}
