//! A stream of which something was read already: that comes first once more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// See the module.
#[derive(Debug)]
pub(super) struct Prefixed<S> {
    ahead: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> Prefixed<S> {
    pub(super) fn new(ahead: Bytes, stream: S) -> Self {
        Self { ahead, stream }
    }

    /// The same with these bytes first: they were read from it, and all that was ahead before has been taken.
    pub(super) fn behind(self, ahead: Bytes) -> Self {
        Self { ahead, ..self }
    }

    /// The next byte, which is read once more afterwards. `None`: there is none.
    pub(super) async fn first(&mut self) -> io::Result<Option<u8>> {
        if self.ahead.is_empty() {
            let mut byte = [0; 1];
            let read = self.stream.read(&mut byte).await?;
            self.ahead = Bytes::copy_from_slice(byte.get(..read).unwrap_or_default());
        }
        Ok(self.ahead.first().copied())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let len = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..len]);
        self.ahead.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
