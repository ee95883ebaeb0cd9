//! An answer against late attach, under thousands of thread schedules: never lost, never both.

use super::*;
use shuttle::sync::atomic::{AtomicU32, Ordering};

type Word = &'static str;
type Few = Rooms<u8, u32, u32, Word>;

/// Attaches as the verb does: to the room that is open for the question, or to one of its own. By which room it was told
/// what.
fn attach(rooms: &Few, next: &AtomicU32) -> (u32, Option<Word>) {
    loop {
        let id = rooms.of(&1).unwrap_or_else(|| {
            let id = next.fetch_add(1, Ordering::SeqCst);
            drop(rooms.open(id, &1, id));
            // Whoever opens one sees to its answer.
            let rooms = rooms.clone();
            shuttle::thread::spawn(move || rooms.close(id, "late"));
            id
        });
        match rooms.sit(id, 10) {
            Ok(seat) => return (id, shuttle::future::block_on(seat.told())),
            // It was answered in between: the next question is a new one.
            Err(NoSeat::NoRoom) => {}
            Err(NoSeat::Full) => panic!("there is room for ten"),
        }
    }
}

#[test]
fn everybody_is_told_once_on_every_schedule() {
    shuttle::check_random(
        || {
            let rooms = Few::default();
            let next = Arc::new(AtomicU32::new(1));
            drop(rooms.open(0, &1, 0));
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let (rooms, next) = (rooms.clone(), Arc::clone(&next));
                    shuttle::thread::spawn(move || attach(&rooms, &next))
                })
                .collect();
            let answering = ["yes", "no"].map(|word| {
                let rooms = rooms.clone();
                shuttle::thread::spawn(move || rooms.close(0, word).is_some())
            });
            let [yes, no] = answering.map(|one| one.join().unwrap());
            assert!(yes != no, "the first answer wins, and there is one");
            for one in waiting {
                let (id, word) = one.join().unwrap();
                let expected = match id {
                    0 if yes => "yes",
                    0 => "no",
                    _ => "late",
                };
                assert_eq!(word, Some(expected), "told by room {id}");
            }
        },
        3_000,
    );
}
