//! Where the watch is in the outbox, and which numbers below that may still appear.
//!
//! Where numbers follow one another a gap means that something is gone; where commits do not end in the order of their
//! numbers it is a hole, which is waited for: not for ever, and not for more than a bounded number of them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ports::store::StoredEvent;

/// Where events may come late, the watch begins so many numbers back: what is missing there may be one of them.
const LOOK_BACK: i64 = 256;

/// What was read and what is missing.
pub(super) struct Cursor {
    /// The highest number that was seen.
    top: i64,
    /// Numbers below it that were not seen, and since when on the clock that counts suspend.
    holes: BTreeMap<i64, Duration>,
    /// How long a hole may be filled; `None`: there are none.
    late: Option<Duration>,
    holes_max: usize,
    /// Numbers up to this one happened before the watch began: only what is missing among them is of interest.
    old: i64,
}

/// What a reading brought.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Events that were not seen before.
    pub(super) news: Vec<StoredEvent>,
    /// Something will never be told: nothing in memory can be trusted.
    pub(super) is_broken: bool,
}

impl Cursor {
    /// Begins at `last`, the highest number there is.
    pub(super) fn new(last: i64, late: Option<Duration>, holes_max: usize) -> Self {
        let top = if late.is_some() { (last - LOOK_BACK).max(0) } else { last };
        Self { top, holes: BTreeMap::new(), late, holes_max, old: last }
    }

    /// Where to read on: right before the lowest number that is missing.
    pub(super) fn after(&self) -> i64 {
        self.holes.keys().next().map_or(self.top, |lowest| lowest - 1)
    }

    pub(super) fn top(&self) -> i64 {
        self.top
    }

    /// Takes what was read after [`Cursor::after`], in order.
    pub(super) fn take(&mut self, events: Vec<StoredEvent>, now: Duration) -> Found {
        let mut found = Found::default();
        for event in events {
            let was_missing = self.holes.remove(&event.seq).is_some();
            let is_next = event.seq > self.top;
            if is_next {
                found.is_broken |= !self.skip(event.seq, now);
                self.top = event.seq;
            }
            if was_missing || (is_next && event.seq > self.old) {
                found.news.push(event);
            }
        }
        found.is_broken |= self.give_up(now);
        found
    }

    /// Notes what is missing before `seq`. `false`: it is too much, or nothing can be missing here.
    fn skip(&mut self, seq: i64, now: Duration) -> bool {
        let missing = self.top + 1..seq;
        if missing.is_empty() {
            return true;
        }
        let count = usize::try_from(missing.end - missing.start).unwrap_or(usize::MAX);
        if self.late.is_none() || count > self.holes_max.saturating_sub(self.holes.len()) {
            self.holes.clear();
            return false;
        }
        self.holes.extend(missing.map(|seq| (seq, now)));
        true
    }

    /// Gives up what has been missing for too long. `true`: there was such.
    fn give_up(&mut self, now: Duration) -> bool {
        let Some(late) = self.late else { return false };
        let before = self.holes.len();
        self.holes.retain(|_, since| now < *since + late);
        self.holes.len() < before
    }
}

#[cfg(test)]
mod tests;
