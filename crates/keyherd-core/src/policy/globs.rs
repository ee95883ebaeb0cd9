//! Many globs at once, as a tree of their segments: the cost follows what matches and not what there is.
//!
//! Owns the meaning of `*` and `**`, which is one or more for hosts, and none or more for paths. Globs with a `*` inside a segment are tried one by one where they branch off.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// Values by glob.
#[derive(Debug)]
pub(super) struct Globs<T> {
    nodes: Vec<Node<T>>,
    /// How many segments `**` is at least.
    deep_min: Deep,
}

/// What `**` may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deep {
    /// One segment or more.
    Some,
    /// Any number of them.
    Any,
}

#[derive(Debug)]
struct Node<T> {
    here: Option<T>,
    literal: HashMap<Box<str>, usize, FixedState>,
    /// `*`.
    one: Option<usize>,
    /// `**`.
    deep: Option<usize>,
    partial: Vec<(Box<str>, usize)>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { here: None, literal: HashMap::default(), one: None, deep: None, partial: Vec::new() }
    }
}

impl<T: Default> Globs<T> {
    /// None yet.
    pub(super) fn new(deep_min: Deep) -> Self {
        Self { nodes: vec![Node::default()], deep_min }
    }

    /// The value of that glob; made where it is missing.
    pub(super) fn entry<'p>(&mut self, pattern: impl Iterator<Item = &'p str>) -> &mut T {
        let mut at = 0;
        for segment in pattern {
            at = self.child(at, segment);
        }
        let Some(node) = self.nodes.get_mut(at) else {
            unreachable!("children are made before they are named")
        };
        node.here.get_or_insert_default()
    }

    fn child(&mut self, at: usize, segment: &str) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else {
            unreachable!("children are made before they are named")
        };
        let child = match segment {
            "*" => *node.one.get_or_insert(next),
            "**" => *node.deep.get_or_insert(next),
            _ if segment.contains('*') => match node.partial.iter().find(|(known, _)| **known == *segment) {
                Some((_, child)) => *child,
                None => {
                    node.partial.push((segment.into(), next));
                    next
                }
            },
            _ => *node.literal.entry(segment.into()).or_insert(next),
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }
}

impl<T> Globs<T> {
    /// Shows every value whose glob matches.
    pub(super) fn each<'a>(
        &self,
        segments: impl Iterator<Item = &'a str> + Clone,
        visit: &mut impl FnMut(&T),
    ) {
        self.walk(0, segments, visit);
    }

    fn walk<'a>(
        &self,
        at: usize,
        segments: impl Iterator<Item = &'a str> + Clone,
        visit: &mut impl FnMut(&T),
    ) {
        let Some(node) = self.nodes.get(at) else { return };
        if let Some(deep) = node.deep {
            self.walk_deep(deep, segments.clone(), visit);
        }
        let mut rest = segments;
        let Some(segment) = rest.next() else {
            if let Some(here) = &node.here {
                visit(here);
            }
            return;
        };
        if let Some(child) = node.literal.get(segment) {
            self.walk(*child, rest.clone(), visit);
        }
        if let Some(child) = node.one {
            self.walk(child, rest.clone(), visit);
        }
        for (pattern, child) in &node.partial {
            if matches_within(pattern, segment) {
                self.walk(*child, rest.clone(), visit);
            }
        }
    }

    /// From every place on. Below `**` there is no further one, so this is done once a walk.
    fn walk_deep<'a>(
        &self,
        deep: usize,
        segments: impl Iterator<Item = &'a str> + Clone,
        visit: &mut impl FnMut(&T),
    ) {
        let Some(node) = self.nodes.get(deep) else { return };
        let mut rest = segments;
        if self.deep_min == Deep::Some && rest.next().is_none() {
            return;
        }
        if node.is_end() {
            if let Some(here) = &node.here {
                visit(here);
            }
            return;
        }
        loop {
            self.walk(deep, rest.clone(), visit);
            if rest.next().is_none() {
                return;
            }
        }
    }
}

impl<T> Node<T> {
    fn is_end(&self) -> bool {
        self.literal.is_empty() && self.one.is_none() && self.deep.is_none() && self.partial.is_empty()
    }
}

/// A segment's own glob: each `*` is any run of characters. Never tries a run twice, since the shortest one that fits
/// leaves the most for what follows.
fn matches_within(pattern: &str, segment: &str) -> bool {
    let mut parts = pattern.split('*');
    let (first, last) = (parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
    let Some(rest) = segment.strip_prefix(first) else { return false };
    let Some(mut rest) = rest.strip_suffix(last) else { return false };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        check_deep(Deep::Any, pattern, matching, other);
    }

    #[track_caller]
    fn check_deep(deep: Deep, pattern: &str, matching: &[&str], other: &[&str]) {
        let mut globs: Globs<u8> = Globs::new(deep);
        *globs.entry(pattern.split('/')) = 1;
        for (texts, expected) in [(matching, 1), (other, 0)] {
            for text in texts {
                let mut found = 0;
                globs.each(text.split('/').filter(|segment| !segment.is_empty()), &mut |one| found += one);
                assert_eq!(found, expected, "'{pattern}' on '{text}'");
            }
        }
    }

    #[test]
    fn stars() {
        check("a/b", &["a/b"], &["a", "a/b/c", "b/a", ""]);
        check("a/*", &["a/b", "a/c"], &["a", "a/b/c"]);
        check("a/**", &["a", "a/b", "a/b/c"], &["b", "b/a"]);
        check("**/z", &["z", "a/z", "a/b/z"], &["a", "z/a"]);
        check("a/**/z", &["a/z", "a/b/z", "a/b/c/z"], &["a", "z", "a/b"]);
        check("**", &["", "a", "a/b"], &[]);
        check("*/**", &["a", "a/b"], &[""]);
        check("api-*", &["api-", "api-1"], &["api", "xapi-1"]);
        check("a*b*c", &["abc", "axxbxc", "abbc"], &["ab", "acb", "a"]);
        check("ab*bc", &["abbc", "ab-bc"], &["abc"]);
        check_deep(Deep::Some, "a/**", &["a/b", "a/b/c"], &["a", ""]);
        check_deep(Deep::Some, "**/z", &["a/z", "a/b/z"], &["z"]);
        check_deep(Deep::Some, "a/**/z", &["a/b/z", "a/b/c/z", "a/z/z"], &["a/z"]);
    }
}
