//! The flight under thousands of thread schedules: joining, landing and a successor never mix up.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn one_answer_per_flight_on_every_schedule() {
    shuttle::check_random(
        || {
            let spawn: Spawn = Arc::new(|work| drop(shuttle::future::spawn(work)));
            let flights: Arc<Flights<u8, usize>> = Arc::new(Flights::new(spawn));
            let (runs, running) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let callers: Vec<_> = (0..4)
                .map(|_| {
                    let (flights, runs, running) =
                        (Arc::clone(&flights), Arc::clone(&runs), Arc::clone(&running));
                    shuttle::thread::spawn(move || {
                        let (answer, led) = flights.board(1, || async move {
                            assert_eq!(
                                running.fetch_add(1, Ordering::SeqCst),
                                0,
                                "two flights of one key at once"
                            );
                            shuttle::future::yield_now().await;
                            running.fetch_sub(1, Ordering::SeqCst);
                            runs.fetch_add(1, Ordering::SeqCst)
                        });
                        (shuttle::future::block_on(answer), led)
                    })
                })
                .collect();
            let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
            let led = answers.iter().filter(|(_, led)| *led).count();
            assert_eq!(led, runs.load(Ordering::SeqCst), "every flight has one leader");
            assert!(answers.iter().all(|(answer, _)| answer.is_ok_and(|run| run < led)));
            assert_eq!(flights.under_way(), 0, "every slot is free again");
        },
        5_000,
    );
}
