//! Threads that serve connections: each has its own, from their first byte to their last.
//!
//! Owns where a connection is served: by the worker that has the fewest tasks, those that outlast a connection included, such as
//! WebSockets. It stays there, its memory in that core's cache, woken by the thread that goes on with it. Threads that take work
//! over from each other spend a fifth of a request on it (the benches `gateway` and `proxy`).

use std::sync::Arc;
use std::{io, thread};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The workers of one process. They end with their last clone, and with them what they serve.
#[derive(Clone, Default)]
pub struct Workers {
    workers: Arc<[Worker]>,
    _end: Option<Arc<DropGuard>>,
}

struct Worker(Handle);

/// A runtime that waits for nothing when it ends, whoever drops it.
struct Unheld(Option<Runtime>);

impl Drop for Unheld {
    fn drop(&mut self) {
        // Else a name lookup would hold up who ends; and a thread that could not be started, who wanted it.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Workers {
    /// Starts so many. Without any, each connection is served by the runtime that accepts it.
    ///
    /// # Errors
    /// The system gives no more threads, or descriptors.
    pub fn start(count: usize) -> io::Result<Self> {
        let end = CancellationToken::new();
        let workers = (0..count).map(|number| Worker::start(number, end.clone()));
        // Made first: it ends those that were started, should another one fail.
        let guard = end.clone().drop_guard();
        Ok(Self { workers: workers.collect::<io::Result<_>>()?, _end: Some(Arc::new(guard)) })
    }

    /// Serves one more connection, as one of those tasks. `begin` is called where it is served: what wakes it is to be made
    /// there.
    pub fn serve<F>(&self, tasks: &TaskTracker, begin: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match self.workers.iter().min_by_key(|worker| worker.tasks()) {
            None => drop(tasks.spawn(begin())),
            Some(worker) => drop(tasks.spawn_on(async move { begin().await }, &worker.0)),
        }
    }
}

impl Worker {
    fn start(number: usize, end: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let runtime = Unheld(Some(runtime));
        let named = thread::Builder::new().name(format!("keyherd-{number}"));
        named.spawn(move || runtime.0.as_ref().map(|runtime| runtime.block_on(end.cancelled())))?;
        Ok(Self(handle))
    }

    fn tasks(&self) -> usize {
        self.0.metrics().num_alive_tasks()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// A connection that lasts until it is told to end, and then tells on which thread it began and ended.
    struct Served {
        end: oneshot::Sender<()>,
        threads: oneshot::Receiver<[thread::ThreadId; 2]>,
    }

    impl Served {
        fn by(workers: &Workers, tasks: &TaskTracker) -> Self {
            let (end, ended) = oneshot::channel();
            let (tell, threads) = oneshot::channel();
            workers.serve(tasks, || {
                let began = thread::current().id();
                async move {
                    let _ = ended.await;
                    let _ = tell.send([began, thread::current().id()]);
                }
            });
            Self { end, threads }
        }

        async fn end(self) -> thread::ThreadId {
            drop(self.end);
            let [began, ended] = self.threads.await.unwrap();
            assert_eq!(began, ended);
            ended
        }
    }

    fn counts(workers: &Workers) -> Vec<usize> {
        workers.workers.iter().map(Worker::tasks).collect()
    }

    #[tokio::test]
    async fn each_connection_goes_to_the_worker_that_has_the_fewest_and_stays_there() {
        let (workers, tasks) = (Workers::start(2).unwrap(), TaskTracker::new());
        let mut served: Vec<_> = (0..4).map(|_| Served::by(&workers, &tasks)).collect();
        assert_eq!(counts(&workers), [2, 2]);
        let (third, first) = (served.remove(2).end().await, served.remove(0).end().await);
        assert_eq!(first, third);
        while counts(&workers) != [0, 2] {
            tokio::task::yield_now().await;
        }
        let another = Served::by(&workers, &tasks);
        assert_eq!(counts(&workers), [1, 2]);
        assert_eq!(another.end().await, first);
        for of_the_other in served {
            assert_ne!(of_the_other.end().await, first);
        }
    }

    #[tokio::test]
    async fn what_outlasts_a_connection_counts() {
        let (workers, tasks) = (Workers::start(2).unwrap(), TaskTracker::new());
        let (tell, told) = oneshot::channel();
        workers.serve(&tasks, || async {
            tokio::spawn(std::future::pending::<()>());
            let _ = tell.send(thread::current().id());
        });
        let of_the_first = told.await.unwrap();
        while counts(&workers) != [1, 0] {
            tokio::task::yield_now().await;
        }
        assert_ne!(Served::by(&workers, &tasks).end().await, of_the_first);
    }

    #[tokio::test]
    async fn a_runtime_whose_thread_was_not_to_be_had_holds_up_nobody() {
        drop(Unheld(Some(Builder::new_current_thread().build().unwrap())));
    }

    #[tokio::test]
    async fn without_workers_a_connection_is_served_where_it_is_accepted() {
        let served = Served::by(&Workers::default(), &TaskTracker::new());
        assert_eq!(served.end().await, thread::current().id());
    }

    #[tokio::test]
    async fn with_the_last_clone_workers_end_and_what_they_serve() {
        let (workers, tasks) = (Workers::start(1).unwrap(), TaskTracker::new());
        let served = Served::by(&workers.clone(), &tasks);
        drop(workers);
        assert!(served.threads.await.is_err());
        tasks.close();
        tasks.wait().await;
    }
}
