//! Real secrets, looked for in what comes back to an agent.
//!
//! Each is looked for as it is and percent-encoded, and where escapes are read, in any of them. A secret that an
//! upstream hides on purpose (reversed, encrypted, in base64) is not found.
//!
//! One pass over the text, however many they are: a window as long as the shortest of them moves along, and its last bytes
//! tell how far it may move on without missing any (S. Wu, U. Manber, "A fast algorithm for multi-pattern searching",
//! 1994). Measured by the bench `phantom_scan`.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::place::write_percent;
use super::scan::{Alphabet, Hit, Seek, View};
use crate::secret::Secret;

/// Shorter ones are not looked for: they would be found by chance.
pub const NEEDLE_LEN_MIN: usize = 8;

/// The longest window, in bytes: a longer one moves hardly faster.
const WINDOW_LEN_MAX: usize = 32;
/// So many of its last bytes tell how far it may move.
const BLOCK_LEN: usize = 3;
/// How many places the table of moves has for each block that is in a secret: those that share one only move less far.
const PLACES_PER_BLOCK: usize = 8;
/// It stays in a core's own cache.
const PLACES_MAX: usize = 32 * 1_024;

/// A secret to look for.
#[derive(Debug, Clone)]
pub struct Needle {
    /// The secret.
    pub secret: Secret,
    /// What is to stand in its place.
    pub instead: Arc<str>,
}

/// Secrets to look for, ready. Its memory holds them in the clear: keep it as short as they are in use.
pub struct Needles {
    /// In the order of their bytes: those with one beginning stand together.
    texts: Vec<Spelling>,
    window_len: usize,
    /// How far the window may move, by its last block.
    moves: Box<[u8]>,
    alphabet: Alphabet,
    begins: Alphabet,
    len_max: usize,
}

/// A secret as it may be written, and what is to stand in its place.
type Spelling = (Zeroizing<Vec<u8>>, Arc<str>);

impl Needles {
    /// Over these secrets, but those shorter than [`NEEDLE_LEN_MIN`].
    pub fn new(needles: impl IntoIterator<Item = Needle>) -> Self {
        Self::of(spelt(needles))
    }

    /// The same, and these.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = Needle>) -> Self {
        Self::of(self.texts.iter().cloned().chain(spelt(more)))
    }

    /// The same secrets in UTF-16, in either order of bytes. Found in the other order of two neighbours' halves, what stands
    /// instead fits there too.
    #[must_use]
    pub fn in_utf16(&self) -> Self {
        let wide = |text: &[u8], is_big: bool| -> Vec<u8> {
            let pair = |byte: &u8| if is_big { [0, *byte] } else { [*byte, 0] };
            text.iter().flat_map(pair).collect()
        };
        Self::of([true, false].into_iter().flat_map(|is_big| {
            self.texts.iter().map(move |(text, instead)| {
                let instead = String::from_utf8(wide(instead.as_bytes(), is_big)).unwrap_or_default();
                (wide(text, is_big).into(), instead.into())
            })
        }))
    }

    /// What stands in that secret's place. `None`: it is not looked for.
    pub fn instead_of(&self, secret: &str) -> Option<&Arc<str>> {
        let found = self.texts.binary_search_by(|(text, _)| text.as_slice().cmp(secret.as_bytes()));
        found.ok().and_then(|at| self.texts.get(at)).map(|(_, instead)| instead)
    }

    fn of(texts: impl Iterator<Item = Spelling>) -> Self {
        let mut texts: Vec<Spelling> = texts.collect();
        texts.sort_by(|(one, _), (two, _)| one.cmp(two));
        let all = || texts.iter().map(|(text, _)| text.as_slice());
        let window_len = all().map(<[u8]>::len).min().unwrap_or(WINDOW_LEN_MAX).min(WINDOW_LEN_MAX);
        Self {
            alphabet: Alphabet::of(all()),
            begins: Alphabet::of(all().filter_map(|text| text.get(..1))),
            len_max: all().map(<[u8]>::len).max().unwrap_or(0),
            moves: moves(all(), window_len),
            window_len,
            texts,
        }
    }

    /// The first place from there on where all of the window is the beginning of a secret.
    fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        if self.texts.is_empty() {
            return None;
        }
        let mut end = from + self.window_len;
        while let Some(window) = text.get(end - self.window_len..end) {
            match self.moves[place(&window[self.window_len - BLOCK_LEN..], self.moves.len())] {
                0 if self.beginning_with(window).next().is_some() => return Some(end - self.window_len),
                0 => end += 1,
                far => end += usize::from(far),
            }
        }
        None
    }

    fn beginning_with<'n, 'b>(
        &'n self,
        beginning: &'b [u8],
    ) -> impl Iterator<Item = &'n Spelling> + use<'n, 'b> {
        let first = self.texts.partition_point(|(text, _)| text.as_slice() < beginning);
        self.texts[first..].iter().take_while(move |(text, _)| text.starts_with(beginning))
    }

    /// The longest that stands at the beginning of a text of at least a window's length.
    fn longest(&self, text: &[u8]) -> Option<&Spelling> {
        let alike = self.beginning_with(&text[..self.window_len]);
        alike.filter(|(secret, _)| text.starts_with(secret)).max_by_key(|(secret, _)| secret.len())
    }

    fn goes_on(&self, here: &[u8]) -> bool {
        self.beginning_with(here).any(|(text, _)| text.len() > here.len())
    }
}

/// How far the window may move, by what its last block is: to where that block is in the first secret that has it, or past it.
fn moves<'t>(texts: impl Iterator<Item = &'t [u8]> + Clone, window_len: usize) -> Box<[u8]> {
    let blocks = texts.clone().count() * (window_len - BLOCK_LEN + 1);
    let places = (blocks * PLACES_PER_BLOCK).next_power_of_two().min(PLACES_MAX);
    let far = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
    let mut moves = vec![far(window_len - BLOCK_LEN + 1); places].into_boxed_slice();
    for text in texts {
        for (at, block) in text[..window_len].windows(BLOCK_LEN).enumerate() {
            let known = &mut moves[place(block, places)];
            *known = far(window_len - BLOCK_LEN - at).min(*known);
        }
    }
    moves
}

/// A block's place in a table of a power of two of them.
fn place(block: &[u8], places: usize) -> usize {
    let number = block.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    // Knuth's multiplicative hash: the upper half depends on all of the bits.
    (number.wrapping_mul(0x9e37_79b1) >> 16) as usize & (places - 1)
}

impl std::fmt::Debug for Needles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Needles({})", self.texts.len())
    }
}

fn spelt(needles: impl IntoIterator<Item = Needle>) -> impl Iterator<Item = Spelling> {
    let long = needles.into_iter().filter(|needle| needle.secret.expose().len() >= NEEDLE_LEN_MIN);
    long.flat_map(|Needle { secret, instead }| {
        spellings(secret.expose()).map(move |text| (text.into(), Arc::clone(&instead)))
    })
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
    type What = Arc<str>;

    fn len_min(&self) -> usize {
        self.window_len
    }

    fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    fn find(&self, view: &View<'_>, from: usize) -> Option<Hit<Arc<str>>> {
        let (bytes, mut at) = (view.bytes(), from);
        loop {
            let start = self.next(bytes, at)?;
            if let Some((text, instead)) = self.longest(&bytes[start..]).filter(|_| view.begins(start)) {
                return Some(Hit { span: start..start + text.len(), what: Arc::clone(instead) });
            }
            at = start + 1;
        }
    }

    fn open(&self, view: &View<'_>, from: usize) -> usize {
        let bytes = view.bytes();
        let edge = bytes.len().saturating_sub(self.len_max).max(from);
        let mut at = edge;
        while let Some(start) = self.next(bytes, at) {
            if self.goes_on(&bytes[start..]) && view.begins(start) {
                return start;
            }
            at = start + 1;
        }
        // Then where less than a window is left.
        let last = bytes.len().saturating_sub(self.window_len - 1).max(edge);
        (last..bytes.len())
            .find(|at| self.begins.holds(bytes[*at]) && self.goes_on(&bytes[*at..]) && view.begins(*at))
            .unwrap_or(bytes.len())
    }
}
