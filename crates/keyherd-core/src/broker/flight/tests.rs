//! Joining, failing, panicking, leaving: what a flight owes its callers.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, Semaphore};

fn flights() -> Flights<&'static str, usize> {
    Flights::new(Arc::new(|work| drop(tokio::spawn(work))))
}

#[tokio::test]
async fn many_callers_one_run_and_keys_are_independent() {
    let (flights, runs, go) = (flights(), Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let board = |key| {
        let (runs, go) = (Arc::clone(&runs), Arc::clone(&go));
        flights.board(key, || async move {
            let _go = go.acquire().await;
            runs.fetch_add(1, Ordering::SeqCst)
        })
    };
    let seats: Vec<_> = (0..1_000).map(|_| board("a")).chain([board("b")]).collect();
    assert_eq!(seats.iter().filter(|(_, led)| *led).count(), 2);
    go.add_permits(2);
    for (answer, _) in seats {
        assert!(answer.await.is_ok());
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(flights.under_way(), 0);
}

#[tokio::test]
async fn leaving_neither_cancels_nor_repeats() {
    let (flights, go) = (flights(), Arc::new(Notify::new()));
    let waits = Arc::clone(&go);
    let (first, led) = flights.board("a", || async move {
        waits.notified().await;
        7
    });
    assert!(led);
    drop(first);
    let (second, led) = flights.board("a", || async { 8 });
    assert!(!led, "the flight goes on without its first caller");
    go.notify_one();
    assert_eq!(second.await, Ok(7));
}

#[tokio::test]
async fn a_panic_is_an_answer_and_frees_the_slot() {
    let flights = flights();
    let (answer, _) = flights.board("a", || async { panic!("on purpose") });
    assert_eq!(answer.await, Err(Lost));
    let (answer, led) = flights.board("a", || async { 1 });
    assert!(led);
    assert_eq!(answer.await, Ok(1));
}

#[tokio::test]
async fn lost_work_frees_the_slot() {
    let flights: Flights<&str, usize> = Flights::new(Arc::new(drop));
    let (answer, _) = flights.board("a", || async { 1 });
    assert_eq!(answer.await, Err(Lost));
    assert_eq!(flights.under_way(), 0);
}

#[tokio::test]
async fn who_hears_the_answer_finds_the_slot_free() {
    let flights = flights();
    let (answer, _) = flights.board("a", || async { 1 });
    assert_eq!(answer.await, Ok(1));
    let (answer, led) = flights.board("a", || async { 2 });
    assert!(led, "a late finisher does not hold its successor's slot");
    assert_eq!(answer.await, Ok(2));
}
