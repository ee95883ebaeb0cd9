//! Who goes with whom, and that nobody is forgotten.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::{CrowdBounds, Gathering, Turn};

const BOUNDS: CrowdBounds = CrowdBounds { crowd_max: 3, patience: Duration::from_millis(50) };

/// Crowds that end when they are let go, and what they were.
struct Bed {
    gathering: Gathering<u32, u32>,
    crowds: Arc<Mutex<Vec<Vec<u32>>>>,
    gate: Arc<Semaphore>,
}

impl Bed {
    fn new(bounds: CrowdBounds) -> Self {
        let (crowds, gate) = (Arc::<Mutex<Vec<Vec<u32>>>>::default(), Arc::new(Semaphore::new(0)));
        let (seen, opens) = (Arc::clone(&crowds), Arc::clone(&gate));
        let gathering = Gathering::new(Some(bounds), move |jobs: Vec<u32>| {
            let (seen, opens) = (Arc::clone(&seen), Arc::clone(&opens));
            async move {
                seen.lock().unwrap().push(jobs.clone());
                opens.acquire().await.unwrap().forget();
                assert!(!jobs.contains(&13), "an unlucky crowd");
                // What is odd has to be done by itself.
                jobs.iter().map(|job| (job % 2 == 0).then_some(job * 10)).collect()
            }
            .boxed()
        });
        Self { gathering, crowds, gate }
    }

    async fn join(&self, job: u32) -> Turn<u32, u32> {
        self.gathering.join(|| job).await
    }

    fn seen(&self) -> Vec<Vec<u32>> {
        self.crowds.lock().unwrap().clone()
    }
}

fn word(turn: &Turn<u32, u32>) -> String {
    match turn {
        Turn::Alone(_) => "alone".into(),
        Turn::Done(done) => done.to_string(),
        Turn::Lost => "lost".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_first_works_alone_and_who_waits_goes_together() {
    let bed = Bed::new(BOUNDS);
    let first = bed.join(1).await;
    assert_eq!(word(&first), "alone");
    bed.gate.add_permits(9);
    let waiting = join_all([2, 4, 5, 6, 8].map(|job| bed.join(job)));
    let leaving = async {
        tokio::task::yield_now().await;
        assert!(bed.seen().is_empty(), "there is no room yet");
        drop(first);
    };
    let (turns, ()) = futures_util::future::join(waiting, leaving).await;
    assert_eq!(turns.iter().map(word).collect::<Vec<_>>(), ["20", "40", "alone", "60", "80"]);
    assert_eq!(bed.seen(), [vec![2, 4, 5], vec![6, 8]], "no crowd is larger than that");
    drop(turns);
    assert_eq!(word(&bed.join(2).await), "alone", "there is room again");
}

#[tokio::test(start_paused = true)]
async fn who_stopped_waiting_is_not_worked_for() {
    let bed = Bed::new(BOUNDS);
    bed.gate.add_permits(9);
    let first = bed.join(2).await;
    assert!(bed.join(4).now_or_never().is_none());
    let (kept, ()) = futures_util::future::join(bed.join(6), async { drop(first) }).await;
    assert_eq!(word(&kept), "60");
    assert_eq!(bed.seen(), [vec![6]]);
}

#[tokio::test(start_paused = true)]
async fn what_takes_long_keeps_others_waiting_for_a_moment_only() {
    let bed = Bed::new(BOUNDS);
    let Turn::Alone(room) = bed.join(2).await else { panic!("not alone") };
    let gate = Arc::clone(&bed.gate);
    let long = room.during(async { gate.acquire().await.unwrap().forget() });
    let behind = async {
        tokio::task::yield_now().await;
        let waiting = bed.join(4);
        let looking = async {
            tokio::time::sleep(BOUNDS.patience - Duration::from_millis(1)).await;
            assert!(bed.seen().is_empty(), "it is waited for");
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert_eq!(bed.seen(), [vec![4]]);
            // So is the crowd itself.
            let next = bed.join(6);
            let letting_go = async {
                tokio::time::sleep(BOUNDS.patience).await;
                bed.gate.add_permits(3);
            };
            futures_util::future::join(next, letting_go).await.0
        };
        let (first, next) = futures_util::future::join(waiting, looking).await;
        assert_eq!([word(&first), word(&next)], ["40", "60"]);
    };
    let ((), ()) = futures_util::future::join(long, behind).await;
    assert_eq!(bed.seen(), [vec![4], vec![6]]);
    assert_eq!(word(&bed.join(2).await), "alone");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_breaks_is_said_to_be_lost_and_gives_its_room_back() {
    let bed = Bed::new(BOUNDS);
    bed.gate.add_permits(9);
    let first = bed.join(2).await;
    let crowds = join_all([4, 13, 6, 8].map(|job| bed.join(job)));
    let (turns, ()) = futures_util::future::join(crowds, async { drop(first) }).await;
    assert_eq!(turns.iter().map(word).collect::<Vec<_>>(), ["lost", "lost", "lost", "80"]);
    assert_eq!(word(&bed.join(2).await), "alone");
}

#[tokio::test]
async fn without_bounds_everybody_works_alone() {
    let gathering: Gathering<u32, u32> = Gathering::new(None, |_| async { Vec::new() }.boxed());
    let alone = [gathering.join(|| 1).await, gathering.join(|| 2).await];
    assert_eq!(alone.each_ref().map(word), ["alone", "alone"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_stands_in_the_line_for_ever() {
    let bed = Bed::new(BOUNDS);
    // Somebody who was let in and does nothing more.
    let first = bed.join(2).await;
    assert_eq!(word(&bed.join(4).await), "alone");
    drop(first);
    assert!(bed.seen().is_empty(), "it was not done a second time");
}

#[tokio::test]
async fn crowds_of_one_are_none() {
    let bed = Bed::new(CrowdBounds { crowd_max: 1, ..BOUNDS });
    let alone = [bed.join(2).await, bed.join(4).await];
    assert_eq!(alone.each_ref().map(word), ["alone", "alone"]);
}
