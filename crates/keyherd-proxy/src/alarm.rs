//! A bound that is set anew for each request of a connection, an agent's or upstream's, with one timer for all of them.
//!
//! Owns when that timer rings. A bound that was met is forgotten, and its timer left as it is: to set one and to take it
//! back are two visits to what all of a process's timers share, and nearly every bound is met within microseconds. Never
//! late: a bound that ends before the timer would ring sets it anew.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt;
use hyper_util::rt::TokioTimer;
use tokio::time::{Sleep, sleep_until};

/// One timer. Whoever polls it last is woken when it rings, perhaps for nothing.
#[derive(Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits until then.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let until = until.into();
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if until < sleep.deadline() {
            sleep.as_mut().reset(until);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if until <= sleep.deadline() {
                return Poll::Ready(());
            }
            // It rang for a bound that was met.
            sleep.as_mut().reset(until);
        }
    }

    /// What some work comes to; `None`: it took longer. Costs nothing where there is nothing to wait for.
    pub(crate) async fn bounded<F: Future>(
        &mut self,
        within: Duration,
        mut work: Pin<&mut F>,
    ) -> Option<F::Output> {
        let mut until = None;
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => {
                let until = *until.get_or_insert_with(|| rt::Timer::now(&TokioTimer::new()) + within);
                self.poll(cx, until).map(|()| None)
            }
        })
        .await
    }
}

/// The same as hyper asks for it, for the heads of one connection's requests: one bound at a time.
#[derive(Clone, Default)]
pub(crate) struct HeadTimer(Arc<Mutex<Alarm>>);

struct Bound {
    timer: HeadTimer,
    until: Instant,
}

impl rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, until: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Bound { timer: self.clone(), until })
    }

    fn now(&self) -> Instant {
        TokioTimer::new().now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, until: Instant) {
        if let Some(mut bound) = sleep.as_mut().downcast_mut_pin::<Bound>() {
            bound.until = until;
        }
    }
}

impl Future for Bound {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.0.lock().unwrap_or_else(PoisonError::into_inner).poll(cx, self.until)
    }
}

impl rt::Sleep for Bound {}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use hyper::rt::Timer;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_bound_ends_in_its_time_whatever_the_timer_was_set_to_before() {
        let (timer, mut alarm) = (HeadTimer::default(), Alarm::default());
        let begun = timer.now();
        for seconds in [3, 9, 4] {
            // One that is met.
            let met = begun + seconds * SECOND;
            assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, met))).await.is_pending());
        }
        // Set for longer than the timer, and for less.
        for seconds in [20, 30] {
            let until = begun + seconds * SECOND;
            let later = until + 60 * SECOND;
            assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, later))).await.is_pending());
            poll_fn(|cx| alarm.poll(cx, until)).await;
            assert_eq!(timer.now() - begun, seconds * SECOND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_has_as_long_each_time() {
        let (mut alarm, within) = (Alarm::default(), 60 * SECOND);
        assert_eq!(alarm.bounded(within, pin!(std::future::ready(1))).await, Some(1));
        let timer = HeadTimer::default();
        for takes in [59, 61, 30, 59, 61, 61, 1] {
            let (takes, begun) = (takes * SECOND, timer.now());
            let work = pin!(tokio::time::sleep(takes));
            assert_eq!(alarm.bounded(within, work).await.is_some(), takes < within);
            assert_eq!(timer.now() - begun, takes.min(within));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hyper_sets_one_bound_after_the_other() {
        let timer = HeadTimer::default();
        let begun = timer.now();
        let mut met = timer.sleep(2 * SECOND);
        assert!(poll_fn(|cx| Poll::Ready(met.as_mut().poll(cx))).await.is_pending());
        drop(met);
        timer.sleep(5 * SECOND).await;
        assert_eq!(timer.now() - begun, 5 * SECOND);
        let mut moved = timer.sleep(SECOND);
        timer.reset(&mut moved, begun + 7 * SECOND);
        moved.await;
        assert_eq!(timer.now() - begun, 7 * SECOND);
    }
}
