//! What a connection's task waits for beside its requests: looked at only when it was woken itself, and not whenever a
//! request moves on.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// See the module.
pub(crate) struct Aside<F> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
    /// The task that was last told to [`Woken`].
    task: Option<Waker>,
}

struct Woken {
    is_due: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F> Aside<F> {
    pub(crate) fn new(future: F) -> Self {
        let woken = Woken { is_due: AtomicBool::new(true), task: Mutex::new(None) };
        Self { future: Box::pin(future), woken: Arc::new(woken), task: None }
    }
}

impl<F: Future> Future for Aside<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        if !this.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            this.task = Some(cx.waker().clone());
            this.woken.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&this.task);
        }
        // After the task was told: a wake that comes now is either seen here, or wakes it.
        if !this.woken.is_due.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        this.future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&this.woken))))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_when_it_was_woken() {
        let (looks, told) = (AtomicUsize::new(0), Notify::new());
        let mut told = Box::pin(told.notified());
        let inner = poll_fn(|cx| {
            looks.fetch_add(1, Ordering::Relaxed);
            told.as_mut().poll(cx)
        });
        let mut aside = Aside::new(inner);
        for _ in 0..3 {
            // Its task is woken by something else.
            assert!(timeout(Duration::from_secs(1), &mut aside).await.is_err());
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_whoever_waits_for_it() {
        let notify = Arc::new(Notify::new());
        let mut aside = Aside::new({
            let notify = Arc::clone(&notify);
            async move { notify.notified().await }
        });
        assert!(timeout(Duration::from_secs(1), &mut aside).await.is_err());
        // Another task has it now.
        let waiting = tokio::spawn(aside);
        sleep(Duration::from_secs(1)).await;
        notify.notify_one();
        waiting.await.expect("it ends");
    }
}
