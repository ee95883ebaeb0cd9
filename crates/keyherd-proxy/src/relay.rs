//! Bytes both ways, once a connection has gone on in another protocol: nobody looks into them here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::time::sleep;

/// What is on its way in one direction, in bytes.
const BUFFER_LEN: usize = 8 * 1024;

/// Both sides of an upgrade.
pub(crate) struct Sides {
    pub(crate) caller: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
}

/// Relays until one side has ended and the other has heard of it, or nothing passed for too long.
pub(crate) async fn relay(sides: Sides, idle_timeout: Duration) {
    let (caller, upstream) = match tokio::try_join!(sides.caller, sides.upstream) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "an upgrade did not come about");
            return;
        }
    };
    let passed = Arc::new(AtomicU64::new(0));
    let mut caller = Counted { stream: TokioIo::new(caller), passed: Arc::clone(&passed) };
    let mut upstream = Counted { stream: TokioIo::new(upstream), passed: Arc::clone(&passed) };
    tokio::select! {
        ended = copy_bidirectional_with_sizes(&mut caller, &mut upstream, BUFFER_LEN, BUFFER_LEN) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "an upgraded connection broke off");
            }
        }
        () = silence(&passed, idle_timeout) => tracing::debug!("an upgraded connection was silent for too long"),
    }
}

async fn silence(passed: &AtomicU64, idle_timeout: Duration) {
    let mut before = u64::MAX;
    loop {
        let now = passed.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
        sleep(idle_timeout).await;
    }
}

/// A stream that counts what is read from it.
struct Counted<S> {
    stream: S,
    passed: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if outcome.is_ready() {
            this.passed.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
