//! Remembered answers, found by the question that a target would be.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::rule::{About, Rule};
use super::target::Target;
use crate::approval::Asked;
use crate::ids::Name;

/// Answers by what they were about. Positions are those of the rules they were made from.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    by_hash: HashMap<u64, Vec<u32>, FixedState>,
    hasher: FixedState,
    /// Which kinds of question occur: neither, a method, a path, both.
    kinds: [bool; 4],
}

/// A question's parts.
type Parts<'a> = (&'a str, &'a str, u16, Option<&'a str>, Option<&'a str>);

impl Remembered {
    pub(super) fn put(&mut self, rule: &Rule, number: u32) {
        let Some(parts) = parts_of(rule) else { return };
        let [neither, method, path, both] = &mut self.kinds;
        *match (parts.3, parts.4) {
            (None, None) => neither,
            (Some(_), None) => method,
            (None, Some(_)) => path,
            (Some(_), Some(_)) => both,
        } = true;
        self.by_hash.entry(self.hasher.hash_one(parts)).or_default().push(number);
    }

    /// Shows every answer about this target, whole or without its method or path.
    pub(super) fn each(&self, target: &Target<'_>, rules: &[Rule], visit: &mut impl FnMut(u32)) {
        let Some(agent) = target.agent else { return };
        let (host, port) = (target.destination.host(), target.destination.port());
        let word = target.method_word();
        let (method, path) = (word.as_deref(), target.path.map(super::RequestPath::as_str));
        let [neither, by_method, by_path, both] = self.kinds;
        let mut look = |parts: Parts<'_>| {
            for number in self.by_hash.get(&self.hasher.hash_one(parts)).into_iter().flatten() {
                let is_it = usize::try_from(*number).ok().and_then(|at| rules.get(at)).and_then(parts_of);
                if is_it == Some(parts) {
                    visit(*number);
                }
            }
        };
        if neither {
            look((agent, host, port, None, None));
        }
        if by_method && method.is_some() {
            look((agent, host, port, method, None));
        }
        if by_path && path.is_some() {
            look((agent, host, port, None, path));
        }
        if both && method.is_some() && path.is_some() {
            look((agent, host, port, method, path));
        }
    }
}

fn parts_of(rule: &Rule) -> Option<Parts<'_>> {
    match &rule.about {
        About::Answered(question) => match &question.asked {
            Asked::Target { host, port, method, path } => {
                Some((Name::as_str(&question.agent), host, *port, method.as_deref(), path.as_deref()))
            }
            Asked::Outside { .. } => None,
        },
        About::Written(_) => None,
    }
}
