//! The phantoms that one agent holds, and how they are found.
//!
//! A phantom of somebody else's, or one that was revoked, is found too: it is foreign, to be stripped everywhere.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use memchr::memmem::Finder;

use super::scan::{Alphabet, Hit, Seek, View};
use super::shape::{KEY_LEN, Key, MARKER, Phantom};
use crate::ids::Name;

/// A phantom in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// One of the agent's own: it stands for the credential or pool of that name.
    Own(Name),
    /// Somebody else's, a revoked one, or a damaged one.
    Foreign,
}

/// One agent's phantoms. Immutable: a change makes a new one.
#[derive(Debug)]
pub struct Table {
    phantoms: HashMap<Key, Own, foldhash::fast::RandomState>,
    /// The empty one among them: a marker alone is enough to be found.
    leads: Vec<Box<str>>,
    alphabet: Alphabet,
    begins: Alphabet,
    len_max: usize,
    marker: Finder<'static>,
}

/// What stands for one name, as one key finds it.
#[derive(Debug)]
struct Own {
    name: Name,
    /// The longest lead first: that is the one which is swapped.
    looks: Vec<Phantom>,
}

impl Table {
    /// Over an agent's phantoms; one that has several looks is here in each of them. `leads`: what foreign ones may begin with,
    /// so that they are stripped whole.
    pub fn new<'l>(
        phantoms: impl IntoIterator<Item = (Phantom, Name)>,
        leads: impl IntoIterator<Item = &'l str>,
    ) -> Self {
        let mut by_key: HashMap<Key, Own, foldhash::fast::RandomState> = HashMap::default();
        for (phantom, name) in phantoms {
            let own = by_key.entry(phantom.key()).or_insert_with(|| Own { name, looks: Vec::new() });
            own.looks.push(phantom);
        }
        for own in by_key.values_mut() {
            own.looks.sort_by_key(|phantom| Reverse(phantom.lead().len()));
        }
        let looks = || by_key.values().flat_map(|own| &own.looks);
        let mut leads: Vec<Box<str>> = leads.into_iter().map(Box::from).collect();
        leads.extend(looks().map(|phantom| phantom.lead().into()));
        leads.push("".into());
        // The longest first: that is the one which is stripped.
        leads.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        leads.dedup();
        let lead_len_max = leads.first().map_or(0, |lead| lead.len());
        let tail_len_max = looks().map(|phantom| phantom.tail().len()).max().unwrap_or(0);
        let firsts = leads.iter().filter_map(|lead| lead.as_bytes().get(..1));
        let begins = Alphabet::of(firsts.chain([&MARKER.as_bytes()[..1]]));
        Self {
            begins,
            alphabet: Alphabet::plain(),
            len_max: lead_len_max + MARKER.len() + KEY_LEN + tail_len_max,
            marker: Finder::new(MARKER).into_owned(),
            phantoms: by_key,
            leads,
        }
    }

    /// How many phantoms there are, whatever their looks.
    pub fn len(&self) -> usize {
        self.phantoms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.phantoms.is_empty()
    }

    /// The phantom whose marker begins there, if one does.
    fn at_marker(&self, view: &View<'_>, from: usize, marker: usize) -> Option<Hit<Found>> {
        let bytes = view.bytes();
        let (before, behind) = (&bytes[from..marker], &bytes[marker + MARKER.len()..]);
        let key = Key::of(behind).filter(|_| view.begins(marker))?;
        let core = marker..marker + MARKER.len() + KEY_LEN;
        let leads_here = |lead: &str| before.ends_with(lead.as_bytes()) && view.begins(marker - lead.len());
        let stands = |phantom: &&Phantom| {
            leads_here(phantom.lead()) && behind[KEY_LEN..].starts_with(phantom.tail().as_bytes())
        };
        let own = self.phantoms.get(&key);
        if let Some((phantom, name)) = own.and_then(|own| Some((own.looks.iter().find(stands)?, &own.name))) {
            let span = core.start - phantom.lead().len()..core.end + phantom.tail().len();
            return Some(Hit { span, what: Found::Own(name.clone()) });
        }
        let lead = self.leads.iter().find(|lead| leads_here(lead)).map_or(0, |lead| lead.len());
        Some(Hit { span: core.start - lead..core.end, what: Found::Foreign })
    }

    /// Whether this may be a phantom's beginning, with more of it to come.
    fn may_go_on(&self, text: &[u8]) -> bool {
        self.leads.iter().any(|lead| match text.strip_prefix(lead.as_bytes()) {
            None => lead.as_bytes().starts_with(text),
            Some(behind) => self.core_may_go_on(behind),
        })
    }

    fn core_may_go_on(&self, text: &[u8]) -> bool {
        let Some(behind) = text.strip_prefix(MARKER.as_bytes()) else {
            return MARKER.as_bytes().starts_with(text);
        };
        match Key::of(behind) {
            None => behind.len() < KEY_LEN && behind.iter().all(u8::is_ascii_alphanumeric),
            Some(key) => self.phantoms.get(&key).is_some_and(|own| {
                let here = &behind[KEY_LEN..];
                let mut tails = own.looks.iter().map(|phantom| phantom.tail().as_bytes());
                tails.any(|tail| here.len() < tail.len() && tail.starts_with(here))
            }),
        }
    }
}

impl Seek for Table {
    type What = Found;

    fn len_min(&self) -> usize {
        MARKER.len() + KEY_LEN
    }

    fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    fn find(&self, view: &View<'_>, from: usize) -> Option<Hit<Found>> {
        let mut at = from;
        while let Some(gap) = view.bytes().get(at..).and_then(|bytes| self.marker.find(bytes)) {
            let marker = at + gap;
            if let Some(hit) = self.at_marker(view, from, marker) {
                return Some(hit);
            }
            at = marker + 1;
        }
        None
    }

    fn open(&self, view: &View<'_>, from: usize) -> usize {
        let bytes = view.bytes();
        let edge: Range<usize> = bytes.len().saturating_sub(self.len_max).max(from)..bytes.len();
        edge.into_iter()
            .find(|at| self.begins.holds(bytes[*at]) && self.may_go_on(&bytes[*at..]) && view.begins(*at))
            .unwrap_or(bytes.len())
    }
}
