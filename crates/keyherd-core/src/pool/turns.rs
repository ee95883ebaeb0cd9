//! Whose turn it is where every request has another: this process's own memory of a pool.
//!
//! Owns no lock that requests of different pools share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Strategy;

/// What was found of the member in a place.
#[derive(Debug)]
pub enum Look<T> {
    /// It serves: its turn is taken.
    Take(T),
    /// It rests: the next one.
    Pass,
    /// It is its turn, and it does not serve like this: nothing is taken.
    Stop,
}

/// Tries to be the one who takes a turn; past them two callers may share one.
const TRIES: usize = 16;

/// The turns of one pool.
#[derive(Debug)]
pub struct Turns(Kind);

#[derive(Debug)]
enum Kind {
    Cycle { next: AtomicUsize, count: usize },
    Queue(Mutex<VecDeque<usize>>),
}

impl Turns {
    /// Turns among `count` members, beginning with `first`.
    pub fn new(strategy: Strategy, count: usize, first: usize) -> Self {
        Self(match strategy {
            Strategy::LeastRecentlyUsed => {
                Kind::Queue(Mutex::new((0..count).map(|step| (first + step) % count).collect()))
            }
            Strategy::Failover | Strategy::RoundRobin => Kind::Cycle { next: AtomicUsize::new(first), count },
        })
    }

    /// Takes the next turn of a member that serves. `None`: none does, or the look said to stop.
    pub fn take<T>(&self, mut look: impl FnMut(usize) -> Look<T>) -> Option<T> {
        match &self.0 {
            Kind::Cycle { next, count } => cycle(next, *count, &mut look),
            Kind::Queue(queue) => {
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                let (at, taken) = first(queue.iter().copied(), &mut look)?;
                if let Some(place) = queue.remove(at) {
                    queue.push_back(place);
                }
                Some(taken)
            }
        }
    }
}

fn cycle<T>(next: &AtomicUsize, count: usize, look: &mut impl FnMut(usize) -> Look<T>) -> Option<T> {
    let mut tries = 0;
    loop {
        let turn = next.load(Ordering::Relaxed);
        let places = (0..count).map(|step| turn.wrapping_add(step) % count);
        let (step, taken) = first(places, look)?;
        tries += 1;
        let after = (turn.wrapping_add(step) % count) + 1;
        let is_ours = next.compare_exchange(turn, after, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_ours || tries == TRIES {
            return Some(taken);
        }
    }
}

/// The first that serves, and how many were passed over before.
fn first<T>(
    places: impl Iterator<Item = usize>,
    look: &mut impl FnMut(usize) -> Look<T>,
) -> Option<(usize, T)> {
    for (step, place) in places.enumerate() {
        match look(place) {
            Look::Take(taken) => return Some((step, taken)),
            Look::Pass => {}
            Look::Stop => return None,
        }
    }
    None
}
