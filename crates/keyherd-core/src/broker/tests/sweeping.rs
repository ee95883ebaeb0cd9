//! The sweep's own memory: what it frees, and whose due time it leaves alone.

use super::bent::process;
use super::*;
use crate::audit::{AUDIT_TRIM, Line, Sheaf};
use crate::fakes::{granted, json_reply};
use crate::ports::store::{AuditStore, ChainStore};

#[tokio::test(start_paused = true)]
async fn a_sweep_that_panics_frees_its_chain_while_others_are_under_way() {
    let stage = stage(Duration::ZERO, [granted("late", "late"), granted("access-1", "refresh-1")]).await;
    stage.provider.takes(50 * SECOND);
    stage.import("other", Duration::ZERO, "refresh-other", |_| {}).await;
    let (broker, store, _host) = process(&stage, None, None);
    store.panic_for(Some("other"));
    let mut sweeper = broker.sweeper();
    assert_eq!(sweeper.sweep().await, Ok(2));
    pass(SECOND).await;
    assert_eq!(sweeper.sweep().await, Ok(1), "the one that panicked");
    pass(SECOND).await;
    store.panic_for(None);
    assert_eq!(sweeper.sweep().await, Ok(1));
    sweeper.settled().await;
    assert_eq!(stage.provider.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_due_time_that_the_flight_has_set_stays() {
    let down = json_reply(400, &serde_json::json!({"error": "invalid_grant"}));
    let stage = stage(Duration::ZERO, [down]).await;
    let mut sweeper = stage.host.broker.sweeper();
    assert_eq!(sweeper.sweep().await, Ok(1));
    sweeper.settled().await;
    let row = stage.host.broker.show(&acme()).await.expect("there").chain;
    assert_eq!(row.due_at, None, "a verdict is probed on demand only");
    pass(3 * HOUR).await;
    assert_eq!(sweeper.sweep().await, Ok(0));
    assert_eq!(stage.provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_swept_now_comes_again_later() {
    let stage = stage(Duration::ZERO, []).await;
    let mut sweeper = stage.host.broker.sweeper();
    assert_eq!(sweeper.sweep().await, Ok(1));
    sweeper.settled().await;
    assert_eq!(sweeper.sweep().await, Ok(0));
    let due = stage.host.store.due(stage.host.broker.now() + HOUR, 9).await.expect("read");
    assert_eq!(due.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn lanes_that_are_idle_make_room() {
    let stage = {
        let provider = ScriptedProvider::new((0..40).map(|n| granted(&format!("a{n}"), &format!("r{n}"))));
        let mut fleet = Fleet::new(Arc::new(provider.clone()), [generic()]);
        fleet.options.background.lanes_max = 4;
        let host = fleet.host();
        Stage { fleet, host, provider }
    };
    let mut sweeper = stage.host.broker.sweeper();
    for n in 0..20 {
        let url = format!("https://id{n}.example/token");
        let at = |fields: &mut DraftFields| fields.token_url = Some(url);
        stage.import(&format!("c{n}"), Duration::ZERO, &format!("refresh-c{n}"), at).await;
        sweeper.sweep().await.expect("swept");
        sweeper.settled().await;
        assert!(sweeper.lanes() <= 4, "{} lanes", sweeper.lanes());
    }
    assert_eq!(stage.provider.calls(), 20);
}

/// More than one clean-up cuts at once, and the next one by itself would be minutes away.
#[tokio::test(start_paused = true)]
async fn what_a_clean_up_leaves_goes_with_the_next_rounds() {
    const DAY_MS: i64 = 24 * 3_600_000;
    let stage = stage(HOUR, []).await;
    let mut sheaf = Sheaf::default();
    let line = Line { action: "done", actor: "robot", subject: "s", detail: "{}" };
    (0..2_500).for_each(|_| sheaf.push(stage.host.broker.now(), line));
    stage.host.store.append_lines(&[sheaf]).await.expect("written");
    stage.fleet.clock.skew(91 * DAY_MS);
    stage.host.broker.run_background();
    pass(10 * SECOND).await;
    let left = stage.host.store.entries(0, 9_999).await.expect("read");
    assert!((1..100).contains(&left.len()), "{}", left.len());
    assert!(left.iter().any(|entry| entry.action == AUDIT_TRIM));
    assert_eq!(stage.host.store.verify().await.expect("looked").broken, None);
}
