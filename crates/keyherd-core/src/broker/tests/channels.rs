//! Announced once on each channel, whoever lives or dies; the first answer wins, and nobody waits for a channel.

use std::time::Duration;

use super::asking::{answer, empty, open, the_open_one};
use super::{HOUR, MINUTE, SECOND, Stage, actor, pass};
use crate::approval::{Decision, Question};
use crate::broker::{ApprovalAsk, Broker, ChannelError, Consent, Tested};
use crate::channel::{AnswerTicket, Channel, ChannelDraft, Pressed};
use crate::fakes::{Host, Sent};
use crate::ids::{ApprovalId, Name};
use crate::ports::Undelivered;
use crate::ports::store::{ApprovalStore, AuditStore, ChannelStore};
use crate::secret::Hasher;

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn tool(key: &str) -> ApprovalAsk {
    let question = Question::outside(name("bot"), Some(key), "{}").expect("a question");
    ApprovalAsk { question, coalesces: true, rule: None }
}

async fn add_webhook(host: &Host, label: &str) -> Channel {
    let url = format!("https://{label}.example/hook");
    let draft = ChannelDraft::Webhook { url, signing_key: None };
    host.broker.add_channel(name(label), draft, &actor()).await.expect("added").0
}

pub(super) async fn add_chat(host: &Host, label: &str) -> Channel {
    let token = Some("12:secret".into());
    let draft = ChannelDraft::Telegram { api: None, token, chat: -100, users: vec![5] };
    host.broker.add_channel(name(label), draft, &actor()).await.expect("added").0
}

/// Opens one that nobody here waits for.
pub(super) async fn ask(broker: &Broker, key: &str) -> ApprovalId {
    let Ok(Consent::Answered(approval)) = broker.open(tool(key), &actor()).await else { panic!("not open") };
    approval.id
}

fn sent(stage: &Stage, channel: &str) -> Vec<Sent> {
    stage.fleet.courier.sent().into_iter().filter(|sent| sent.channel.as_str() == channel).collect()
}

fn words(stage: &Stage, channel: &str) -> Vec<String> {
    sent(stage, channel).into_iter().map(|sent| sent.words).collect()
}

fn failure(is_final: bool) -> Option<Undelivered> {
    Some(Undelivered { problem: "it answers 500".into(), is_final, retry_after: None })
}

pub(super) fn press(user: i64, id: ApprovalId, decision: Decision) -> Pressed {
    let time = (decision == Decision::AllowFor).then_some(MINUTE * 10);
    Pressed { reply_to: "q".into(), user, chat: Some(-100), said: Some((id, (decision, time))) }
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_announced_once_on_each_channel_in_the_whole_fleet() {
    let stage = empty().await;
    add_webhook(&stage.host, "one").await;
    add_webhook(&stage.host, "two").await;
    let other = stage.fleet.host();
    stage.host.broker.run_background();
    other.broker.run_background();
    pass(SECOND).await;
    let hosts = [&stage.host.broker, &other.broker];
    let asked: Vec<_> = (0..1_000)
        .map(|n: usize| {
            let broker = hosts[n % 2].clone();
            tokio::spawn(async move { broker.ask(tool("rm"), HOUR, &actor()).await })
        })
        .collect();
    let approval = the_open_one(&other.broker, 1_000).await;
    pass(SECOND * 20).await;
    for channel in ["one", "two"] {
        let sent = sent(&stage, channel);
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!((sent[0].words.as_str(), sent[0].attempt), ("asked", 1));
    }
    answer(&other.broker, approval.id, Decision::AllowOnce).await;
    for one in asked {
        assert!(one.await.expect("no panic").expect("an end").allows());
    }
    pass(SECOND * 20).await;
    for channel in ["one", "two"] {
        assert_eq!(words(&stage, channel), ["asked", "Allowed once by human, for 1000 requests"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_channels_answer_wins_and_the_other_is_told() {
    let stage = empty().await;
    add_webhook(&stage.host, "hook").await;
    add_chat(&stage.host, "chat").await;
    stage.host.broker.run_background();
    stage.fleet.courier.answers(&name("hook"), (Decision::AllowFor, Some(MINUTE)));
    let asked = stage.host.broker.ask(tool("rm"), HOUR, &actor()).await.expect("asked");
    let Consent::Answered(approval) = &asked else { panic!("{asked:?}") };
    let by = approval.answer.as_ref().and_then(|answer| answer.by.as_deref());
    assert_eq!((asked.allows(), by), (true, Some("webhook:hook")));
    stage.fleet.courier.press(press(5, approval.id, Decision::Deny));
    pass(SECOND * 10).await;
    let told = "Allowed for a time by webhook:hook, for 1 request";
    assert_eq!(words(&stage, "hook"), ["asked", told]);
    // The chat may have been asked before, or after, the answer.
    assert!(words(&stage, "chat").iter().all(|words| words == "asked" || words == told));
    let replies = stage.fleet.courier.replies();
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].1, format!("Too late. {told}"));
}

/// Who pressed and might not, about what, as the audit log has it.
pub(super) async fn refused(stage: &Stage) -> Vec<(String, String)> {
    let entries = stage.host.store.entries(0, 10_000).await.expect("entries");
    let refused = entries.into_iter().filter(|entry| entry.action == "approval.refuse");
    refused.map(|entry| (entry.actor, entry.subject)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_press_counts_by_who_pressed_and_about_what() {
    let stage = empty().await;
    let id_before = ask(&stage.host.broker, "before").await;
    add_chat(&stage.host, "chat").await;
    stage.host.broker.run_background();
    pass(SECOND).await;
    let id = ask(&stage.host.broker, "rm").await;
    pass(SECOND).await;
    let courier = &stage.fleet.courier;
    courier.press(press(6, id, Decision::AllowOnce));
    courier.press(Pressed { chat: Some(-200), ..press(5, id, Decision::AllowOnce) });
    courier.press(Pressed { said: None, ..press(5, id, Decision::AllowOnce) });
    courier.press(press(5, id_before, Decision::AllowOnce));
    courier.press(press(5, ApprovalId::from_i64(1), Decision::AllowOnce));
    pass(SECOND).await;
    let texts = || courier.replies().into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    let unknown = "This question is not known here any more.";
    assert_eq!(texts(), ["You may not answer here.", "You may not answer here.", unknown, unknown, unknown]);
    assert_eq!(open(&stage.host.broker).await.len(), 2, "nothing was answered");
    courier.press(press(6, id, Decision::Deny));
    courier.press(press(6, ApprovalId::from_i64(2), Decision::Deny));
    courier.press(press(6, ApprovalId::from_i64(3), Decision::Deny));
    pass(SECOND).await;
    let chat = "telegram:chat user";
    let expected = [
        (format!("{chat} 6"), id.to_string()),
        (format!("{chat} 5"), id.to_string()),
        (format!("{chat} 6"), "chat".into()),
    ];
    assert_eq!(
        refused(&stage).await,
        expected,
        "once for each person and question; one that is none of ours has no name"
    );
    courier.press(press(5, id, Decision::AlwaysDeny));
    pass(SECOND * 5).await;
    let told = "Always denied by telegram:chat user 5, for 1 request";
    assert_eq!(texts().last().map(String::as_str), Some(told));
    assert_eq!(words(&stage, "chat"), ["asked", told], "edited in place");
}

#[tokio::test(start_paused = true)]
async fn a_dead_channel_blocks_nobody() {
    let stage = empty().await;
    for label in ["dead", "hung", "well"] {
        add_webhook(&stage.host, label).await;
    }
    let courier = &stage.fleet.courier;
    courier.fails(&name("dead"), failure(false));
    courier.hangs(&name("hung"));
    stage.host.broker.run_background();
    pass(SECOND).await;
    let bounds = stage.fleet.options.channels.clone();
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(ask(&stage.host.broker, &format!("k{n}")).await);
    }
    let waiting = {
        let broker = stage.host.broker.clone();
        tokio::spawn(async move { broker.ask(tool("k0"), HOUR, &actor()).await })
    };
    pass(SECOND * 2).await;
    assert_eq!(sent(&stage, "well").len(), 20, "the others are announced meanwhile");
    assert_eq!(sent(&stage, "hung").len(), bounds.at_once_max, "so many at once, and no more");
    answer(&stage.host.broker, ids[0], Decision::AllowOnce).await;
    assert!(waiting.await.expect("no panic").expect("an end").allows(), "who waits waits for nobody else");
    pass(MINUTE * 4).await;
    let tries = |id: ApprovalId| {
        let about = format!("{id}-");
        sent(&stage, "dead")
            .into_iter()
            .filter(|sent| sent.id.starts_with(&about))
            .map(|sent| sent.attempt)
            .max()
    };
    assert_eq!(tries(ids[1]), Some(bounds.attempts_max), "tried so often");
    pass(HOUR).await;
    let before = sent(&stage, "dead").len();
    assert!(before <= 20 * usize::try_from(bounds.attempts_max).expect("small"));
    pass(HOUR).await;
    assert_eq!(sent(&stage, "dead").len(), before, "and no more");
    let listed = stage.host.broker.channels().await.expect("listed");
    let state = &listed.iter().find(|one| one.channel.name.as_str() == "dead").expect("there").state;
    assert_eq!((state.is_well(), state.problem.as_deref()), (Some(false), Some("it answers 500")));
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_sent_again_under_the_same_name() {
    let stage = empty().await;
    add_webhook(&stage.host, "hook").await;
    stage.fleet.courier.fails(&name("hook"), failure(false));
    stage.host.broker.run_background();
    let id = ask(&stage.host.broker, "rm").await;
    pass(SECOND * 6).await;
    stage.fleet.courier.fails(&name("hook"), None);
    pass(SECOND * 20).await;
    let sent = sent(&stage, "hook");
    let attempts: Vec<u32> = sent.iter().map(|sent| sent.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4], "after 1, 2 and 4 seconds");
    assert!(sent.iter().all(|one| one.id == sent[0].id), "the other side may drop what it has seen");
    answer(&stage.host.broker, id, Decision::Deny).await;
    pass(SECOND * 5).await;
    assert_eq!(words(&stage, "hook").last().map(String::as_str), Some("Denied by human, for 1 request"));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_given_up() {
    let stage = empty().await;
    add_webhook(&stage.host, "hook").await;
    stage.fleet.courier.fails(&name("hook"), failure(true));
    stage.host.broker.run_background();
    let id = ask(&stage.host.broker, "rm").await;
    pass(MINUTE).await;
    answer(&stage.host.broker, id, Decision::Deny).await;
    pass(MINUTE).await;
    assert_eq!(words(&stage, "hook"), ["asked"], "nobody is told the end of what it was not told of");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_with_a_message_in_hand_is_stood_in_for() {
    let stage = empty().await;
    let channel = add_webhook(&stage.host, "hook").await;
    let id = ask(&stage.host.broker, "rm").await;
    // It has taken the announcement upon itself, and is gone.
    let [notice] = &stage.host.store.notices(channel.id, 9).await.expect("notices")[..] else {
        panic!("not one")
    };
    let until = stage.host.broker.now() + SECOND * 30;
    assert_eq!(stage.host.store.take_notice(notice, 7, until).await, Ok(true));
    let other = stage.fleet.host();
    other.broker.run_background();
    pass(SECOND * 20).await;
    assert_eq!(sent(&stage, "hook"), [], "it may be at it");
    pass(SECOND * 20).await;
    let sent = sent(&stage, "hook");
    assert_eq!((sent.len(), sent[0].attempt), (1, 2), "at least once, and said to be a second try");
    assert!(sent[0].id.starts_with(&id.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_ticket_answers_its_own_approval_as_its_channel() {
    let stage = empty().await;
    let channel = add_webhook(&stage.host, "hook").await;
    let broker = &stage.host.broker;
    broker.run_background();
    let id = ask(broker, "rm").await;
    pass(SECOND).await;
    let ticket = sent(&stage, "hook")[0].ticket.clone().expect("a ticket");
    let (by, of) = broker.of_ticket(ticket.as_bytes()).await.expect("asked").expect("ours");
    assert_eq!((&*by.0, of), ("webhook:hook", id));
    let hasher = Hasher::new([3; 32]);
    let other = AnswerTicket { approval: ApprovalId::from_i64(1), channel: channel.id }.write(&hasher);
    assert_eq!(broker.of_ticket(other.expose().as_bytes()).await, Ok(None), "never announced there");
    assert_eq!(broker.of_ticket(b"khq_forged").await, Ok(None));
    broker.remove_channel(&name("hook"), &actor()).await.expect("removed");
    assert_eq!(broker.of_ticket(ticket.as_bytes()).await, Ok(None), "its channel is gone");
}

#[tokio::test(start_paused = true)]
async fn channels_come_and_go_while_hosts_run() {
    let stage = empty().await;
    let other = stage.fleet.host();
    other.broker.run_background();
    pass(SECOND).await;
    add_webhook(&stage.host, "hook").await;
    let again = ChannelDraft::Webhook { url: "https://x.example/".into(), signing_key: None };
    let refused = stage.host.broker.add_channel(name("hook"), again, &actor()).await;
    assert!(matches!(refused, Err(ChannelError::Conflict { .. })));
    ask(&other.broker, "rm").await;
    pass(SECOND * 2).await;
    assert_eq!(sent(&stage, "hook").len(), 1);
    assert_eq!(stage.host.broker.test_channel(&name("hook")).await, Ok(Tested::Delivered));
    stage.host.broker.remove_channel(&name("hook"), &actor()).await.expect("removed");
    let gone = stage.host.broker.remove_channel(&name("hook"), &actor()).await;
    assert_eq!(gone, Err(ChannelError::NotFound(name("hook"))));
    ask(&other.broker, "ls").await;
    pass(MINUTE * 2).await;
    assert_eq!(words(&stage, "hook"), ["asked", "test"]);
    assert_eq!(stage.host.store.approvals(None, None, 9).await.expect("list").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_while_loses_no_announcement() {
    let stage = empty().await;
    add_webhook(&stage.host, "hook").await;
    ask(&stage.host.broker, "rm").await;
    stage.fleet.installation.set_down(true);
    let other = stage.fleet.host();
    other.broker.run_background();
    pass(Duration::from_secs(30)).await;
    assert_eq!(sent(&stage, "hook"), []);
    stage.fleet.installation.set_down(false);
    pass(SECOND * 10).await;
    assert_eq!(words(&stage, "hook"), ["asked"]);
}
