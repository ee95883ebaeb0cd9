//! Approvals: one of a kind while it is open, answered once, bounded, gone in time.

use std::sync::Arc;
use std::time::Duration;

use super::Testbed;
use super::fixtures::{name, note, written};
use super::rules::made;
use crate::approval::{Answer, Approval, Asked, Decision, Question, Stage};
use crate::ids::{ApprovalId, RuleId};
use crate::policy::{About, Verdict};
use crate::ports::Store;
use crate::ports::store::{APPROVAL_OPENED, Closed, Event, NewApproval, NewRule, OpenBounds, Opened, Record};
use crate::secret::Hasher;
use crate::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

fn record() -> Record {
    let event =
        Event { kind: APPROVAL_OPENED, chain: None, subject: "bot".into(), detail: serde_json::json!({}) };
    Record { note: note("approval"), event: Some(event) }
}

fn question(key: &str) -> Question {
    Question { agent: name("bot"), asked: Asked::Outside { key: Some(key.into()), text: "{\"n\":1}".into() } }
}

pub(super) fn new(bed: &dyn Testbed, id: i64, key: &str) -> NewApproval {
    let question = question(key);
    let print = question.remembered_as(&Hasher::new([9; 32]));
    NewApproval {
        key: print,
        remembered_as: Some(print),
        counted_as: question.counted_as(),
        approval: Approval {
            id: ApprovalId::from_i64(id),
            question,
            coalesces: true,
            rule: Some(RuleId::from_i64(5)),
            waiters: 1,
            opened_at: bed.now(),
            expires_at: bed.now() + MINUTE,
            answer: None,
        },
    }
}

fn wide(bed: &dyn Testbed) -> OpenBounds {
    OpenBounds { open_max: 100, since: bed.now() - MINUTE, prompts_max: 100 }
}

pub(super) async fn open(bed: &dyn Testbed, store: &dyn Store, new: NewApproval) -> Opened {
    store.open_approval(new, wide(bed), record()).await.expect("open")
}

pub(super) fn answer(decision: Decision, at: Timestamp) -> Answer {
    Answer { decision: Some(decision), until: None, by: Some("cli".into()), at }
}

pub(super) async fn close(store: &dyn Store, id: i64, answer: Answer, remember: Option<NewRule>) -> Closed {
    store.close_approval(ApprovalId::from_i64(id), answer, remember, record()).await.expect("close")
}

fn remembering(id: i64, verdict: Verdict, key: &str, until: Option<Timestamp>) -> NewRule {
    let mut new = made(id, verdict, About::Answered(question(key)));
    new.rule.until = until;
    new
}

pub async fn the_same_question_is_open_once(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let first = new(bed, 1, "rm");
    assert_eq!(open(bed, &*one.store, first.clone()).await, Opened::New);
    let before = written(&*one.store).await;
    let again = open(bed, &*two.store, new(bed, 2, "rm")).await;
    assert_eq!(again, Opened::Attached(Box::new(first.approval.clone())));
    assert_eq!(written(&*two.store).await, before, "whoever attaches announces nothing");
    assert_eq!(open(bed, &*two.store, new(bed, 3, "ls")).await, Opened::New, "another question");
    assert_eq!(two.store.approval(ApprovalId::from_i64(1)).await, Ok(Some(first.approval)), "kept whole");
    assert_eq!(two.store.approval(ApprovalId::from_i64(2)).await, Ok(None));
}

pub async fn one_of_many_opens(bed: &dyn Testbed) {
    let processes = [bed.open().await, bed.open().await];
    let tries = (1..=16).map(|n: i64| {
        let store = Arc::clone(&processes[usize::try_from(n % 2).expect("small")].store);
        let (new, bounds) = (new(bed, n, "rm"), wide(bed));
        tokio::spawn(async move { store.open_approval(new, bounds, record()).await.expect("open") })
    });
    let mut opened = 0;
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.expect("no panic") {
            Opened::New => opened += 1,
            Opened::Attached(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(opened, 1);
    assert_eq!(processes[0].store.approvals(Some(Stage::Open), None, 10).await.expect("list").len(), 1);
}

pub async fn the_first_answer_wins(bed: &dyn Testbed) {
    let processes = [bed.open().await, bed.open().await];
    open(bed, &*processes[0].store, new(bed, 1, "rm")).await;
    let before = written(&*processes[0].store).await;
    let now = bed.now();
    let tries = (0..8).map(|n: usize| {
        let store = Arc::clone(&processes[n % 2].store);
        let decision = if n < 4 { Decision::AllowOnce } else { Decision::Deny };
        tokio::spawn(async move { close(&*store, 1, answer(decision, now), None).await })
    });
    let mut ends = Vec::new();
    for attempt in tries.collect::<Vec<_>>() {
        ends.push(attempt.await.expect("no panic"));
    }
    let done: Vec<_> = ends.iter().filter(|end| matches!(end, Closed::Done(_))).collect();
    assert_eq!(done.len(), 1, "{ends:?}");
    let kept = processes[1].store.approval(ApprovalId::from_i64(1)).await.expect("read").expect("kept");
    for end in &ends {
        let (Closed::Done(seen) | Closed::Already(seen)) = end else { panic!("{end:?}") };
        assert_eq!(**seen, kept, "everybody is told the one answer");
    }
    assert_eq!(written(&*processes[0].store).await, (before.0 + 1, before.1 + 1));
    assert_eq!(close(&*processes[0].store, 9, answer(Decision::Deny, now), None).await, Closed::NotFound);
    assert_eq!(open(bed, &*processes[0].store, new(bed, 2, "rm")).await, Opened::New, "the next asks anew");
}

pub async fn an_answer_comes_in_time_and_a_timeout_does_not(bed: &dyn Testbed) {
    let process = bed.open().await;
    let mut over = new(bed, 1, "rm");
    over.approval.expires_at = bed.now() - Duration::from_millis(1);
    open(bed, &*process.store, over).await;
    open(bed, &*process.store, new(bed, 2, "ls")).await;
    let nobody = Answer { decision: None, until: None, by: None, at: bed.now() };
    let too_early = close(&*process.store, 2, nobody.clone(), None).await;
    assert!(matches!(too_early, Closed::Already(still) if still.stage() == Stage::Open));
    let too_late = close(&*process.store, 1, answer(Decision::AllowOnce, bed.now()), None).await;
    assert!(matches!(too_late, Closed::Already(still) if still.stage() == Stage::Open));
    let anew = open(bed, &*process.store, new(bed, 3, "rm")).await;
    assert_eq!(anew, Opened::New, "what is over does not keep the question");
    let Closed::Done(closed) = close(&*process.store, 1, nobody.clone(), None).await else {
        panic!("not closed")
    };
    assert_eq!((closed.stage(), closed.answer), (Stage::TimedOut, Some(nobody)));
}

pub async fn an_answer_is_remembered_once(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    for (id, decision) in [(1, Decision::AlwaysAllow), (2, Decision::AlwaysAllow)] {
        let alone = NewApproval {
            key: crate::secret::TokenHash::from_bytes([u8::try_from(id).expect("small"); 32]),
            remembered_as: None,
            ..new(bed, id, "rm")
        };
        assert_eq!(open(bed, store, alone).await, Opened::New, "each for itself");
        let rule = remembering(10 + id, Verdict::Allow, "rm", None);
        close(store, id, answer(decision, bed.now()), Some(rule)).await;
    }
    let ids = |book: crate::policy::Rulebook| -> Vec<_> {
        book.rules.iter().map(|rule| (rule.id.as_i64(), rule.verdict)).collect()
    };
    assert_eq!(ids(store.rules().await.expect("rules")), [(11, Verdict::Allow)]);
    let covered = open(bed, store, new(bed, 3, "rm")).await;
    assert!(matches!(covered, Opened::Remembered(rule) if rule.id.as_i64() == 11));
}

pub async fn what_is_remembered_gives_way_to_the_stronger_alone(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    let (soon, later) = (bed.now() + MINUTE, bed.now() + MINUTE * 2);
    let answers = [
        (Verdict::Allow, Some(soon), 1),
        (Verdict::Allow, Some(later), 2),
        (Verdict::Allow, Some(soon), 2),
        (Verdict::Allow, None, 4),
        (Verdict::Allow, Some(later), 4),
        (Verdict::Deny, None, 6),
        (Verdict::Allow, None, 6),
    ];
    for (id, (verdict, until, expected)) in (1..).zip(answers) {
        let alone = NewApproval {
            key: crate::secret::TokenHash::from_bytes([u8::try_from(id).expect("small"); 32]),
            remembered_as: None,
            ..new(bed, id, "rm")
        };
        open(bed, store, alone).await;
        let rule = remembering(id, verdict, "rm", until);
        close(store, id, answer(Decision::AlwaysAllow, bed.now()), Some(rule)).await;
        let kept: Vec<_> =
            store.rules().await.expect("rules").rules.iter().map(|rule| rule.id.as_i64()).collect();
        assert_eq!(kept, [expected], "after {id}");
    }
}

pub async fn prompts_are_bounded(bed: &dyn Testbed) {
    let process = bed.open().await;
    let try_open = async |id, key: &str, bounds| {
        process.store.open_approval(new(bed, id, key), bounds, record()).await.expect("open")
    };
    let bounds = OpenBounds { open_max: 2, ..wide(bed) };
    assert_eq!(try_open(1, "a", bounds).await, Opened::New);
    assert_eq!(try_open(2, "b", bounds).await, Opened::New);
    assert_eq!(try_open(3, "c", bounds).await, Opened::TooMany);
    assert!(matches!(try_open(4, "a", bounds).await, Opened::Attached(_)), "attaching is none");
    close(&*process.store, 1, answer(Decision::Deny, bed.now()), None).await;
    assert_eq!(try_open(5, "c", bounds).await, Opened::New, "what was answered is not open");
    let often = OpenBounds { prompts_max: 3, ..wide(bed) };
    assert_eq!(try_open(6, "d", often).await, Opened::TooOften);
    let since_now = OpenBounds { since: bed.now(), ..often };
    assert_eq!(try_open(7, "d", since_now).await, Opened::New, "what was before counts no more");
}

pub async fn waiters_are_counted_over_all_processes(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    open(bed, &*one.store, new(bed, 1, "rm")).await;
    let id = ApprovalId::from_i64(1);
    let before = written(&*one.store).await;
    for (process, waiters) in [(&one, 3), (&two, 5), (&one, 4)] {
        process.store.note_waiters(id, waiters, bed.now()).await.expect("noted");
    }
    let count = async || one.store.approval(id).await.expect("read").expect("there").waiters;
    assert_eq!(count().await, 9);
    two.store.note_waiters(id, 5, bed.now() - MINUTE).await.expect("noted");
    assert_eq!(count().await, 4, "a process that does not say so again is not believed for ever");
    two.store.renew_words(bed.now()).await.expect("renewed");
    assert_eq!(count().await, 9, "what it said holds when it says so");
    two.store.note_waiters(id, 5, bed.now() - MINUTE).await.expect("noted");
    one.store.renew_words(bed.now()).await.expect("renewed");
    assert_eq!(count().await, 4, "that is its own words alone");
    assert_eq!(written(&*one.store).await, before, "nobody is told");
    close(&*two.store, 1, answer(Decision::Deny, bed.now()), None).await;
    one.store.note_waiters(id, 0, bed.now()).await.expect("noted");
    assert_eq!(count().await, 4, "how many it reached stays");
    assert_eq!(two.store.uncounted(id).await, Ok(1), "the one whose word holds");
    for _ in 0..2 {
        one.store.note_waiters(id, 7, Timestamp::NEVER).await.expect("noted");
    }
    assert_eq!((count().await, two.store.uncounted(id).await), (7, Ok(0)), "its last word is believed");
    one.store.renew_words(bed.now()).await.expect("renewed");
    assert_eq!((count().await, two.store.uncounted(id).await), (7, Ok(0)), "and stays the last one");
    two.store.note_waiters(id, 2, Timestamp::NEVER).await.expect("noted");
    assert_eq!(count().await, 9, "also of one that was not believed any more");
    open(bed, &*one.store, new(bed, 2, "rm")).await;
    one.store.note_waiters(ApprovalId::from_i64(2), 5, Timestamp::NEVER).await.expect("noted");
    let open = one.store.approval(ApprovalId::from_i64(2)).await.expect("read").expect("there");
    assert_eq!(open.waiters, 1, "there is no last word before the end");
    one.store.note_waiters(ApprovalId::from_i64(9), 1, bed.now()).await.expect("of nothing");
}

pub async fn approvals_come_in_pages(bed: &dyn Testbed) {
    let process = bed.open().await;
    let now = bed.now();
    for id in [5, 3, 4, 1] {
        let mut one = new(bed, id, &format!("k{id}"));
        one.approval.opened_at = now + Duration::from_millis(10 - id.unsigned_abs());
        open(bed, &*process.store, one).await;
    }
    close(&*process.store, 4, answer(Decision::Deny, bed.now()), None).await;
    let list = async |stage, after: Option<i64>, limit| {
        let after = after.map(ApprovalId::from_i64);
        let page = process.store.approvals(stage, after, limit).await.expect("list");
        page.iter().map(|approval| approval.id.as_i64()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 10).await, [5, 4, 3, 1], "the oldest first");
    assert_eq!(list(Some(Stage::Open), None, 10).await, [5, 3, 1]);
    assert_eq!(list(Some(Stage::Answered), None, 10).await, [4]);
    assert_eq!(list(Some(Stage::TimedOut), None, 10).await, [0_i64; 0]);
    assert_eq!(list(None, None, 2).await, [5, 4]);
    assert_eq!(list(None, Some(4), 2).await, [3, 1]);
    assert_eq!(list(Some(Stage::Open), Some(4), 1).await, [3]);
    assert_eq!(list(None, Some(77), 2).await, [0_i64; 0]);
}

pub async fn what_ended_is_dropped_in_time(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    for (id, key) in [(1, "a"), (2, "b"), (3, "c")] {
        open(bed, store, new(bed, id, key)).await;
    }
    let (old, now) = (bed.now() - MINUTE, bed.now());
    let over = remembering(11, Verdict::Allow, "a", Some(now - Duration::from_millis(1)));
    close(store, 1, answer(Decision::AllowFor, old), Some(over)).await;
    let holds = remembering(12, Verdict::Allow, "b", Some(now + MINUTE));
    close(store, 2, answer(Decision::AllowFor, now), Some(holds)).await;
    store.note_waiters(ApprovalId::from_i64(1), 3, Timestamp::NEVER).await.expect("noted");
    let dropped = store.trim_approvals(now - MINUTE / 2, now).await;
    assert_eq!(dropped, Ok(2), "an old answer, and what is remembered no more");
    let left = store.approvals(None, None, 10).await.expect("list");
    assert_eq!(left.iter().map(|one| one.id.as_i64()).collect::<Vec<_>>(), [2, 3]);
    let rules = store.rules().await.expect("rules").rules;
    assert_eq!(rules.iter().map(|rule| rule.id.as_i64()).collect::<Vec<_>>(), [12]);
}
