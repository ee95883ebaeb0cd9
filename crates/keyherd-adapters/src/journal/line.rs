//! Work on a disk that comes at once is done by one thread, together.
//!
//! Whoever comes first brings a thread. Who comes while it works waits, and is among the next ones that it takes. Owns who
//! goes with whom; what was begun is finished, also when nobody waits any more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyherd_core::ports::JournalError;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

type Done = Result<(), JournalError>;

/// Does the work of several: as many ends, in their order.
type Work<J> = Box<dyn Fn(Vec<J>) -> Vec<Done> + Send + Sync>;

/// Where those wait who want the same kind of work. Cheap to clone.
pub(super) struct Line<J>(Arc<Shared<J>>);

struct Shared<J> {
    most: usize,
    work: Work<J>,
    state: Mutex<State<J>>,
}

struct State<J> {
    waiting: VecDeque<(J, oneshot::Sender<Done>)>,
    is_worked: bool,
}

/// The thread's way of working. Whatever becomes of it, nobody waits for one that is gone.
struct Worker<J: Send + 'static> {
    line: Arc<Shared<J>>,
    has_ended: bool,
    /// It came for one that failed: should it fail before it begins, nobody comes for it.
    is_second: bool,
}

impl<J: Send + 'static> Line<J> {
    pub(super) fn new(most: usize, work: impl Fn(Vec<J>) -> Vec<Done> + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State { waiting: VecDeque::new(), is_worked: false });
        Self(Arc::new(Shared { most, work: Box::new(work), state }))
    }

    pub(super) async fn join(&self, job: J) -> Done {
        let (told, answer) = oneshot::channel();
        let was_worked = {
            let mut state = self.0.lock();
            state.waiting.push_back((job, told));
            std::mem::replace(&mut state.is_worked, true)
        };
        if !was_worked {
            let worker = Worker { line: Arc::clone(&self.0), has_ended: false, is_second: false };
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(move || worker.work())),
                Err(_no_runtime) => drop(worker),
            }
        }
        answer.await.unwrap_or_else(|_gone| Err(JournalError::Io("its worker failed".into())))
    }
}

impl<J> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Send + 'static> Worker<J> {
    fn work(mut self) {
        loop {
            let next: Vec<_> = {
                let mut state = self.line.lock();
                let count = state.waiting.len().min(self.line.most);
                // Who comes after this finds nobody at work, and brings another thread.
                state.is_worked = count > 0;
                (self.has_ended, self.is_second) = (count == 0, false);
                state.waiting.drain(..count).collect()
            };
            if self.has_ended {
                return;
            }
            let (jobs, told): (Vec<_>, Vec<_>) = next.into_iter().unzip();
            for (told, done) in told.into_iter().zip((self.line.work)(jobs)) {
                // Whoever does not wait any more need not hear it.
                let _ = told.send(done);
            }
        }
    }
}

impl<J: Send + 'static> Drop for Worker<J> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let mut state = self.line.lock();
        // Its own have heard of it. Where no thread is to be had any more, those who came since hear of it as well.
        match Handle::try_current() {
            Ok(runtime) if !self.is_second && std::thread::panicking() && !state.waiting.is_empty() => {
                drop(state);
                let next = Self { line: Arc::clone(&self.line), has_ended: false, is_second: true };
                runtime.spawn_blocking(move || next.work());
            }
            _ => {
                state.is_worked = false;
                state.waiting.clear();
            }
        }
    }
}

impl<J> Clone for Line<J> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    /// A line whose work is told here, and goes on when it is let.
    fn gated(most: usize) -> (Line<u32>, mpsc::Receiver<Vec<u32>>, mpsc::SyncSender<()>) {
        let ((tell, told), (open, gate)) = (mpsc::sync_channel(8), mpsc::sync_channel(8));
        let gate = Mutex::new(gate);
        let line = Line::new(most, move |jobs: Vec<u32>| {
            tell.send(jobs.clone()).unwrap();
            gate.lock().unwrap().recv().unwrap();
            assert!(!jobs.contains(&13), "unlucky");
            let odd = |job: &u32| JournalError::Io(job.to_string());
            jobs.iter().map(|job| if job % 2 == 0 { Ok(()) } else { Err(odd(job)) }).collect()
        });
        (line, told, open)
    }

    #[tokio::test]
    async fn who_comes_meanwhile_goes_together_and_each_hears_its_own() {
        let (line, told, open) = gated(3);
        let first = {
            let line = line.clone();
            tokio::spawn(async move { line.join(0).await })
        };
        let told = tokio::task::spawn_blocking(move || (told.recv().unwrap(), told)).await.unwrap();
        assert_eq!(told.0, [0]);
        let waiting = join_all([2, 3, 4, 6].map(|job| line.join(job)));
        let letting = async {
            for _ in 0..3 {
                open.send(()).unwrap();
            }
        };
        let (ends, ()) = futures_util::future::join(waiting, letting).await;
        assert_eq!(ends, [Ok(()), Err(JournalError::Io("3".into())), Ok(()), Ok(())]);
        assert_eq!(first.await.unwrap(), Ok(()));
        assert_eq!(told.1.iter().take(2).collect::<Vec<_>>(), [vec![2, 3, 4], vec![6]]);
    }

    #[tokio::test]
    async fn what_was_begun_is_finished_when_nobody_waits() {
        let (line, told, open) = gated(3);
        {
            let mut left = std::pin::pin!(line.join(2));
            assert!(futures_util::poll!(left.as_mut()).is_pending());
        }
        open.send(()).unwrap();
        let told = tokio::task::spawn_blocking(move || told.recv().unwrap()).await.unwrap();
        assert_eq!(told, [2]);
    }

    #[tokio::test]
    async fn a_worker_that_fails_is_told_and_the_next_one_works() {
        let (line, _told, open) = gated(3);
        for _ in 0..2 {
            open.send(()).unwrap();
        }
        assert!(line.join(13).await.is_err());
        assert_eq!(line.join(2).await, Ok(()));
    }
}
