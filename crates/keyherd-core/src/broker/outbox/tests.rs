//! Numbers out of order, as a table of readings.

use std::time::Duration;

use super::{Cursor, Found};
use crate::ports::store::StoredEvent;
use crate::time::Timestamp;

const LATE: Option<Duration> = Some(Duration::from_secs(10));

fn event(seq: i64) -> StoredEvent {
    StoredEvent {
        seq,
        at: Timestamp::from_millis(0),
        kind: "released".into(),
        chain: None,
        subject: String::new(),
        detail: "{}".into(),
    }
}

/// Takes what a store with these numbers would give now, and says what was news and whether trust is broken.
#[track_caller]
fn check(cursor: &mut Cursor, stored: &[i64], second: u64, news: &[i64], is_broken: bool) {
    let after = cursor.after();
    let read = stored.iter().filter(|seq| **seq > after).map(|seq| event(*seq)).collect();
    let Found { news: got, is_broken: broken } = cursor.take(read, Duration::from_secs(second));
    let got: Vec<i64> = got.iter().map(|event| event.seq).collect();
    assert_eq!((got.as_slice(), broken), (news, is_broken));
}

#[test]
fn a_gap_breaks_trust_where_numbers_follow_one_another() {
    let mut cursor = Cursor::new(5, None, 8);
    check(&mut cursor, &[5, 6, 7], 0, &[6, 7], false);
    check(&mut cursor, &[6, 7, 9], 1, &[9], true);
    check(&mut cursor, &[7, 8, 9, 10], 2, &[10], false);
}

#[test]
fn a_latecomer_is_news_once() {
    let mut cursor = Cursor::new(0, LATE, 8);
    check(&mut cursor, &[1, 3], 0, &[1, 3], false);
    assert_eq!(cursor.after(), 1);
    check(&mut cursor, &[1, 3, 4], 1, &[4], false);
    check(&mut cursor, &[1, 2, 3, 4, 5], 2, &[2, 5], false);
    assert_eq!(cursor.after(), 5);
    check(&mut cursor, &[1, 2, 3, 4, 5], 30, &[], false);
}

#[test]
fn a_hole_that_stays_is_given_up_and_breaks_trust_once() {
    let mut cursor = Cursor::new(0, LATE, 8);
    check(&mut cursor, &[1, 3], 0, &[1, 3], false);
    check(&mut cursor, &[1, 3], 9, &[], false);
    check(&mut cursor, &[1, 3], 10, &[], true);
    check(&mut cursor, &[1, 3, 4], 11, &[4], false);
    assert_eq!(cursor.after(), 4);
}

#[test]
fn too_many_holes_break_trust_at_once_and_are_not_waited_for() {
    let mut cursor = Cursor::new(0, LATE, 3);
    check(&mut cursor, &[1, 4], 0, &[1, 4], false);
    check(&mut cursor, &[1, 4, 7], 1, &[7], true);
    assert_eq!(cursor.after(), 7);
    check(&mut cursor, &[1, 4, 7, 8], 20, &[8], false);
}

#[test]
fn what_was_missing_when_the_watch_began_is_news_when_it_comes() {
    let mut cursor = Cursor::new(300, LATE, 1_000);
    let mut stored: Vec<i64> = (1..=300).filter(|seq| *seq != 298).collect();
    check(&mut cursor, &stored, 0, &[], false);
    stored.push(298);
    stored.sort_unstable();
    check(&mut cursor, &stored, 1, &[298], false);
}
