//! Work that comes at once is done together.
//!
//! Whoever comes first does its own at once, by itself. Who comes meanwhile waits, and all who waited are one crowd when
//! that is done: the busier it is, the larger the crowds. What takes longer than usual, as when a row is held by somebody
//! else, keeps the others waiting for a moment only. Owns who goes with whom. Never knows what the work is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

/// How work is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrowdBounds {
    /// The most that are done together; 1: everybody works alone.
    pub crowd_max: u32,
    /// How long others wait for what is under way, before they begin beside it.
    pub patience: Duration,
}

impl Default for CrowdBounds {
    fn default() -> Self {
        Self { crowd_max: 64, patience: Duration::from_millis(50) }
    }
}

/// Nobody stands in the line for longer than so many times the patience.
const LINE_PATIENCES: u32 = 10;

/// Does a crowd's work: as many answers, in their order. Who gets none has to do its own by itself.
type Work<J, R> = Box<dyn Fn(Vec<J>) -> BoxFuture<'static, Vec<Option<R>>> + Send + Sync>;

/// Where those meet who want the same kind of work.
pub(super) struct Gathering<J, R>(Arc<Place<J, R>>);

struct Place<J, R> {
    /// `None`: everybody works alone.
    bounds: Option<CrowdBounds>,
    work: Work<J, R>,
    line: Mutex<Line<J, R>>,
}

struct Line<J, R> {
    waiting: VecDeque<Waiting<J, R>>,
    /// Something is under way that is waited for.
    is_taken: bool,
    /// Of who came last.
    number: u64,
}

struct Waiting<J, R> {
    number: u64,
    job: J,
    answer: oneshot::Sender<Option<R>>,
}

/// How it went on.
pub(super) enum Turn<J: Send + 'static, R: Send + 'static> {
    /// The caller does it by itself, in this room.
    Alone(Room<J, R>),
    /// It was done with others.
    Done(R),
    /// The crowd's task has ended without a word: it may have been done.
    Lost,
}

/// Where work is done. Who leaves it calls those in who wait.
pub(super) struct Room<J: Send + 'static, R: Send + 'static>(Option<Arc<Place<J, R>>>);

impl<J: Send + 'static, R: Send + 'static> Gathering<J, R> {
    pub(super) fn new(
        bounds: Option<CrowdBounds>,
        work: impl Fn(Vec<J>) -> BoxFuture<'static, Vec<Option<R>>> + Send + Sync + 'static,
    ) -> Self {
        let bounds = bounds.filter(|bounds| bounds.crowd_max > 1);
        let line = Mutex::new(Line { waiting: VecDeque::new(), is_taken: false, number: 0 });
        Self(Arc::new(Place { bounds, work: Box::new(work), line }))
    }

    /// Comes with a job. Who stops waiting before its crowd has begun leaves nothing behind; a crowd that has begun ends.
    pub(super) async fn join(&self, job: impl FnOnce() -> J) -> Turn<J, R> {
        let Some(bounds) = self.0.bounds else { return Turn::Alone(Room(None)) };
        let (number, mut answer) = {
            let mut line = self.0.lock();
            if !line.is_taken {
                line.is_taken = true;
                drop(line);
                return Turn::Alone(Room(Some(Arc::clone(&self.0))));
            }
            let (send, answer) = oneshot::channel();
            line.number += 1;
            let number = line.number;
            line.waiting.push_back(Waiting { number, job: job(), answer: send });
            (number, answer)
        };
        let answered = match tokio::time::timeout(bounds.patience * LINE_PATIENCES, &mut answer).await {
            Ok(answered) => answered,
            // Whoever is in the room does not leave it, or too many came: it goes on without them.
            Err(_elapsed) if self.0.leave(number) => return Turn::Alone(Room(None)),
            // Its crowd has begun, and has the bounds of its work.
            Err(_elapsed) => answer.await,
        };
        match answered {
            Ok(Some(done)) => Turn::Done(done),
            Ok(None) => Turn::Alone(Room(None)),
            Err(_gone) => Turn::Lost,
        }
    }
}

impl<J, R> Place<J, R> {
    /// Whether they still waited.
    fn leave(&self, number: u64) -> bool {
        let mut line = self.lock();
        let before = line.waiting.len();
        line.waiting.retain(|waiting| waiting.number != number);
        line.waiting.len() < before
    }

    /// Who goes next. Nobody: whoever comes next may begin at once.
    fn next(&self) -> Vec<Waiting<J, R>> {
        let most = self.bounds.map_or(1, |bounds| bounds.crowd_max.max(1)) as usize;
        let mut line = self.lock();
        let mut crowd = Vec::new();
        while crowd.len() < most
            && let Some(waiting) = line.waiting.pop_front()
        {
            crowd.extend(Some(waiting).filter(|waiting| !waiting.answer.is_closed()));
        }
        line.is_taken = !crowd.is_empty();
        crowd
    }

    fn lock(&self) -> MutexGuard<'_, Line<J, R>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Send + 'static, R: Send + 'static> Room<J, R> {
    /// Works in it, and leaves it when that is done or others have waited long enough.
    pub(super) async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let Some(bounds) = self.0.as_ref().and_then(|place| place.bounds) else { return work.await };
        let mut work = std::pin::pin!(work);
        match tokio::time::timeout(bounds.patience, &mut work).await {
            Ok(done) => done,
            Err(_elapsed) => {
                drop(self);
                work.await
            }
        }
    }

    async fn work(self, crowd: Vec<Waiting<J, R>>) {
        let Some(place) = self.0.clone() else { return };
        let (jobs, answers): (Vec<_>, Vec<_>) =
            crowd.into_iter().map(|waiting| (waiting.job, waiting.answer)).unzip();
        let done = self.during((place.work)(jobs)).await;
        for (answer, done) in answers.into_iter().zip(done) {
            // Whoever has gone meanwhile does not hear it.
            let _ = answer.send(done);
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for Room<J, R> {
    fn drop(&mut self) {
        let Some(place) = self.0.take() else { return };
        let crowd = place.next();
        if crowd.is_empty() {
            return;
        }
        let room = Self(Some(place));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(room.work(crowd))),
            // Nobody will do anything here any more: they hear it at once.
            Err(_no_runtime) => drop(crowd),
        }
    }
}

#[cfg(test)]
mod tests;
