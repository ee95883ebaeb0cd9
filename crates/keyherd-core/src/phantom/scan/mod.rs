//! Finding things in a message that comes in pieces, however it is cut: the result is that of the whole message.
//!
//! Owns what is kept back at a piece's edge: just the bytes that may yet become a hit, never more than the longest
//! hit. Everything else passes on at once, as it is and uncopied. What a hit is, a [`Seek`] knows; what becomes of it,
//! the caller does.

mod view;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

pub use self::view::View;
use super::place::Place;
use super::shape::is_plain;

/// The characters that what is looked for is made of.
#[derive(Debug, Clone)]
pub struct Alphabet([bool; 256]);

impl Alphabet {
    /// Of all the characters in these texts.
    pub(super) fn of<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> Self {
        let mut holds = [false; 256];
        texts.into_iter().flatten().for_each(|byte| holds[usize::from(*byte)] = true);
        Self(holds)
    }

    /// Of the characters that phantoms are made of.
    pub(super) fn plain() -> Self {
        let mut holds = [false; 256];
        (0..=u8::MAX).for_each(|byte| holds[usize::from(byte)] = is_plain(byte));
        Self(holds)
    }

    pub(super) fn holds(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }
}

/// Something found, in characters of the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit<W> {
    /// Where it stands.
    pub span: Range<usize>,
    /// What it is.
    pub what: W,
}

/// What is looked for.
///
/// Whether something is a hit depends on its own characters only, and on nothing before `from` or behind it.
pub trait Seek {
    /// What a hit tells.
    type What;

    /// How long a hit is at least: a shorter message has none.
    fn len_min(&self) -> usize;

    /// The characters that hits are made of. An escape of any other cannot be part of one.
    fn alphabet(&self) -> &Alphabet;

    /// The first hit that begins at `from` or later and is all there.
    fn find(&self, view: &View<'_>, from: usize) -> Option<Hit<Self::What>>;

    /// The first place from `from` on where a hit may begin that more bytes would complete or lengthen; the view's
    /// length if there is none. Never farther from the view's end than the longest hit.
    fn open(&self, view: &View<'_>, from: usize) -> usize;
}

/// A piece of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<W> {
    /// As it came.
    Plain(Bytes),
    /// A hit stood here: the caller puts something in its place, or nothing.
    Hit(W),
}

/// Takes a message in pieces and gives it back in others: what is plain, and hits. Constant memory: what is kept back
/// is shorter than the longest hit, fully escaped.
#[derive(Debug)]
pub struct Scanner<S: Seek> {
    seek: Arc<S>,
    place: Place,
    kept: Bytes,
    pieces: VecDeque<Piece<S::What>>,
}

impl<S: Seek> Scanner<S> {
    /// At the beginning of a message.
    pub fn new(seek: Arc<S>, place: Place) -> Self {
        Self { seek, place, kept: Bytes::new(), pieces: VecDeque::new() }
    }

    /// Looks for something else from here on: what was kept back is looked through for it too.
    pub fn look_for(&mut self, seek: Arc<S>) {
        self.seek = seek;
    }

    /// Takes the next bytes. Take all the pieces that are ready before the next: they are not bounded here.
    pub fn feed(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            let window = joined(&std::mem::take(&mut self.kept), chunk);
            self.read(&window, false);
        }
    }

    /// The message has ended: what was kept back is judged as it is.
    pub fn finish(&mut self) {
        let window = std::mem::take(&mut self.kept);
        self.read(&window, true);
    }

    /// The next piece that is ready; `None`: it needs more, or the message is over.
    pub fn next_piece(&mut self) -> Option<Piece<S::What>> {
        self.pieces.pop_front()
    }

    /// How many bytes are kept back for now.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    fn read(&mut self, window: &Bytes, is_last: bool) {
        let view = View::of(window, self.place.escapes(), self.seek.alphabet());
        let (hits, open) = found(&*self.seek, &view, is_last);
        let mut from = 0;
        for hit in hits {
            let span = view.raw_at(hit.span.start)..view.raw_at(hit.span.end);
            self.plain(window.slice(from..span.start));
            self.pieces.push_back(Piece::Hit(hit.what));
            from = span.end;
        }
        let open = if is_last { window.len() } else { view.raw_at(open) };
        self.plain(window.slice(from..open));
        // A copy: a slice would keep the whole window in memory.
        self.kept = Bytes::copy_from_slice(&window[open..]);
    }

    fn plain(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.pieces.push_back(Piece::Plain(bytes));
        }
    }
}

/// All the hits of a whole message, in raw bytes.
pub fn hits<S: Seek>(seek: &S, place: Place, message: &[u8]) -> Vec<Hit<S::What>> {
    // As most headers are; no escape is shorter than what it stands for.
    if message.len() < seek.len_min() {
        return Vec::new();
    }
    let view = View::of(message, place.escapes(), seek.alphabet());
    let (mut hits, _) = found(seek, &view, true);
    for hit in &mut hits {
        hit.span = view.raw_at(hit.span.start)..view.raw_at(hit.span.end);
    }
    hits
}

/// The hits that nothing can change any more, and from where on something can. What lies between the last hit and a
/// place inside of it where, seen alone, another might have begun is kept back too, and judged with the next bytes.
fn found<S: Seek>(seek: &S, view: &View<'_>, is_last: bool) -> (Vec<Hit<S::What>>, usize) {
    let edge = if is_last { view.bytes().len() } else { seek.open(view, 0) };
    let (mut hits, mut from) = (Vec::new(), 0);
    while let Some(hit) = seek.find(view, from).filter(|hit| hit.span.start < edge) {
        from = hit.span.end;
        hits.push(hit);
    }
    (hits, edge.max(from))
}

fn joined(kept: &[u8], chunk: Bytes) -> Bytes {
    if kept.is_empty() {
        return chunk;
    }
    let mut window = BytesMut::with_capacity(kept.len() + chunk.len());
    window.extend_from_slice(kept);
    window.extend_from_slice(&chunk);
    window.freeze()
}
