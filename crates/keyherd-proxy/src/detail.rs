//! What an audit line says beside who and what: a JSON object that is text from the beginning, because every request makes
//! one.
//!
//! Owns its keys' spelling. Never holds a query, a header or a body; a path only clipped.

use std::borrow::Cow;

use keyherd_core::audit::push_json;
use keyherd_core::broker::{Permit, PermittedBy};
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::swapper::words;

/// What it takes at first, in bytes: most need no more.
const DETAIL_LEN: usize = 256;

/// The text, without the brace at its end.
#[derive(Default)]
pub(crate) struct Detail {
    text: String,
    /// Who has the last word on a request is not known before its end.
    verdict: Cow<'static, str>,
}

impl Detail {
    pub(crate) fn new() -> Self {
        Self { text: String::with_capacity(DETAIL_LEN), verdict: Cow::Borrowed("") }
    }

    /// A key, once, and its value: a number, or whether something is so.
    pub(crate) fn note(&mut self, key: &str, value: impl ToString + Copy) {
        self.key(key);
        self.text.push_str(&value.to_string());
    }

    /// The same of a text.
    pub(crate) fn say(&mut self, key: &str, text: &str) {
        self.key(key);
        push_json(&mut self.text, text);
    }

    /// Texts, where there are any.
    pub(crate) fn texts<'t>(&mut self, key: &str, texts: impl Iterator<Item = &'t str>) {
        let mut end = "";
        for text in texts {
            if end.is_empty() {
                self.key(key);
            }
            self.text.push(if end.is_empty() { '[' } else { ',' });
            push_json(&mut self.text, text);
            end = "]";
        }
        self.text.push_str(end);
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.text.push('"');
        self.text.push_str(key);
        self.text.push_str("\":");
    }

    /// Whether it may go, and by what. The last one counts.
    pub(crate) fn permitted(&mut self, permit: &Permit) {
        self.verdict = match (&permit.by, permit.allows) {
            (PermittedBy::Default, true) => r#""verdict":"allow","by":"default""#.into(),
            // What most requests are permitted by is not taken through a tree of values.
            (PermittedBy::Rule(id), true) => {
                [r#""verdict":"allow","by":{"rule":""#, &id.to_string(), r#""}"#].concat().into()
            }
            _ => judged(words::verdict(permit), &words::by(permit)),
        };
    }

    /// What became of a request that got no answer.
    pub(crate) fn failed(&mut self, fault: &Fault) {
        if matches!(fault, Fault::Undialled(_)) {
            // Whatever the rules say: the address had the last word.
            self.verdict = judged("deny", &json!("address"));
        }
        self.say("outcome", words::outcome(fault));
    }

    /// The whole object.
    pub(crate) fn into_text(mut self) -> String {
        if !self.verdict.is_empty() {
            self.separate();
            self.text.push_str(&self.verdict);
        }
        if self.text.is_empty() {
            self.text.push('{');
        }
        self.text.push('}');
        self.text
    }

    fn separate(&mut self) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
    }
}

fn judged(verdict: &str, by: &Value) -> Cow<'static, str> {
    format!(r#""verdict":"{verdict}","by":{by}"#).into()
}

#[cfg(test)]
mod tests {
    use keyherd_core::ids::RuleId;

    use super::*;
    use crate::forward::{Kind, NotDialled};

    #[track_caller]
    fn check(detail: Detail, expected: &Value) {
        let text = detail.into_text();
        assert_eq!(serde_json::from_str::<Value>(&text).expect("is JSON"), *expected, "{text}");
    }

    #[test]
    fn it_is_an_object_whatever_was_said() {
        check(Detail::new(), &json!({}));
        let mut detail = Detail::new();
        detail.say("path", "/\"\\\u{7}");
        detail.note("status", 200);
        detail.texts("credentials", ["a", "b"].into_iter());
        detail.texts("none", std::iter::empty());
        check(detail, &json!({"path": "/\"\\\u{7}", "status": 200, "credentials": ["a", "b"]}));
    }

    #[test]
    fn the_last_word_counts() {
        let mut detail = Detail::new();
        detail.permitted(&Permit { allows: true, by: PermittedBy::Default });
        check(detail, &json!({"verdict": "allow", "by": "default"}));
        let mut detail = Detail::new();
        detail.permitted(&Permit { allows: true, by: PermittedBy::NoAgent });
        let address = [10, 0, 0, 1].into();
        detail.failed(
            &NotDialled::Unnamed { host: "inside.example".into(), address, kind: Kind::of(address) }.into(),
        );
        check(detail, &json!({"verdict": "deny", "by": "address", "outcome": "denied"}));
        let mut detail = Detail::new();
        detail.permitted(&Permit { allows: false, by: PermittedBy::Default });
        check(detail, &json!({"verdict": "deny", "by": "default"}));
        let id = RuleId::of_random(7);
        for (allows, verdict) in [(true, "allow"), (false, "deny")] {
            let mut detail = Detail::new();
            detail.permitted(&Permit { allows, by: PermittedBy::Rule(id) });
            check(detail, &json!({"verdict": verdict, "by": {"rule": id.to_string()}}));
        }
    }
}
