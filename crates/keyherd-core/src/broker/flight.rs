//! The one piece of work now running for a key: others join it, nobody's leaving ends it.
//!
//! The work runs detached, so a caller's deadline or disconnect neither cancels nor repeats it. The slot is free again
//! after success, failure, panic and loss alike, before anyone hears the answer, and only its own flight frees it.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

#[cfg(feature = "shuttle")]
use shuttle::sync::Mutex;
#[cfg(not(feature = "shuttle"))]
use std::sync::Mutex;

/// Runs work in the background, tied to no caller.
pub type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// The work died without an answer: it panicked, or its runtime ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shared work ended without an answer")]
pub struct Lost;

/// An answer that any number of callers may await.
pub(crate) type Answer<T> = Shared<BoxFuture<'static, Result<T, Lost>>>;

/// Flights by key.
pub struct Flights<K, T> {
    slots: Arc<Mutex<Slots<K, T>>>,
    spawn: Spawn,
}

struct Slots<K, T> {
    running: HashMap<K, (u64, Answer<T>)>,
    next: u64,
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// No flights yet.
    pub fn new(spawn: Spawn) -> Self {
        Self { slots: Arc::new(Mutex::new(Slots { running: HashMap::new(), next: 0 })), spawn }
    }

    /// Joins the key's flight, or starts one with `work`. The second value: whether it was started by this call, and
    /// so after this caller arrived.
    pub fn board<F>(&self, key: K, work: impl FnOnce() -> F) -> (Answer<T>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut slots = lock(&self.slots);
        if let Some((_, answer)) = slots.running.get(&key) {
            return (answer.clone(), false);
        }
        slots.next += 1;
        let number = slots.next;
        let (tell, told) = tokio::sync::oneshot::channel();
        let answer = async move { told.await.unwrap_or(Err(Lost)) }.boxed().shared();
        slots.running.insert(key.clone(), (number, answer.clone()));
        drop(slots);
        let landing = Landing { slots: Arc::clone(&self.slots), key, number };
        let work = AssertUnwindSafe(work()).catch_unwind();
        (self.spawn)(
            async move {
                let answer = work.await.map_err(|_panic| Lost);
                drop(landing);
                let _ = tell.send(answer);
            }
            .boxed(),
        );
        (answer, true)
    }

    /// How many are under way.
    pub fn under_way(&self) -> usize {
        lock(&self.slots).running.len()
    }
}

/// Frees the slot when dropped: also where the runtime drops the work.
struct Landing<K: Eq + Hash, T> {
    slots: Arc<Mutex<Slots<K, T>>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut slots = lock(&self.slots);
        if slots.running.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            slots.running.remove(&self.key);
        }
    }
}

#[cfg(not(feature = "shuttle"))]
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(feature = "shuttle")]
fn lock<T>(mutex: &Mutex<T>) -> shuttle::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(all(test, feature = "shuttle"))]
mod schedules;
#[cfg(all(test, not(feature = "shuttle")))]
mod tests;
