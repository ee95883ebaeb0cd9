//! A handle follows its chain: at once, whoever made it when.

use super::super::tests::{WINDOW, ahead, loaded};
use super::*;
use crate::broker::tests::{HOUR, stage};
use crate::credential::Loaded;

/// `acme` as it is, in a memory of its own.
async fn kept() -> (Snapshots, Loaded, Timestamp) {
    let stage = stage(HOUR, []).await;
    let (snapshots, now) = (Snapshots::new(8, None), stage.host.broker.now());
    snapshots.watched();
    let row = loaded(&stage, "acme").await;
    snapshots.put(snapshots.stamp(), &row, WINDOW, now);
    (snapshots, row, now)
}

/// The generation of the handle that is at hand, if there is one.
fn at_hand(snapshots: &Snapshots) -> Option<u64> {
    snapshots.with_old("acme", |known| known.ready().map(|ready| ready.token.generation()))?
}

fn made(snapshots: &Snapshots) -> Option<u64> {
    snapshots.with_old("acme", |known| snapshots.make_ready(known).map(|ready| ready.token.generation()))?
}

#[tokio::test(start_paused = true)]
async fn each_state_has_a_handle_of_its_own() {
    let (snapshots, row, _) = kept().await;
    let (first, second) = (row.chain.generation, row.chain.generation + 1);
    assert_eq!(at_hand(&snapshots), None);
    assert_eq!((made(&snapshots), at_hand(&snapshots)), (Some(first), Some(first)));
    snapshots.publish(&ahead(&row, 1).chain);
    assert_eq!(at_hand(&snapshots), None, "outdated at once");
    assert_eq!((made(&snapshots), at_hand(&snapshots)), (Some(second), Some(second)));
    snapshots.chain_changed(row.chain.id, None);
    assert_eq!((at_hand(&snapshots), made(&snapshots)), (None, None), "the state may be old");
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_took_long_to_make_serves_nobody() {
    let (snapshots, row, _) = kept().await;
    snapshots.with_old("acme", |known| {
        let ready = known.make_ready().expect("made");
        snapshots.publish(&ahead(&row, 1).chain);
        assert!(known.ready.set(ready).is_ok());
    });
    assert_eq!(at_hand(&snapshots), None);
}

#[tokio::test(start_paused = true)]
async fn a_handle_brings_back_nothing_that_was_forgotten() {
    let (snapshots, row, now) = kept().await;
    assert!(made(&snapshots).is_some());
    let next = ahead(&row, 1);
    snapshots.publish(&next.chain);
    snapshots.with_old("acme", |known| {
        snapshots.forget("acme");
        assert!(snapshots.make_ready(known).is_some());
    });
    assert!(snapshots.with_old("acme", |_| ()).is_none());
    // Nor what was read anew since: that knows more.
    snapshots.put(snapshots.stamp(), &next, WINDOW, now);
    let disabled = || snapshots.with_old("acme", |known| known.credential.disabled);
    assert!(made(&snapshots).is_some());
    snapshots.publish(&ahead(&next, 1).chain);
    snapshots.with_old("acme", |known| {
        let mut newest = ahead(&next, 1);
        newest.credential.disabled = true;
        snapshots.put(snapshots.stamp(), &newest, WINDOW, now);
        assert!(snapshots.make_ready(known).is_some());
    });
    assert_eq!(disabled(), Some(true));
}

#[tokio::test(start_paused = true)]
async fn while_a_change_is_under_way_no_handle_is_at_hand() {
    let (snapshots, row, _) = kept().await;
    assert!(made(&snapshots).is_some() && at_hand(&snapshots).is_some());
    snapshots.with_old("acme", |known| {
        // As it stands between the first step of a change and its last.
        known.cell.changes_begun.fetch_add(1, Ordering::AcqRel);
        assert!(known.ready().is_none());
        assert!(snapshots.make_ready(known).is_some(), "one for this caller alone");
    });
    assert_eq!(at_hand(&snapshots), None);
    snapshots.with_old("acme", |known| known.cell.changes_ended.fetch_add(1, Ordering::AcqRel));
    assert_eq!(
        (made(&snapshots), at_hand(&snapshots)),
        (Some(row.chain.generation), Some(row.chain.generation))
    );
}
