//! When two questions are the same, and which answers they take.

use super::*;
use crate::ids::Name;
use crate::secret::Hasher;

fn agent(name: &str) -> Name {
    Name::parse(name).expect("a name")
}

fn outside(name: &str, key: Option<&str>, text: &str) -> Question {
    Question::outside(agent(name), key, text).expect("a question")
}

fn target(name: &str, host: &str, port: u16, method: Option<&str>, path: Option<&str>) -> Question {
    let asked =
        Asked::Target { host: host.into(), port, method: method.map(Into::into), path: path.map(Into::into) };
    Question { agent: agent(name), asked }
}

#[test]
fn the_same_question_is_the_same_and_no_other_is() {
    let questions = [
        outside("a", None, "{\"tool\":\"rm\"}"),
        outside("a", None, "{\"tool\":\"ls\"}"),
        outside("b", None, "{\"tool\":\"ls\"}"),
        outside("a", Some("ls"), "{\"tool\":\"ls\"}"),
        outside("a", Some("rm"), "{\"tool\":\"ls\"}"),
        target("a", "h", 443, None, None),
        target("a", "h", 80, None, None),
        target("a", "h", 443, Some("GET"), None),
        target("a", "h", 443, None, Some("GET")),
        target("a", "h", 443, Some("GET"), Some("/")),
        target("b", "h", 443, None, None),
    ];
    let hasher = Hasher::new([1; 32]);
    let hashes: Vec<_> = questions.iter().map(|question| question.remembered_as(&hasher)).collect();
    for (at, hash) in hashes.iter().enumerate() {
        assert_eq!(hashes.iter().filter(|other| *other == hash).count(), 1, "{:?}", questions.get(at));
    }
    let other_words = outside("a", Some("ls"), "\"something else\"");
    assert_eq!(other_words.remembered_as(&hasher), hashes[3], "the key names it, whatever is shown");
}

#[test]
fn a_question_without_a_name_is_not_remembered_for_ever() {
    let approval = |question, coalesces| Approval {
        id: ApprovalId::from_i64(1),
        question,
        coalesces,
        rule: None,
        waiters: 0,
        opened_at: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(1),
        answer: None,
    };
    let takes = |question: Question, coalesces| {
        let approval = approval(question, coalesces);
        Decision::ALL.map(|decision| approval.refuses(decision).is_none())
    };
    assert_eq!(takes(target("a", "h", 1, None, None), true), [true; 5]);
    assert_eq!(takes(outside("a", Some("k"), "1"), true), [true; 5]);
    assert_eq!(takes(outside("a", Some("k"), "1"), false), [true; 5]);
    assert_eq!(takes(outside("a", None, "1"), true), [true, true, false, true, false]);
    assert_eq!(takes(outside("a", None, "1"), false), [true, false, false, true, false]);
}

#[test]
fn questions_are_bounded() {
    let ask = |key, text: &str| Question::outside(agent("a"), key, text);
    assert_eq!(ask(None, "\"\u{202e}evom\""), Err(QuestionError::Turned));
    assert_eq!(ask(Some("a\u{2066}b"), "1"), Err(QuestionError::Turned));
    assert_eq!(ask(None, &"x".repeat(TEXT_LEN_MAX + 1)), Err(QuestionError::TooLong));
    for key in ["", "a\nb", &"k".repeat(KEY_LEN_MAX + 1)] {
        assert_eq!(ask(Some(key), "1"), Err(QuestionError::BadKey));
    }
}
