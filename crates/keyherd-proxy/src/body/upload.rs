//! A request's body that can be sent again: it streams upstream, and what passed is kept while it is small.
//!
//! Owns what was kept, within its bounds. Never holds a body back to see whether it is small: a caller may wait for the
//! answer before it sends the rest.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::room::{Room, Taken};
use super::turn::Turn;
use super::{BodyError, Incoming};

/// What a part costs in memory beside its bytes: its handle, its count, and its place in the list.
const PART_COST: usize = 96;
/// Parts from which on the cost of parts counts against a request's bound.
const PARTS_LEAST: usize = 1_024;
/// A part below this length is copied out of the buffer that it was read into, in bytes.
const SMALL_LEN: usize = 4_096;

/// The body of one request, over all its tries.
pub(crate) struct Upload(Arc<Mutex<Source>>);

/// The body as one try sends it. Once there is another try, the older one ends in an error.
pub(crate) struct Copy {
    source: Arc<Mutex<Source>>,
    number: usize,
    /// How many of the kept parts it has sent.
    at: usize,
    has_sent_trailers: bool,
}

struct Source {
    body: Incoming,
    len: SizeHint,
    /// What passed, as long as all of it is here.
    kept: Option<Kept>,
    passed: u64,
    turn: Turn,
    trailers: Option<HeaderMap>,
    is_ended: bool,
    is_broken: bool,
    copies: usize,
}

struct Kept {
    parts: Vec<Bytes>,
    /// Of all of them, in bytes.
    len: usize,
    /// The same with what each part costs beside its bytes.
    taken: Taken,
    len_max: usize,
}

/// The other try goes on.
#[derive(Debug, thiserror::Error)]
#[error("the request is sent anew")]
struct Superseded;

impl Upload {
    /// A body of which at most so much is kept.
    pub(crate) fn new(body: Incoming, len_max: usize, room: &Room) -> Self {
        let len = body.size_hint();
        let is_small = usize::try_from(len.lower()).is_ok_and(|len| len <= len_max);
        let kept = is_small.then(|| Kept { parts: Vec::new(), len: 0, taken: room.none_yet(), len_max });
        Self(Arc::new(Mutex::new(Source {
            body,
            len,
            kept,
            passed: 0,
            turn: Turn::default(),
            trailers: None,
            is_ended: false,
            is_broken: false,
            copies: 0,
        })))
    }

    /// The body for another try. `None`: too much has passed.
    pub(crate) fn copy(&self) -> Option<Copy> {
        let mut source = lock(&self.0);
        if !source.may_go_again() {
            return None;
        }
        source.copies += 1;
        let number = source.copies;
        drop(source);
        Some(Copy { source: Arc::clone(&self.0), number, at: 0, has_sent_trailers: false })
    }

    /// Whether there can be another copy.
    pub(crate) fn may_go_again(&self) -> bool {
        lock(&self.0).may_go_again()
    }

    /// How much the caller has sent so far.
    pub(crate) fn passed(&self) -> u64 {
        lock(&self.0).passed
    }

    /// Whether all of it has come from the caller.
    pub(crate) fn is_ended(&self) -> bool {
        let source = lock(&self.0);
        source.is_ended || source.body.is_end_stream()
    }

    /// Whether the caller's own connection ended before the body did.
    pub(crate) fn is_broken(&self) -> bool {
        lock(&self.0).is_broken
    }
}

impl Copy {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut source = lock(&self.source);
        if source.copies != self.number {
            return Poll::Ready(Some(Err(Superseded.into())));
        }
        let next = source.kept.as_ref().and_then(|kept| kept.parts.get(self.at)).cloned();
        if let Some(part) = next {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        if !source.is_ended
            && let Some(outcome) = ready!(source.pull(cx))
        {
            self.at += 1;
            return Poll::Ready(Some(outcome.map(Frame::data)));
        }
        let trailers = source.trailers.clone().filter(|_| !self.has_sent_trailers);
        self.has_sent_trailers = true;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    pub(super) fn is_ended(&self) -> bool {
        let source = lock(&self.source);
        let has_parts = source.kept.as_ref().is_some_and(|kept| self.at < kept.parts.len());
        let is_ended = source.is_ended || source.body.is_end_stream();
        is_ended && !has_parts && (source.trailers.is_none() || self.has_sent_trailers)
    }

    pub(super) fn left(&self) -> SizeHint {
        let source = lock(&self.source);
        let sent: u64 = match &source.kept {
            Some(kept) => kept.parts.iter().take(self.at).map(|part| part.len() as u64).sum(),
            None => source.passed,
        };
        source
            .len
            .exact()
            .map_or_else(SizeHint::default, |len| SizeHint::with_exact(len.saturating_sub(sent)))
    }
}

impl Source {
    fn may_go_again(&self) -> bool {
        !self.is_broken && (self.kept.is_some() || self.passed == 0)
    }

    /// The next part of the body, which is kept if it may be. `None`: that was all.
    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            ready!(self.turn.poll(cx));
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => self.turn.passes(None),
                    Ok(data) => {
                        self.passed += data.len() as u64;
                        self.turn.passes(Some(&data));
                        self.keep(&data);
                        return Poll::Ready(Some(Ok(data)));
                    }
                    Err(other) => self.trailers = other.into_trailers().ok(),
                },
                Some(Err(error)) => {
                    self.is_broken = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.is_ended = true;
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn keep(&mut self, data: &Bytes) {
        if !self.kept.as_mut().is_some_and(|kept| kept.take(data)) {
            self.kept = None;
        }
    }
}

impl Kept {
    /// Keeps one more part. A small one is copied: it must not hold the buffer that it was read into. `false`: it is too
    /// much.
    fn take(&mut self, data: &Bytes) -> bool {
        let len = data.len() + PART_COST;
        let fits = self.len + data.len() <= self.len_max && self.taken.len() + len <= self.cost_max();
        if !fits || !self.taken.more(len) {
            return false;
        }
        self.len += data.len();
        self.parts.push(if data.len() < SMALL_LEN { Bytes::copy_from_slice(data) } else { data.clone() });
        true
    }

    /// What all parts may take in memory: many small ones are not kept.
    fn cost_max(&self) -> usize {
        self.len_max + PARTS_LEAST * PART_COST
    }
}

fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
