//! The audit log and the outbox.

use std::sync::Arc;
use std::time::Duration;

use super::fixtures::{at, claim, create, granting, name, note, oauth, settle, silent, told, written};
use super::{Process, Testbed};
use crate::audit::{AUDIT_TRIM, Line, Sheaf};
use crate::credential::Cooldown;
use crate::ports::Store;
use crate::ports::store::{Change, Trimmed, Verified};
use crate::time::Timestamp;

/// All of the log, read in small steps.
async fn log(store: &dyn Store) -> Vec<crate::audit::Entry> {
    let mut all: Vec<crate::audit::Entry> = Vec::new();
    loop {
        let after = all.last().map_or(0, |entry| entry.seq);
        let page = store.entries(after, 3).await.expect("entries");
        assert!(page.len() <= 3);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

pub async fn every_change_is_entered_once(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    let made = create(store, oauth("acme-1", "r1")).await;
    let claimed = claim(&process, &made.chain).await;
    settle(store, granting(&claimed, "r2")).await;
    let rest = Cooldown::whole(at(9_000), "manual");
    store.cool(made.credential.id, &rest, told("cool", made.chain.id)).await.expect("cool");
    let off = Change { disabled: Some(true), ..Change::default() };
    store.amend(&name("acme-1"), off, silent("amend")).await.expect("amend");
    store.reconnect(oauth("acme-1", "s1"), silent("reconnect")).await.expect("reconnect");
    store.remove(made.credential.id, None, silent("remove")).await.expect("remove");
    let entries = log(store).await;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["create", "claim", "settle", "cool", "amend", "reconnect", "remove"]);
    for (place, entry) in (1..).zip(&entries) {
        assert_eq!((entry.chain, entry.place), (entries[0].chain, place), "one process, one thing at a time");
        assert_eq!((entry.actor.as_str(), entry.subject.as_str()), ("suite", "subject"));
        assert_eq!(entry.detail, "{\"n\":1}");
        assert!(entry.at <= bed.now());
    }
    assert_eq!(store.verify().await, Ok(Verified { entries: 7, broken: None }));
}

pub async fn what_did_not_happen_is_not_told(bed: &dyn Testbed) {
    let process = bed.open().await;
    let made = create(&*process.store, oauth("acme-1", "r1")).await;
    let events = process.store.events(0, 100).await.expect("events");
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind.as_str(), events[0].chain), ("create", Some(made.chain.id)));
    assert_eq!((events[0].subject.as_str(), events[0].detail.as_str()), ("subject", "{\"n\":2}"));
    claim(&process, &made.chain).await;
    assert_eq!(process.store.last_event().await, Ok(events[0].seq), "a silent change tells nobody");
}

pub async fn events_come_in_order(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    assert_eq!(one.store.last_event().await, Ok(0));
    let tries = (0..20).map(|n| {
        let store = Arc::clone(if n % 2 == 0 { &one.store } else { &two.store });
        tokio::spawn(async move { create(&*store, oauth(&format!("acme-{n}"), &format!("r{n}"))).await })
    });
    for attempt in tries.collect::<Vec<_>>() {
        attempt.await.expect("made");
    }
    let mut seen = Vec::new();
    loop {
        let after = seen.last().copied().unwrap_or(0);
        let page = one.store.events(after, 7).await.expect("events");
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|event| event.seq));
    }
    assert_eq!(seen.len(), 20);
    assert!(seen.is_sorted_by(|a, b| a < b));
    assert_eq!(two.store.last_event().await, Ok(*seen.last().expect("twenty")));
}

pub async fn entries_come_in_order(bed: &dyn Testbed) {
    let process = bed.open().await;
    for action in ["one", "two", "three", "four", "five"] {
        process.store.append(note(action)).await.expect("append");
    }
    let actions = |entries: &[crate::audit::Entry]| -> Vec<String> {
        entries.iter().map(|entry| entry.action.clone()).collect()
    };
    assert_eq!(actions(&log(&*process.store).await), ["one", "two", "three", "four", "five"]);
    assert_eq!(actions(&process.store.tail(2).await.expect("tail")), ["four", "five"]);
    assert_eq!(process.store.tail(100).await.expect("tail").len(), 5);
}

pub async fn many_writers_keep_their_chains(bed: &dyn Testbed) {
    let processes = [bed.open().await, bed.open().await, bed.open().await];
    let tries = (0..60).map(|n| {
        let store = Arc::clone(&processes[n % 3].store);
        tokio::spawn(async move { store.append(note("written")).await })
    });
    for attempt in tries.collect::<Vec<_>>() {
        attempt.await.expect("no panic").expect("append");
    }
    let entries = log(&*processes[0].store).await;
    // A process has one chain, or one for each of its connections.
    let chains: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry.chain).collect();
    assert!(chains.len() >= processes.len() && entries.len() == 60);
    for chain in chains {
        let places: Vec<_> =
            entries.iter().filter(|entry| entry.chain == chain).map(|entry| entry.place).collect();
        assert_eq!(places, (1..=places.len() as u64).collect::<Vec<_>>());
    }
    assert_eq!(processes[1].store.verify().await, Ok(Verified { entries: 60, broken: None }));
}

/// When the line of that number came: before it is written.
fn came_at(number: u64) -> Timestamp {
    Timestamp::from_millis(1_000) + Duration::from_millis(number)
}

/// Lines with these numbers for subjects.
fn lines(numbers: impl IntoIterator<Item = u64>) -> Sheaf {
    let mut sheaf = Sheaf::default();
    for number in numbers {
        let (subject, detail) = (number.to_string(), format!("{{\"number\":{number}}}"));
        let (subject, detail) = (&*subject, &*detail);
        sheaf.push(came_at(number), Line { action: "written", actor: "agent:\u{e9}\"", subject, detail });
    }
    sheaf
}

/// Lines that a store may bind into one entry, and fewer, between entries of others.
async fn write_lines(bed: &dyn Testbed) -> (Process, u64) {
    let (process, other) = (bed.open().await, bed.open().await);
    let (many, few) = (Sheaf::LINES_MAX as u64, Sheaf::LINES_MIN as u64);
    let firsts = [many, many + 1, many + 2, many + 1 + few, many + 2 * few, 2 * many + 2 * few];
    let mut next = 1;
    for last in firsts {
        let of_two = [lines(next..next), lines(next..=last)];
        process.store.append_lines(&of_two).await.expect("append");
        other.store.append(note("between")).await.expect("append");
        next = last + 1;
    }
    let rest = [lines(next..next + many), lines(next + many..next + 2 * many), lines([next + 2 * many])];
    process.store.append_lines(&rest).await.expect("append");
    process.store.append_lines(&[]).await.expect("append nothing");
    (process, next + 2 * many)
}

pub async fn many_lines_at_once_are_one_after_the_other(bed: &dyn Testbed) {
    let (process, last) = write_lines(bed).await;
    let entries = log(&*process.store).await;
    assert!(entries.is_sorted_by(|one, two| one.seq < two.seq));
    let lines: Vec<_> = entries.iter().filter(|entry| entry.action == "written").collect();
    for (number, line) in (1..=last).zip(&lines) {
        assert_eq!((line.subject.as_str(), line.actor.as_str()), (&*number.to_string(), "agent:\u{e9}\""));
        assert_eq!(line.detail, format!("{{\"number\":{number}}}"));
        assert_eq!(line.at, came_at(number));
    }
    assert_eq!((lines.len() as u64, entries.len() as u64), (last, last + 6));
    assert_eq!(process.store.verify().await, Ok(Verified { entries: last + 6, broken: None }));
}

pub async fn lines_are_read_from_any_one_of_them_on(bed: &dyn Testbed) {
    let (process, last) = write_lines(bed).await;
    let all = process.store.entries(0, usize::MAX).await.expect("entries");
    assert_eq!(all.len() as u64, last + 6);
    for (index, entry) in all.iter().enumerate() {
        let rest = &all[index + 1..];
        for limit in [0, 1, 5, 100, 1_000] {
            let page = process.store.entries(entry.seq, limit).await.expect("entries");
            assert_eq!(page, rest[..limit.min(rest.len())], "after {index}, {limit}");
        }
        let tail = process.store.tail(index + 1).await.expect("tail");
        assert_eq!(tail, all[all.len() - index - 1..], "the last {index}");
    }
    assert_eq!(process.store.tail(usize::MAX).await.expect("tail"), all);
    assert_eq!(process.store.tail(0).await.expect("tail"), []);
}

pub async fn a_note_stands_for_itself(bed: &dyn Testbed) {
    let process = bed.open().await;
    process.store.append(note("refused")).await.expect("append");
    assert_eq!(written(&*process.store).await, (1, 0));
}

/// Longer than entries are kept.
const OUTLIVED: Duration = Duration::from_secs(100 * 24 * 3_600);

pub async fn the_oldest_entries_go_and_the_rest_is_sound(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    for _ in 0..3 {
        one.store.append(note("one")).await.expect("append");
        two.store.append(note("two")).await.expect("append");
    }
    let store = &*two.store;
    let before = log(store).await;
    assert_eq!(store.trim(bed.now()).await, Ok(Trimmed::default()), "nothing is old");
    assert_eq!(log(store).await, before);
    assert_eq!(store.trim(bed.now() + OUTLIVED).await, Ok(Trimmed { rows: 5, has_more: false }));
    let after = log(store).await;
    assert_eq!(after[0], before[5], "the newest one stays as it is");
    assert_eq!((after.len(), after[1].action.as_str()), (2, AUDIT_TRIM));
    assert_eq!(after[1].detail, format!("{{\"entries\":5,\"through\":{}}}", before[4].seq));
    assert_eq!(one.store.verify().await, Ok(Verified { entries: 2, broken: None }));
    // One chain was cut whole, and goes on.
    for _ in 0..2 {
        one.store.append(note("one")).await.expect("append");
        two.store.append(note("two")).await.expect("append");
    }
    assert_eq!(store.verify().await, Ok(Verified { entries: 6, broken: None }));
    assert_eq!(store.tail(100).await.expect("tail").len(), 6);
    assert_eq!(one.store.trim(bed.now() + OUTLIVED).await, Ok(Trimmed { rows: 5, has_more: false }));
    let fresh = bed.open().await;
    fresh.store.append(note("fresh")).await.expect("append");
    assert_eq!(fresh.store.verify().await, Ok(Verified { entries: 3, broken: None }));
    let seqs: Vec<_> = log(store).await.iter().map(|entry| entry.seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b) && seqs[0] > after[1].seq, "{seqs:?}");
}

pub async fn lines_are_trimmed_like_entries(bed: &dyn Testbed) {
    let (process, _) = write_lines(bed).await;
    let store = &*process.store;
    let before = log(store).await;
    store.trim(bed.now() + OUTLIVED).await.expect("trim");
    let after = log(store).await;
    assert_eq!(after[0], before[before.len() - 1], "the newest one stays as it is");
    let (gone, through) = (before.len() - 1, before[before.len() - 2].seq);
    assert_eq!((after.len(), after[1].action.as_str()), (2, AUDIT_TRIM));
    assert_eq!(after[1].detail, format!("{{\"entries\":{gone},\"through\":{through}}}"));
    assert_eq!(store.verify().await, Ok(Verified { entries: 2, broken: None }));
}

pub async fn a_log_is_sound_while_it_is_trimmed_and_written(bed: &dyn Testbed) {
    let processes = [bed.open().await, bed.open().await, bed.open().await];
    let later = bed.now() + OUTLIVED;
    let tries = (0..60).map(|n| {
        let store = Arc::clone(&processes[n % 3].store);
        tokio::spawn(async move {
            match n % 6 {
                4 => {
                    store.trim(later).await.expect("trim");
                }
                5 => assert_eq!(store.verify().await.expect("verify").broken, None),
                _ => store.append(note("written")).await.expect("append"),
            }
        })
    });
    for attempt in tries.collect::<Vec<_>>() {
        attempt.await.expect("no panic");
    }
    assert_eq!(processes[0].store.verify().await.expect("verify").broken, None);
    let entries = log(&*processes[0].store).await;
    let trims = entries.iter().filter(|entry| entry.action == AUDIT_TRIM).count();
    assert!((1..=entries.len()).contains(&trims), "{trims} of {}", entries.len());
}
