//! Whether a connection lives: requests that begin and answers that end are counted, and who watches looks now and then.
//!
//! In place of a timer for each request: two counts are cheaper than a place in the runtime's wheel.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::sleep;
use tower::BoxError;

use crate::annex::AnnexBody;

/// A connection's requests.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Requests come in streams: the protocol itself asks whether the peer lives.
    is_http2: AtomicBool,
}

/// A request under way, its answer included.
#[derive(Debug)]
pub(crate) struct Beat(Arc<Pulse>);

impl Pulse {
    /// A request has come.
    pub(crate) fn begin(self: &Arc<Self>, version: http::Version) -> Beat {
        if version == http::Version::HTTP_2 {
            self.is_http2.store(true, Ordering::Relaxed);
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        Beat(Arc::clone(self))
    }

    /// Returns once nobody asked for anything in all of that time, or sent no whole head: at the latest after twice as
    /// long.
    pub(crate) async fn stopped(&self, patience: Duration) {
        let mut before = None;
        loop {
            let (ended, begun) = (self.ended.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed));
            let is_idle = begun == ended && !self.is_http2.load(Ordering::Relaxed);
            if is_idle && before == Some(begun) {
                return;
            }
            before = is_idle.then_some(begun);
            sleep(patience).await;
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer's body: its request is under way until it has gone.
pub struct Answering {
    body: Kind,
    _beat: Beat,
}

enum Kind {
    Own(Body),
    OfAnnex(AnnexBody),
}

impl Answering {
    pub(crate) fn new(body: Body, beat: Beat) -> Self {
        Self { body: Kind::Own(body), _beat: beat }
    }

    pub(crate) fn of_annex(body: AnnexBody, beat: Beat) -> Self {
        Self { body: Kind::OfAnnex(body), _beat: beat }
    }
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.body {
            Kind::Own(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::OfAnnex(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Own(body) => body.is_end_stream(),
            Kind::OfAnnex(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Own(body) => body.size_hint(),
            Kind::OfAnnex(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Version;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn stops_within(pulse: &Pulse, bound: Duration) -> bool {
        timeout(bound, pulse.stopped(PATIENCE)).await.is_ok()
    }

    /// Not a moment sooner than `bound`, and not later.
    async fn stops_after(pulse: &Pulse, bound: Duration) -> bool {
        let instant = Duration::from_millis(1);
        !stops_within(pulse, bound - instant).await && stops_within(pulse, bound + instant).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_stops() {
        let pulse = Arc::new(Pulse::default());
        assert!(stops_after(&pulse, PATIENCE).await);
        drop(pulse.begin(Version::HTTP_11));
        assert!(stops_after(&pulse, PATIENCE).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_with_a_request_under_way_does_not() {
        let pulse = Arc::new(Pulse::default());
        let beat = pulse.begin(Version::HTTP_11);
        assert!(!stops_within(&pulse, PATIENCE * 10).await);
        let mut stopped = std::pin::pin!(pulse.stopped(PATIENCE));
        assert!(timeout(PATIENCE / 2, stopped.as_mut()).await.is_err());
        // Its time begins when the answer has ended, not when somebody looked last.
        drop(beat);
        assert!(timeout(PATIENCE, stopped.as_mut()).await.is_err());
        assert!(timeout(PATIENCE, stopped).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_used_now_and_then_does_not() {
        let pulse = Arc::new(Pulse::default());
        let using = async {
            for _ in 0..20 {
                sleep(PATIENCE * 2 / 3).await;
                drop(pulse.begin(Version::HTTP_11));
            }
        };
        tokio::select! {
            () = pulse.stopped(PATIENCE) => panic!("it was used"),
            () = using => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn http2_asks_by_itself() {
        let pulse = Arc::new(Pulse::default());
        drop(pulse.begin(Version::HTTP_2));
        assert!(!stops_within(&pulse, PATIENCE * 10).await);
    }
}
