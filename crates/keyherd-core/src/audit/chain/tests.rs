//! Damage of every kind to small logs, whole ones and such that were cut.

use super::*;
use crate::audit::Anchors;
use crate::time::Timestamp;

type Ends = HashMap<OwnerId, Link>;

/// Two chains in turns; each entry but the first has seen the other chain's end.
fn log(key: &ChainKey) -> (Vec<Entry>, Ends) {
    let mut ends = Ends::new();
    let entries = (1..=6)
        .map(|seq| {
            let chain = OwnerId::from_i64(seq % 2);
            let others = ends.iter().filter(|(other, _)| **other != chain);
            let anchors = Anchors::new(others.map(|(other, end)| Anchor::new(*other, end)));
            let end = ends.entry(chain).or_default();
            let mut entry = Entry {
                seq,
                chain,
                place: end.place + 1,
                at: Timestamp::from_millis(seq),
                action: "refresh".into(),
                actor: "cli".into(),
                subject: "acme".into(),
                detail: "{}".into(),
                anchors: Some(anchors),
                hash: [0; 32],
            };
            entry.hash = key.hash(&end.hash, &entry);
            *end = Link { place: entry.place, hash: entry.hash };
            entry
        })
        .collect();
    (entries, ends)
}

fn unfloored(key: &ChainKey) -> Verifier {
    Verifier::new(key.clone(), &Floors::default()).expect("nothing was cut")
}

fn sealed(key: &ChainKey, chain: OwnerId, end: Link) -> (OwnerId, Head) {
    (chain, Head { end, seal: Some(key.seal(chain, &end)) })
}

#[track_caller]
fn check(damage: impl FnOnce(&mut Vec<Entry>, &mut Ends), expected: &Result<(), Broken>) {
    let key = ChainKey::new([1; 32]);
    let (mut entries, mut ends) = log(&key);
    damage(&mut entries, &mut ends);
    let mut verifier = unfloored(&key);
    let heads: Vec<_> = ends.into_iter().map(|(chain, end)| sealed(&key, chain, end)).collect();
    let got = entries.iter().try_for_each(|entry| verifier.take(entry)).and_then(|()| verifier.finish(heads));
    assert_eq!(&got, expected);
}

#[test]
fn damage_is_found_where_it_is() {
    check(|_, _| {}, &Ok(()));
    check(|log, _| log[2].subject = "other".into(), &Err(Broken::Edited { seq: 3 }));
    check(|log, _| log[2].detail = "{\"a\":1}".into(), &Err(Broken::Edited { seq: 3 }));
    check(|log, _| log[2].anchors = None, &Err(Broken::Edited { seq: 3 }));
    check(|log, _| drop(log.remove(2)), &Err(Broken::Unseen { seq: 4 }));
    check(|log, _| drop(log.drain(2..4)), &Err(Broken::Gap { seq: 5 }));
    check(|log, _| log.swap(1, 3), &Err(Broken::Gap { seq: 4 }));
    check(|log, _| log.truncate(5), &Err(Broken::Truncated { seq: 4 }));
    check(|log, _| log.clear(), &Err(Broken::Truncated { seq: 0 }));
}

/// As one who has kept an older copy of the chain's recorded end would do it.
#[test]
fn a_chain_that_was_taken_back_was_seen() {
    let (one, zero) = (OwnerId::from_i64(1), OwnerId::from_i64(0));
    let back = |log: &mut Vec<Entry>, ends: &mut Ends| {
        log.retain(|entry| entry.chain != one || entry.place < 3);
        let end = log.iter().rfind(|entry| entry.chain == one).expect("is there");
        ends.insert(one, Link { place: end.place, hash: end.hash });
    };
    check(back, &Err(Broken::Unseen { seq: 6 }));
    let dropped = |log: &mut Vec<Entry>, ends: &mut Ends| {
        log.retain(|entry| entry.chain != one);
        ends.remove(&one);
    };
    check(dropped, &Err(Broken::Unseen { seq: 2 }));
    // What nobody has seen, and all at once: see SECURITY.md.
    let last = |log: &mut Vec<Entry>, ends: &mut Ends| {
        log.truncate(5);
        ends.insert(zero, Link { place: 2, hash: log[3].hash });
    };
    check(last, &Ok(()));
}

#[test]
fn a_recorded_end_is_sealed_where_the_chain_says_so() {
    let key = ChainKey::new([1; 32]);
    let (entries, ends) = log(&key);
    let check = |seal: Option<[u8; 32]>, is_whole: bool| {
        let mut verifier = unfloored(&key);
        entries.iter().for_each(|entry| verifier.take(entry).expect("is whole"));
        let heads = ends.iter().map(|(chain, end)| (*chain, Head { end: *end, seal }));
        assert_eq!(verifier.finish(heads).is_ok(), is_whole);
    };
    check(None, false);
    check(Some([0; 32]), false);
    let old = unfloored(&key);
    assert_eq!(old.recorded(OwnerId::from_i64(9), &Link::default().into()), Ok(()), "as older programs did");
}

#[test]
fn what_was_seen_of_a_chain_that_went_on_is_compared() {
    let key = ChainKey::new([1; 32]);
    let (mut entries, _) = log(&key);
    // Entry 6 of chain 0 comes after chain 1's fifth, and has seen its third.
    let seen = |hash| Anchors::new([Anchor::new(OwnerId::from_i64(1), &Link { place: 2, hash })]);
    let third = entries[2].hash;
    for (hash, expected) in [(third, Ok(())), ([9; 32], Err(Broken::Unseen { seq: 6 }))] {
        let previous = entries[3].hash;
        entries[5].anchors = Some(seen(hash));
        entries[5].hash = key.hash(&previous, &entries[5]);
        let mut verifier = unfloored(&key);
        assert_eq!(entries.iter().try_for_each(|entry| verifier.take(entry)), expected);
    }
}

/// A log that was cut in two steps, then damaged.
#[track_caller]
fn check_cut(damage: impl FnOnce(&mut Vec<Entry>, &mut Ends, &mut Floors), expected: &Result<(), Broken>) {
    let key = ChainKey::new([1; 32]);
    let (mut entries, mut ends) = log(&key);
    let mut floors = Floors::default();
    for cut in [1, 3] {
        let gone: Vec<_> = entries.drain(..cut).collect();
        let cut = floors.cut(&key, &gone).expect("is sound");
        floors.raise(cut.floors);
    }
    assert_eq!(floors.seq(), 4);
    damage(&mut entries, &mut ends, &mut floors);
    let heads = ends.into_iter().map(|(chain, end)| sealed(&key, chain, end));
    let got = Verifier::new(key.clone(), &floors).and_then(|mut verifier| {
        entries.iter().try_for_each(|entry| verifier.take(entry))?;
        verifier.finish(heads)
    });
    assert_eq!(&got, expected);
}

#[test]
fn a_cut_log_begins_at_its_floors() {
    let key = ChainKey::new([1; 32]);
    let one = OwnerId::from_i64(1);
    let first = log(&key).0;
    let older = Floors::default().cut(&key, &first[..1]).expect("is sound").floors;
    check_cut(|_, _, _| {}, &Ok(()));
    check_cut(|log, _, _| drop(log.remove(0)), &Err(Broken::Unseen { seq: 6 }));
    check_cut(|log, _, _| log[0].subject = "other".into(), &Err(Broken::Edited { seq: 5 }));
    check_cut(|log, _, _| log.clear(), &Err(Broken::Truncated { seq: 0 }));
    check_cut(|_, _, floors| *floors = Floors::default(), &Err(Broken::Gap { seq: 5 }));
    check_cut(|_, _, floors| floors.raise(older), &Err(Broken::Gap { seq: 5 }));
    check_cut(|_, _, floors| floors.chains.retain(|chain, _| *chain != one), &Err(Broken::Gap { seq: 5 }));
    check_cut(|_, _, floors| floors.log = None, &Err(Broken::Floor { seq: 0 }));
    let raised = |log: &mut Vec<Entry>, _: &mut Ends, floors: &mut Floors| {
        let gone = log.remove(0);
        floors.chains.entry(one).and_modify(|floor| {
            floor.end = Link { place: gone.place, hash: gone.hash };
        });
    };
    check_cut(raised, &Err(Broken::Floor { seq: 4 }));
}

#[test]
fn what_is_not_sound_is_not_cut() {
    let key = ChainKey::new([1; 32]);
    let (mut entries, _) = log(&key);
    entries[1].subject = "other".into();
    assert_eq!(Floors::default().cut(&key, &entries[..4]), Err(Broken::Edited { seq: 2 }));
    assert_eq!(Floors::default().cut(&key, &log(&key).0[1..2]), Err(Broken::Unseen { seq: 2 }));
}

/// A chain that was cut from its first entry on has an end that is sealed, as before.
#[test]
fn an_end_without_a_seal_does_not_follow_a_cut() {
    let key = ChainKey::new([1; 32]);
    let (mut entries, ends) = log(&key);
    let cut = Floors::default().cut(&key, &entries.drain(..4).collect::<Vec<_>>()).expect("is sound");
    let mut verifier = Verifier::new(key, &cut.floors).expect("is ours");
    entries.iter().for_each(|entry| verifier.take(entry).expect("is whole"));
    let heads = ends.iter().map(|(chain, end)| (*chain, Head::from(*end)));
    assert!(matches!(verifier.finish(heads), Err(Broken::Truncated { .. })));
}

#[test]
fn a_missing_end_is_told_in_words() {
    assert!(!Broken::Truncated { seq: 0 }.to_string().contains('0'));
    assert!(Broken::Truncated { seq: 7 }.to_string().contains("after entry 7"));
}
