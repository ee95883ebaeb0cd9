//! A connection whose peer must keep reading: a write that makes no progress in time ends it. It holds its place among
//! the connections as long as it lives, whoever has it by then.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

/// Fails with `TimedOut` once a write has been pending for its patience.
pub(crate) struct Pressed<S> {
    stream: S,
    /// Free again with it, also where it goes on in another protocol and is no longer the server's.
    _place: OwnedSemaphorePermit,
    patience: Duration,
    /// Runs while a write is pending.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Pressed<S> {
    pub(crate) fn new(stream: S, place: OwnedSemaphorePermit, patience: Duration) -> Self {
        Self { stream, _place: place, patience, stalled: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pressed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pressed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(cx);
        this.watch(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.watch(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::Semaphore;

    use super::*;

    fn pressed(near: DuplexStream) -> Pressed<DuplexStream> {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("is free");
        Pressed::new(near, place, Duration::from_secs(60))
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_left() {
        let (near, mut far) = duplex(8);
        let mut near = pressed(near);
        near.write_all(b"12345678").await.expect("has room");
        let error = near.write_all(b"9").await.expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut buffer = [0; 8];
        far.read_exact(&mut buffer).await.expect("is there");
        near.write_all(b"9").await.expect("has room again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_waited_for() {
        let (near, mut far) = duplex(1);
        let mut near = pressed(near);
        let reading = async {
            for _ in 0..5 {
                sleep(Duration::from_secs(59)).await;
                far.read_u8().await.expect("is there");
            }
        };
        let (written, ()) = tokio::join!(near.write_all(b"12345"), reading);
        written.expect("each byte came in time");
    }
}
