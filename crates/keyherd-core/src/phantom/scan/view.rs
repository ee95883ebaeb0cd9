//! A window onto a message with its escapes taken away, where they matter, and the way back to the raw bytes.
//!
//! Owns the reading of escapes. Knows nothing of what is looked for but which characters it is made of.

use super::Alphabet;
use crate::phantom::place::{Escapes, Unit};

/// The most bytes that one character is written in: `\u0041`.
const ESCAPE_LEN_MAX: usize = 6;

/// A window. In most there is no escape that could matter: then it is the raw bytes themselves, and where a hit would
/// begin is checked to be no escape's inside ([`View::begins`]).
#[derive(Debug)]
pub struct View<'a> {
    raw: &'a [u8],
    /// How much of the raw bytes can be read: all but an escape that the window's end cuts.
    whole: usize,
    read: Option<Read>,
    escapes: Escapes,
}

#[derive(Debug, Default)]
struct Read {
    bytes: Vec<u8>,
    /// Where in the raw bytes each of them begins.
    starts: Vec<u32>,
}

impl<'a> View<'a> {
    /// Reads a window, which begins with no escape's inside.
    pub(super) fn of(raw: &'a [u8], escapes: Escapes, alphabet: &Alphabet) -> Self {
        let mut matters = false;
        let whole = each_escape(raw, escapes, |byte, _, _| matters |= alphabet.holds(byte));
        let read = (matters || escapes.intro().is_some_and(|intro| alphabet.holds(intro)))
            .then(|| Read::of(&raw[..whole], escapes));
        Self { raw, whole, read, escapes }
    }

    /// What the window says.
    pub fn bytes(&self) -> &[u8] {
        self.read.as_ref().map_or(&self.raw[..self.whole], |read| &read.bytes)
    }

    /// Where in the raw bytes the character of that number begins; the number of characters: where reading ended.
    pub(super) fn raw_at(&self, index: usize) -> usize {
        let Some(read) = &self.read else { return index.min(self.whole) };
        read.starts.get(index).map_or(self.whole, |start| usize::try_from(*start).unwrap_or(usize::MAX))
    }

    /// Whether a character begins there: `false` inside of an escape that was left as it is.
    pub fn begins(&self, index: usize) -> bool {
        let Some(intro) = self.escapes.intro().filter(|_| self.read.is_none()) else { return true };
        (index.saturating_sub(ESCAPE_LEN_MAX - 1)..index).all(|at| {
            self.raw.get(at) != Some(&intro)
                || !self.is_escape(at)
                || self.end_of(at).is_some_and(|end| end <= index)
        })
    }

    /// Whether an intro at that place begins an escape, and is not a backslash's second half.
    fn is_escape(&self, at: usize) -> bool {
        let before = self.raw[..at].iter().rev();
        self.escapes != Escapes::Json || before.take_while(|byte| **byte == b'\\').count() % 2 == 0
    }

    fn end_of(&self, at: usize) -> Option<usize> {
        match self.escapes.unit(&self.raw[at..]) {
            Unit::Whole(_, len) => Some(at + len),
            Unit::Cut => None,
        }
    }
}

impl Read {
    fn of(raw: &[u8], escapes: Escapes) -> Self {
        let mut read = Self { bytes: Vec::with_capacity(raw.len()), starts: Vec::with_capacity(raw.len()) };
        let mut at = 0;
        each_escape(raw, escapes, |byte, start, len| {
            read.plain(raw, at, start);
            read.push(byte, start);
            at = start + len;
        });
        read.plain(raw, at, raw.len());
        read
    }

    fn plain(&mut self, raw: &[u8], from: usize, to: usize) {
        self.bytes.extend_from_slice(&raw[from..to]);
        self.starts.extend((from..to).map(saturated));
    }

    fn push(&mut self, byte: u8, start: usize) {
        self.bytes.push(byte);
        self.starts.push(saturated(start));
    }
}

/// Windows are far below 4 GiB: they are a chunk and what was kept back.
fn saturated(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Visits every escape: what it means, where it begins, how long it is. Tells where a cut one begins, or the end.
fn each_escape(raw: &[u8], escapes: Escapes, mut visit: impl FnMut(u8, usize, usize)) -> usize {
    let Some(intro) = escapes.intro() else { return raw.len() };
    let mut at = 0;
    while let Some(gap) = memchr::memchr(intro, &raw[at..]) {
        let start = at + gap;
        match escapes.unit(&raw[start..]) {
            Unit::Whole(byte, len) => {
                visit(byte, start, len);
                at = start + len;
            }
            Unit::Cut => return start,
        }
    }
    raw.len()
}
