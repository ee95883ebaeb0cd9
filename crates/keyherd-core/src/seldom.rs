//! Work that goes on until something happens that seldom does: a door that closes, a connection's bound that ends.
//!
//! Owns that waiting for it costs nothing while the work moves: what thousands wait for is asked when it calls, and not
//! each time that one of them is woken by something else.

use std::future::{Future, poll_fn};
use std::ops::DerefMut;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Works, until `event` comes first: then the work, which may be large, stays where it is and may go on.
///
/// # Errors
/// What the event brought.
pub async fn until<T, E>(
    mut work: Pin<&mut impl Future<Output = T>>,
    event: impl Future<Output = E>,
) -> Result<T, E> {
    let mut event = pin!(event);
    let mut event = Seldom::new(event.as_mut());
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => event.poll(cx).map(Err),
    })
    .await
}

/// Something that seldom happens.
pub struct Seldom<P> {
    event: Pin<P>,
    bell: Option<Arc<Bell>>,
}

/// What the event rings, in the place of the task.
struct Bell {
    has_rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl<P: DerefMut<Target: Future>> Seldom<P> {
    /// Asked first when it is first polled.
    pub fn new(event: Pin<P>) -> Self {
        Self { event, bell: None }
    }

    /// Asks when it has called since, or calls another task now. Not to be polled once it has happened.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<<P::Target as Future>::Output> {
        let bell = self.bell.as_ref().filter(|bell| bell.task.will_wake(cx.waker()));
        if bell.is_some_and(|bell| !bell.has_rung.load(Ordering::Acquire)) {
            return Poll::Pending;
        }
        // A bell is for one task and one ring.
        let bell = Arc::new(Bell { has_rung: AtomicBool::new(false), task: cx.waker().clone() });
        let waker = Waker::from(Arc::clone(&bell));
        self.bell = Some(bell);
        self.event.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use tokio::sync::Notify;
    use tokio::task::yield_now;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn whatever_comes_first() {
        let token = CancellationToken::new();
        assert_eq!(until(pin!(ready(1)), token.cancelled()).await, Ok(1));
        let mut never = pin!(pending::<()>());
        let waiting = until(never.as_mut(), token.cancelled());
        let (waited, ()) = tokio::join!(waiting, async { token.cancel() });
        assert_eq!(waited, Err(()));
        assert_eq!(until(pin!(ready(1)), token.cancelled()).await, Ok(1), "the work is asked first");
    }

    #[tokio::test]
    async fn the_event_is_asked_when_it_calls() {
        let (asked, called) = (Cell::new(0), Notify::new());
        let event = async {
            let mut called = pin!(called.notified());
            poll_fn(|cx| {
                asked.set(asked.get() + 1);
                called.as_mut().poll(cx)
            })
            .await;
        };
        let work = async {
            for _ in 0..10 {
                yield_now().await;
            }
            assert_eq!(asked.get(), 1);
            called.notify_one();
            pending::<()>().await;
        };
        assert_eq!(until(pin!(work), event).await, Err(()));
        assert_eq!(asked.get(), 2);
    }

    #[tokio::test]
    async fn another_task_goes_on_with_it() {
        let called = Arc::new(Notify::new());
        let event = Arc::clone(&called);
        let mut waiting = Box::pin(async move { until(pin!(pending::<()>()), event.notified()).await });
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await.is_pending());
        let waited = tokio::spawn(waiting);
        yield_now().await;
        called.notify_waiters();
        assert_eq!(waited.await.expect("ends"), Err(()));
    }
}
