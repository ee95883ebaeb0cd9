//! How fast lines are written, and that each has its place.

use std::sync::Arc;

use keyherd_core::fakes::{Fleet, ScriptedProvider};

use super::*;

fn line(subject: &str) -> Line<'_> {
    Line { action: "proxy.request", actor: "agent:robot", subject, detail: "{}" }
}

fn broker() -> (Fleet, Broker) {
    let fleet = Fleet::new(Arc::new(ScriptedProvider::new([])), []);
    let broker = fleet.host().broker;
    (fleet, broker)
}

async fn written(broker: &Broker, count: usize) {
    let all = async {
        while broker.ports().store.tail(2 * count).await.expect("is there").len() < count {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("they are written");
}

/// In paused time, which goes on by itself where nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_full_batch_is_followed_at_once() {
    let (_fleet, broker) = broker();
    let limits = TrailLimits { write_every: Duration::from_secs(3_600), ..TrailLimits::default() };
    let trail = Trail::new(broker.clone(), &limits);
    let count = 3 * BATCH * Sheaf::LINES_MAX;
    for number in 0..count {
        trail.place().await.expect("is free").take(line(&number.to_string()));
    }
    written(&broker, count).await;
    let subjects =
        broker.ports().store.tail(count).await.expect("is there").into_iter().map(|entry| entry.subject);
    assert!(subjects.eq((0..count).map(|number| number.to_string())), "in their order");
    trail.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_with_its_line_or_without() {
    let (_fleet, broker) = broker();
    let limits = TrailLimits { lines_max: 2, line_wait: Duration::from_secs(1), ..TrailLimits::default() };
    let trail = Trail::new(broker.clone(), &limits);
    let (one, two) = (trail.place().await.expect("is free"), trail.place().await.expect("is free"));
    assert!(matches!(trail.place().await, Err(Fault::Busy(_))), "there are two");
    drop(one);
    let three = trail.place().await.expect("was given back");
    two.take(line("two"));
    three.take(line("three"));
    written(&broker, 2).await;
    let both =
        (trail.place().await.expect("its line is written"), trail.place().await.expect("its line too"));
    assert!(matches!(trail.place().await, Err(Fault::Busy(_))), "there are two again");
    drop(both);
    trail.shutdown().await;
}

/// The store comes back in the moment in which all ends: the waiter's place is there, and it does not take it any more.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_keeps_no_end_waiting() {
    let (fleet, broker) = broker();
    let trail = Trail::new(broker, &TrailLimits { lines_max: 1, ..TrailLimits::default() });
    fleet.installation.set_down(true);
    trail.place().await.expect("is free").take(line("one"));
    let waiting = tokio::spawn({
        let trail = trail.clone();
        async move { trail.place().await.map(drop) }
    });
    let given_up = tokio::spawn({
        let trail = trail.clone();
        async move { timeout(Duration::from_millis(100), trail.place()).await.map(drop) }
    });
    given_up.await.expect("no panic").expect_err("the store is down");
    let ending = tokio::spawn({
        let trail = trail.clone();
        async move { trail.shutdown().await }
    });
    tokio::task::yield_now().await;
    fleet.installation.set_down(false);
    timeout(Duration::from_secs(60), ending).await.expect("it ends").expect("no panic");
    assert!(waiting.await.expect("no panic").is_err(), "no place is given any more");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_last_who_may_bring_lines() {
    let (_fleet, broker) = broker();
    let trail = Trail::new(broker.clone(), &TrailLimits::default());
    let (tasks, place) = (trail.inner.tasks.clone(), trail.place().await.expect("is free"));
    drop(trail);
    tasks.close();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(tasks.len(), 1, "a place may still be used");
    place.take(line("last"));
    timeout(Duration::from_secs(60), tasks.wait()).await.expect("it ends");
    assert_eq!(broker.ports().store.tail(9).await.expect("is there")[0].subject, "last");
}

/// Whoever ends does not wait for a store for ever.
#[tokio::test(start_paused = true)]
async fn it_ends_while_the_store_is_down() {
    let (fleet, broker) = broker();
    let trail = Trail::new(broker, &TrailLimits::default());
    fleet.installation.set_down(true);
    trail.place().await.expect("is free").take(line("lost"));
    timeout(Duration::from_secs(60), trail.shutdown()).await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn in_the_end_places_may_still_be_used_and_none_is_given() {
    let (_fleet, broker) = broker();
    let trail = Trail::new(broker.clone(), &TrailLimits::default());
    let (place, unused) = (trail.place().await.expect("is free"), trail.place().await.expect("is free"));
    let ending = tokio::spawn({
        let trail = trail.clone();
        async move { trail.shutdown().await }
    });
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(trail.place().await, Err(Fault::Busy(_))), "it is stopping");
    drop(unused);
    place.take(line("late"));
    ending.await.expect("it ends");
    assert_eq!(broker.ports().store.tail(9).await.expect("is there")[0].subject, "late");
}

#[tokio::test(start_paused = true)]
async fn lines_wait_for_a_store_that_is_down() {
    let (fleet, broker) = broker();
    let trail = Trail::new(broker.clone(), &TrailLimits::default());
    fleet.installation.set_down(true);
    trail.place().await.expect("is free").take(line("one"));
    sleep(Duration::from_secs(5)).await;
    fleet.installation.set_down(false);
    written(&broker, 1).await;
    trail.shutdown().await;
}
