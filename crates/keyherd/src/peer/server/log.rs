//! The audit log's end through a server: farther back than one answer reaches, page by page.

use keyherd_api::documents::AuditView;
use keyherd_core::broker::PAGE_MAX;

/// The last so many entries, as far as they are there.
pub(super) struct Tail {
    count: usize,
    found: usize,
    /// The oldest number that was looked at.
    before: i64,
    /// The log's first number.
    first: i64,
    /// The newest part first, each oldest first.
    parts: Vec<Vec<AuditView>>,
}

impl Tail {
    /// Begins with what stands at the log's end.
    pub(super) fn new(count: usize, newest: Vec<AuditView>) -> Self {
        let before = newest.first().map_or(1, |first| first.seq);
        Self { count, found: newest.len(), before, first: 1, parts: vec![newest] }
    }

    /// A log that was trimmed begins at a higher number than 1.
    pub(super) fn begins_at(&mut self, first: i64) {
        self.first = first;
    }

    /// After which number to read on, and at most how many; `None`: all is there. Numbers may be missing.
    pub(super) fn wants(&self) -> Option<(i64, usize)> {
        let limit = self.count.saturating_sub(self.found).min(PAGE_MAX);
        let after = self.before.saturating_sub_unsigned(limit as u64 + 1).max(0);
        (limit > 0 && self.before > self.first).then_some((after, limit))
    }

    /// Takes what was read after that number.
    pub(super) fn take(&mut self, after: i64, mut part: Vec<AuditView>) {
        part.retain(|entry| entry.seq < self.before);
        self.before = after + 1;
        self.found += part.len();
        self.parts.push(part);
    }

    /// All of them, oldest first.
    pub(super) fn entries(self) -> Vec<AuditView> {
        self.parts.into_iter().rev().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use keyherd_api::documents::Moment;
    use keyherd_core::time::Timestamp;
    use serde_json::Value;

    use super::*;

    fn entry(seq: i64) -> AuditView {
        AuditView {
            seq,
            at: Moment::from(Timestamp::from_millis(0)),
            action: "refresh".into(),
            actor: "cli".into(),
            subject: "acme".into(),
            detail: Value::Null,
            chain: String::new(),
            place: 1,
            hash: String::new(),
        }
    }

    /// A log in which every seventh number is missing, and all up to `floor`.
    fn check(floor: i64, log: i64, count: usize, newest: usize) {
        let all: Vec<_> = (floor + 1..=floor + log).filter(|seq| seq % 7 != 0).map(entry).collect();
        let end = |count: usize| all[all.len().saturating_sub(count)..].to_vec();
        let mut tail = Tail::new(count, end(count.min(newest)));
        tail.begins_at(all.first().map_or(1, |first| first.seq));
        let mut pages = 0..=log;
        while let Some((after, limit)) = tail.wants() {
            assert!(pages.next().is_some(), "{floor} {log} {count} {newest}");
            tail.take(after, all.iter().filter(|entry| entry.seq > after).take(limit).cloned().collect());
        }
        assert_eq!(tail.entries(), end(count), "{floor} {log} {count} {newest}");
    }

    #[test]
    fn no_entry_is_left_out_and_none_comes_twice() {
        for log in [0, 1, 6, 7, 8, 50, 3_000, 12_000] {
            for (count, newest) in [(1, 1), (5, 10), (10, 3), (2_500, 10), (100_000, 100)] {
                check(0, log, count, newest);
                check(1_000_000_000, log, count, newest);
            }
        }
    }
}
