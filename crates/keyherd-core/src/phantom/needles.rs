//! Real secrets, looked for in what comes back to an agent.
//!
//! Each is looked for as it is and percent-encoded, and where escapes are read, in any of them. A secret that an
//! upstream hides on purpose (reversed, encrypted, in base64) is not found.

use std::cmp::Reverse;
use std::ops::Range;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use memchr::memmem::Finder;
use zeroize::Zeroizing;

use super::place::write_percent;
use super::scan::{Alphabet, Hit, Seek, View};
use crate::ids::Name;
use crate::secret::Secret;

/// Shorter ones are not looked for: they would be found by chance.
pub const NEEDLE_LEN_MIN: usize = 8;

/// A secret to look for.
#[derive(Debug, Clone)]
pub struct Needle {
    /// The secret.
    pub secret: Secret,
    /// Whose it is: names the phantom that takes its place.
    pub name: Name,
}

/// Up to so many spellings each is searched for by itself: that reads some GB/s each, whatever the text; one automaton
/// for all reads as fast only where the text has few of their characters.
const SINGLY_MAX: usize = 16;

/// Why there can be no such search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secrets to look for are too many or too long")]
pub struct NeedleError;

/// Secrets to look for, ready. Its memory holds them in the clear: keep it as short as they are in use.
pub struct Needles {
    search: Search,
    texts: Vec<Spelling>,
    alphabet: Alphabet,
    begins: Alphabet,
    len_max: usize,
}

/// A secret as it may be written, and whose it is.
type Spelling = (Zeroizing<Vec<u8>>, Name);

impl Needles {
    /// Over these secrets, but those shorter than [`NEEDLE_LEN_MIN`].
    ///
    /// # Errors
    /// [`NeedleError`]: they do not fit into one search.
    pub fn new(needles: impl IntoIterator<Item = Needle>) -> Result<Self, NeedleError> {
        let long = needles.into_iter().filter(|needle| needle.secret.expose().len() >= NEEDLE_LEN_MIN);
        let texts: Vec<Spelling> = long
            .flat_map(|Needle { secret, name }| {
                spellings(secret.expose()).map(move |text| (text.into(), name.clone()))
            })
            .collect();
        let search = Search::new(texts.iter().map(|(text, _)| text.as_slice()))?;
        let all = || texts.iter().map(|(text, _)| text.as_slice());
        Ok(Self {
            alphabet: Alphabet::of(all()),
            begins: Alphabet::of(all().filter_map(|text| text.get(..1))),
            len_max: all().map(<[u8]>::len).max().unwrap_or(0),
            search,
            texts,
        })
    }

    fn may_go_on(&self, here: &[u8]) -> bool {
        self.texts.iter().any(|(text, _)| text.len() > here.len() && text.starts_with(here))
    }
}

/// All of them at once: of those that stand first, the longest.
enum Search {
    Singly(Vec<Finder<'static>>),
    Together(AhoCorasick),
}

impl Search {
    fn new<'t>(texts: impl ExactSizeIterator<Item = &'t [u8]>) -> Result<Self, NeedleError> {
        if texts.len() <= SINGLY_MAX {
            return Ok(Self::Singly(texts.map(|text| Finder::new(text).into_owned()).collect()));
        }
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts);
        search.map(Self::Together).map_err(|_| NeedleError)
    }

    /// Its number, and where it begins.
    fn first(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        match self {
            Self::Singly(finders) => {
                let rest = text.get(from..)?;
                let found = finders.iter().enumerate().filter_map(|(number, finder)| {
                    let start = from + finder.find(rest)?;
                    Some((start, Reverse(finder.needle().len()), number))
                });
                found.min().map(|(start, _, number)| (number, start))
            }
            Self::Together(search) => {
                let found = search.find(Input::new(text).range(from..))?;
                Some((found.pattern().as_usize(), found.start()))
            }
        }
    }
}

impl std::fmt::Debug for Needles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Needles({})", self.texts.len())
    }
}

/// As it is, and percent-encoded with large and small digits, where that differs.
fn spellings(secret: &str) -> impl Iterator<Item = Vec<u8>> + use<> {
    let mut percent = Vec::new();
    write_percent(secret, &mut percent);
    let mut small = percent.clone();
    let escapes: Vec<_> = memchr::memchr_iter(b'%', &percent).collect();
    escapes.into_iter().for_each(|at| small[at + 1..at + 3].make_ascii_lowercase());
    let mut all = vec![secret.as_bytes().to_vec(), percent, small];
    all.dedup();
    all.into_iter()
}

impl Seek for Needles {
    type What = Name;

    fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    fn find(&self, view: &View<'_>, from: usize) -> Option<Hit<Name>> {
        let mut at = from;
        loop {
            let (number, start) = self.search.first(view.bytes(), at)?;
            if view.begins(start) {
                let (text, name) = self.texts.get(number)?;
                return Some(Hit { span: start..start + text.len(), what: name.clone() });
            }
            at = start + 1;
        }
    }

    fn open(&self, view: &View<'_>, from: usize) -> usize {
        let bytes = view.bytes();
        let edge: Range<usize> = bytes.len().saturating_sub(self.len_max).max(from)..bytes.len();
        edge.into_iter()
            .find(|at| self.begins.holds(bytes[*at]) && self.may_go_on(&bytes[*at..]) && view.begins(*at))
            .unwrap_or(bytes.len())
    }
}
