//! Waiting on the thread for what is almost there.
//!
//! A task that is woken from outside its runtime goes to the end of the runtime's queue. In a burst that is behind
//! thousands of others, all of whom wait for this one: so the writer, of whom there is one, waits for SQLite's answer
//! where it is, a moment at most, and its thread has nothing else to do for so long.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// After so long without news the runtime may use its thread for others again.
const MOMENT: Duration = Duration::from_millis(1);

/// So often there may be news.
const NEWS_MAX: u32 = 16;

struct Here {
    thread: Thread,
    has_news: AtomicBool,
}

impl Wake for Here {
    fn wake(self: Arc<Self>) {
        self.has_news.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// The future's output. It is polled here for some moments, and then as usual.
pub(super) async fn briefly<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            let here = Arc::new(Here { thread: std::thread::current(), has_news: AtomicBool::new(true) });
            let waker = Waker::from(Arc::clone(&here));
            for _ in 0..NEWS_MAX {
                if !here.has_news.swap(false, Ordering::AcqRel) {
                    break;
                }
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Poll::Ready(output);
                }
                if !here.has_news.load(Ordering::Acquire) {
                    std::thread::park_timeout(MOMENT);
                }
            }
        }
        future.as_mut().poll(context)
    })
    .await
}
