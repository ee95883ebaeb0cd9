//! Looking on while a stream of events passes: an error that comes later is told, and passes all the same.
//!
//! Owns the cutting of a stream into events, within a bound. Never holds anything back.

use keyherd_core::broker::Judge;
use keyherd_core::provider::Body;
use keyherd_core::upstream::{Answer, Evidence, FIRST_EVENT_LEN_MAX, Headers};
use memchr::memchr;
use memchr::memmem;

use crate::body::Watch;

/// What matters of the head of a stream by the time that an event comes.
struct OfEvents;

impl Headers for OfEvents {
    fn value(&self, name: &str) -> Option<&str> {
        (name == "content-type").then_some("text/event-stream")
    }
}

/// Sees the events of one answer, and tells once. Streams are many, and most say nothing most of the time: it is small.
pub(crate) struct EventWatch<T> {
    judge: Judge,
    event: Vec<u8>,
    /// Nothing stands in the line so far.
    is_blank: bool,
    /// This event is longer than what is looked into.
    is_long: bool,
    tell: T,
}

impl<T: FnMut(Evidence) + Send> EventWatch<T> {
    /// Tells of a used-up limit that an event speaks of.
    pub(crate) fn new(judge: Judge, tell: T) -> Self {
        Self { judge, event: Vec::new(), is_blank: true, is_long: false, tell }
    }

    fn push(&mut self, piece: &[u8]) {
        self.is_blank &= piece.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        self.is_long |= self.event.len() + piece.len() > FIRST_EVENT_LEN_MAX;
        if !self.is_long {
            self.event.extend_from_slice(piece);
        }
    }

    /// A line has ended; an empty one ends the event. Whether a limit was told of.
    fn end_line(&mut self) -> bool {
        if !std::mem::replace(&mut self.is_blank, true) {
            return false;
        }
        let event = std::mem::take(&mut self.event);
        let is_long = std::mem::take(&mut self.is_long);
        let has_told = !is_long && self.inspect(&event);
        // Its room is used again.
        self.event = event;
        self.event.clear();
        has_told
    }

    fn inspect(&mut self, event: &[u8]) -> bool {
        if !self.judge.words().any(|word| memmem::find(event, word.as_bytes()).is_some()) {
            return false;
        }
        let body = Body::from(event.to_vec());
        let evidence = self.judge.judge(&Answer { status: 200, headers: &OfEvents, body: &body });
        let is_limit = matches!(evidence, Evidence::RateLimit { .. });
        if is_limit {
            (self.tell)(evidence);
        }
        is_limit
    }
}

impl<T: FnMut(Evidence) + Send> Watch for EventWatch<T> {
    fn see(&mut self, mut bytes: &[u8]) -> bool {
        while let Some(at) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(at + 1);
            self.push(line);
            if self.end_line() {
                return false;
            }
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.push(bytes);
        }
        true
    }
}
