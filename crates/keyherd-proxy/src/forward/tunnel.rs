//! A tunnel: bytes pass as they are, in both directions, until both have ended, nothing came for too long, or its agent is
//! revoked.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::time::sleep;

/// Each direction's buffer, in bytes: what an idle tunnel costs.
const BUFFER_LEN: usize = 8 * 1024;

/// Relays until the end, or until whose it is has gone. The idle bound is met within twice its time.
pub(super) async fn relay<A, B>(
    caller: A,
    upstream: B,
    idle_timeout: Duration,
    gone: impl Future<Output = ()>,
) where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let passed = Arc::new(AtomicBool::new(false));
    let mut caller = Watched { stream: caller, passed: Arc::clone(&passed) };
    let mut upstream = Watched { stream: upstream, passed: Arc::clone(&passed) };
    let copying = copy_bidirectional_with_sizes(&mut caller, &mut upstream, BUFFER_LEN, BUFFER_LEN);
    let silence = async {
        loop {
            sleep(idle_timeout).await;
            if !passed.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = gone => tracing::debug!("a tunnel's agent was revoked"),
        ended = copying => if let Err(error) = ended {
            tracing::debug!(%error, "a tunnel broke off");
        },
        () = silence => tracing::debug!("a tunnel was silent for too long"),
    }
}

/// A stream whose reading is seen.
struct Watched<S> {
    stream: S,
    passed: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.passed.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
