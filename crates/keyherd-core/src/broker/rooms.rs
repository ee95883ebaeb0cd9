//! Who waits in this process for which answer: one room for each open question.
//!
//! Owns the promise that whoever sits down is told exactly once, whenever the answer comes. A room that is closed takes
//! nobody in; who sits in it already has been told, or will be. Knows nothing of stores or humans.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

#[cfg(feature = "shuttle")]
use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(feature = "shuttle"))]
use std::sync::{Mutex, MutexGuard};

/// What everybody in a room is told; `None`: it was left without a word.
pub(super) type Told<T> = Shared<BoxFuture<'static, Option<T>>>;

/// Rooms by their own number, and by the question they are open for.
pub(super) struct Rooms<K, I, P, T>(Arc<Mutex<Inner<K, I, P, T>>>);

struct Inner<K, I, P, T> {
    by_key: HashMap<K, I>,
    rooms: HashMap<I, Room<K, P, T>>,
}

struct Room<K, P, T> {
    key: K,
    /// What hangs on its door.
    sign: P,
    told: Told<T>,
    tell: tokio::sync::oneshot::Sender<T>,
    /// Those who sit here now.
    seated: usize,
    /// Those who left their question here and come back for the answer.
    left_word: usize,
}

/// Somebody's place. Dropped, it takes only itself away.
pub(super) struct Seat<K: Clone + Eq + Hash, I: Copy + Eq + Hash, P, T> {
    rooms: Rooms<K, I, P, T>,
    id: I,
    told: Told<T>,
}

/// Who was in a room that was closed.
pub(super) struct Released<P> {
    pub(super) sign: P,
    /// All of them.
    pub(super) count: usize,
    /// Of them, those who left word.
    pub(super) left_word: usize,
}

/// Why nobody sat down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// There is no such room: the question is not open here.
    NoRoom,
    /// It is full.
    Full,
}

impl<K, I, P, T> Clone for Rooms<K, I, P, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, I, P, T> Default for Rooms<K, I, P, T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner { by_key: HashMap::new(), rooms: HashMap::new() })))
    }
}

impl<K, I, P, T> Rooms<K, I, P, T>
where
    K: Clone + Eq + Hash,
    I: Copy + Eq + Hash,
    P: Clone,
    T: Clone + Send + Sync + 'static,
{
    /// Opens a room, unless it is open. What is told there, and whether it is new.
    pub(super) fn open(&self, id: I, key: &K, sign: P) -> (Told<T>, bool) {
        let mut inner = self.lock();
        if let Some(room) = inner.rooms.get(&id) {
            return (room.told.clone(), false);
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let told = async move { told.await.ok() }.boxed().shared();
        let room = Room { key: key.clone(), sign, told: told.clone(), tell, seated: 0, left_word: 0 };
        inner.by_key.insert(key.clone(), id);
        inner.rooms.insert(id, room);
        (told, true)
    }

    /// The room that is open for this question: its sign.
    pub(super) fn of(&self, key: &K) -> Option<P> {
        let inner = self.lock();
        inner.by_key.get(key).and_then(|id| inner.rooms.get(id)).map(|room| room.sign.clone())
    }

    /// Sits down.
    pub(super) fn sit(&self, id: I, max: usize) -> Result<Seat<K, I, P, T>, NoSeat> {
        let mut inner = self.lock();
        let room = inner.rooms.get_mut(&id).ok_or(NoSeat::NoRoom)?;
        if room.count() >= max {
            return Err(NoSeat::Full);
        }
        room.seated += 1;
        let told = room.told.clone();
        drop(inner);
        Ok(Seat { rooms: self.clone(), id, told })
    }

    /// Leaves word: counted like one who sits there, and bound to nobody's patience.
    pub(super) fn leave_word(&self, id: I, max: usize) -> Result<(), NoSeat> {
        let mut inner = self.lock();
        let room = inner.rooms.get_mut(&id).ok_or(NoSeat::NoRoom)?;
        if room.count() >= max {
            return Err(NoSeat::Full);
        }
        room.left_word += 1;
        Ok(())
    }

    /// How many wait there.
    pub(super) fn count(&self, id: I) -> Option<usize> {
        self.lock().rooms.get(&id).map(Room::count)
    }

    /// How many rooms are open.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().rooms.len()
    }

    /// The sign of that room.
    pub(super) fn sign(&self, id: I) -> Option<P> {
        self.lock().rooms.get(&id).map(|room| room.sign.clone())
    }

    /// Every room's sign.
    pub(super) fn signs(&self) -> Vec<P> {
        self.lock().rooms.values().map(|room| room.sign.clone()).collect()
    }

    /// What is told in that room.
    pub(super) fn told(&self, id: I) -> Option<Told<T>> {
        self.lock().rooms.get(&id).map(|room| room.told.clone())
    }

    /// Closes a room and tells everybody in it. Who was there; `None`: it was closed already.
    pub(super) fn close(&self, id: I, word: T) -> Option<Released<P>> {
        let mut inner = self.lock();
        let room = inner.rooms.remove(&id)?;
        if inner.by_key.get(&room.key) == Some(&id) {
            inner.by_key.remove(&room.key);
        }
        drop(inner);
        let released = Released { count: room.count(), left_word: room.left_word, sign: room.sign };
        // Nobody there is no error.
        let _ = room.tell.send(word);
        Some(released)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, I, P, T>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl<K, P, T> Room<K, P, T> {
    fn count(&self) -> usize {
        self.seated + self.left_word
    }
}

impl<K: Clone + Eq + Hash, I: Copy + Eq + Hash, P, T: Clone> Seat<K, I, P, T> {
    /// The word, when it comes. `None`: it never will.
    pub(super) async fn told(&self) -> Option<T> {
        self.told.clone().await
    }
}

impl<K: Clone + Eq + Hash, I: Copy + Eq + Hash, P, T> Drop for Seat<K, I, P, T> {
    fn drop(&mut self) {
        let mut inner = self.rooms.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(room) = inner.rooms.get_mut(&self.id) {
            room.seated = room.seated.saturating_sub(1);
        }
    }
}

#[cfg(all(test, feature = "shuttle"))]
mod schedules;
