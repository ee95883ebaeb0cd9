//! The audit log and the outbox.

use std::sync::Arc;

use super::Testbed;
use super::fixtures::{at, claim, create, granting, name, note, oauth, settle, silent, told, written};
use crate::audit::Note;
use crate::credential::Cooldown;
use crate::ports::Store;
use crate::ports::store::{Change, Verified};

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

/// So many that a store may write them by statements of several entries each, and a rest.
pub async fn many_entries_at_once_are_one_after_the_other(bed: &dyn Testbed) {
    const MANY: u64 = 75;
    let process = bed.open().await;
    let numbered = |number: u64| Note { subject: number.to_string(), ..note("written") };
    process.store.append(note("before")).await.expect("append");
    let notes: Vec<_> = (1..=MANY).map(numbered).collect();
    process.store.append_all(&notes).await.expect("append");
    process.store.append_all(&[]).await.expect("append nothing");
    let entries = log(&*process.store).await;
    let subjects: Vec<_> = entries.iter().skip(1).map(|entry| entry.subject.clone()).collect();
    assert_eq!(subjects, (1..=MANY).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(process.store.verify().await, Ok(Verified { entries: MANY + 1, broken: None }));
}

pub async fn a_note_stands_for_itself(bed: &dyn Testbed) {
    let process = bed.open().await;
    process.store.append(note("refused")).await.expect("append");
    assert_eq!(written(&*process.store).await, (1, 0));
}
