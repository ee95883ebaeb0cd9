//! Where a log begins whose oldest entries were cut: the last entries that went, sealed; and which entries go.
//!
//! Owns what is recorded of a cut, and how long entries are kept. Never takes an entry away: that is the store's, in one
//! transaction with the record.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::json;

use super::{Actor, Broken, ChainKey, Entry, Link, Note, Verifier};
use crate::ids::OwnerId;
use crate::time::Timestamp;

/// What a cut leaves in the log.
pub const AUDIT_TRIM: &str = "audit.trim";

/// Who has to make room makes some more, this share of its bound: entries do not go one by one, each with a record.
const SLACK: u32 = 32;

/// Where one chain begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// Its last entry that was cut.
    pub end: Link,
    /// Whether its first entry said that it sees others: its recorded end is sealed then.
    pub sees: bool,
    /// See [`ChainKey::floor`].
    pub seal: [u8; 32],
}

/// Where the log itself begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFloor {
    /// The number through which it was cut.
    pub seq: i64,
    /// See [`ChainKey::log_floor`].
    pub seal: [u8; 32],
}

/// All that is recorded of what was cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Floors {
    /// None where nothing ever was.
    pub log: Option<LogFloor>,
    /// Chains without an entry here were never cut.
    pub chains: HashMap<OwnerId, Floor>,
}

/// The log's oldest entries, as they may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Those that are new: of the log, and of the chains that entries go from.
    pub floors: Floors,
    /// How many go, each line by itself.
    pub entries: u64,
    /// The last one's number.
    pub through: i64,
}

/// How long entries are kept. `None`: for ever, as far as that bound goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How old an entry may become.
    pub keep: Option<Duration>,
    /// How many there may be, by their numbers: those that were drawn and not used count too.
    pub entries_max: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: Some(Duration::from_secs(90 * 24 * 3_600)), entries_max: Some(10_000_000) }
    }
}

impl ChainKey {
    /// A chain's floor: who has no key cannot make one, and another chain's is none.
    pub fn floor(&self, chain: OwnerId, end: Link, sees: bool) -> Floor {
        let place = end.place.to_be_bytes();
        let text = [&chain.as_i64().to_be_bytes()[..], &place, &end.hash, &[u8::from(sees)]].concat();
        Floor { end, sees, seal: self.sealed(b"audit floor", &text) }
    }

    /// The log's floor.
    pub fn log_floor(&self, seq: i64) -> LogFloor {
        LogFloor { seq, seal: self.sealed(b"audit log floor", &seq.to_be_bytes()) }
    }
}

impl Floors {
    /// The number through which the log was cut; 0 where it was not.
    pub fn seq(&self) -> i64 {
        self.log.map_or(0, |log| log.seq)
    }

    /// Checks that a program of ours has recorded them. No chain is cut without the log.
    pub fn check(&self, key: &ChainKey) -> Result<(), Broken> {
        let is_ours = |(chain, floor): (&OwnerId, &Floor)| key.floor(*chain, floor.end, floor.sees) == *floor;
        let is_log_ours = match self.log {
            Some(log) => key.log_floor(log.seq) == log,
            None => self.chains.is_empty(),
        };
        if is_log_ours && self.chains.iter().all(is_ours) {
            return Ok(());
        }
        Err(Broken::Floor { seq: self.seq() })
    }

    /// The cut of the log's next entries, which are all that it has up to the last one of them. What is not sound is not
    /// cut: its record would say that it was.
    pub fn cut(&self, key: &ChainKey, entries: &[Entry]) -> Result<Cut, Broken> {
        let mut verifier = Verifier::new(key.clone(), self)?;
        entries.iter().try_for_each(|entry| verifier.take(entry))?;
        let touched: HashSet<_> = entries.iter().map(|entry| entry.chain).collect();
        let raised = touched.into_iter().map(|chain| {
            let (end, sees) = verifier.reached(chain);
            (chain, key.floor(chain, end, sees))
        });
        let through = entries.last().map_or(0, |last| last.seq);
        let log = Some(key.log_floor(through.max(self.seq())));
        let floors = Floors { log, chains: raised.collect() };
        Ok(Cut { floors, entries: entries.iter().map(Entry::count).sum(), through })
    }

    /// As a cut leaves them.
    pub fn raise(&mut self, cut: Floors) {
        self.log = cut.log;
        self.chains.extend(cut.chains);
    }
}

impl Cut {
    /// What the log is told of it.
    pub fn note(&self) -> Note {
        Note {
            action: AUDIT_TRIM,
            actor: Actor::new("keyherd"),
            subject: "audit".into(),
            detail: json!({"entries": self.entries, "through": self.through}),
        }
    }
}

impl Retention {
    /// How many of the oldest entries go, given by number and time, in the log's order: only what nothing younger comes
    /// before. The newest one, `last`, stays.
    pub fn outlived(
        &self,
        oldest: impl IntoIterator<Item = (i64, Timestamp)>,
        last: i64,
        now: Timestamp,
    ) -> usize {
        let mut oldest = oldest.into_iter().take_while(|(seq, _)| *seq < last).peekable();
        let has_to = Bounds { first: self.first(last, 0), since: self.since(now, 0) };
        if oldest.peek().is_none_or(|entry| !has_to.is_beyond(*entry)) {
            return 0;
        }
        let may = Bounds { first: self.first(last, SLACK), since: self.since(now, SLACK) };
        oldest.take_while(|entry| may.is_beyond(*entry)).count()
    }

    /// The last number that goes. With room to make, there is some for the cut's own entry too.
    fn first(&self, last: i64, slack: u32) -> Option<i64> {
        let max = i64::try_from(self.entries_max?).unwrap_or(i64::MAX);
        let room = if slack == 0 { 0 } else { max / i64::from(slack) + 1 };
        Some(last.saturating_sub(max).saturating_add(room))
    }

    /// The time before which entries go.
    fn since(&self, now: Timestamp, slack: u32) -> Option<Timestamp> {
        let keep = self.keep?;
        Some(now - (keep - keep.checked_div(slack).unwrap_or_default()))
    }
}

/// What goes by number, and by age.
struct Bounds {
    first: Option<i64>,
    since: Option<Timestamp>,
}

impl Bounds {
    fn is_beyond(&self, (seq, at): (i64, Timestamp)) -> bool {
        self.first.is_some_and(|first| seq <= first) || self.since.is_some_and(|since| at < since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    #[track_caller]
    fn check(keep_days: Option<u32>, entries_max: Option<u64>, ages_days: &[u32], expected: usize) {
        let now = Timestamp::from_millis(0) + 1_000 * DAY;
        let retention = Retention { keep: keep_days.map(|days| days * DAY), entries_max };
        let entries = (1..).zip(ages_days).map(|(seq, days)| (seq, now - *days * DAY));
        let last = i64::try_from(ages_days.len()).unwrap();
        assert_eq!(retention.outlived(entries, last, now), expected);
    }

    #[test]
    fn entries_go_by_age_and_by_number() {
        check(None, None, &[900, 800, 700], 0);
        check(Some(90), None, &[], 0);
        check(Some(90), None, &[90, 80, 70], 0);
        check(Some(90), None, &[91, 92, 70, 1], 2);
        // The newest one stays.
        check(Some(90), None, &[93, 92, 91], 2);
        // A younger one before it keeps an older one.
        check(Some(90), None, &[91, 1, 91, 0], 1);
        check(Some(90), None, &[1, 91, 91, 0], 0);
        // Those that would have to go soon go along: a 32nd part of 96 days is three.
        check(Some(96), None, &[97, 96, 94, 93, 92, 0], 3);
        check(Some(96), None, &[96, 94, 94, 0], 0);
        // Room for the entry that tells of it.
        check(None, Some(4), &[0; 4], 0);
        check(None, Some(4), &[0; 5], 2);
        check(None, Some(64), &[0; 65], 4);
        check(Some(90), Some(4), &[91, 0, 0], 1);
    }

    #[test]
    fn a_floor_is_its_chains_and_nobody_elses() {
        let key = ChainKey::new([1; 32]);
        let (one, two) = (OwnerId::from_i64(1), OwnerId::from_i64(2));
        let floor = key.floor(one, Link { place: 3, hash: [3; 32] }, true);
        let check = |change: &dyn Fn(&mut Floors), is_ours: bool| {
            let mut floors = Floors { log: Some(key.log_floor(7)), chains: HashMap::from([(one, floor)]) };
            change(&mut floors);
            let expected = if is_ours { Ok(()) } else { Err(Broken::Floor { seq: floors.seq() }) };
            assert_eq!(floors.check(&key), expected, "{floors:?}");
        };
        check(&|_| {}, true);
        check(&|floors| floors.chains = HashMap::new(), true);
        check(&|floors| *floors = Floors::default(), true);
        check(&|floors| floors.log = None, false);
        check(&|floors| floors.log = Some(LogFloor { seq: 8, ..key.log_floor(7) }), false);
        check(&|floors| floors.chains = HashMap::from([(two, floor)]), false);
        let higher = Link { place: 4, ..floor.end };
        check(&|floors| floors.chains = HashMap::from([(one, Floor { end: higher, ..floor })]), false);
        check(&|floors| floors.chains = HashMap::from([(one, Floor { sees: false, ..floor })]), false);
        let head = key.seal(one, &floor.end);
        check(&|floors| floors.chains = HashMap::from([(one, Floor { seal: head, ..floor })]), false);
    }
}
