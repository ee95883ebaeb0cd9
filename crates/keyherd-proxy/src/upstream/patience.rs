//! A bound on waiting that is set again and again: a timer in the runtime's wheel that is only moved on, not made and
//! taken out for each request.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// See the module. Costs nothing before there is something to wait for.
#[derive(Default)]
pub(crate) struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// What some work comes to; `None`: it took longer.
    pub(crate) async fn bounded<F: Future>(
        &mut self,
        within: Duration,
        mut work: Pin<&mut F>,
    ) -> Option<F::Output> {
        let mut is_set = false;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            let timer = self.0.get_or_insert_with(|| {
                is_set = true;
                Box::pin(sleep(within))
            });
            if !is_set {
                is_set = true;
                timer.as_mut().reset(sleep(within).deadline());
            }
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(60);

    /// Whether what takes so long is waited for.
    async fn waits(patience: &mut Patience, takes: Duration) -> bool {
        let now = || sleep(Duration::ZERO).deadline();
        let begun = now();
        let is_done = patience.bounded(WITHIN, pin!(sleep(takes))).await.is_some();
        assert_eq!(now() - begun, takes.min(WITHIN));
        is_done
    }

    #[tokio::test(start_paused = true)]
    async fn each_time_is_as_long() {
        let (mut patience, instant) = (Patience::default(), Duration::from_millis(1));
        assert_eq!(patience.bounded(WITHIN, pin!(std::future::ready(1))).await, Some(1));
        for _ in 0..3 {
            assert!(waits(&mut patience, WITHIN - instant).await);
            assert!(!waits(&mut patience, WITHIN + instant).await);
            assert!(waits(&mut patience, WITHIN / 2).await);
        }
    }
}
