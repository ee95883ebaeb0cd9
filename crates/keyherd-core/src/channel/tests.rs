//! What a channel may be, what is due on it, and whose tickets count.

use super::*;
use crate::approval::{Question, Stage};
use crate::fakes::SeededEntropy;
use crate::ids::ApprovalId;
use crate::secret::Hasher;

fn made(draft: ChannelDraft) -> Result<(Channel, Option<Secret>), BadChannel> {
    let name = Name::parse("ops").expect("a name");
    draft.check(ChannelId::from_i64(7), name, Timestamp::from_millis(1), &SeededEntropy::new(1))
}

fn webhook(url: &str, key: Option<&str>) -> ChannelDraft {
    ChannelDraft::Webhook { url: url.into(), signing_key: key.map(Secret::from) }
}

fn telegram(token: &str, chat: i64, users: &[i64]) -> ChannelDraft {
    ChannelDraft::Telegram { api: None, token: Some(token.into()), chat, users: users.to_vec() }
}

fn approval(waiters: u64, answer: Option<Answer>) -> Approval {
    let agent = Name::parse("bot").expect("a name");
    Approval {
        id: ApprovalId::from_i64(1),
        question: Question::outside(agent, None, "1").expect("a question"),
        coalesces: true,
        rule: None,
        waiters,
        opened_at: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(1),
        answer,
    }
}

fn answered(decision: Option<Decision>) -> Answer {
    let by = decision.map(|_| "telegram:ops user 5".to_owned());
    Answer { decision, until: None, by, at: Timestamp::from_millis(1) }
}

#[test]
fn a_channel_is_what_can_be_reached_and_trusted() {
    let key = "0123456789abcdef";
    for good in [
        webhook("https://hooks.example/a?b=c", Some(key)),
        webhook("http://127.0.0.1:9/x", None),
        telegram("12:Ab_-9", -100, &[5, 5, 3]),
    ] {
        assert!(made(good.clone()).is_ok(), "{good:?}");
    }
    for bad in [
        webhook("http://hooks.example/a", Some(key)),
        webhook("https://me:pw@hooks.example/a", Some(key)),
        webhook("hooks.example", Some(key)),
        webhook("https://hooks.example/", Some("short")),
        webhook("https://hooks.example/", Some("0123456789abcdef\n0123456789")),
        telegram("12", -100, &[5]),
        telegram("12:a/b", -100, &[5]),
        telegram("x:ab", -100, &[5]),
        telegram("12:ab", 0, &[5]),
        telegram("12:ab", 1, &[]),
        telegram("12:ab", 1, &[-5]),
    ] {
        let refused = made(bad.clone()).expect_err("it does not do").to_string();
        for secret in [key, "short", "a/b", "pw"] {
            assert!(!refused.contains(secret), "{refused}");
        }
    }
}

#[test]
fn a_key_that_was_made_is_shown_once() {
    let (channel, made_key) = made(webhook("https://h.example/", None)).expect("a channel");
    let Route::Webhook { signing_key, .. } = &channel.route else { panic!("{channel:?}") };
    assert_eq!(made_key.as_ref(), Some(signing_key));
    assert!(!format!("{channel:?}").contains(signing_key.expose()));
    let (_, given) = made(webhook("https://h.example/", Some("0123456789abcdef"))).expect("a channel");
    assert_eq!(given, None);
}

#[test]
fn who_may_answer_is_named() {
    let (channel, _) = made(telegram("12:ab", -100, &[5, 3])).expect("a channel");
    let press = |user, chat| Pressed { reply_to: "q".into(), user, chat, said: None };
    for (user, chat, may) in [
        (5, Some(-100), true),
        (3, Some(-100), true),
        (4, Some(-100), false),
        (5, Some(1), false),
        (5, None, false),
    ] {
        assert_eq!(channel.route.may_answer(&press(user, chat)), may, "{user} {chat:?}");
    }
    let (hook, _) = made(webhook("https://h.example/", None)).expect("a channel");
    assert!(!hook.route.may_answer(&press(5, Some(-100))));
}

#[test]
fn two_channels_do_not_get_in_each_others_way() {
    let named = |draft, name: &str| Channel {
        name: Name::parse(name).expect("a name"),
        ..made(draft).expect("one").0
    };
    let there = [named(telegram("12:ab", 1, &[5]), "a"), named(webhook("https://h.example/", None), "b")];
    let check = |one: Channel, max| one.conflict(&there, max);
    let name = |text| Name::parse(text).expect("a name");
    assert_eq!(check(named(webhook("https://h.example/", None), "a"), 9), Some(ChannelConflict::NameTaken));
    assert_eq!(
        check(named(telegram("12:other", 2, &[6]), "c"), 9),
        Some(ChannelConflict::SameBot(name("a")))
    );
    assert_eq!(check(named(telegram("13:ab", 1, &[5]), "c"), 9), None);
    assert_eq!(check(named(webhook("https://h.example/", None), "c"), 9), None);
    assert_eq!(check(named(telegram("13:ab", 1, &[5]), "c"), 2), Some(ChannelConflict::TooMany(2)));
}

#[test]
fn what_is_due_follows_from_what_was_said() {
    let notice = |is_announced, attempts| Notice {
        approval: ApprovalId::from_i64(1),
        channel: ChannelId::from_i64(2),
        due_at: Timestamp::from_millis(0),
        attempts,
        is_announced,
        message: None,
    };
    let (open, ended) = (approval(1, None), approval(1, Some(answered(None))));
    assert_eq!(ended.stage(), Stage::TimedOut);
    for (said, attempts, of, step) in [
        (false, 0, &open, Step::Announce),
        (false, 3, &open, Step::Announce),
        (false, 0, &ended, Step::Rest),
        (false, 1, &ended, Step::Tell),
        (true, 0, &ended, Step::Tell),
        (true, 0, &open, Step::Rest),
    ] {
        assert_eq!(notice(said, attempts).step(of), step, "{said} {attempts}");
    }
    assert_eq!(notice(true, 0).message_id(Step::Tell), "0000000001-0000000002-answered");
}

#[test]
fn rests_double_within_their_bound() {
    let bounds = ChannelBounds::default();
    let rests: Vec<u64> = (1..=9).map(|attempts| bounds.rest(attempts, None).as_secs()).collect();
    assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(bounds.rest(1, Some(Duration::from_secs(30))).as_secs(), 30);
    assert_eq!(
        bounds.rest(1, Some(Duration::from_secs(86_400))).as_secs(),
        60,
        "nobody is believed for ever"
    );
}

#[test]
fn an_outcome_says_what_by_whom_and_for_how_many() {
    let said = |waiters, decision| outcome(&approval(waiters, Some(answered(decision))));
    assert_eq!(said(1, Some(Decision::Deny)), "Denied by telegram:ops user 5, for 1 request");
    assert_eq!(
        said(1_000, Some(Decision::AllowOnce)),
        "Allowed once by telegram:ops user 5, for 1000 requests"
    );
    assert_eq!(said(2, None), "Nobody answered in time: denied for 2 requests");
}

#[test]
fn answers_that_do_not_fit_are_not_offered() {
    let words: Vec<_> = fitting(&approval(1, None), Duration::from_secs(60))
        .iter()
        .map(|(decision, _)| decision.as_str())
        .collect();
    assert_eq!(
        words,
        ["allow_once", "allow_for", "deny"],
        "a question without a name is not remembered for ever"
    );
    let times = fitting(&approval(1, None), Duration::from_secs(60)).into_iter().filter_map(|(_, time)| time);
    assert_eq!(times.collect::<Vec<_>>(), [Duration::from_secs(60)], "no longer than answers may allow for");
}

#[test]
fn a_ticket_is_for_one_approval_and_cannot_be_forged() {
    let hasher = Hasher::new([1; 32]);
    let ticket = AnswerTicket { approval: ApprovalId::from_i64(9), channel: ChannelId::from_i64(8) };
    let written = ticket.write(&hasher);
    let text = written.expose();
    assert_eq!(AnswerTicket::read(&hasher, text.as_bytes()), Some(ticket));
    assert_eq!(AnswerTicket::read(&Hasher::new([2; 32]), text.as_bytes()), None, "another installation's");
    let other = text.replacen("0000000009", "000000000a", 1);
    for bad in [other.as_str(), &text[1..], &text.to_uppercase(), "", "khq_", &format!("{text}0")] {
        assert_eq!(AnswerTicket::read(&hasher, bad.as_bytes()), None, "{bad}");
    }
}
