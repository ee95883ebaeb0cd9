//! What rules of one host pattern add to it: agent and port, then method and path.
//!
//! Rules are numbered by their rank: of those that match, the lowest number decides. Owns nothing but the finding.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::globs::{Deep, Globs};
use super::rule::Verdict;

/// A word that rules use (an agent, a method) as a number; none is 0.
pub(super) type Word = u32;

/// What is looked for, in numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// `None`: no rule names this agent.
    pub(super) agent: Option<Word>,
    pub(super) port: u16,
    /// What is known of the request itself; `None`: nothing yet.
    pub(super) request: Option<Request<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// `None`: no rule names this method.
    pub(super) method: Option<Word>,
    /// `None`: not known.
    pub(super) path: Option<&'a [String]>,
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) agent: Option<Word>,
    pub(super) port: Option<u16>,
}

/// All rules of one host pattern.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    by_place: HashMap<Place, Requests, FixedState>,
    /// Which kinds of place occur: any agent and port, an agent, a port, both.
    kinds: [bool; 4],
}

/// All rules of one host pattern, agent and port.
#[derive(Debug, Default)]
pub(super) struct Requests {
    any: Best,
    needing: Option<Box<Methods>>,
}

#[derive(Debug, Default)]
struct Methods {
    by_method: HashMap<Option<Word>, Paths, FixedState>,
}

#[derive(Debug, Default)]
struct Paths {
    any: Best,
    globs: Option<Globs<Best>>,
}

/// The best rule of each verdict, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Best {
    pub(super) deny: u32,
    pub(super) ask: u32,
    pub(super) allow: u32,
}

/// No rule.
pub(super) const NONE: u32 = u32::MAX;

impl Default for Best {
    fn default() -> Self {
        Self { deny: NONE, ask: NONE, allow: NONE }
    }
}

impl Best {
    /// That rule too.
    pub(super) fn put(&mut self, verdict: Verdict, number: u32) {
        let place = match verdict {
            Verdict::Deny => &mut self.deny,
            Verdict::Ask => &mut self.ask,
            Verdict::Allow => &mut self.allow,
        };
        *place = number.min(*place);
    }
}

impl Leaf {
    /// Where the rules of that agent and port stand.
    pub(super) fn entry(&mut self, place: Place) -> &mut Requests {
        let [any, agent, port, both] = &mut self.kinds;
        *match (place.agent, place.port) {
            (None, None) => any,
            (Some(_), None) => agent,
            (None, Some(_)) => port,
            (Some(_), Some(_)) => both,
        } = true;
        self.by_place.entry(place).or_default()
    }

    /// Every set of rules whose agent and port fit.
    pub(super) fn each(&self, wanted: &Wanted<'_>, visit: &mut impl FnMut(&Requests)) {
        let [any, agent, port, both] = self.kinds;
        let mut look = |agent, port| {
            if let Some(requests) = self.by_place.get(&Place { agent, port }) {
                visit(requests);
            }
        };
        if any {
            look(None, None);
        }
        if port {
            look(None, Some(wanted.port));
        }
        if wanted.agent.is_some() && agent {
            look(wanted.agent, None);
        }
        if wanted.agent.is_some() && both {
            look(wanted.agent, Some(wanted.port));
        }
    }
}

impl Requests {
    /// Where the best rules of that method and path stand; `None`: of any.
    pub(super) fn entry<'p>(
        &mut self,
        method: Option<Word>,
        path: Option<impl Iterator<Item = &'p str>>,
    ) -> &mut Best {
        if method.is_none() && path.is_none() {
            return &mut self.any;
        }
        let paths = self.needing.get_or_insert_default().by_method.entry(method).or_default();
        match path {
            Some(path) => paths.globs.get_or_insert_with(|| Globs::new(Deep::Any)).entry(path),
            None => &mut paths.any,
        }
    }

    /// Whether some of its rules need to see the request itself.
    pub(super) fn needs_request(&self) -> bool {
        self.needing.is_some()
    }

    /// Every best rule whose method and path fit.
    pub(super) fn each(&self, request: Option<Request<'_>>, visit: &mut impl FnMut(&Best)) {
        visit(&self.any);
        let (Some(needing), Some(request)) = (&self.needing, request) else { return };
        if let Some(paths) = needing.by_method.get(&None) {
            paths.each(request.path, visit);
        }
        if request.method.is_some()
            && let Some(paths) = needing.by_method.get(&request.method)
        {
            paths.each(request.path, visit);
        }
    }
}

impl Paths {
    fn each(&self, path: Option<&[String]>, visit: &mut impl FnMut(&Best)) {
        visit(&self.any);
        if let (Some(globs), Some(path)) = (&self.globs, path) {
            globs.each(path.iter().map(String::as_str), visit);
        }
    }
}
