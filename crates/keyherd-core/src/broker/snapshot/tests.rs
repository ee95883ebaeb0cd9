//! Readings that overlap changes: only what changed is kept from memory.

use super::*;
use crate::broker::tests::{HOUR, Stage, acme, actor, stage};
use crate::credential::Cooldown;
use crate::ids::{AgentId, BindingId};
use crate::ports::store::SCOPES_RESTING_MAX;

pub(super) const WINDOW: Duration = Duration::from_secs(1);

pub(super) async fn loaded(stage: &Stage, name: &str) -> Loaded {
    stage.host.broker.show(&Name::parse(name).expect("a name")).await.expect("there")
}

fn is_known(snapshots: &Snapshots, name: &str, now: Timestamp) -> bool {
    snapshots.with(name, now, |known| known.cell.fresh().is_some()).unwrap_or_default()
}

/// Whether a reading of `acme` is in memory when `change` came while it was under way.
async fn keeps(change: impl FnOnce(&Snapshots, &Loaded)) -> bool {
    let stage = stage(HOUR, []).await;
    let (snapshots, row, now) =
        (Snapshots::new(8, None), loaded(&stage, "acme").await, stage.host.broker.now());
    snapshots.watched();
    let stamp = snapshots.stamp();
    change(&snapshots, &row);
    snapshots.put(stamp, &row, WINDOW, now);
    is_known(&snapshots, "acme", now)
}

#[tokio::test(start_paused = true)]
async fn a_reading_is_kept_although_others_changed_meanwhile() {
    let others = |snapshots: &Snapshots, row: &Loaded| {
        snapshots.chain_changed(ChainId::from_i64(row.chain.id.as_i64() ^ 1), None);
        snapshots.forget("other");
    };
    assert!(keeps(others).await);
}

#[tokio::test(start_paused = true)]
async fn a_reading_of_what_changed_meanwhile_is_not_kept() {
    assert!(!keeps(|snapshots, row| snapshots.chain_changed(row.chain.id, None)).await);
    assert!(!keeps(|snapshots, _| snapshots.forget("acme")).await);
    assert!(!keeps(|snapshots, _| snapshots.mark_all_stale()).await);
    assert!(!keeps(|snapshots, _| snapshots.clear()).await);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_has_the_generation_of_which_is_told_meanwhile_is_kept() {
    let of = |row: &Loaded, ahead: u64| (row.chain.id, Some(row.chain.generation + ahead));
    let told = |snapshots: &Snapshots, (chain, generation)| snapshots.chain_changed(chain, generation);
    assert!(keeps_known(|snapshots, row| told(snapshots, of(row, 0))).await);
    assert!(
        keeps_known(|snapshots, row| {
            snapshots.chain_changed(row.chain.id, Some(row.chain.generation - 1));
            told(snapshots, of(row, 0));
        })
        .await
    );
    assert!(!keeps_known(|snapshots, row| told(snapshots, of(row, 1))).await);
    // Something else as well, before or after: the reading may lack that.
    assert!(
        !keeps_known(|snapshots, row| {
            snapshots.chain_changed(row.chain.id, None);
            told(snapshots, of(row, 0));
            told(snapshots, of(row, 0));
        })
        .await
    );
    assert!(
        !keeps_known(|snapshots, row| {
            told(snapshots, of(row, 0));
            snapshots.chain_changed(row.chain.id, None);
        })
        .await
    );
}

/// As [`keeps`], where memory has the generation before.
async fn keeps_known(change: impl FnOnce(&Snapshots, &Loaded)) -> bool {
    let stage = stage(HOUR, []).await;
    let (snapshots, row, now) =
        (Snapshots::new(8, None), loaded(&stage, "acme").await, stage.host.broker.now());
    let newer = ahead(&row, 1);
    snapshots.watched();
    snapshots.put(snapshots.stamp(), &row, WINDOW, now);
    let stamp = snapshots.stamp();
    change(&snapshots, &newer);
    snapshots.put(stamp, &newer, WINDOW, now);
    is_known(&snapshots, "acme", now) && revision(&snapshots) == newer.chain.revision
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_may_be_old_is_there_when_the_store_goes() {
    let stage = stage(HOUR, []).await;
    let (snapshots, row, now) =
        (Snapshots::new(8, None), loaded(&stage, "acme").await, stage.host.broker.now());
    snapshots.watched();
    let stamp = snapshots.stamp();
    // As when the watch begins while the first caller's reading is under way.
    snapshots.mark_all_stale();
    snapshots.put(stamp, &row, WINDOW, now);
    assert!(!is_known(&snapshots, "acme", now));
    assert!(snapshots.with_old("acme", |_| ()).is_some());
}

#[tokio::test(start_paused = true)]
async fn where_all_may_have_changed_each_member_of_a_chain_is_read_anew() {
    let stage = stage(HOUR, []).await;
    for name in ["one", "two"] {
        stage.import(name, HOUR, "refresh-shared", |fields| fields.chain = Some("workspace".into())).await;
    }
    let (snapshots, now) = (Snapshots::new(8, None), stage.host.broker.now());
    snapshots.watched();
    for name in ["one", "two"] {
        snapshots.put(snapshots.stamp(), &loaded(&stage, name).await, WINDOW, now);
    }
    snapshots.mark_all_stale();
    snapshots.put(snapshots.stamp(), &loaded(&stage, "one").await, WINDOW, now);
    assert!(is_known(&snapshots, "one", now));
    assert!(!is_known(&snapshots, "two", now), "its own switches may be others by now");
    assert!(snapshots.with_old("two", |_| ()).is_some(), "good for when the store cannot be asked");
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_in_a_busy_fleet_still_warms_the_hot_path() {
    let stage = stage(HOUR, []).await;
    let other = stage.fleet.host();
    let _events = other.broker.events();
    let snapshots = &other.broker.0.snapshots;
    let (stamp, row) = (snapshots.stamp(), other.broker.show(&acme()).await.expect("there"));
    // The reading is still on its way when another credential is made, and its event is heard of.
    stage.import("busy", HOUR, "refresh-busy", |_| {}).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    snapshots.put(stamp, &row, WINDOW, other.broker.now());
    let ask = crate::refresh::Ask::foreground(WINDOW);
    assert!(other.broker.hot("acme", &ask).is_none(), "the watch began after the reading");
    let (stamp, row) = (snapshots.stamp(), other.broker.show(&acme()).await.expect("there"));
    stage.host.broker.remove(&Name::parse("busy").expect("a name"), &actor()).await.expect("removed");
    tokio::time::sleep(Duration::from_millis(200)).await;
    snapshots.put(stamp, &row, WINDOW, other.broker.now());
    assert!(other.broker.hot("acme", &ask).is_some());
}

/// The row as it stood `ahead` changes later, in a store that lost them.
pub(super) fn ahead(row: &Loaded, ahead: u64) -> Loaded {
    let mut lost = row.clone();
    (lost.chain.revision, lost.chain.generation) = (row.chain.revision + ahead, row.chain.generation + 1);
    lost
}

fn revision(snapshots: &Snapshots) -> u64 {
    snapshots.with_old("acme", |known| known.cell.last().revision).expect("known")
}

#[tokio::test(start_paused = true)]
async fn what_the_store_lost_gives_way_to_what_it_has() {
    let stage = stage(HOUR, []).await;
    let (row, now) = (loaded(&stage, "acme").await, stage.host.broker.now());
    let lost = ahead(&row, 6);
    let found_old: [fn(&Snapshots, ChainId); 2] =
        [|snapshots, _| snapshots.mark_all_stale(), |snapshots, id| snapshots.chain_changed(id, None)];
    for find_old in found_old {
        let snapshots = Snapshots::new(8, None);
        snapshots.watched();
        snapshots.put(snapshots.stamp(), &lost, WINDOW, now);
        let early = snapshots.stamp();
        find_old(&snapshots, row.chain.id);
        snapshots.put(early, &row, WINDOW, now);
        assert_eq!(revision(&snapshots), lost.chain.revision, "that reading may be older");
        snapshots.put(snapshots.stamp(), &row, WINDOW, now);
        assert_eq!(revision(&snapshots), row.chain.revision);
        assert!(is_known(&snapshots, "acme", now));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_never_undoes_what_was_published_meanwhile() {
    let stage = stage(HOUR, []).await;
    let (snapshots, row, now) =
        (Snapshots::new(8, None), loaded(&stage, "acme").await, stage.host.broker.now());
    snapshots.watched();
    snapshots.put(snapshots.stamp(), &row, WINDOW, now);
    snapshots.chain_changed(row.chain.id, None);
    let stamp = snapshots.stamp();
    let newer = ahead(&row, 2);
    snapshots.publish(&newer.chain);
    snapshots.put(stamp, &row, WINDOW, now);
    assert_eq!(revision(&snapshots), newer.chain.revision);
}

#[tokio::test(start_paused = true)]
async fn an_uncommitted_answer_stays_until_the_store_has_settled_it() {
    let stage = stage(HOUR, []).await;
    let (snapshots, row, now) =
        (Snapshots::new(8, None), loaded(&stage, "acme").await, stage.host.broker.now());
    snapshots.watched();
    snapshots.put(snapshots.stamp(), &row, WINDOW, now);
    let granted = ahead(&row, 2);
    snapshots.publish_uncommitted(&granted.chain);
    snapshots.mark_all_stale();
    snapshots.put(snapshots.stamp(), &row, WINDOW, now);
    assert_eq!(revision(&snapshots), granted.chain.revision);
    snapshots.publish_settled(&row.chain, granted.chain.generation);
    assert_eq!(revision(&snapshots), row.chain.revision, "the store's word, also where it went another way");
}

/// Whether a reading of agents and bindings is in memory when `change` came while it was under way.
fn keeps_access(change: impl FnOnce(&Snapshots)) -> (bool, bool) {
    let (snapshots, now) = (Snapshots::new(8, None), Timestamp::from_millis(0));
    snapshots.watched();
    let stamp = snapshots.stamp();
    change(&snapshots);
    let is_kept = snapshots.keep_access(stamp, Arc::default(), now).is_some();
    (is_kept, snapshots.with_access(now, |_| ()).is_some())
}

#[test]
fn a_reading_of_agents_does_not_bring_back_who_was_revoked_meanwhile() {
    assert_eq!(keeps_access(|_| {}), (true, true));
    assert_eq!(keeps_access(|snapshots| snapshots.drop_agent(AgentId::from_i64(1))), (false, false));
    assert_eq!(keeps_access(|snapshots| snapshots.drop_binding(BindingId::from_i64(1))), (false, false));
    assert_eq!(keeps_access(Snapshots::drop_access), (false, false));
    assert_eq!(keeps_access(Snapshots::access_changed), (true, false), "it is there when the store goes");
    assert_eq!(keeps_access(Snapshots::mark_all_stale), (true, false));
    assert_eq!(keeps_access(|snapshots| snapshots.forget("acme")), (true, true));
}

fn rests_here(snapshots: &Snapshots) -> usize {
    snapshots.rests.pin().get("acme").map_or(0, |rests| rests.len())
}

#[tokio::test(start_paused = true)]
async fn invented_scopes_take_no_more_memory_than_they_may() {
    let stage = stage(HOUR, []).await;
    let (snapshots, row, now) =
        (Snapshots::new(8, None), loaded(&stage, "acme").await, stage.host.broker.now());
    snapshots.watched();
    snapshots.put(snapshots.stamp(), &row, WINDOW, now);
    let rest = |scope: Option<String>| Cooldown { scope, ..Cooldown::whole(now + HOUR, "rate_limit") };
    let cool = |rest: &Cooldown, at| snapshots.cooled(&acme(), row.credential.id, rest, at);
    for number in 0..4 * SCOPES_RESTING_MAX {
        cool(&rest(Some(format!("invented-{number}"))), now);
    }
    let known = snapshots.with_old("acme", |known| known.credential.clone()).expect("known");
    assert_eq!((rests_here(&snapshots), known.scoped.len()), (SCOPES_RESTING_MAX, SCOPES_RESTING_MAX));
    cool(&rest(None), now);
    let known = snapshots.with_old("acme", |known| known.is_resting(None, now)).expect("known");
    assert!(known, "the whole account rests all the same");
    // By then the store has what it took.
    cool(&rest(Some("later".into())), now + HOUR / 2);
    assert_eq!(rests_here(&snapshots), 1);
    snapshots.not_taken(&acme(), row.credential.id, &rest(Some("later".into())));
    assert_eq!(rests_here(&snapshots), 0);
}
